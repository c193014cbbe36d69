//! Advisory locks between runs of Kiln.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode as Bits, OFlags};

use crate::failure::{Doing, Exit, Failure, Result};

/// An advisory lock on a file, held until dropped or until the process ends, however it ends (flock(2)).
///
/// Whoever holds it alone takes the file away again, so that a run leaves nothing but what it made. A run that has opened
/// the file meanwhile sees that it is no longer the one at the path, and begins anew.
pub struct Lock {
    file: File,
    /// Where it is held alone.
    path: Option<PathBuf>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && is_at(&self.file, path)
        {
            // What cannot be removed does no harm.
            let _ = fs::remove_file(path);
        }
        // Closing is not enough: a child that another thread has forked, and that has not yet reached its exec,
        // holds the same open file, and the lock with it.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// # Errors
    /// `Exit::Locked` at once when another run holds it.
    pub fn exclusive(path: &Path) -> Result<Self> {
        Ok(Self { file: Self::take(path, File::try_lock)?, path: Some(path.to_owned()) })
    }

    pub fn shared(path: &Path) -> Result<Self> {
        Ok(Self { file: Self::take(path, File::try_lock_shared)?, path: None })
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

    fn take(path: &Path, how: fn(&File) -> std::result::Result<(), TryLockError>) -> Result<File> {
        loop {
            let file = Self::open(path).map_err(io::Error::from).doing(|| {
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                format!("writing to {}", directory.unwrap_or(Path::new(".")).display())
            })?;
            match how(&file) {
                Ok(()) if is_at(&file, path) => return Ok(file),
                // The run that held it has just ended, and has taken it away.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Failure::new(
                        Exit::Locked,
                        format!("another run of kiln holds {}; wait for it to end", path.display()),
                    ));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).doing(|| format!("locking {}", path.display()));
                }
            }
        }
    }
}

/// Whether the open file is the one at the path.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
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
        // Several may share it, so none of them can know that it is no longer needed.
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
        // Opened before the holder ended, locked after it.
        let opened = Lock::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        opened.try_lock().unwrap();
        assert!(!is_at(&opened, &path));
        let held = Lock::exclusive(&path).unwrap();
        assert!(is_at(&held.file, &path));
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
