//! Archive formats: a tree to bytes, and bytes back. Pure functions: no path, no clock, no disk.

pub mod cpio;
pub mod deflate;
pub mod gzip;
pub mod iso;
pub mod read;
pub mod tar;
pub(crate) mod zstd;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::failure::{Failure, Result};
use crate::tree::Content;
use crate::values::{Digest, GuestPath};

/// An uncompressed archive: headers, and contents as they are in the tree.
pub type Archive = Vec<Content>;

/// A part of an output file. Large parts are shared between formats and nodes instead of being copied.
#[derive(Clone)]
pub enum Piece {
    /// Headers, padding and small files, for this stream alone.
    Own(Vec<u8>),
    /// Compressed once, used in several archives.
    Packed(Arc<Vec<u8>>),
    /// The content of a file, which may be larger than memory; it is read when the stream is written.
    File(Arc<DiskFile>),
    /// This many zero bytes.
    Zeros(u64),
}

/// A file on disk, with its digest when it was last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFile {
    /// The path from which it is read again.
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// Of its content. A file whose content has changed when it is written out is refused.
    pub sha256: Digest,
}

impl From<Vec<u8>> for Piece {
    fn from(bytes: Vec<u8>) -> Self {
        Piece::Own(bytes)
    }
}

impl Piece {
    /// In bytes.
    pub fn size(&self) -> u64 {
        match self {
            Piece::Own(bytes) => bytes.len() as u64,
            Piece::Packed(bytes) => bytes.len() as u64,
            Piece::File(file) => file.size,
            Piece::Zeros(count) => *count,
        }
    }

    /// `None` for a file, which is not in memory.
    pub fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Piece::Own(bytes) => Some(Cow::Borrowed(bytes)),
            Piece::Packed(bytes) => Some(Cow::Borrowed(bytes)),
            Piece::File(_) => None,
            Piece::Zeros(count) => Some(Cow::Owned(vec![0; *count as usize])),
        }
    }
}

/// An output file: its pieces in order.
pub type Stream = Vec<Piece>;

/// The length of a stream in bytes.
pub fn length(stream: &[Piece]) -> u64 {
    stream.iter().map(Piece::size).sum()
}

/// The length of an archive in bytes.
pub fn plain_length(archive: &[Content]) -> u64 {
    archive.iter().map(Content::len).sum()
}

/// The whole as one buffer, for small files and for reading back; `None` when a part of it is a file on disk.
pub fn joined(stream: &[Piece]) -> Option<Vec<u8>> {
    let parts: Vec<_> = stream.iter().map(Piece::bytes).collect::<Option<_>>()?;
    Some(parts.concat())
}

/// Zeros up to the next multiple of `unit` bytes; `None` where none are needed.
pub fn padding(length: u64, unit: u64) -> Option<Piece> {
    let missing = length.next_multiple_of(unit) - length;
    (missing > 0).then_some(Piece::Zeros(missing))
}

/// Builds a stream or an archive: its own bytes are joined, shared ones stay shared.
struct Joiner<T> {
    done: Vec<T>,
    own: Vec<u8>,
    length: u64,
}

impl<T> Default for Joiner<T> {
    fn default() -> Self {
        Self { done: Vec::new(), own: Vec::new(), length: 0 }
    }
}

impl<T: From<Vec<u8>>> Joiner<T> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.own.extend_from_slice(bytes);
        self.length += bytes.len() as u64;
    }

    fn shared(&mut self, shared: T, length: u64) {
        self.end_own();
        self.done.push(shared);
        self.length += length;
    }

    /// Zeros up to the next multiple of `unit` bytes.
    fn pad(&mut self, unit: u64) {
        let missing = self.length.next_multiple_of(unit) - self.length;
        self.own.extend(std::iter::repeat_n(0, missing as usize));
        self.length += missing;
    }

    fn end_own(&mut self) {
        if !self.own.is_empty() {
            self.done.push(std::mem::take(&mut self.own).into());
        }
    }

    fn finish(mut self) -> Vec<T> {
        self.end_own();
        self.done
    }
}

impl Joiner<Piece> {
    fn piece(&mut self, piece: &Piece) {
        match piece {
            Piece::Own(bytes) => self.bytes(bytes),
            Piece::Packed(_) | Piece::File(_) | Piece::Zeros(_) => self.shared(piece.clone(), piece.size()),
        }
    }
}

