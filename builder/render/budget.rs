//! The limit on what a run reads for the nodes, and the files that count once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk;
use crate::failure::Result;
use crate::tree::Blob;
use crate::values::Mode;

/// The limit on the files of all overlays of a run, in bytes: they are in memory while bundles are built.
pub(super) const MAX_OVERLAYS_BYTES: u64 = 1 << 30;

/// The rest of the limit, and the sources of `[[file]]` that have been read: profiles of a fleet name the same ones.
pub struct Budget {
    left: AtomicU64,
    sources: Mutex<BTreeMap<PathBuf, SourceFile>>,
}

/// A file on this machine that has been read.
#[derive(Clone)]
pub(super) struct SourceFile {
    pub blob: Arc<Blob>,
    /// On this machine.
    pub mode: Mode,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(MAX_OVERLAYS_BYTES)
    }
}

impl Budget {
    /// A limit in bytes.
    pub(super) fn of(bytes: u64) -> Self {
        Self { left: bytes.into(), sources: Mutex::default() }
    }

    /// Takes this many bytes of it, or returns how many are left.
    pub(super) fn take(&self, bytes: u64) -> std::result::Result<(), u64> {
        let less = |left: u64| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).map(|_| ())
    }

    /// A file by its path without links, read once; `None` where it is too large for the rest of the limit.
    ///
    /// # Errors
    /// `Exit::Io` when it cannot be read.
    pub(super) fn source(&self, path: &Path) -> Result<Option<SourceFile>> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = sources.get(path) {
            return Ok(Some(there.clone()));
        }
        let input = disk::Input::open(path)?;
        let (size, mode) = (input.size(), input.mode());
        if self.take(size).is_err() {
            return Ok(None);
        }
        let read = SourceFile { blob: Arc::new(Blob::new(input.whole(size)?)), mode };
        sources.insert(path.to_owned(), read.clone());
        Ok(Some(read))
    }
}
