//! Files opened for reading.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode as Bits, OFlags};
use serde::{Deserialize, Serialize};

use super::list::Walked;
use crate::failure::{Doing, Failure, Result};
use crate::values::Mode;
use crate::verbose;

/// A file opened for reading once: what is hashed is what is read.
pub struct Input {
    pub(super) file: File,
    path: PathBuf,
    mode: Mode,
    /// Whether it has several names.
    names: bool,
    stamp: Stamp,
}

/// Which file it is and when it was last changed, in seconds and nanoseconds since 1970: its bytes (mtime), and anything of it
/// (ctime).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    pub modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(meta: &fs::Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether the two differ at most in when something else than the bytes was changed.
    pub fn is_same_content(&self, other: &Self) -> bool {
        *self == Self { changed: self.changed, ..*other }
    }
}

/// Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
pub(super) const FOR_READING: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

impl Input {
    /// # Errors
    /// `Exit::Io` when it cannot be opened or is not a regular file.
    pub fn open(path: &Path) -> Result<Self> {
        let reading = || format!("reading {}", path.display());
        let fd =
            rustix::fs::open(path, FOR_READING, Bits::empty()).map_err(io::Error::from).doing(reading)?;
        Self::of(fd, path)
    }

    /// What a walk has found, and no other file: no link is followed below `root`, whatever has been put there since.
    ///
    /// # Errors
    /// `Exit::Io` when something else stands there by now.
    pub fn open_found(root: &Path, found: &Walked) -> Result<Self> {
        let path = root.join(&found.path);
        let reading = || format!("reading {}", path.display());
        let open = |at: BorrowedFd<'_>, name: &OsStr, flags| {
            rustix::fs::openat(at, name, flags | OFlags::CLOEXEC, Bits::empty()).map_err(io::Error::from)
        };
        let directory = OFlags::PATH | OFlags::DIRECTORY;
        let mut at = open(rustix::fs::CWD, root.as_os_str(), directory).doing(reading)?;
        if let Some(parent) = found.path.parent() {
            for part in parent {
                at = open(at.as_fd(), part, directory | OFlags::NOFOLLOW).doing(reading)?;
            }
        }
        let name = found.path.file_name().unwrap_or_default();
        let fd = open(at.as_fd(), name, FOR_READING | OFlags::NOFOLLOW).doing(reading)?;
        let input = Self::of(fd, &path)?;
        if (input.mode, input.size()) != (found.mode, found.size) {
            return Err(Failure::io("it was changed meanwhile; run kiln again").while_doing(reading()));
        }
        Ok(input)
    }

    pub(super) fn of(fd: OwnedFd, path: &Path) -> Result<Self> {
        let reading = || format!("reading {}", path.display());
        let file = File::from(fd);
        let meta = file.metadata().doing(reading)?;
        if !meta.is_file() {
            return Err(Failure::io("it is not a regular file").while_doing(reading()));
        }
        verbose::read(path);
        Ok(Self {
            mode: Mode::from_bits(meta.mode()),
            names: meta.nlink() > 1,
            stamp: Stamp::of(&meta),
            file,
            path: path.to_owned(),
        })
    }

    pub fn size(&self) -> u64 {
        self.stamp.size
    }

    /// The file system and the number there of a file that has several names; `None` for one that has one.
    pub fn shared_identity(&self) -> Option<(u64, u64)> {
        self.names.then_some((self.stamp.device, self.stamp.inode))
    }

    /// As it was when the file was opened.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Of the open file itself, whatever stands at its path by now.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it.
    ///
    /// # Errors
    /// `Exit::Io`, or `Exit::Wrong` when it is larger than the limit.
    pub fn whole(self, limit: u64) -> Result<Vec<u8>> {
        let reading = || format!("reading {}", self.path.display());
        let mut bytes = Vec::with_capacity(self.size().min(limit) as usize);
        (&self.file).take(limit + 1).read_to_end(&mut bytes).doing(reading)?;
        if bytes.len() as u64 > limit {
            return Err(Failure::wrong(format!("it is larger than {limit} bytes")).while_doing(reading()));
        }
        Ok(bytes)
    }

    /// Forward to a byte of the file.
    pub fn skip_to(&mut self, at: u64) -> Result<()> {
        let seeking = self.file.seek(io::SeekFrom::Start(at));
        seeking.map(drop).doing(|| format!("reading {}", self.path.display()))
    }

    /// Back to the first byte, for a second reading through the same handle.
    pub fn rewind(&mut self) -> Result<()> {
        self.file.rewind().doing(|| format!("reading {}", self.path.display()))
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

/// A whole file of at most `limit` bytes.
///
/// # Errors
/// `Exit::Io`, or `Exit::Wrong` when it is larger than the limit.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    Input::open(path)?.whole(limit)
}

/// The last bytes of a file, at most `limit` of them, and where in the file they begin.
pub fn read_end(path: &Path, limit: u64) -> Result<(Vec<u8>, u64)> {
    let reading = || format!("reading {}", path.display());
    let mut input = Input::open(path)?;
    let begin = input.size().saturating_sub(limit);
    input.file.seek(io::SeekFrom::Start(begin)).doing(reading)?;
    let mut bytes = Vec::new();
    input.file.take(limit).read_to_end(&mut bytes).doing(reading)?;
    Ok((bytes, begin))
}

/// A whole file of at most `limit` bytes, whose time of change becomes now: so it is known when it was used.
pub fn read_and_mark(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let bytes = read(path, limit)?;
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    // Where that is not allowed, it is not known.
    let _ = rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
    Ok(bytes)
}
