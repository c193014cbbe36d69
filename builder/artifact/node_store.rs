//! `kiln-node` in the artifact store: `node/<version>-<arch>.json` is the record of one, and its bytes are a blob.

use std::path::PathBuf;
use std::sync::Arc;

use super::Accept;
use super::node_record::{NodeDraft, NodeRecord};
use super::outcome::Outcome;
use super::store::{Packing, Store, check_size, read_blob};
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::tree::Blob;
use crate::values::{Arch, Mode, NODE_PROGRAM, Version};

/// How a damaged one is mended, after the reason.
const ADD_AGAIN: &str = "add kiln-node again to repair it";

impl Store {
    /// Every `kiln-node`, by version and architecture.
    ///
    /// # Errors
    /// `Exit::Untrusted` when a record was not written by Kiln.
    pub fn list_nodes(&self) -> Result<Vec<NodeRecord>> {
        let mut records = Vec::new();
        for (version, arch) in self.nodes()? {
            records.extend(self.node(&version, arch)?);
        }
        Ok(records)
    }

    /// The versions and architectures of which it has a record, in whatever state.
    ///
    /// # Errors
    /// `Exit::Io` when the directory cannot be listed.
    pub fn nodes(&self) -> Result<Vec<(Version, Arch)>> {
        if disk::look(&self.node_records())?.is_none() {
            return Ok(Vec::new());
        }
        let names = disk::list(&self.node_records())?;
        let mut all: Vec<_> = names.iter().filter_map(|name| NodeRecord::named(name)).collect();
        all.sort();
        Ok(all)
    }

    /// The one of a version for an architecture; `None` where it is missing.
    ///
    /// # Errors
    /// `Exit::Untrusted` when its record was not written by Kiln; `Exit::Unsafe` for a store that everybody may change.
    pub fn find_node(&self, version: &Version, arch: Arch) -> Result<Option<NodeRecord>> {
        self.refuse_open()?;
        self.node(version, arch)
    }

    /// Its program, which is read and hashed again when its bytes are needed.
    ///
    /// # Errors
    /// `Exit::Untrusted` when it is missing or has another size. A damaged one is reported when it is read.
    pub fn load_node(&self, record: &NodeRecord) -> Result<Arc<Blob>> {
        let loading = format!("loading {NODE_PROGRAM} {} for {}", record.version, record.arch);
        let (path, sha256, size) =
            (self.blob(record.source.sha256), record.source.sha256, record.source.size);
        check_size(&path, size, ADD_AGAIN).doing(|| loading.clone())?;
        let read = move || read_blob(&path, sha256, size, ADD_AGAIN).doing(|| loading.clone());
        Ok(Arc::new(Blob::elsewhere(sha256, size, read)))
    }

    pub(super) fn node(&self, version: &Version, arch: Arch) -> Result<Option<NodeRecord>> {
        let path = self.node_record_path(version, arch);
        if disk::look(&path)?.is_none() {
            return Ok(None);
        }
        let reading = || format!("reading {}", path.display());
        let record = NodeRecord::from_json(&disk::read(&path, 1 << 20)?).doing(reading)?;
        if (&record.version, record.arch) != (version, arch) {
            let reason = format!(
                "it is the record of {} for {}; add the program again with --replace",
                record.version, record.arch
            );
            return Err(Failure::untrusted(reason).while_doing(reading()));
        }
        Ok(Some(record))
    }

    pub(super) fn node_outcome(&self, new: &NodeRecord, accept: &Accept<'_>) -> Result<Outcome> {
        let there = match self.node(&new.version, new.arch) {
            // A record that cannot be read has nothing to lose.
            Err(_) if accept.replace => return Ok(Outcome::Replaced),
            there => there?,
        };
        match there {
            None => Ok(Outcome::Added),
            Some(old) if old.source.sha256 == new.source.sha256 => Ok(Outcome::AlreadyThere),
            Some(_) if accept.replace => Ok(Outcome::Replaced),
            Some(old) => Err(Failure::unsafe_to(format!(
                "{} already has a different {NODE_PROGRAM} {} for {}, from {}; replacing it changes every bundle built \
                 with it. Pass --replace, or name another store with --artifacts",
                self.directory().display(),
                new.version,
                new.arch,
                old.source.file
            ))),
        }
    }

    /// Writes the program and then its record; returns the record that the store has now.
    pub(super) fn write_node(
        &self,
        draft: &NodeDraft,
        outcome: Outcome,
        packing: &mut Packing<'_>,
    ) -> Result<NodeRecord> {
        let record = &draft.record;
        self.write_blob(&draft.blob, packing)
            .doing(|| format!("storing {NODE_PROGRAM} {}", record.version))?;
        if outcome == Outcome::AlreadyThere
            && let Some(there) = self.node(&record.version, record.arch)?
        {
            return Ok(there);
        }
        disk::make_directories(&self.node_records(), Mode::DIRECTORY)?;
        let path = self.node_record_path(&record.version, record.arch);
        disk::write_whole(&path, &record.to_json()?, Mode::FILE)?;
        Ok(record.clone())
    }

    pub(super) fn node_record_path(&self, version: &Version, arch: Arch) -> PathBuf {
        self.node_records().join(NodeRecord::file_name(version, arch))
    }

    pub(super) fn node_records(&self) -> PathBuf {
        self.directory().join("node")
    }
}
