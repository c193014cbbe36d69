//! Making a directory that appears whole.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::fs::{AtFlags, CWD, Mode as Bits, OFlags, RenameFlags};

use super::look::parent_of;
use super::swap::{Swap, confirm, undo};
use super::{Directory, Input, Kind, Lock, Stamp, look, make_directories};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::parallel;
use crate::values::Mode;

/// A directory that is being made beside its final place and appears there whole, by one rename.
///
/// Every path below it is opened from its own handle, a part at a time, without following links, and so is its place from that
/// of the directory above: nobody who renames what leads there turns it elsewhere.
pub struct Staging {
    above: Arc<Directory>,
    name: String,
    /// Messages call it by where it will be.
    root: Directory,
    /// What is to be replaced.
    old: Option<Directory>,
    published: bool,
    lock: Option<Lock>,
}

impl Staging {
    /// Locks the target, cleans up what a killed run left, and begins with an empty directory of mode 0755.
    ///
    /// # Errors
    /// `Exit::Locked` when another run is making the same target; `Exit::Usage` when it has no name; `Exit::Unsafe` where what
    /// looks like the remains of a killed run may be somebody else's.
    pub fn begin(target: &Path) -> Result<Self> {
        Self::begin_holding(target, None)
    }

    /// The same for a caller that may hold the lock already, which then goes to the staging directory.
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
        let making = || format!("making the directory {}", above.path().join(&partial).display());
        rustix::fs::mkdirat(above.fd(), &partial, Bits::from_raw_mode(0o700))
            .map_err(io::Error::from)
            .doing(making)?;
        let root = above.below(Path::new(&partial))?.known_as(target);
        // Whoever may rename here was quick enough to put something of theirs in its place.
        if !root.entries()?.is_empty() {
            return Err(Failure::unsafe_to(format!(
                "{} has just been made, and something else is in its place; choose another place",
                above.path().join(&partial).display()
            )));
        }
        Ok(Self { above, name: name.to_owned(), root, old, published: false, lock: Some(lock) })
    }

    /// Where it will be.
    pub fn target(&self) -> &Path {
        self.root.path()
    }

    /// The name that it has until then.
    fn partial(&self) -> OsString {
        let [partial, _] = remains(&self.name);
        partial.into()
    }

    /// A path by which it is reached until it is published, whatever is renamed above it: by its handle, where there is a /proc
    /// (proc(5)).
    pub fn held_path(&self) -> Result<PathBuf> {
        let held = PathBuf::from(format!("/proc/self/fd/{}", self.root.fd().as_raw_fd()));
        Ok(if look(&held)?.is_some() { held } else { self.above.path().join(self.partial()) })
    }

    /// The directory that it takes the place of, as it was found when this began.
    pub fn old(&self) -> Option<&Directory> {
        self.old.as_ref()
    }

    /// Makes one directory; those above it must be there.
    pub fn directory(&self, path: &str, mode: Mode) -> Result<()> {
        let making = || format!("making the directory {}", self.target().join(path).display());
        let (above, name) = self.open_above(path)?;
        let bits = Bits::from_raw_mode(mode.bits());
        rustix::fs::mkdirat(above.fd(), name, bits).map_err(io::Error::from).doing(making)?;
        // Once more, because the umask has cut it.
        rustix::fs::chmodat(above.fd(), name, bits, AtFlags::empty()).map_err(io::Error::from).doing(making)
    }

    /// A new file, with its mode from the moment it exists.
    pub fn create(&self, path: &str, mode: Mode) -> Result<Output> {
        let writing = || format!("writing {}", self.target().join(path).display());
        let (above, name) = self.open_above(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Begin without the bits that the umask might cut: fchmod then sets exactly the mode.
        let fd = rustix::fs::openat(above.fd(), name, flags, Bits::from_raw_mode(0o600))
            .map_err(io::Error::from)
            .doing(writing)?;
        rustix::fs::fchmod(&fd, Bits::from_raw_mode(mode.bits())).map_err(io::Error::from).doing(writing)?;
        Ok(Output { file: File::from(fd), path: self.target().join(path) })
    }

    /// Removes one file.
    pub fn remove(&self, path: &str) -> Result<()> {
        let (above, name) = self.open_above(path)?;
        rustix::fs::unlinkat(above.fd(), name, AtFlags::empty())
            .map_err(io::Error::from)
            .doing(|| format!("removing {}", self.target().join(path).display()))
    }

    /// Another name for a file that is open, so that what was read through that handle is what appears here. `false` where the
    /// file cannot have one more name: it is on another file system, is another user's, or has all that it may have.
    pub fn link(&self, from: &Input, path: &str) -> Result<bool> {
        let (above, name) = self.open_above(path)?;
        // The handle's own entry in /proc: by its path it could be another file by now (open(2), O_TMPFILE).
        let handle = format!("/proc/self/fd/{}", from.file.as_raw_fd());
        Ok(rustix::fs::linkat(CWD, handle, above.fd(), name, AtFlags::SYMLINK_FOLLOW).is_ok())
    }

    /// Another name for a file in this directory, with the same answer as `link`.
    pub fn link_within(&self, from: &str, path: &str) -> Result<bool> {
        let (from, from_name) = self.open_above(from)?;
        let (above, name) = self.open_above(path)?;
        Ok(rustix::fs::linkat(from.fd(), from_name, above.fd(), name, AtFlags::empty()).is_ok())
    }

    fn open_above<'p>(&self, path: &'p str) -> Result<(Directory, &'p str)> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.root.below(Path::new(above))?, name))
    }

    /// Syncs everything and puts the directory in its place, in exchange for what may be there.
    ///
    /// `meanwhile` runs while the disk works. It looks at what is there and whether it is fit to be replaced: where it is not,
    /// nothing appears.
    ///
    /// # Errors
    /// Also `Exit::Io` when the disk does not confirm the new name: then what was there before is there again.
    pub fn publish(self, meanwhile: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        self.publish_as(Mode::DIRECTORY, meanwhile, || Ok(())).map(drop)
    }

    /// The same, with another mode for the directory itself, and something to do when nothing is left that could be refused,
    /// just before the directory appears. The lock on the target comes back, still held.
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

    /// The same for several, which may be on several file systems: all of them, or none.
    pub fn publish_all(mut all: Vec<Self>, mode: Mode) -> Result<()> {
        all.iter().try_for_each(|staging| staging.open_to(mode))?;
        Directory::sync_file_systems(all.iter().map(|staging| &staging.root))?;
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

/// Where a run makes something beside its place, and where it keeps what it takes from there.
fn remains(name: &str) -> [String; 2] {
    ["partial", "replaced"].map(|ending| format!(".{name}.{ending}"))
}

/// What a killed run has left of a target.
pub fn left_of(target: &Path) -> Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for name in remains(&target.file_name().unwrap_or_default().to_string_lossy()) {
        let path = parent_of(target).join(name);
        if look(&path)?.is_some() {
            left.push(path);
        }
    }
    Ok(left)
}

