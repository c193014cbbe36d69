//! Upstream's release tarball: everything below one directory, `etcd-v3.5.16-linux-amd64/`, the programs
//! directly in it (etcd's scripts/build-release.sh).

use std::collections::BTreeMap;
use std::io::BufRead;

use super::limits::Gauge;
use super::{EtcdProgram, archive, catalogue};
use crate::etcd::Release;
use crate::failure::{Failure, Result};
use crate::values::Arch;

pub struct Tarball {
    pub release: Release,
    pub arch: Arch,
    pub programs: BTreeMap<EtcdProgram, Vec<u8>>,
}

/// # Errors
/// `Exit::Untrusted` when it has another layout, and for what `archive::pick` refuses.
pub fn open(packed: &mut impl BufRead, gauge: &Gauge<'_>) -> Result<Tarball> {
    let mut top: Option<(Vec<u8>, Release, Arch)> = None;
    let programs = archive::pick(packed, gauge, gauge.limits.program, |path| {
        let (directory, below) = match path.iter().position(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (path, &path[..0]),
        };
        match &top {
            Some((known, ..)) if known == directory => {}
            Some((known, ..)) => {
                return Err(Failure::untrusted(format!(
                    "it has both {:?} and {:?} at its top; an etcd release has one directory there",
                    String::from_utf8_lossy(known),
                    String::from_utf8_lossy(directory)
                )));
            }
            None => {
                let (release, arch) = release_of(directory)?;
                top = Some((directory.to_owned(), release, arch));
            }
        }
        // A directory with a program's name is wanted, too, so that it is refused.
        Ok(EtcdProgram::named(below.strip_suffix(b"/").unwrap_or(below)))
    })?;
    let Some((_, release, arch)) = top else {
        return Err(Failure::untrusted("it is an empty archive"));
    };
    Ok(Tarball { release, arch, programs })
}

fn release_of(directory: &[u8]) -> Result<(Release, Arch)> {
    std::str::from_utf8(directory).ok().and_then(catalogue::release_in).ok_or_else(|| {
        Failure::untrusted(format!(
            "it is not an etcd release: its top directory is {:?}, not etcd-vVERSION-linux-ARCH",
            String::from_utf8_lossy(directory)
        ))
    })
}
