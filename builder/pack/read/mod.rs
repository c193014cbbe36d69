//! Archives read back: what `pack` wrote, and nothing that it would not write.
//!
//! The bytes may come from anywhere, so everything is checked and bounded here: paths, kinds, sizes, the
//! number of members, and what they come to when unpacked.

mod cpio;
mod iso;
mod tar;

pub use iso::{Iso, IsoFile, iso};

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

use flate2::bufread::GzDecoder;

use crate::failure::{Failure, Result};
use crate::values::{GuestPath, Mode};

/// More than any overlay of a node has.
const MEMBERS: usize = 100_000;

/// What one archive may come to, in bytes, padding and headers included.
const UNPACKED: u64 = 16 << 30;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
    /// A symbolic link and what it points at.
    Link(String),
}

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub path: GuestPath,
    pub kind: Kind,
    pub mode: Mode,
    pub uid: u64,
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Of a file's content, in bytes; 0 for the others.
    pub size: u64,
}

/// The content of the member that is being visited.
pub struct Body<'a> {
    reader: &'a mut dyn Read,
    size: u64,
}

impl Body<'_> {
    /// All of it.
    ///
    /// # Errors
    /// `Exit::Wrong` when it is longer than `limit` bytes or the archive ends within it.
    pub fn whole(&mut self, limit: u64) -> Result<Vec<u8>> {
        if self.size > limit {
            return Err(Failure::wrong(format!("it has {} bytes; at most {limit} are expected", self.size)));
        }
        // Not as long as the header says: the header may lie, and memory is only for bytes that came.
        let mut bytes = Vec::new();
        self.reader.take(self.size).read_to_end(&mut bytes).map_err(damaged)?;
        if bytes.len() as u64 != self.size {
            return Err(Failure::wrong("the archive ends within it"));
        }
        Ok(bytes)
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// The two kinds of archive that hold a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// `overlay.tar.gz`: one gzip member with one tar archive in it.
    TarGz,
    /// `overlay.cpio.gz`, or any row of `newc` archives, compressed with gzip, zstd or not, as Linux reads it.
    Initramfs,
}

impl Archive {
    /// Shows each member to `visit`, in order, until it breaks off. What it does not read is passed over.
    /// An archive that is visited to its end has been checked as a whole, down to its CRC-32.
    ///
    /// # Errors
    /// `Exit::Wrong` for anything that Kiln would not have written; and what `visit` returns.
    pub fn visit(
        self,
        bytes: &[u8],
        mut visit: impl FnMut(&Member, &mut Body) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        match self {
            Archive::TarGz => tar_gz(bytes, &mut visit),
            Archive::Initramfs => initramfs(bytes, &mut visit),
        }
    }

    /// What is inside, without the contents.
    pub fn members(self, bytes: &[u8]) -> Result<Vec<Member>> {
        let mut all = Vec::new();
        self.visit(bytes, |member, _| {
            all.push(member.clone());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    /// One file's content; nothing behind it is read. `None` when there is no such file.
    pub fn file(self, bytes: &[u8], path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let mut found = None;
        self.visit(bytes, |member, body| {
            if member.kind != Kind::File || member.path.as_str() != path {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some(body.whole(limit).map_err(|error| error.while_doing(format!("reading {path}")))?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}

type Visit<'a> = dyn FnMut(&Member, &mut Body) -> Result<ControlFlow<()>> + 'a;

fn tar_gz(mut bytes: &[u8], visit: &mut Visit) -> Result<()> {
    let mut reader = Bounded::new(GzDecoder::new(&mut bytes));
    if tar::read(&mut reader, visit)?.is_break() {
        return Ok(());
    }
    only_zeros(&mut reader)?;
    if !bytes.is_empty() {
        return Err(Failure::wrong("something follows the end of the archive"));
    }
    Ok(())
}

/// As Linux goes about it (init/initramfs.c, unpack_to_rootfs): an archive that is not compressed begins at a
/// multiple of four, zeros between archives are skipped, and everything else is compressed.
fn initramfs(bytes: &[u8], visit: &mut Visit) -> Result<()> {
    let mut rest = bytes;
    loop {
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        rest = &rest[zeros..];
        let at = bytes.len() - rest.len();
        let flow = if rest.is_empty() {
            return Ok(());
        } else if rest.starts_with(b"07070") && at.is_multiple_of(4) {
            cpio::read(&mut Bounded::new(&mut rest), visit)?
        } else if rest.starts_with(&[0x1f, 0x8b]) {
            let mut reader = Bounded::new(GzDecoder::new(&mut rest));
            whole(&mut reader, visit)?
        } else if rest.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let decoder = zstd::Decoder::with_buffer(&mut rest).map_err(damaged)?;
            whole(&mut Bounded::new(decoder.single_frame()), visit)?
        } else {
            let reason =
                format!("byte {at} begins neither a cpio archive nor a gzip member nor a zstd frame");
            return Err(Failure::wrong(reason));
        };
        if flow.is_break() {
            return Ok(());
        }
    }
}

/// An archive that is compressed by itself, down to the checksum behind it.
fn whole(reader: &mut impl Read, visit: &mut Visit) -> Result<ControlFlow<()>> {
    let flow = cpio::read(reader, visit)?;
    if flow.is_continue() {
        only_zeros(reader)?;
    }
    Ok(flow)
}

/// Reads to the end, where a decoder checks what it has read.
fn only_zeros(reader: &mut impl Read) -> Result<()> {
    let mut reader = io::BufReader::new(reader);
    loop {
        let piece = reader.fill_buf().map_err(damaged)?;
        if piece.is_empty() {
            return Ok(());
        }
        if piece.iter().any(|byte| *byte != 0) {
            return Err(Failure::wrong("something follows the last member"));
        }
        let seen = piece.len();
        reader.consume(seen);
    }
}

/// Every error while unpacking bytes from memory is the bytes' own.
fn damaged(error: io::Error) -> Failure {
    Failure::wrong(format!("the archive is damaged: {error}"))
}

/// A path from an archive; directories may end in a slash.
fn path(bytes: &[u8]) -> Result<GuestPath> {
    let text = std::str::from_utf8(bytes).map_err(|_| Failure::wrong("a member's path is not UTF-8"))?;
    let text = text.strip_suffix('/').unwrap_or(text);
    text.parse().map_err(|reason| Failure::wrong(format!("a member's path is not one of a node: {reason}")))
}

/// Which members an archive has had.
#[derive(Default)]
struct Seen(BTreeSet<GuestPath>);

impl Seen {
    fn check(&mut self, path: &GuestPath) -> Result<()> {
        if !self.0.insert(path.clone()) {
            return Err(Failure::wrong(format!("{path} is in the archive twice")));
        }
        if self.0.len() > MEMBERS {
            return Err(Failure::wrong(format!("the archive has more than {MEMBERS} members")));
        }
        Ok(())
    }
}

/// Ends with an error, and not as if the archive were over, where a bomb has unpacked to too much.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Bounded<R> {
    fn new(inner: R) -> Self {
        Self { inner, left: UNPACKED }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other(format!("it unpacks to more than {UNPACKED} bytes")))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