/// Brings back what a killed run was replacing, and removes what it was making. The caller holds the target's lock.
pub fn recover(target: &Path) -> Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    recover_in(&Directory::above(target)?, &name)
}

/// # Errors
/// `Exit::Unsafe` where somebody else may have given the name to a directory that no run of Kiln made.
fn recover_in(above: &Directory, name: &str) -> Result<()> {
    let [partial, replaced] = remains(name);
    // A run that was killed between two renames left the good one under the other name.
    if above.look(&replaced)?.is_some() && above.look(name)?.is_none() {
        above
            .rename(replaced.as_ref(), name.as_ref(), RenameFlags::empty())
            .map_err(io::Error::from)
            .doing(|| format!("bringing back {}", above.path().join(name).display()))?;
    }
    for left in [&partial, &replaced] {
        match above.look(left)?.map(|found| found.kind) {
            Some(Kind::Directory) => {
                if let Some(why) = above.open_to_others()? {
                    return Err(Failure::unsafe_to(format!(
                        "{why}; so {} may be what a killed run of kiln left, with keys in it, or what somebody else has \
                         given this name: look at it, and move it elsewhere",
                        above.path().join(left).display()
                    )));
                }
                above.remove(left.as_ref())?;
            }
            Some(_) => above.remove_file(left.as_ref())?,
            None => {}
        }
    }
    Ok(())
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: what cannot be removed now is removed by the next run.
            let partial = self.partial();
            // One that got to its place, and could not be taken back from there, stays.
            if self.above.has(&partial, self.root.fd()).unwrap_or(false) {
                let _ = self.above.remove_held(&self.root, &partial);
            }
        }
    }
}

/// A file being written inside a staging directory.
pub struct Output {
    file: File,
    path: PathBuf,
}

impl Output {
    /// Has the kernel begin to write a part of it to the disk, so that less is left for the sync at the end. It is a hint: what
    /// comes of it, that sync finds out.
    pub fn begin_writeback(&self, from: u64, length: u64) {
        if let Some(length) = NonZeroU64::new(length) {
            let _ = rustix::fs::fadvise(&self.file, from, Some(length), rustix::fs::Advice::DontNeed);
        }
    }

    pub fn stamp(&self) -> Result<Stamp> {
        let meta = self.file.metadata().doing(|| format!("looking at {}", self.path.display()))?;
        Ok(Stamp::of(&meta))
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).doing(|| format!("writing {}", self.path.display()))
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
    fn what_a_killed_run_left_is_cleaned_up() {
        let scratch = scratch();
        let target = scratch.path().join("ha3");
        fs::create_dir_all(scratch.path().join(".ha3.partial/deep/er")).unwrap();
        fs::create_dir_all(scratch.path().join(".ha3.replaced")).unwrap();
        fs::write(scratch.path().join(".ha3.replaced/good"), "x").unwrap();
        drop(Staging::begin(&target).unwrap());
        assert_eq!(list(&target).unwrap(), ["good"], "the bundle that was being replaced is back");
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
        // What has its name afterwards is not what was opened.
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
        // Somebody else's, with the same names.
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
    fn what_others_may_have_put_there_is_not_cleaned_up() {
        let scratch = scratch();
        let left = scratch.path().join(".ha3.partial");
        fs::create_dir_all(left.join("precious")).unwrap();
        let set_mode = |bits| crate::disk::set_mode(scratch.path(), Mode::from_bits(bits)).unwrap();
        set_mode(0o777);
        let refused = Staging::begin(&scratch.path().join("ha3")).err().unwrap();
        assert_eq!(refused.exit(), Exit::Unsafe, "{refused}");
        assert_eq!(list(&left).unwrap(), ["precious"]);
        // There they cannot rename what is this user's.
        set_mode(0o1777);
        drop(Staging::begin(&scratch.path().join("ha3")).unwrap());
        assert!(list(scratch.path()).unwrap().is_empty());
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
