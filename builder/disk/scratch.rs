//! Temporary directories of a run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Found, Kind, Lock, list_utf8, look, remove_directory, remove_file, user, write_whole};
use crate::failure::{Doing, Result};
use crate::values::Mode;

const LOCK: &str = "lock";

/// A temporary directory of a run, below TMPDIR, mode 0700; removed when the value is dropped.
pub struct Scratch {
    directory: Cleared,
    /// Held while the directory is in use.
    _lock: Option<Lock>,
}

impl Scratch {
    /// A new, empty directory, whose name begins with `kiln-` and the purpose.
    ///
    /// # Errors
    /// `Exit::Io` when TMPDIR is missing, full or not writable.
    pub fn new(purpose: &str) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(&beginning(purpose))
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .doing(|| format!("creating a directory in {}", std::env::temp_dir().display()))?;
        Ok(Self { directory: Cleared(directory), _lock: None })
    }

    /// The same, but first removes the directories for this purpose that killed runs have left. A file `lock` in it is
    /// locked as long as it is in use; a process that uses it for longer takes a shared lock, too.
    pub fn swept(purpose: &str) -> Result<Self> {
        sweep(purpose);
        let mut tries = 0;
        loop {
            let scratch = Self::new(purpose)?;
            match Lock::shared(&scratch.path().join(LOCK)) {
                Ok(lock) => return Ok(Self { _lock: Some(lock), ..scratch }),
                // Another run removed it between its creation and the lock.
                Err(_) if tries < 3 => tries += 1,
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Absolute. It no longer exists once this value is dropped.
    pub fn path(&self) -> &Path {
        self.directory.0.path()
    }

    /// Writes a new file into it.
    pub fn write(&self, name: &str, bytes: &[u8], mode: Mode) -> Result<PathBuf> {
        let path = self.path().join(name);
        write_whole(&path, bytes, mode)?;
        Ok(path)
    }
}

/// A directory whose lock is removed last: what is killed meanwhile is known by it, and swept.
struct Cleared(tempfile::TempDir);

impl Drop for Cleared {
    fn drop(&mut self) {
        clear(self.0.path());
    }
}

/// Removes all but the lock. What cannot be removed stays for the next run.
fn clear(directory: &Path) {
    for name in list_utf8(directory).unwrap_or_default().into_iter().filter(|name| name != LOCK) {
        let path = directory.join(name);
        let _ = match look(&path) {
            Ok(Some(found)) if found.kind == Kind::Directory => remove_directory(&path),
            _ => remove_file(&path),
        };
    }
}

/// The prefix of the directories for one purpose.
fn beginning(purpose: &str) -> String {
    format!("kiln-{purpose}-")
}

/// Removes directories whose lock is not held. Those that cannot be read or removed belong to other users and are left
/// alone.
fn sweep(purpose: &str) {
    let base = std::env::temp_dir();
    let names = list_utf8(&base).unwrap_or_default();
    for name in names.into_iter().filter(|name| name.starts_with(&beginning(purpose))) {
        let directory = base.join(name);
        // Any user may make a directory of this name. In another user's directory, the contents may change between the
        // check and the removal.
        let is_own = |found: &Found| found.kind == Kind::Directory && found.owner == user();
        if !matches!(look(&directory), Ok(Some(ref found)) if is_own(found)) {
            continue;
        }
        let lock = directory.join(LOCK);
        // Without a lock file it may belong to a run that is just starting.
        if !matches!(look(&lock), Ok(Some(found)) if found.kind == Kind::File) {
            continue;
        }
        if let Ok(_held) = Lock::exclusive(&lock) {
            clear(&directory);
            let _ = remove_directory(&directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that was killed while it removed its directory had removed the lock first, and its decrypted files stayed.
    #[test]
    fn the_lock_goes_last() {
        let scratch = Scratch::swept("last-test").unwrap();
        let path = scratch.path().to_owned();
        scratch.write("secret", b"x", Mode::SECRET).unwrap();
        fs::create_dir_all(path.join("below/it")).unwrap();
        clear(&path);
        assert_eq!(list_utf8(&path).unwrap(), [LOCK]);
        drop(scratch);
        assert!(look(&path).unwrap().is_none());
    }

    #[test]
    fn what_a_killed_run_left_is_swept_and_what_is_in_use_is_not() {
        let kept = Scratch::swept("sweep-test").unwrap();
        let left = Scratch::swept("sweep-test").unwrap();
        let (left_path, other) = (left.path().to_owned(), Scratch::new("sweep-test").unwrap());
        // As after SIGKILL: the lock is released, the directory stays.
        std::mem::forget(left.directory);
        drop(left._lock);
        let _next = Scratch::swept("sweep-test").unwrap();
        assert!(look(&left_path).unwrap().is_none());
        assert!(look(kept.path()).unwrap().is_some() && look(other.path()).unwrap().is_some());
    }
}
