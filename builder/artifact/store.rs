//! The artifact store: a directory of releases that later builds read.
//!
//! `blobs/sha256/<hex>` are the programs, by their digest; `packed/` has their compressed forms (`packed.rs`);
//! `releases/<version>-<arch>.json` lists the programs of a release, and `node/<version>-<arch>.json` is a kiln-node
//! (`node_store.rs`). The record is written last, and each file is written atomically, so a release is either complete
//! or absent. The store guards against damage and mix-ups:
//! everything is hashed again when it is loaded. It is not signed: a user who may write to it decides what it
//! contains.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use super::group::{self, Draft};
use super::node_record::NodeDraft;
use super::opened::Opened;
use super::outcome::{Added, AddedNode, Imported, Outcome};
use super::record::{Binary, ReleaseRecord};
use super::{Accept, EtcdProgram};
use crate::disk::{self, Kind, Lock};
use crate::etcd::Release;
use crate::failure::{Doing, Failure, Result};
use crate::format::gzip::Compressor;
use crate::interrupt;
use crate::tree::Blob;
use crate::values::{Arch, Digest, Mode};

/// The artifact store: a record for each release and architecture, and programs by their SHA-256.
pub struct Store {
    directory: PathBuf,
}

/// The state of writing the programs of one record.
pub(super) struct Packing<'c> {
    compressor: &'c Compressor,
    /// Paths of files that did not exist before, except the record.
    new: Vec<PathBuf>,
}

impl Store {
    /// A directory that does not exist is an empty store.
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// As it was given to [`Store::at`]; it need not exist.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Checks release files and stores the programs in them. The files may be of several releases, and in any order: a
    /// tarball is a release, and so are `etcd-server` and `etcd-client` of one version together; a `kiln-node` is a
    /// file of its own. Nothing is written before all of them are checked.
    ///
    /// # Errors
    /// `Exit::Untrusted` for everything that is wrong with a file; `Exit::Unsafe` when the store has other
    /// programs for a release and `accept.replace` is not set; `Exit::Locked`; `Exit::Io`.
    pub fn add(&self, files: &[PathBuf], accept: &Accept<'_>) -> Result<Imported> {
        let Opened { releases, nodes } = Opened::all(files, accept)?;
        let drafts = group::releases(releases)?;
        if drafts.is_empty() && nodes.is_empty() {
            return Ok(Imported::default());
        }
        self.refuse_foreign()?;
        self.refuse_open()?;
        // Checked before the directory is made, and again under the lock.
        self.outcomes(&drafts, &nodes, accept)?;
        for directory in [self.blobs(), self.records()] {
            disk::make_directories(&directory, Mode::DIRECTORY)?;
        }
        let _lock = Lock::exclusive(&self.lock_path())?;
        let (outcomes, of_nodes) = self.outcomes(&drafts, &nodes, accept)?;
        self.remove_remains()?;
        let write = |(draft, outcome): (&Draft, Outcome)| {
            let record = self.write(|packing| self.write_draft(draft, outcome, packing))?;
            Ok(Added { outcome, record })
        };
        let releases = drafts.iter().zip(outcomes).map(write).collect::<Result<_>>()?;
        let write = |(draft, outcome): (&NodeDraft, Outcome)| {
            let record = self.write(|packing| self.write_node(draft, outcome, packing))?;
            Ok(AddedNode { outcome, record })
        };
        let nodes = nodes.iter().zip(of_nodes).map(write).collect::<Result<_>>()?;
        Ok(Imported { releases, nodes })
    }

    /// # Errors
    /// `Exit::Unsafe` when something other than an artifact store is at the path, or around it.
    pub fn refuse_foreign(&self) -> Result<()> {
        disk::refuse_foreign(&self.directory, disk::STORE, "name another directory with --artifacts")
    }

    /// # Errors
    /// `Exit::Unsafe` when every user may change records or programs: they decide what gets to the nodes.
    pub(super) fn refuse_open(&self) -> Result<()> {
        const WRITABLE_BY_ALL: u32 = 0o002;
        for path in [self.directory.clone(), self.records(), self.node_records(), self.blobs()] {
            let found = disk::look(&path)?.filter(|found| found.kind == Kind::Directory);
            if let Some(found) = found.filter(|found| found.mode.bits() & WRITABLE_BY_ALL != 0) {
                let path = path.display();
                return Err(Failure::unsafe_to(format!(
                    "{path} has mode {}: every user can change the programs in this artifact store; close it with \
                     `chmod o-w {path}`, and add the releases again",
                    found.mode
                )));
            }
        }
        Ok(())
    }

    fn outcomes(
        &self,
        drafts: &[Draft],
        nodes: &[NodeDraft],
        accept: &Accept<'_>,
    ) -> Result<(Vec<Outcome>, Vec<Outcome>)> {
        let releases = drafts.iter().map(|draft| self.outcome(&draft.record, accept));
        let nodes = nodes.iter().map(|draft| self.node_outcome(&draft.record, accept));
        Ok((releases.collect::<Result<_>>()?, nodes.collect::<Result<_>>()?))
    }

