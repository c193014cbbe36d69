//! Where baked files go: into a bundle, or nowhere.

use std::path::Path;

use crate::bundle::{self, Writer, manifest};
use crate::failure::Result;
use crate::interrupt;
use crate::pack::Piece;
use crate::values::Mode;

/// Where the baked files go.
pub enum Sink<'a> {
    Bundle(&'a Writer),
    /// Everything is made and nothing is kept.
    Nowhere,
}

impl Sink<'_> {
    pub fn directory(&self, path: &str, mode: Mode) -> Result<()> {
        match self {
            Sink::Bundle(writer) => writer.directory(path, mode),
            Sink::Nowhere => Ok(()),
        }
    }

    pub fn put(&self, path: &str, mode: Mode, stream: &[Piece]) -> Result<()> {
        match self {
            Sink::Bundle(writer) => writer.put(path, mode, stream).map(|_| ()),
            Sink::Nowhere => interrupt::check(),
        }
    }

    /// A copy of a file, filled up to a multiple of `unit`, and `stream` behind it; what that file was.
    pub fn put_behind(
        &self,
        path: &str,
        mode: Mode,
        head: &Path,
        unit: u64,
        stream: &[Piece],
    ) -> Result<manifest::Input> {
        let (size, sha256) = match self {
            Sink::Bundle(writer) => writer.put_behind(path, mode, head, unit, stream)?,
            Sink::Nowhere => bundle::digest(head)?,
        };
        Ok(manifest::Input { size, sha256: sha256.to_string() })
    }

    pub fn text(&self, path: &str, text: impl Into<Vec<u8>>) -> Result<()> {
        self.put(path, Mode::FILE, &[Piece::Own(text.into())])
    }
}
