//! Advisory locks between runs of Kiln.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode as Bits, OFlags};
use rustix::io::Errno;

use super::Directory;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// An advisory lock on a file, held until dropped or until the process ends, however it ends (flock(2)).
///
/// The holder of an exclusive lock removes the file when it releases the lock, so that a run leaves only its output. A
/// run that has opened the file meanwhile notices that it is no longer the one at the path, and starts over.
pub struct Lock {
    file: File,
    /// The path of an exclusive lock.
    at: Option<(Arc<Directory>, OsString)>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some((directory, name)) = &self.at
            && directory.has(name, &self.file).unwrap_or(false)
        {
            // A file that cannot be removed does no harm.
            let _ = directory.remove_file(name);
        }
        // Closing is not enough: a child that another thread has forked, and that has not yet called exec, shares the
        // open file, and the lock with it.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// # Errors
    /// `Exit::Locked` at once when another run holds it.
    pub fn exclusive(path: &Path) -> Result<Self> {
        let (directory, name) = split(path)?;
        Self::exclusive_in(directory, name)
    }

    pub(super) fn exclusive_in(directory: Arc<Directory>, name: &OsStr) -> Result<Self> {
        let file = Self::take(&directory, name, File::try_lock)?;
        Ok(Self { file, at: Some((directory, name.to_owned())) })
    }

    /// A lock that several runs may hold at once, but not beside an exclusive one. The file stays when it is released.
    ///
    /// # Errors
    /// `Exit::Locked` at once when another run holds the exclusive lock; `Exit::Io` when the file cannot be opened.
    pub fn shared(path: &Path) -> Result<Self> {
        let (directory, name) = split(path)?;
        Ok(Self { file: Self::take(&directory, name, File::try_lock_shared)?, at: None })
    }

    /// `None` where this user may not write: locked data is only read then, as on a read-only mount. Runs that only
    /// read hold it for a moment, so this waits for them.
    ///
    /// # Errors
    /// `Exit::Locked` when another run still holds it after `PATIENCE`; `Exit::Interrupted`.
    pub fn exclusive_where_writable(path: &Path) -> Result<Option<Self>> {
        const PATIENCE: Duration = Duration::from_secs(3);
        let (directory, name) = split(path)?;
        if matches!(Self::open(&directory, name), Err(Errno::ROFS | Errno::ACCESS)) {
            return Ok(None);
        }
        let until = Instant::now() + PATIENCE;
        loop {
            match Self::exclusive_in(Arc::clone(&directory), name) {
                Err(failure) if failure.exit() == Exit::Locked && Instant::now() < until => {
                    interrupt::check()?;
                    thread::sleep(POLL_INTERVAL);
                }
                other => return other.map(Some),
            }
        }
    }

    fn open(directory: &Directory, name: &OsStr) -> rustix::io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(directory.fd(), name, flags, Bits::from_raw_mode(0o600)).map(File::from)
    }

    fn take(
        directory: &Directory,
        name: &OsStr,
        how: fn(&File) -> std::result::Result<(), TryLockError>,
    ) -> Result<File> {
        let path = || directory.path().join(name);
        loop {
            let file = Self::open(directory, name)
                .map_err(io::Error::from)
                .doing(|| format!("writing to {}", directory.path().display()))?;
            match how(&file) {
                Ok(()) if directory.has(name, &file).unwrap_or(false) => return Ok(file),
                // The run that held it has just ended, and has removed the file.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Failure::new(
                        Exit::Locked,
                        format!("another run of kiln has locked {}; wait for it to end", path().display()),
                    ));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).doing(|| format!("locking {}", path().display()));
                }
            }
        }
    }
}

fn split(path: &Path) -> Result<(Arc<Directory>, &OsStr)> {
    Ok((Arc::new(Directory::reached(path)?), path.file_name().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Scratch, list};

    #[test]
    fn a_lock_is_taken_away_by_the_run_that_held_it_alone() {
        let scratch = Scratch::new("test").unwrap();
        let path = scratch.path().join("lock");
        let held = Lock::exclusive(&path).unwrap();
        assert_eq!(Lock::exclusive(&path).err().unwrap().exit(), Exit::Locked);
        assert_eq!(Lock::shared(&path).err().unwrap().exit(), Exit::Locked);
        drop(held);
        assert!(list(scratch.path()).unwrap().is_empty());
        // Several runs may share it, so none of them knows when it is no longer needed.
        let shared = [Lock::shared(&path).unwrap(), Lock::shared(&path).unwrap()];
        assert_eq!(Lock::exclusive(&path).err().unwrap().exit(), Exit::Locked);
        drop(shared);
        assert_eq!(list(scratch.path()).unwrap(), ["lock"]);
        drop(Lock::exclusive(&path).unwrap());
        assert!(list(scratch.path()).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_was_taken_away_is_no_lock() {
        let scratch = Scratch::new("test").unwrap();
        let path = scratch.path().join("lock");
        let (directory, name) = split(&path).unwrap();
        // Opened before the holder ended, locked after it.
        let opened = Lock::open(&directory, name).unwrap();
        std::fs::remove_file(&path).unwrap();
        opened.try_lock().unwrap();
        assert!(!directory.has(name, &opened).unwrap());
        let held = Lock::exclusive(&path).unwrap();
        assert!(directory.has(name, &held.file).unwrap());
    }

    #[test]
    fn never_two_at_once() {
        let scratch = Scratch::new("test").unwrap();
        let path = scratch.path().join("lock");
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        if let Ok(_held) = Lock::exclusive(&path) {
                            use std::sync::atomic::Ordering::SeqCst;
                            assert_eq!(inside.fetch_add(1, SeqCst), 0);
                            inside.fetch_sub(1, SeqCst);
                        }
                    }
                });
            }
        });
    }
}
