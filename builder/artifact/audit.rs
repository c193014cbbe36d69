//! Reads everything in the store again: records, programs, packed forms. Nothing is changed or removed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::node_record::NodeRecord;
use super::packed::Kept;
use super::record::ReleaseRecord;
use super::store::{RELEASE_AGAIN, Store, read_blob};
use crate::disk;
use crate::failure::Result;
use crate::format::deflate::unpacks_to;
use crate::interrupt;
use crate::tree::Blob;
use crate::values::Digest;

/// The result of reading a store.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audit {
    /// Records that could be read.
    pub releases: usize,
    /// The same of `kiln-node`.
    #[serde(skip_serializing_if = "is_zero")]
    pub nodes: usize,
    /// Different programs whose bytes match their digests.
    pub programs: usize,
    /// Compressed forms that match their programs.
    pub packed: usize,
    /// One for each file that is damaged or missing.
    pub damage: Vec<Damage>,
}

/// A file of the store that is not what the store says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// As the store's directory was given.
    pub file: PathBuf,
    /// A sentence that names the file and the reason.
    pub why: String,
    /// The release that is to be imported again: `3.5.16 amd64`; `None` where no record names the file.
    pub release: Option<String>,
    /// The same for a `kiln-node`: `0.1.0 amd64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The files that it was imported from.
    pub sources: Vec<String>,
    /// Whether importing it again needs `--replace`, because its record cannot be read.
    pub replace: bool,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What names a program: a record, of which only this is needed.
#[derive(Clone, Default)]
struct Named {
    release: Option<String>,
    node: Option<String>,
    sources: Vec<String>,
}

impl Named {
    fn of_release(record: &ReleaseRecord) -> Self {
        let sources = record.sources.iter().map(|source| source.file.clone()).collect();
        Self { release: Some(format!("{} {}", record.version, record.arch)), node: None, sources }
    }

    fn of_node(record: &NodeRecord) -> Self {
        let sources = vec![record.source.file.clone()];
        Self { release: None, node: Some(format!("{} {}", record.version, record.arch)), sources }
    }

    fn damage(self, file: &Path, why: String) -> Damage {
        let Self { release, node, sources } = self;
        Damage { file: file.to_owned(), why, release, node, sources, replace: false }
    }
}

impl Store {
    /// Reads every record, every program and every packed form, and compares their digests.
    ///
    /// # Errors
    /// `Exit::Io` when a directory cannot be listed. A file that cannot be read is damage, not an error.
    pub fn audit(&self) -> Result<Audit> {
        let mut audit = Audit::default();
        let mut named: BTreeMap<Digest, (u64, Named)> = BTreeMap::new();
        for (release, arch) in self.available()? {
            match self.record(release, arch) {
                Ok(Some(record)) => {
                    audit.releases += 1;
                    for binary in record.binaries.values() {
                        named
                            .entry(binary.sha256)
                            .or_insert_with(|| (binary.size, Named::of_release(&record)));
                    }
                }
                Ok(None) => {}
                Err(failure) => audit.damage.push(Damage {
                    file: self.record_path(release, arch),
                    why: failure.to_string(),
                    release: Some(format!("{release} {arch}")),
                    node: None,
                    sources: Vec::new(),
                    replace: true,
                }),
            }
        }
        self.audit_nodes(&mut audit, &mut named)?;
        for digest in self.stored()?.into_iter().chain(named.keys().copied()).collect::<BTreeSet<_>>() {
            interrupt::check()?;
            self.audit_program(digest, named.get(&digest), &mut audit)?;
        }
        Ok(audit)
    }

    fn audit_nodes(&self, audit: &mut Audit, named: &mut BTreeMap<Digest, (u64, Named)>) -> Result<()> {
        for (version, arch) in self.nodes()? {
            match self.node(&version, arch) {
                Ok(Some(record)) => {
                    audit.nodes += 1;
                    let size = record.source.size;
                    named.entry(record.source.sha256).or_insert_with(|| (size, Named::of_node(&record)));
                }
                Ok(None) => {}
                Err(failure) => audit.damage.push(Damage {
                    file: self.node_record_path(&version, arch),
                    why: failure.to_string(),
                    release: None,
                    node: Some(format!("{version} {arch}")),
                    sources: Vec::new(),
                    replace: true,
                }),
            }
        }
        Ok(())
    }

    fn audit_program(&self, digest: Digest, named: Option<&(u64, Named)>, audit: &mut Audit) -> Result<()> {
        let path = self.blob(digest);
        // A program that no record names any more: a build of an earlier release may have it.
        let size = match named {
            Some((size, _)) => *size,
            None => disk::look(&path)?.map_or(0, |found| found.size),
        };
        let damage = |path: &Path, why: String| {
            named.map(|(_, named)| named.clone()).unwrap_or_default().damage(path, why)
        };
        let bytes = match read_blob(&path, digest, size, RELEASE_AGAIN) {
            Ok(bytes) => bytes,
            Err(failure) => {
                audit.damage.push(damage(&path, failure.to_string()));
                return Ok(());
            }
        };
        audit.programs += 1;
        let program = Blob::new(bytes);
        let packed = self.packed_path(digest);
        match self.packed(&program) {
            Kept::Missing => {}
            Kept::Whole(kept) if unpacks_to(&kept, program.bytes()?) => audit.packed += 1,
            Kept::Whole(_) => {
                let why = format!("{} is damaged: it does not unpack to its program", packed.display());
                audit.damage.push(damage(&packed, why));
            }
            Kept::Unusable(why) => audit.damage.push(damage(&packed, why)),
        }
        Ok(())
    }

    /// The digests that files in `blobs/` are named after.
    fn stored(&self) -> Result<Vec<Digest>> {
        if disk::look(&self.blobs())?.is_none() {
            return Ok(Vec::new());
        }
        Ok(disk::list(&self.blobs())?.iter().filter_map(|name| name.parse().ok()).collect())
    }
}
