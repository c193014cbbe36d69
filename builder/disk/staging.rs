//! Making a directory that appears whole.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::fs::{AtFlags, CWD, Mode as Bits, OFlags};

use super::look::parent_of;
use super::output::Output;
use super::remains::{recover_in, remains};
use super::swap::{Swap, confirm, undo};
use super::{Directory, Input, Kind, Lock, look, make_directories};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::parallel;
use crate::values::Mode;

/// The number of directories that stay open: those in which a few threads write files, and their parents.
const MAX_HELD_OPEN: usize = 24;

/// A directory that is being made beside its final place and appears there whole, by one rename.
///
/// Every path below it is opened from its own handle, component by component, without following links, and so is its
/// final place from the parent directory: renaming a parent does not redirect it.
pub struct Staging {
    above: Arc<Directory>,
    name: String,
    /// Its path in messages is the final one.
    root: Arc<Directory>,
    /// Recently used directories below it, by their paths; the latest first.
    opened: Mutex<VecDeque<(String, Arc<Directory>)>>,
    /// The directory to be replaced.
    old: Option<Directory>,
    published: bool,
    lock: Option<Lock>,
}

impl Staging {
    /// Locks the target, cleans up after killed runs, and starts with an empty directory of mode 0755.
    ///
    /// # Errors
    /// `Exit::Locked` when another run is making the same target; `Exit::Usage` when it has no name; `Exit::Unsafe`
    /// where the apparent remains of a killed run may belong to another user.
    pub fn begin(target: &Path) -> Result<Self> {
        Self::begin_holding(target, None)
    }

