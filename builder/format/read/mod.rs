//! Archives read back: what `pack` wrote, and nothing that it would not write.
//!
//! The bytes may come from anywhere, so everything is checked and bounded here: paths, kinds, sizes, the
//! number of members, and what they come to when unpacked, each for the whole file.

mod cpio;
mod iso;
mod source;
mod tar;

pub use iso::{Iso, IsoFile, iso};

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

use flate2::bufread::GzDecoder;
use sha2::{Digest as _, Sha256};

use source::{Bounded, Budget, Source};

use crate::failure::{Failure, Result};
use crate::values::{Digest, GuestPath, Mode};

/// As many bytes as tell what begins there.
const MAGIC: usize = 6;

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

impl Body<'_> {
    /// Its size in bytes and its SHA-256, without holding it.
    ///
    /// # Errors
    /// `Exit::Wrong` when the archive ends within it.
    pub fn digest(&mut self) -> Result<(u64, Digest)> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        let mut size = 0;
        loop {
            let count = self.reader.read(&mut buffer).map_err(damaged)?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            size += count as u64;
        }
        match size == self.size {
            true => Ok((size, Digest::from_bytes(hash.finalize().into()))),
            false => Err(Failure::wrong("the archive ends within it")),
        }
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
    /// An archive that is visited to its end has been checked as a whole, down to its CRC-32. However large it is, a few
    /// hundred kilobytes of it are in memory at a time.
    ///
    /// # Errors
    /// `Exit::Wrong` for anything that Kiln would not have written; `Exit::Io` when `from` cannot be read; and what `visit`
    /// returns.
    pub fn visit(
        self,
        from: impl Read,
        mut visit: impl FnMut(&Member, &mut Body) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let budget = Budget::new();
        let mut source = Source::new(from, &budget);
        let result = match self {
            Archive::TarGz => tar_gz(&mut source, &budget, &mut visit),
            Archive::Initramfs => initramfs(&mut source, &budget, &mut visit),
        };
        result.map_err(|failure| budget.judge(failure))
    }

    /// What is inside, without the contents.
    pub fn members(self, from: impl Read) -> Result<Vec<Member>> {
        let mut all = Vec::new();
        self.visit(from, |member, _| {
            all.push(member.clone());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    /// One file's content; nothing behind it is read. `None` when there is no such file.
    pub fn file(self, from: impl Read, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let mut found = None;
        self.visit(from, |member, body| {
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

fn tar_gz<R: Read>(source: &mut Source<'_, R>, budget: &Budget, visit: &mut Visit) -> Result<()> {
    let mut reader = Bounded::new(GzDecoder::new(&mut *source), budget);
    if tar::read(&mut reader, budget, visit)?.is_break() {
        return Ok(());
    }
    only_zeros(&mut reader)?;
    if !source.peek(1).map_err(damaged)?.is_empty() {
        return Err(Failure::wrong("something follows the end of the archive"));
    }
    Ok(())
}

/// As Linux goes about it (init/initramfs.c, unpack_to_rootfs): an archive that is not compressed begins at a
/// multiple of four, zeros between archives are skipped, and everything else is compressed.
fn initramfs<R: Read>(source: &mut Source<'_, R>, budget: &Budget, visit: &mut Visit) -> Result<()> {
    loop {
        let at = source.position();
        let next = source.peek(MAGIC).map_err(damaged)?;
        let zeros = next.iter().take_while(|byte| **byte == 0).count();
        let flow = if next.is_empty() {
            return Ok(());
        } else if zeros > 0 {
            source.consume(zeros);
            continue;
        } else if next.starts_with(b"07070") && at.is_multiple_of(4) {
            cpio::read(&mut Bounded::new(&mut *source, budget), budget, visit)?
        } else if next.starts_with(&[0x1f, 0x8b]) {
            let mut reader = Bounded::new(GzDecoder::new(&mut *source), budget);
            whole(&mut reader, budget, visit)?
        } else if next.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let decoder = zstd::Decoder::with_buffer(&mut *source).map_err(damaged)?;
            whole(&mut Bounded::new(decoder.single_frame(), budget), budget, visit)?
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
fn whole(reader: &mut impl Read, budget: &Budget, visit: &mut Visit) -> Result<ControlFlow<()>> {
    let flow = cpio::read(reader, budget, visit)?;
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

/// Every error while unpacking is the bytes' own; of the file's, the budget knows.
fn damaged(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::OutOfMemory => {
            Failure::io(format!("unpacking takes more memory than there is ({error})"))
        }
        _ => Failure::wrong(format!("the archive is damaged: {error}")),
    }
}

/// A path from an archive; directories may end in a slash.
fn path(bytes: &[u8]) -> Result<GuestPath> {
    let text = std::str::from_utf8(bytes).map_err(|_| Failure::wrong("a member's path is not UTF-8"))?;
    let text = text.strip_suffix('/').unwrap_or(text);
    text.parse().map_err(|reason| Failure::wrong(format!("a member's path is not one of a node: {reason}")))
}

/// Which members one archive has had; there may be several of them in a file.
struct Seen<'b> {
    paths: BTreeSet<GuestPath>,
    budget: &'b Budget,
}

impl<'b> Seen<'b> {
    fn new(budget: &'b Budget) -> Self {
        Self { paths: BTreeSet::new(), budget }
    }

    fn check(&mut self, member: &Member) -> Result<()> {
        let target = if let Kind::Link(target) = &member.kind { target.len() } else { 0 };
        self.budget.take_member(member.path.len() + target)?;
        match self.paths.insert(member.path.clone()) {
            true => Ok(()),
            false => Err(Failure::wrong(format!("{} is in the archive twice", member.path))),
        }
    }
}

#[cfg(test)]
mod tests;