impl Joiner<Content> {
    fn content(&mut self, content: &Content) {
        match content {
            Content::Own(bytes) => self.bytes(bytes),
            Content::Shared(blob) => self.shared(content.clone(), blob.size()),
        }
    }
}

/// A link's target is stored in a header or body that ends at a NUL, and Linux follows none of PATH_MAX (4096 with its
/// NUL) bytes or more (path_resolution(7)).
fn check_target(path: &GuestPath, target: &str) -> Result<()> {
    if target.is_empty() || target.len() > 4095 || target.contains('\0') {
        return Err(Failure::unsafe_to(format!(
            "the target of the link {path} is not a path of 1 to 4095 bytes; change it"
        )));
    }
    Ok(())
}

/// Shared by the tests of this module.
#[cfg(test)]
mod samples {
    use std::sync::Arc;

    use crate::tree::{Blob, Content, Entry, Tree};
    use crate::values::{Epoch, Mode};

    pub fn epoch() -> Epoch {
        "2026-11-21".parse().unwrap()
    }

    pub fn tree<const N: usize>(entries: [(&str, Entry); N]) -> Tree {
        let mut tree = Tree::default();
        for (path, entry) in entries {
            tree.insert(path.parse().unwrap(), entry).unwrap();
        }
        tree
    }

    /// Bytes that compress a little, the same ones each time.
    pub fn noise(size: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 28) as u8
        };
        std::iter::repeat_with(next).take(size).collect()
    }

    pub fn blob(size: usize) -> Arc<Blob> {
        Arc::new(Blob::new(noise(size)))
    }

    /// An archive as one buffer.
    pub fn plain(archive: &[Content]) -> Vec<u8> {
        archive.iter().flat_map(|content| content.bytes().unwrap()).copied().collect()
    }

    /// One of everything.
    pub fn sample() -> Tree {
        let long = format!("opt/{}/{}", "d".repeat(120), "f".repeat(200));
        tree([
            ("etc/etcd", Entry::directory(Mode::DIRECTORY, "t")),
            ("etc/etcd/pki", Entry::directory(Mode::SECRET_DIRECTORY, "t")),
            ("etc/etcd/pki/server-key.pem", Entry::file(b"key\n".to_vec(), Mode::SECRET, "t")),
            ("etc/etcd/empty", Entry::file(Vec::new(), Mode::FILE, "t")),
            ("etc/systemd/system/a.service", Entry::link("../../../usr/lib/a.service", "t")),
            ("long", Entry::link("l".repeat(150), "t")),
            (&long, Entry::file(noise(513), Mode::from_bits(0o4750), "t")),
            ("usr/local/bin/etcd", Entry::shared(blob(70_000), Mode::PROGRAM, "t")),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Blob;

    #[test]
    fn own_bytes_are_joined_and_shared_ones_are_not_copied() {
        let blob = Arc::new(Blob::new(b"shared".to_vec()));
        let mut joiner = Joiner::default();
        joiner.bytes(b"a");
        joiner.content(&Content::Own(b"b".to_vec()));
        joiner.content(&Content::Shared(Arc::clone(&blob)));
        joiner.pad(4);
        joiner.bytes(b"");
        let stream = joiner.finish();
        assert_eq!(samples::plain(&stream), b"abshared");
        assert!(matches!(&stream[..], [Content::Own(_), Content::Shared(same)] if Arc::ptr_eq(same, &blob)));
        let packed = Arc::new(b"packed".to_vec());
        let mut joiner = Joiner::default();
        joiner.piece(&Piece::Own(b"c".to_vec()));
        joiner.piece(&Piece::Packed(Arc::clone(&packed)));
        let stream = joiner.finish();
        assert_eq!(joined(&stream).unwrap(), b"cpacked");
        assert_eq!(length(&stream), 7);
        assert!(matches!(&stream[..], [Piece::Own(_), Piece::Packed(same)] if Arc::ptr_eq(same, &packed)));
        assert!(Joiner::<Piece>::default().finish().is_empty());
    }

    #[test]
    fn padding_reaches_the_next_multiple() {
        for (length, want) in [(0, 0), (1, 4), (3, 4), (4, 4), (5, 8)] {
            let mut joiner = Joiner::<Piece>::default();
            joiner.bytes(&vec![1; length]);
            joiner.pad(4);
            assert_eq!(joined(&joiner.finish()).unwrap().len(), want, "{length}");
        }
    }
}
