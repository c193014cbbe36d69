//! Directories for the time of one run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Found, Kind, Lock, list_utf8, look, remove_directory, user, write_whole};
use crate::failure::{Doing, Result};
use crate::values::Mode;

const LOCK: &str = "lock";

/// A directory for the time of one run, below TMPDIR, mode 0700; it goes away with the value.
pub struct Scratch {
    directory: tempfile::TempDir,
    /// Says that it is in use.
    _lock: Option<Lock>,
}

impl Scratch {
    pub fn new(purpose: &str) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(&beginning(purpose))
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .doing(|| format!("making a directory in {}", std::env::temp_dir().display()))?;
        Ok(Self { directory, _lock: None })
    }

    /// The same, and first what runs for this purpose left that were killed before they could remove it. A file `lock` in it
    /// is held as long as it is in use; whoever uses it longer than this value lives takes a shared lock too.
    pub fn swept(purpose: &str) -> Result<Self> {
        sweep(purpose);
        let mut tries = 0;
        loop {
            let scratch = Self::new(purpose)?;
            match Lock::shared(&scratch.path().join(LOCK)) {
                Ok(lock) => return Ok(Self { _lock: Some(lock), ..scratch }),
                // Another run's sweep came between the making and the locking.
                Err(_) if tries < 3 => tries += 1,
                Err(failure) => return Err(failure),
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file of its own into it.
    pub fn write(&self, name: &str, bytes: &[u8], mode: Mode) -> Result<PathBuf> {
        let path = self.path().join(name);
        write_whole(&path, bytes, mode)?;
        Ok(path)
    }
}

/// What the names of one purpose's directories begin with.
fn beginning(purpose: &str) -> String {
    format!("kiln-{purpose}-")
}

/// Removes directories whose lock nobody holds. What cannot be looked at or removed belongs to somebody else and is left
/// alone.
fn sweep(purpose: &str) {
    let base = std::env::temp_dir();
    let names = list_utf8(&base).unwrap_or_default();
    for name in names.into_iter().filter(|name| name.starts_with(&beginning(purpose))) {
        let directory = base.join(name);
        // Anyone may make a directory of this name. In one of another user, what is looked at now need not be what is
        // removed then.
        let is_own = |found: &Found| found.kind == Kind::Directory && found.owner == user();
        if !matches!(look(&directory), Ok(Some(ref found)) if is_own(found)) {
            continue;
        }
        let lock = directory.join(LOCK);
        // Without a lock file it may be a run that is just beginning.
        if !matches!(look(&lock), Ok(Some(found)) if found.kind == Kind::File) {
            continue;
        }
        if let Ok(_held) = Lock::exclusive(&lock) {
            let _ = remove_directory(&directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_swept_and_what_is_in_use_is_not() {
        let kept = Scratch::swept("sweep-test").unwrap();
        let left = Scratch::swept("sweep-test").unwrap();
        let (left_path, other) = (left.path().to_owned(), Scratch::new("sweep-test").unwrap());
        // As SIGKILL leaves it: the lock goes, the directory stays.
        std::mem::forget(left.directory);
        drop(left._lock);
        let _next = Scratch::swept("sweep-test").unwrap();
        assert!(look(&left_path).unwrap().is_none());
        assert!(look(kept.path()).unwrap().is_some() && look(other.path()).unwrap().is_some());
    }
}
