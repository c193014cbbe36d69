//! Advisory locks between runs of Kiln.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use rustix::fs::{Mode as Bits, OFlags};

use crate::failure::{Doing, Exit, Failure, Result};

/// An advisory lock on a file, held until dropped or until the process ends, however it ends (flock(2)).
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that another thread has forked, and that has not yet reached its exec,
        // holds the same open file, and the lock with it.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// # Errors
    /// `Exit::Locked` at once when another run holds it.
    pub fn exclusive(path: &Path) -> Result<Self> {
        Self::take(path, File::try_lock)
    }

    pub fn shared(path: &Path) -> Result<Self> {
        Self::take(path, File::try_lock_shared)
    }

    /// `None` where this user may not write: what is locked there is only read then, as on a read-only mount.
    pub fn exclusive_where_writable(path: &Path) -> Result<Option<Self>> {
        match Self::open(path) {
            Err(rustix::io::Errno::ROFS | rustix::io::Errno::ACCESS) => Ok(None),
            _ => Self::exclusive(path).map(Some),
        }
    }

    fn open(path: &Path) -> rustix::io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::open(path, flags, Bits::from_raw_mode(0o600)).map(File::from)
    }

    fn take(path: &Path, how: fn(&File) -> std::result::Result<(), TryLockError>) -> Result<Self> {
        let file = Self::open(path).map_err(io::Error::from).doing(|| {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            format!("writing to {}", directory.unwrap_or(Path::new(".")).display())
        })?;
        match how(&file) {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Exit::Locked,
                format!("another run of kiln holds {}; wait for it to end", path.display()),
            )),
            Err(TryLockError::Error(error)) => Err(error).doing(|| format!("locking {}", path.display())),
        }
    }
}
