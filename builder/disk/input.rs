//! Files opened for reading.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode as Bits, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::list::Walked;
use crate::failure::{Doing, Failure, Result};
use crate::values::Mode;
use crate::verbose;

/// A file opened for reading once, so that the bytes that were hashed are those that are read.
pub struct Input {
    pub(super) file: File,
    path: PathBuf,
    mode: Mode,
    /// Whether it has several hard links.
    names: bool,
    stamp: Stamp,
}

/// The identity of a file and its times of change, in seconds and nanoseconds since 1970: of its bytes (mtime), and of
/// anything about it (ctime).
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

    /// Whether the two have the same content: they may differ in ctime only.
    pub fn is_same_content(&self, other: &Self) -> bool {
        *self == Self { changed: self.changed, ..*other }
    }
}

/// Without O_NONBLOCK, opening a FIFO would wait for a writer forever.
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

    /// Opens the file that a walk has found, and no other: no link is followed below `root`, even if one was put there
    /// since.
    ///
    /// # Errors
    /// `Exit::Io` when something else is there now.
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
            return Err(Failure::io("it changed while it was read; run kiln again").while_doing(reading()));
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

    /// Whether another program has locked it, as etcd does with its database (flock(2)) and its log (fcntl(2), open
    /// file description locks).
    ///
    /// # Errors
    /// `Exit::Io` where the file system knows no locks.
    pub fn is_locked(&self) -> Result<bool> {
        let locked = rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockShared)
            .and_then(|()| rustix::fs::flock(&self.file, FlockOperation::Unlock))
            .and_then(|()| rustix::fs::fcntl_lock(&self.file, FlockOperation::NonBlockingLockShared))
            .and_then(|()| rustix::fs::fcntl_lock(&self.file, FlockOperation::NonBlockingUnlock));
        match locked {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK | Errno::ACCESS) => Ok(true),
            Err(error) => {
                Err(io::Error::from(error)).doing(|| format!("looking for a lock on {}", self.path.display()))
            }
        }
    }

    /// The device and inode of a file with several hard links; `None` for one with a single name.
    pub fn shared_identity(&self) -> Option<(u64, u64)> {
        self.names.then_some((self.stamp.device, self.stamp.inode))
    }

    /// Its state when it was opened.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The mode of the open file itself, even if its path now leads elsewhere.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole content.
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

    /// Skips forward to an offset in the file.
    pub fn skip_to(&mut self, at: u64) -> Result<()> {
        let seeking = self.file.seek(io::SeekFrom::Start(at));
        seeking.map(drop).doing(|| format!("reading {}", self.path.display()))
    }

    /// Back to the first byte, for a second read through the same handle.
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

/// A whole file of at most `limit` bytes. Sets its modification time to now, to record when it was last used.
pub fn read_and_mark(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let bytes = read(path, limit)?;
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    // Best effort: without permission the time of use is not recorded.
    let _ = rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
    Ok(bytes)
}
