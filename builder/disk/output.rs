//! A file being written inside a staging directory.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroU64;
use std::path::PathBuf;

use super::Stamp;
use crate::failure::{Doing, Result};

/// A file being written inside a staging directory.
pub struct Output {
    file: File,
    path: PathBuf,
}

impl Output {
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self { file, path }
    }

    /// Tells the kernel to start writing a part of the file to disk, so that less is left for the sync at the end. It
    /// is a hint: the sync reports any error.
    pub fn begin_writeback(&self, from: u64, length: u64) {
        if let Some(length) = NonZeroU64::new(length) {
            let _ = rustix::fs::fadvise(&self.file, from, Some(length), rustix::fs::Advice::DontNeed);
        }
    }

    pub fn stamp(&self) -> Result<Stamp> {
        let meta = self.file.metadata().doing(|| format!("looking at {}", self.path.display()))?;
        Ok(Stamp::of(&meta))
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).doing(|| format!("writing {}", self.path.display()))
    }
}
