//! A limit on everything that a release file can claim, and the gauge that enforces the limits while it is read.
//!
//! For comparison: the tarball of 3.5.16 has 20 MB, about 60 entries, 65 MB unpacked (3.3 : 1).

use std::cell::{Cell, RefCell};
use std::io::{self, Read};

use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::values::printable;

pub struct Limits {
    /// Bytes of the file itself.
    pub file: u64,
    /// Bytes that it unpacks to, all entries and all headers together.
    pub unpacked: u64,
    /// Bytes of one program.
    pub program: u64,
    /// Headers of the archive, those of long names included.
    pub entries: u32,
    /// Unpacked bytes per packed byte, checked once `slack` bytes are out.
    pub ratio: u64,
    pub slack: u64,
    /// KiB of memory for unpacking xz; `xz -9` needs 65 MiB (xz(1)).
    pub xz_kib: u32,
    /// The zstd window as a power of two: 128 MiB, the limit of zstd itself without `--long` (zstd(1)).
    pub zstd_window: u32,
}

impl Limits {
    pub const RELEASE: Limits = Limits {
        file: 1 << 30,
        unpacked: 2 << 30,
        program: 512 << 20,
        entries: 10_000,
        ratio: 64,
        slack: 64 << 20,
        xz_kib: 128 << 10,
        zstd_window: 27,
    };

    /// Bytes of a package's `control` file, and of the other small things that are read whole.
    pub const MAX_CONTROL_BYTES: u64 = 64 << 10;
}

/// Counts one file's bytes on both sides of its compression.
///
/// Decompressors only pass an `io::Error` on, some of them as text; the gauge records the actual cause for the
/// message.
pub struct Gauge<'l> {
    pub limits: &'l Limits,
    packed: Cell<u64>,
    unpacked: Cell<u64>,
    entries: Cell<u32>,
    happened: RefCell<Option<Failure>>,
}

impl<'l> Gauge<'l> {
    pub fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            packed: Cell::default(),
            unpacked: Cell::default(),
            entries: Cell::default(),
            happened: RefCell::default(),
        }
    }

    /// The cause of a failed read: the one that the gauge has recorded, or else that the file is invalid.
    pub fn explain(&self, error: io::Error) -> Failure {
        self.happened.borrow_mut().take().unwrap_or_else(|| {
            // The error may quote a name from the archive.
            let text = error.to_string();
            // A file that needs more memory than our own limit is at fault itself.
            let is_short = error.kind() == io::ErrorKind::OutOfMemory || text.contains("allocation");
            if is_short && !text.contains("mem_limit") {
                return Failure::io(format!("unpacking takes more memory than there is ({text})"));
            }
            Failure::untrusted(format!(
                "it is damaged or truncated ({}); get the file again",
                printable(&text)
            ))
        })
    }

    /// Another header of the archive.
    pub fn entry(&self) -> Result<()> {
        self.entries.set(self.entries.get() + 1);
        if self.entries.get() > self.limits.entries {
            return Err(Failure::untrusted(format!(
                "it has more than {} entries; no etcd release has that many",
                self.limits.entries
            )));
        }
        Ok(())
    }

    /// More bytes of the file itself were read.
    pub fn took(&self, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Ok(count) => {
                self.packed.set(self.packed.get() + count as u64);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                *self.happened.borrow_mut() = Some(Failure::io(error.to_string()));
                Err(error)
            }
        }
    }

    fn gave(&self, count: usize) -> io::Result<()> {
        let unpacked = self.unpacked.get() + count as u64;
        self.unpacked.set(unpacked);
        if interrupt::asked() {
            *self.happened.borrow_mut() = Some(Failure::interrupted());
            return Err(io::Error::other("interrupted"));
        }
        let reason = if unpacked > self.limits.unpacked {
            format!("it unpacks to more than {} bytes", self.limits.unpacked)
        } else if unpacked > self.limits.slack && unpacked / self.limits.ratio > self.packed.get() {
            format!("it unpacks to more than {} times its size", self.limits.ratio)
        } else {
            return Ok(());
        };
        let failure = Failure::untrusted(format!("{reason}; no etcd release does"));
        let error = io::Error::other(failure.to_string());
        *self.happened.borrow_mut() = Some(failure);
        Err(error)
    }
}

/// A decompressor that enforces the limits.
pub struct Unpacked<'g, R> {
    inner: R,
    gauge: &'g Gauge<'g>,
}

impl<'g, R: Read> Unpacked<'g, R> {
    pub fn new(inner: R, gauge: &'g Gauge<'g>) -> Self {
        Self { inner, gauge }
    }
}

impl<R: Read> Read for Unpacked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.gauge.gave(count)?;
        Ok(count)
    }
}
