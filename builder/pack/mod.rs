//! Tree -> bytes. Every format is a pure function: no path, no clock, no disk.

pub mod cloud_init;
pub mod ignition;
pub mod libvirt;

use std::sync::Arc;

use crate::tree::Blob;

/// A part of an output file. Large parts are shared between formats and nodes instead of being copied.
#[derive(Clone)]
pub enum Piece {
    Own(Vec<u8>),
    Blob(Arc<Blob>),
    /// Compressed once, used in several archives.
    Packed(Arc<Vec<u8>>),
}

impl Piece {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Piece::Own(bytes) => bytes,
            Piece::Blob(blob) => blob.bytes(),
            Piece::Packed(bytes) => bytes,
        }
    }
}

/// An output file: its pieces in order.
pub type Stream = Vec<Piece>;

/// How long it is, in bytes.
pub fn length(stream: &[Piece]) -> u64 {
    stream.iter().map(|piece| piece.bytes().len() as u64).sum()
}
