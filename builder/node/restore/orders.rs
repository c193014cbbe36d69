//! What a restore is to make.

use std::path::Path;

use kiln_wire::{Digest, Restore};

use crate::disk;
use crate::failure::Result;
use crate::policy;

/// The orders, and the digest of their text.
pub struct Orders {
    pub policy: Restore,
    pub digest: Digest,
}

impl Orders {
    /// Of their text; the path is for messages.
    ///
    /// # Errors
    /// Where it is no orders.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self> {
        Ok(Self { policy: policy::parse(path, text, Restore::check)?, digest: Digest::of(text) })
    }

    /// Those in a file.
    ///
    /// # Errors
    /// Where it is not this program's user's alone, or no orders.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &disk::read(path, false)?)
    }
}
