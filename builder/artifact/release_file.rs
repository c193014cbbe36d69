//! One trusted file -> the programs in it, checked.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;

use super::control::{Control, Half};
use super::limits::Gauge;
use super::record::{Binary, Source};
use super::{EtcdProgram, deb, examine, tarball};
use crate::etcd::Release;
use crate::failure::{Doing, Failure, Result};
use crate::tree::Blob;
use crate::values::Arch;

/// The part of its release that the file contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// One of two Debian packages, and its Debian version.
    Half(Half, String),
}

pub struct ReleaseFile {
    pub release: Release,
    pub arch: Arch,
    pub part: Part,
    pub source: Source,
    pub programs: BTreeMap<EtcdProgram, Checked>,
}

/// A program that is for the architecture and of the release.
pub struct Checked {
    pub blob: Arc<Blob>,
    pub interpreter: Option<String>,
}

impl Checked {
    pub fn describe(&self) -> Binary {
        Binary { sha256: self.blob.digest(), size: self.blob.size(), interpreter: self.interpreter.clone() }
    }
}

type Contents = (Release, Arch, Part, BTreeMap<EtcdProgram, Checked>);

impl ReleaseFile {
    pub fn new((release, arch, part, programs): Contents, source: Source) -> Self {
        Self { release, arch, part, source, programs }
    }

    /// `expected` is the release that the catalogue names.
    ///
    /// # Errors
    /// `Exit::Untrusted` for everything that is wrong with the file; `Exit::Io`.
    pub fn read(
        packed: &mut impl BufRead,
        gauge: &Gauge<'_>,
        expected: Option<(Release, Arch)>,
    ) -> Result<Contents> {
        let (release, arch, part, programs) = unpack(packed, gauge)?;
        if let Some((known, known_arch)) = expected.filter(|known| *known != (release, arch)) {
            return Err(Failure::untrusted(format!(
                "the catalogue lists it as etcd {known} for {known_arch}, but it contains {release} for {arch}"
            )));
        }
        let programs = programs
            .into_iter()
            .map(|(program, bytes)| {
                let interpreter = examine::check(&bytes, program, arch, release)
                    .doing(|| format!("checking {program} in the file"))?;
                Ok((program, Checked { blob: Arc::new(Blob::new(bytes)), interpreter }))
            })
            .collect::<Result<_>>()?;
        Ok((release, arch, part, programs))
    }
}

type Unpacked = (Release, Arch, Part, BTreeMap<EtcdProgram, Vec<u8>>);

/// The format is detected from the first bytes, not from the name.
fn unpack(packed: &mut impl BufRead, gauge: &Gauge<'_>) -> Result<Unpacked> {
    let start = packed.fill_buf().map_err(|error| gauge.explain(error))?;
    if start.starts_with(deb::MAGIC) {
        let deb::Package { control: Control { half, version, release, arch }, programs } =
            deb::open(packed, gauge)?;
        Ok((release, arch, Part::Half(half, version), programs))
    } else if start.starts_with(&[0x1f, 0x8b]) {
        let tarball::Tarball { release, arch, programs } = tarball::open(packed, gauge)?;
        Ok((release, arch, Part::Whole, programs))
    } else {
        Err(Failure::untrusted(
            "it is neither a release tarball of etcd (.tar.gz), nor one of the Debian packages etcd-server and \
             etcd-client, nor a kiln-node",
        ))
    }
}
