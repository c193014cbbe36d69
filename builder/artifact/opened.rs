//! Files of one call -> what is in them, all checked, and nothing written.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::PathBuf;

use super::Accept;
use super::limits::Limits;
use super::node_record::{self, NODE_SCHEMA, NodeDraft, NodeRecord};
use super::release_file::ReleaseFile;
use super::source::Trusted;
use crate::failure::{Failure, Result};
use crate::interrupt;

/// Bytes of programs that one call may hold in memory; a release has 65 MB.
const MAX_HELD_BYTES: u64 = 1 << 30;

/// The contents of the files of one call.
#[derive(Default)]
pub struct Opened {
    pub releases: Vec<ReleaseFile>,
    pub nodes: Vec<NodeDraft>,
}

impl Opened {
    /// Every digest is checked before the first file is unpacked.
    ///
    /// # Errors
    /// `Exit::Untrusted` for everything that is wrong with a file; `Exit::Io`.
    pub fn all(files: &[PathBuf], accept: &Accept<'_>) -> Result<Self> {
        let mut seen = BTreeSet::new();
        let mut trusted = Vec::new();
        for path in files {
            interrupt::check()?;
            let file = Trusted::check(path, accept)?;
            // A file that is given twice is read once.
            if seen.insert(file.source.sha256) {
                trusted.push(file);
            }
        }
        let mut opened = Self::default();
        let mut held = 0;
        for file in trusted {
            interrupt::check()?;
            held += opened.add(file)?;
            if held > MAX_HELD_BYTES {
                return Err(Failure::untrusted(format!(
                    "the files hold more than {MAX_HELD_BYTES} bytes of programs; add them in several commands"
                )));
            }
        }
        Ok(opened)
    }

    /// Returns the size of its programs, in bytes. What it is follows from its first bytes, not from its name.
    fn add(&mut self, mut file: Trusted) -> Result<u64> {
        let expected = file.expected();
        let (release, node) = file.unpack(&Limits::RELEASE, |packed, gauge| {
            let start = packed.fill_buf().map_err(|error| gauge.explain(error))?;
            Ok(match start.starts_with(b"\x7fELF") {
                true => (None, Some(node_record::read(packed, gauge)?)),
                false => (Some(ReleaseFile::read(packed, gauge, expected)?), None),
            })
        })?;
        if let Some(contents) = release {
            let release = ReleaseFile::new(contents, file.source);
            let size = release.programs.values().map(|program| program.blob.size()).sum();
            self.releases.push(release);
            return Ok(size);
        }
        let Some((kind, blob)) = node else { return Ok(0) };
        if let Some(other) = self.nodes.iter().find(|other| other.record.arch == kind.arch) {
            return Err(Failure::untrusted(format!(
                "{} and {} are both kiln-node {} for {}; add one of them",
                other.record.source.file, file.source.file, kind.version, kind.arch
            )));
        }
        let size = blob.size();
        let (version, arch) = (kind.version, kind.arch);
        let record = NodeRecord { schema: NODE_SCHEMA, version, arch, source: file.source };
        self.nodes.push(NodeDraft { record, blob });
        Ok(size)
    }
}
