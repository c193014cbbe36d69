//! The two kinds of archive that contain a tree, with their compression.

use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

use flate2::bufread::GzDecoder;

use super::member::{Body, Member, MemberKind, Visit, damaged};
use super::source::{Bounded, Budget, Source};
use super::{cpio, tar};
use crate::failure::{Failure, Result};

/// The number of bytes that identify an archive or a compression.
const MAGIC: usize = 6;

/// The archives that carriers write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// `overlay.tar.gz`: one gzip member with one tar archive in it.
    TarGz,
    /// `overlay.cpio.gz`, or any row of `newc` archives, compressed with gzip, zstd or not, as Linux reads it.
    Initramfs,
}

impl Archive {
    /// Passes each member to `visit`, in order, until it breaks off. Content that it does not read is skipped. An
    /// archive that is visited to its end has been checked as a whole, down to its CRC-32. However large it is, a few
    /// hundred kilobytes of it are in memory at a time.
    ///
    /// # Errors
    /// `Exit::Wrong` for anything that Kiln would not have written; `Exit::Io` when `from` cannot be read; and the
    /// errors of `visit`.
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

    /// The members, without their contents.
    pub fn members(self, from: impl Read) -> Result<Vec<Member>> {
        let mut all = Vec::new();
        self.visit(from, |member, _| {
            all.push(member.clone());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    /// One file's content; nothing after it is read. `None` when there is no such file.
    pub fn file(self, from: impl Read, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let mut found = None;
        self.visit(from, |member, body| {
            if member.kind != MemberKind::File || member.path.as_str() != path {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some(body.whole(limit).map_err(|error| error.while_doing(format!("reading {path}")))?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}

fn tar_gz<R: Read>(source: &mut Source<'_, R>, budget: &Budget, visit: &mut Visit) -> Result<()> {
    let mut reader = Bounded::new(GzDecoder::new(&mut *source), budget);
    if tar::read(&mut reader, budget, visit)?.is_break() {
        return Ok(());
    }
    if !source.peek(1).map_err(damaged)?.is_empty() {
        return Err(Failure::wrong("trailing bytes follow the archive"));
    }
    Ok(())
}

/// As Linux does it (init/initramfs.c, unpack_to_rootfs): an uncompressed archive begins at a multiple of four, zeros
/// between archives are skipped, and everything else is compressed.
pub(super) fn initramfs<R: Read>(
    source: &mut Source<'_, R>,
    budget: &Budget,
    visit: &mut Visit,
) -> Result<()> {
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

/// An archive that is compressed by itself, including its checksum.
fn whole(reader: &mut impl Read, budget: &Budget, visit: &mut Visit) -> Result<ControlFlow<()>> {
    let flow = cpio::read(reader, budget, visit)?;
    if flow.is_continue() {
        only_zeros(reader)?;
    }
    Ok(flow)
}

/// Reads to the end, where a decoder verifies the checksum.
fn only_zeros(reader: &mut impl Read) -> Result<()> {
    let mut reader = io::BufReader::new(reader);
    loop {
        let piece = reader.fill_buf().map_err(damaged)?;
        if piece.is_empty() {
            return Ok(());
        }
        if piece.iter().any(|byte| *byte != 0) {
            return Err(Failure::wrong("trailing bytes follow the last member"));
        }
        let seen = piece.len();
        reader.consume(seen);
    }
}
