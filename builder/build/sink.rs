//! The destination of built files: a bundle, or nowhere.

use std::path::Path;

use crate::bundle::{self, Laid, Writer};
use crate::failure::Result;
use crate::format::{Piece, length};
use crate::interrupt;
use crate::values::{Digest, Mode};

/// Progress of a build, reported as it happens.
pub enum Done {
    Bytes(u64),
    Node,
}

/// The destination of the built files.
#[derive(Clone, Copy)]
pub enum Sink<'a> {
    Bundle {
        writer: &'a Writer<'a>,
        /// The bundle that this one will replace, if there is one.
        replaced: Option<&'a Path>,
        progress: &'a (dyn Fn(Done) + Sync),
    },
    /// Everything is made and nothing is kept.
    Nowhere,
}

impl Sink<'_> {
    pub fn directory(&self, path: &str, mode: Mode) -> Result<()> {
        match self {
            Sink::Bundle { writer, .. } => writer.directory(path, mode),
            Sink::Nowhere => Ok(()),
        }
    }

    /// Writes a file. Where nothing is kept, its pieces are not read.
    pub fn put(&self, path: &str, mode: Mode, stream: &[Piece]) -> Result<()> {
        match self {
            Sink::Bundle { .. } => self.put_hashed(path, mode, stream).map(drop),
            Sink::Nowhere => interrupt::check(),
        }
    }

    /// The same, and returns the SHA-256 of the file.
    pub fn put_hashed(&self, path: &str, mode: Mode, stream: &[Piece]) -> Result<Digest> {
        match self {
            Sink::Bundle { writer, progress, .. } => {
                progress(Done::Bytes(length(stream)));
                writer.put(path, mode, stream)
            }
            Sink::Nowhere => bundle::digest_of_stream(stream),
        }
    }

    /// Reports that another node is finished.
    pub fn node(&self) {
        if let Sink::Bundle { progress, .. } = self {
            progress(Done::Node);
        }
    }

    /// The files below a directory, for other bundles of the same place.
    pub fn laid(&self, directory: &str) -> Option<Laid> {
        match self {
            Sink::Bundle { writer, .. } => Some(writer.laid(directory)),
            Sink::Nowhere => None,
        }
    }

    /// Links to the files of another bundle of the same place. `false` when that is not possible.
    pub fn share(&self, laid: &Laid) -> Result<bool> {
        match self {
            Sink::Bundle { writer, .. } => writer.share(laid),
            Sink::Nowhere => Ok(false),
        }
    }

    pub fn text(&self, path: &str, text: impl Into<Vec<u8>>) -> Result<()> {
        self.put(path, Mode::FILE, &[Piece::Own(text.into())])
    }
}