    fn outcome(&self, new: &ReleaseRecord, accept: &Accept<'_>) -> Result<Outcome> {
        let there = match self.record(new.version, new.arch) {
            // A record that cannot be read has nothing to lose.
            Err(_) if accept.replace => return Ok(Outcome::Replaced),
            there => there?,
        };
        match there {
            None => Ok(Outcome::Added),
            Some(old) if old.has_same_binaries(new) && old.has_same_sources(new) => Ok(Outcome::AlreadyThere),
            Some(old) if old.has_same_binaries(new) => Ok(Outcome::SourcesUpdated),
            Some(_) if accept.replace => Ok(Outcome::Replaced),
            Some(old) => Err(Failure::unsafe_to(format!(
                "{} already has different programs for etcd {} on {}, from {}; replacing them changes every bundle \
                 built with them. Pass --replace, or name another store with --artifacts",
                self.directory.display(),
                new.version,
                new.arch,
                old.sources.iter().map(|s| s.file.as_str()).collect::<Vec<_>>().join(" and ")
            ))),
        }
    }

    fn write<T>(&self, write: impl FnOnce(&mut Packing<'_>) -> Result<T>) -> Result<T> {
        let compressor = Compressor::new(available_parallelism().unwrap_or(NonZeroUsize::MIN));
        let mut packing = Packing { compressor: &compressor, new: Vec::new() };
        write(&mut packing).inspect_err(|_| {
            // Programs without a record are not a release, and would only waste space on a full disk.
            for path in packing.new {
                let _ = disk::remove_file(&path);
            }
        })
    }

    fn write_draft(
        &self,
        draft: &Draft,
        outcome: Outcome,
        packing: &mut Packing<'_>,
    ) -> Result<ReleaseRecord> {
        let storing = || {
            let all: u64 = draft.blobs.iter().map(|blob| blob.size()).sum();
            format!(
                "storing etcd {}, whose programs take {} MiB, and a third more compressed",
                draft.record.version,
                all.div_ceil(1 << 20)
            )
        };
        for blob in &draft.blobs {
            self.write_blob(blob, packing).doing(storing)?;
        }
        // Blobs that a replaced record named stay: a concurrent build may be about to read them. Readers take no lock,
        // so that the store can be on a read-only medium.
        match self.record(draft.record.version, draft.record.arch) {
            Ok(Some(there)) if outcome == Outcome::AlreadyThere => Ok(there),
            _ => {
                let path = self.record_path(draft.record.version, draft.record.arch);
                disk::write_whole(&path, &draft.record.to_json()?, Mode::FILE)?;
                Ok(draft.record.clone())
            }
        }
    }

    /// Writes a program that is missing or damaged, and its compressed form.
    pub(super) fn write_blob(&self, blob: &Blob, packing: &mut Packing<'_>) -> Result<()> {
        interrupt::check()?;
        let (path, size) = (self.blob(blob.digest()), blob.size());
        if read_blob(&path, blob.digest(), size, RELEASE_AGAIN).is_err() {
            let is_new = disk::look(&path)?.is_none();
            // Not executable: these are inputs of a build. Their mode on a node is in the tree.
            disk::write_whole(&path, blob.bytes()?, Mode::FILE)?;
            packing.new.extend(is_new.then_some(path));
        }
        interrupt::check()?;
        packing.new.extend(self.pack(blob, packing.compressor)?);
        Ok(())
    }

    /// Removes the partial files of killed runs.
    pub(super) fn remove_remains(&self) -> Result<()> {
        let nodes = disk::look(&self.node_records())?.map(|_| self.node_records());
        let directories = [self.blobs(), self.records()].into_iter().chain(nodes);
        for directory in directories.chain(self.packed_directories()?) {
            for name in disk::list(&directory)? {
                if name.starts_with(disk::TEMPORARY) {
                    disk::remove_file(&directory.join(name))?;
                }
            }
        }
        Ok(())
    }

    /// Every release, newest first.
    ///
    /// # Errors
    /// `Exit::Untrusted` when a record was not written by Kiln.
    pub fn list(&self) -> Result<Vec<ReleaseRecord>> {
        let mut records = Vec::new();
        for (release, arch) in self.available()? {
            records.extend(self.record(release, arch)?);
        }
        Ok(records)
    }

    /// The releases in the store, newest first.
    pub fn available(&self) -> Result<Vec<(Release, Arch)>> {
        if disk::look(&self.records())?.is_none() {
            return Ok(Vec::new());
        }
        let mut all: Vec<(Release, Arch)> = disk::list(&self.records())?
            .iter()
            .filter_map(|name| {
                let (release, arch) = name.strip_suffix(".json")?.split_once('-')?;
                Some((release.parse().ok()?, arch.parse().ok()?))
            })
            .collect();
        all.sort_by_key(|(release, arch)| (std::cmp::Reverse(*release), *arch));
        Ok(all)
    }

    /// A release as it was added.
    ///
    /// With `pinned`, a profile's `[etcd] sha256`, the release must come from those files only.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the release is missing, or comes from other files.
    pub fn find(&self, release: Release, arch: Arch, pinned: &[Digest]) -> Result<ReleaseRecord> {
        self.refuse_open()?;
        let Some(record) = self.record(release, arch)? else { return Err(self.missing(release, arch)?) };
        if let Some(other) = record.sources.iter().find(|s| !pinned.is_empty() && !pinned.contains(&s.sha256))
        {
            return Err(Failure::untrusted(format!(
                "etcd {release} for {arch} in {} comes from {} with sha256 {}, which is not in the profile's \
                 [etcd] sha256; add the pinned file with --replace",
                self.directory.display(),
                other.file,
                other.sha256
            )));
        }
        Ok(record)
    }

    /// The programs of a release. Each is read and hashed again when its bytes are needed.
    ///
    /// # Errors
    /// `Exit::Untrusted` when one is missing or has another size. A damaged one is reported when it is read.
    pub fn load(&self, record: &ReleaseRecord) -> Result<BTreeMap<EtcdProgram, Arc<Blob>>> {
        let load = |(program, binary): (&EtcdProgram, &Binary)| {
            let loading = format!("loading {program} {} for {}", record.version, record.arch);
            let (path, sha256, size) = (self.blob(binary.sha256), binary.sha256, binary.size);
            check_size(&path, size, RELEASE_AGAIN).doing(|| loading.clone())?;
            let read = move || read_blob(&path, sha256, size, RELEASE_AGAIN).doing(|| loading.clone());
            Ok((*program, Arc::new(Blob::elsewhere(sha256, size, read))))
        };
        record.binaries.iter().map(load).collect()
    }

    /// Whether it has the release, in whatever state.
    pub fn has(&self, release: Release, arch: Arch) -> Result<bool> {
        Ok(disk::look(&self.record_path(release, arch))?.is_some())
    }

    fn missing(&self, release: Release, arch: Arch) -> Result<Failure> {
        let there: Vec<_> = self.available()?.iter().map(|(r, a)| format!("{r} ({a})")).collect();
        let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
        let directory = self.directory.display();
        Ok(Failure::untrusted(format!(
            "etcd {release} for {arch} is not in the artifact store {directory}, which has {there}; add it: kiln \
             artifacts add --artifacts {directory} etcd-v{release}-linux-{arch}.tar.gz"
        )))
    }

    /// `None` when the release is missing.
    pub(super) fn record(&self, release: Release, arch: Arch) -> Result<Option<ReleaseRecord>> {
        let path = self.record_path(release, arch);
        if disk::look(&path)?.is_none() {
            return Ok(None);
        }
        let reading = || format!("reading {}", path.display());
        let record = ReleaseRecord::from_json(&disk::read(&path, 1 << 20)?).doing(reading)?;
        if (record.version, record.arch) != (release, arch) {
            let reason = format!(
                "it is the record of {} for {}; add the release again with --replace",
                record.version, record.arch
            );
            return Err(Failure::untrusted(reason).while_doing(reading()));
        }
        Ok(Some(record))
    }

    pub(super) fn record_path(&self, release: Release, arch: Arch) -> PathBuf {
        self.records().join(ReleaseRecord::file_name(release, arch))
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        self.directory.join(".lock")
    }

    pub(super) fn records(&self) -> PathBuf {
        self.directory.join("releases")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.directory.join("blobs/sha256")
    }

    pub(super) fn blob(&self, digest: Digest) -> PathBuf {
        self.blobs().join(digest.to_string())
    }
}

/// How a damaged program of a release is mended, after the reason.
pub(super) const RELEASE_AGAIN: &str = "add the release file again to repair it";

/// `way_out` is how one that is damaged or missing is mended.
pub(super) fn check_size(path: &Path, size: u64, way_out: &str) -> Result<()> {
    match disk::look(path)? {
        None => Err(damaged(path, "is missing", way_out)),
        Some(found) if found.size != size => {
            Err(damaged(path, "is damaged: its size does not match its record", way_out))
        }
        Some(_) => Ok(()),
    }
}

/// The bytes of a program, hashed.
pub(super) fn read_blob(path: &Path, sha256: Digest, size: u64, way_out: &str) -> Result<Vec<u8>> {
    check_size(path, size, way_out)?;
    let bytes = disk::read(path, size)?;
    if Digest::of(&bytes) != sha256 {
        return Err(damaged(path, "is damaged: its SHA-256 does not match its record", way_out));
    }
    Ok(bytes)
}

fn damaged(path: &Path, what: &str, way_out: &str) -> Failure {
    Failure::untrusted(format!("{} {what}; {way_out}", path.display()))
}
