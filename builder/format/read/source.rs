//! The bytes of an archive as they arrive, and limits on them: one budget for the whole file.

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use crate::failure::{Exit, Failure, Result};
use crate::interrupt;

/// More than the limit on a node's tree (`render`), with the directories above its files.
const MAX_MEMBERS: u64 = 1 << 18;

/// The limit on an archive in bytes, padding and headers included: packed, and again unpacked.
const MAX_ARCHIVE_BYTES: u64 = 16 << 30;

/// The limit on the paths and the links' targets, which are kept in memory.
const MAX_NAMES_BYTES: u64 = 32 << 20;

/// The rest of an archive's budget, through all its segments.
pub(super) struct Budget {
    members: Cell<u64>,
    packed: Cell<u64>,
    unpacked: Cell<u64>,
    names: Cell<u64>,
    /// An error of reading the file itself, which is not the archive's fault.
    fault: Cell<Option<Failure>>,
}

impl Budget {
    pub fn new() -> Self {
        Self {
            members: Cell::new(MAX_MEMBERS),
            packed: Cell::new(MAX_ARCHIVE_BYTES),
            unpacked: Cell::new(MAX_ARCHIVE_BYTES),
            names: Cell::new(MAX_NAMES_BYTES),
            fault: Cell::default(),
        }
    }

    /// With this many bytes.
    #[cfg(test)]
    pub fn small(bytes: u64) -> Self {
        let budget = Self::new();
        budget.packed.set(bytes);
        budget.unpacked.set(bytes);
        budget
    }

    /// Counts another member, with a name or two of this many bytes.
    pub fn take_member(&self, names: usize) -> Result<()> {
        take(&self.members, 1)
            .ok_or_else(|| Failure::wrong(format!("the archive has more than {MAX_MEMBERS} members")))?;
        take(&self.names, names as u64).ok_or_else(|| {
            Failure::wrong(format!("the archive's names have more than {MAX_NAMES_BYTES} bytes"))
        })
    }

    /// The error that ended a read: that of the file itself, if there is one.
    pub fn judge(&self, failure: Failure) -> Failure {
        self.fault.take().unwrap_or(failure)
    }
}

fn take(left: &Cell<u64>, count: u64) -> Option<()> {
    left.set(left.get().checked_sub(count)?);
    Some(())
}

/// A file, read in pieces, whose next bytes can be peeked at.
pub(super) struct Source<'b, R> {
    inner: R,
    budget: &'b Budget,
    buffer: Vec<u8>,
    /// The part of the buffer that has not been taken.
    left: std::ops::Range<usize>,
    /// The number of bytes that have been taken.
    at: u64,
}

impl<'b, R: Read> Source<'b, R> {
    pub fn new(inner: R, budget: &'b Budget) -> Self {
        Self { inner, budget, buffer: vec![0; 1 << 16], left: 0..0, at: 0 }
    }

    pub fn position(&self) -> u64 {
        self.at
    }

    /// At least this many bytes, unless the file ends.
    pub fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.left.len() < count {
            self.buffer.copy_within(self.left.clone(), 0);
            self.left = 0..self.left.len();
            let read = self.read_more();
            match read {
                Ok(0) => break,
                Ok(count) => self.left.end += count,
                Err(failure) => {
                    self.budget.fault.set(Some(failure));
                    return Err(io::Error::other("the file cannot be read"));
                }
            }
        }
        Ok(&self.buffer[self.left.clone()])
    }

    fn read_more(&mut self) -> Result<usize> {
        interrupt::check()?;
        let into = &mut self.buffer[self.left.end..];
        let count = loop {
            match self.inner.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => interrupt::check()?,
                other => break other.map_err(|error| Failure::new(Exit::Io, error.to_string()))?,
            }
        };
        take(&self.budget.packed, count as u64)
            .ok_or_else(|| Failure::wrong(format!("it has more than {MAX_ARCHIVE_BYTES} bytes")))?;
        Ok(count)
    }
}

impl<R: Read> Read for Source<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.peek(1)?;
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Source<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.peek(1)
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.left.len());
        self.left.start += count;
        self.at += count as u64;
    }
}

/// A reader that fails, instead of ending, when a bomb has unpacked to too much.
pub(super) struct Bounded<'b, R> {
    inner: R,
    budget: &'b Budget,
}

impl<'b, R: Read> Bounded<'b, R> {
    pub fn new(inner: R, budget: &'b Budget) -> Self {
        Self { inner, budget }
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        take(&self.budget.unpacked, count as u64)
            .ok_or_else(|| io::Error::other(format!("it unpacks to more than {MAX_ARCHIVE_BYTES} bytes")))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_is_read_afterwards() {
        /// A byte at a time, as a pipe may.
        struct Slow<'a>(&'a [u8]);
        impl Read for Slow<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let count = 1.min(buffer.len()).min(self.0.len());
                self.0.read(&mut buffer[..count])
            }
        }
        let budget = Budget::new();
        let mut source = Source::new(Slow(b"0123456789"), &budget);
        assert_eq!(source.peek(4).unwrap(), b"0123");
        let mut three = [0; 3];
        source.read_exact(&mut three).unwrap();
        assert_eq!((&three, source.position()), (b"012", 3));
        assert!(source.peek(100).unwrap().starts_with(b"3456789"));
        let mut rest = Vec::new();
        source.read_to_end(&mut rest).unwrap();
        assert_eq!((&rest[..], source.position()), (&b"3456789"[..], 10));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_a_damaged_archive() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("a bad sector"))
            }
        }
        let budget = Budget::new();
        assert!(Source::new(Broken, &budget).peek(1).is_err());
        let failure = budget.judge(Failure::wrong("the archive is damaged"));
        assert_eq!((failure.exit(), failure.reason()), (Exit::Io, "a bad sector"));
    }
}