    /// The same for a caller that may hold the lock already; the staging directory takes it over.
    pub fn begin_holding(target: &Path, lock: Option<Lock>) -> Result<Self> {
        let name = target.file_name().and_then(|n| n.to_str()).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!("{} has no name of its own; name a directory", target.display()),
            )
        })?;
        make_directories(parent_of(target), Mode::DIRECTORY)?;
        let above = Arc::new(Directory::above(target)?);
        let lock = match lock {
            Some(lock) => lock,
            None => Lock::exclusive_in(Arc::clone(&above), format!(".{name}.lock").as_ref())?,
        };
        recover_in(&above, name)?;
        let old = match above.look(name)?.map(|found| found.kind) {
            Some(Kind::Directory) => Some(above.below(Path::new(name))?),
            _ => None,
        };
        let [partial, _] = remains(name);
        let making = || format!("creating the directory {}", above.path().join(&partial).display());
        rustix::fs::mkdirat(above.fd(), &partial, Bits::from_raw_mode(0o700))
            .map_err(io::Error::from)
            .doing(making)?;
        let root = above.below(Path::new(&partial))?.known_as(target);
        // Another user who may rename here has already replaced it with a directory of their own.
        if !root.entries()?.is_empty() {
            return Err(Failure::unsafe_to(format!(
                "{} was created, but something else has replaced it; choose another place",
                above.path().join(&partial).display()
            )));
        }
        Ok(Self {
            above,
            name: name.to_owned(),
            root: Arc::new(root),
            opened: Mutex::default(),
            old,
            published: false,
            lock: Some(lock),
        })
    }

    /// The final path.
    pub fn target(&self) -> &Path {
        self.root.path()
    }

    /// The temporary name of the directory.
    fn partial(&self) -> OsString {
        let [partial, _] = remains(&self.name);
        partial.into()
    }

    /// A path that reaches it until it is published, even if a parent is renamed: by its handle, where there is a
    /// /proc (proc(5)).
    pub fn held_path(&self) -> Result<PathBuf> {
        let held = PathBuf::from(format!("/proc/self/fd/{}", self.root.fd().as_raw_fd()));
        Ok(if look(&held)?.is_some() { held } else { self.above.path().join(self.partial()) })
    }

    /// The directory that it replaces, as it was found at the start.
    pub fn old(&self) -> Option<&Directory> {
        self.old.as_ref()
    }

    /// Makes one directory; its parents must exist.
    pub fn directory(&self, path: &str, mode: Mode) -> Result<()> {
        let making = || format!("creating the directory {}", self.target().join(path).display());
        let (above, name) = self.open_above(path)?;
        let bits = Bits::from_raw_mode(mode.bits());
        rustix::fs::mkdirat(above.fd(), name, bits).map_err(io::Error::from).doing(making)?;
        // Set again, because the umask has masked it.
        rustix::fs::chmodat(above.fd(), name, bits, AtFlags::empty()).map_err(io::Error::from).doing(making)
    }

    /// A new file, with its mode from the moment it exists.
    pub fn create(&self, path: &str, mode: Mode) -> Result<Output> {
        let writing = || format!("writing {}", self.target().join(path).display());
        let (above, name) = self.open_above(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Created without the bits that the umask might mask: fchmod then sets exactly the mode.
        let fd = rustix::fs::openat(above.fd(), name, flags, Bits::from_raw_mode(0o600))
            .map_err(io::Error::from)
            .doing(writing)?;
        rustix::fs::fchmod(&fd, Bits::from_raw_mode(mode.bits())).map_err(io::Error::from).doing(writing)?;
        Ok(Output::new(File::from(fd), self.target().join(path)))
    }

    /// Removes one file.
    pub fn remove(&self, path: &str) -> Result<()> {
        let (above, name) = self.open_above(path)?;
        rustix::fs::unlinkat(above.fd(), name, AtFlags::empty())
            .map_err(io::Error::from)
            .doing(|| format!("removing {}", self.target().join(path).display()))
    }

    /// Hard-links an open file, so that the bytes that were read through that handle are those that appear here.
    /// `false` where it cannot be linked: it is on another file system, is another user's, or has reached the limit of
    /// links.
    pub fn link(&self, from: &Input, path: &str) -> Result<bool> {
        let (above, name) = self.open_above(path)?;
        // By the handle's own entry in /proc: its path could lead to another file by now (open(2), O_TMPFILE).
        let handle = format!("/proc/self/fd/{}", from.file.as_raw_fd());
        Ok(rustix::fs::linkat(CWD, handle, above.fd(), name, AtFlags::SYMLINK_FOLLOW).is_ok())
    }

    /// Hard-links a file in this directory, with the same result as `link`.
    pub fn link_within(&self, from: &str, path: &str) -> Result<bool> {
        let (from, from_name) = self.open_above(from)?;
        let (above, name) = self.open_above(path)?;
        Ok(rustix::fs::linkat(from.fd(), from_name, above.fd(), name, AtFlags::empty()).is_ok())
    }

    /// The directory that contains a path, and the last component.
    fn open_above<'p>(&self, path: &'p str) -> Result<(Arc<Directory>, &'p str)> {
        match path.rsplit_once('/') {
            None => Ok((Arc::clone(&self.root), path)),
            Some((above, name)) => Ok((self.open(above)?, name)),
        }
    }

    /// A directory below it, which stays open for later callers.
    fn open(&self, path: &str) -> Result<Arc<Directory>> {
        // The one that was used last is in front.
        let find = |opened: &mut VecDeque<(String, Arc<Directory>)>| {
            let at = opened.iter().position(|(known, _)| known == path)?;
            let found = opened.remove(at)?;
            let directory = Arc::clone(&found.1);
            opened.push_front(found);
            Some(directory)
        };
        if let Some(directory) = find(&mut self.opened()) {
            return Ok(directory);
        }
        let directory = match path.rsplit_once('/') {
            None => self.root.below(Path::new(path))?,
            Some((above, name)) => self.open(above)?.below(Path::new(name))?,
        };
        let directory = Arc::new(directory);
        let mut opened = self.opened();
        // Another thread may have opened it meanwhile.
        if let Some(directory) = find(&mut opened) {
            return Ok(directory);
        }
        opened.push_front((path.to_owned(), Arc::clone(&directory)));
        opened.truncate(MAX_HELD_OPEN);
        Ok(directory)
    }

    fn opened(&self) -> MutexGuard<'_, VecDeque<(String, Arc<Directory>)>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs everything and moves the directory to its final place, in exchange for an old one.
    ///
    /// `meanwhile` runs during the sync. It checks whether the old directory may be replaced: if not, nothing is
    /// published.
    ///
    /// # Errors
    /// Also `Exit::Io` when the disk does not confirm the new name: the old directory is then restored.
    pub fn publish(self, meanwhile: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        self.publish_as(Mode::DIRECTORY, meanwhile, || Ok(())).map(drop)
    }

    /// The same, with another mode for the directory itself, and a function that is called after all checks, just
    /// before the directory appears. The lock on the target is returned, still held.
    pub fn publish_as(
        mut self,
        mode: Mode,
        meanwhile: impl FnOnce(&Self) -> Result<()>,
        last: impl FnOnce() -> Result<()>,
    ) -> Result<Option<Lock>> {
        self.open_to(mode)?;
        thread::scope(|scope| {
            let syncing = parallel::beside(scope, || self.root.sync_file_system());
            let looked = meanwhile(&self);
            let synced = syncing.join().and_then(|synced| synced);
            looked.and(synced)
        })?;
        last()?;
        confirm(&[self.swap()?])?;
        self.published = true;
        Ok(self.lock.take())
    }

    /// The same for several, which may be on several file systems: all of them are published, or none.
    pub fn publish_all(mut all: Vec<Self>, mode: Mode) -> Result<()> {
        all.iter().try_for_each(|staging| staging.open_to(mode))?;
        Directory::sync_file_systems(all.iter().map(|staging| &*staging.root))?;
        let mut swaps = Vec::with_capacity(all.len());
        for staging in &all {
            match staging.swap() {
                Ok(swap) => swaps.push(swap),
                Err(failure) => return Err(undo(&swaps, failure)),
            }
        }
        confirm(&swaps)?;
        all.iter_mut().for_each(|staging| staging.published = true);
        Ok(())
    }

    fn open_to(&self, mode: Mode) -> Result<()> {
        rustix::fs::fchmod(self.root.fd(), Bits::from_raw_mode(mode.bits()))
            .map_err(io::Error::from)
            .doing(|| format!("publishing {}", self.target().display()))
    }

    fn swap(&self) -> Result<Swap<'_>> {
        Swap::directory(&self.above, &self.partial(), self.name.as_ref(), self.old.as_ref())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: the next run removes what cannot be removed now.
            let partial = self.partial();
            // One that was published, and could not be moved back, stays.
            if self.above.has(&partial, self.root.fd()).unwrap_or(false) {
                let _ = self.above.remove_held(&self.root, &partial);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::{Scratch, list};

    fn scratch() -> Scratch {
        Scratch::new("test").unwrap()
    }

    #[test]
    fn a_dropped_staging_leaves_nothing() {
        let scratch = scratch();
        let target = scratch.path().join("out/ha3");
        let staging = Staging::begin(&target).unwrap();
        staging.create("a", Mode::FILE).unwrap().write(b"x").unwrap();
        drop(staging);
        assert!(list(&scratch.path().join("out")).unwrap().is_empty());
    }

    #[test]
    fn publishing_replaces_the_old_directory_whole() {
        let scratch = scratch();
        let target = scratch.path().join("ha3");
        for name in ["one", "two"] {
            let staging = Staging::begin(&target).unwrap();
            staging.directory("nodes", Mode::SECRET_DIRECTORY).unwrap();
            staging.create(&format!("nodes/{name}"), Mode::SECRET).unwrap().write(b"x").unwrap();
            staging.publish(|_| Ok(())).unwrap();
        }
        assert_eq!(list(&target).unwrap(), ["nodes"]);
        assert_eq!(list(&target.join("nodes")).unwrap(), ["two"]);
        assert_eq!(look(&target.join("nodes")).unwrap().unwrap().mode, Mode::SECRET_DIRECTORY);
        assert_eq!(look(&target.join("nodes/two")).unwrap().unwrap().mode, Mode::SECRET);
        assert_eq!(list(scratch.path()).unwrap(), ["ha3"]);
    }

    #[test]
    fn two_runs_on_one_target_do_not_meet() {
        let scratch = scratch();
        let target = scratch.path().join("ha3");
        let _first = Staging::begin(&target).unwrap();
        assert_eq!(Staging::begin(&target).err().unwrap().exit(), Exit::Locked);
    }

    #[test]
    fn a_file_gets_another_name_and_keeps_its_mode() {
        let scratch = scratch();
        let old = scratch.write("old", b"x", Mode::SECRET).unwrap();
        let staging = Staging::begin(&scratch.path().join("ha3")).unwrap();
        let input = Input::open(&old).unwrap();
        // The entry with its name is then not the directory that was opened.
        fs::rename(&old, scratch.path().join("moved")).unwrap();
        fs::write(&old, "other").unwrap();
        assert!(staging.link(&input, "a").unwrap());
        assert!(staging.link_within("a", "b").unwrap());
        assert!(!staging.link_within("a", "b").unwrap(), "the name is taken");
        assert!(!staging.link_within("none", "c").unwrap());
        staging.publish(|_| Ok(())).unwrap();
        for name in ["a", "b"] {
            let path = scratch.path().join("ha3").join(name);
            assert_eq!(fs::read(&path).unwrap(), b"x");
            assert_eq!(look(&path).unwrap().unwrap().mode, Mode::SECRET);
        }
    }

    #[test]
    fn a_rename_above_leads_nowhere_else() {
        let scratch = scratch();
        let [above, moved] = ["above", "moved"].map(|name| scratch.path().join(name));
        fs::create_dir_all(above.join("ha3/old")).unwrap();
        let staging = Staging::begin(&above.join("ha3")).unwrap();
        // Another user's, with the same names.
        fs::rename(&above, &moved).unwrap();
        for name in ["ha3", ".ha3.partial", ".ha3.replaced"] {
            fs::create_dir_all(above.join(name).join("precious")).unwrap();
        }
        fs::write(above.join(".ha3.lock"), "precious").unwrap();
        staging.directory("new", Mode::DIRECTORY).unwrap();
        let looked = |staging: &Staging| {
            assert_eq!(staging.old().unwrap().entries().unwrap(), [("old".into(), Kind::Directory)]);
            Ok(())
        };
        staging.publish(looked).unwrap();
        assert_eq!(list(&moved).unwrap(), ["ha3"]);
        assert_eq!(list(&moved.join("ha3")).unwrap(), ["new"]);
        assert_eq!(list(&above).unwrap(), [".ha3.lock", ".ha3.partial", ".ha3.replaced", "ha3"]);
        for name in ["ha3", ".ha3.partial", ".ha3.replaced"] {
            assert_eq!(list(&above.join(name)).unwrap(), ["precious"]);
        }
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let scratch = scratch();
        let target = scratch.path().join("ha3");
        let staging = Staging::begin(&target).unwrap();
        let outside = scratch.path().join("outside");
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, scratch.path().join(".ha3.partial/nodes")).unwrap();
        std::os::unix::fs::symlink(outside.join("f"), scratch.path().join(".ha3.partial/file")).unwrap();
        assert!(staging.create("nodes/a", Mode::FILE).is_err());
        assert!(staging.create("file", Mode::FILE).is_err());
        assert!(list(&outside).unwrap().is_empty());
    }
}
