//! Directories that are held open, so that renaming a parent does not redirect any access.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode as Bits, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use super::input::{FOR_READING, Input};
use super::look::{Found, Kind, found, gone, is_trusted_owner, parent_of};
use crate::failure::{Doing, Result};
use crate::parallel;
use crate::values::Mode;

/// Above this number, whole file systems are synced instead of each directory: one wait instead of many.
pub(super) const MAX_SYNCED_ONE_BY_ONE: usize = 4;

/// A directory, by its handle. Names (without a slash, and not `..`) are looked up only in it, and links are never
/// followed.
pub struct Directory {
    fd: OwnedFd,
    /// The path at which it was opened: for messages.
    path: PathBuf,
}

impl Directory {
    /// # Errors
    /// `Exit::Io` when it is missing, or is not a directory; links in its path are followed.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_for(path, OFlags::RDONLY)
    }

    /// The directory that contains a path.
    pub fn above(path: &Path) -> Result<Self> {
        Self::open(parent_of(path))
    }

    /// The same, only for looking up names in it, which needs no permission to read it (open(2), O_PATH).
    pub(super) fn reached(path: &Path) -> Result<Self> {
        Self::open_for(parent_of(path), OFlags::PATH)
    }

    fn open_for(path: &Path, what: OFlags) -> Result<Self> {
        let flags = what | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Bits::empty()).map_err(io::Error::from);
        Ok(Self { fd: fd.doing(|| format!("opening {}", path.display()))?, path: path.to_owned() })
    }

    /// Sets another path for messages.
    pub(super) fn known_as(self, path: &Path) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// A directory below it, opened component by component.
    pub fn below(&self, path: &Path) -> Result<Self> {
        let mut at = None;
        for part in path {
            at = Some(at.as_ref().unwrap_or(self).child(part)?);
        }
        at.map_or_else(|| self.try_clone(), Ok)
    }

    fn child(&self, name: &OsStr) -> Result<Self> {
        let path = self.path.join(name);
        let missing = || io::Error::from(Errno::NOENT);
        self.child_there(name)?.ok_or_else(missing).doing(|| format!("opening {}", path.display()))
    }

    /// `None` when there is nothing.
    fn child_there(&self, name: &OsStr) -> Result<Option<Self>> {
        let path = self.path.join(name);
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        match rustix::fs::openat(&self.fd, name, flags, Bits::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(io::Error::from(error)).doing(|| format!("opening {}", path.display())),
        }
    }

    fn try_clone(&self) -> Result<Self> {
        let fd = self.fd.try_clone().doing(|| format!("opening {}", self.path.display()))?;
        Ok(Self { fd, path: self.path.clone() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    fn stat(&self) -> Result<Stat> {
        rustix::fs::fstat(&self.fd)
            .map_err(io::Error::from)
            .doing(|| format!("looking at {}", self.path.display()))
    }

    /// Whether an open file is the one with this name.
    pub(super) fn has(&self, name: &OsStr, open: impl AsFd) -> io::Result<bool> {
        let open = rustix::fs::fstat(open)?;
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => Ok((open.st_dev, open.st_ino) == (there.st_dev, there.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The file at a name; `None` when there is none.
    pub fn look(&self, name: impl AsRef<OsStr>) -> Result<Option<Found>> {
        found(self.fd.as_fd(), Path::new(name.as_ref()))
            .doing(|| format!("looking at {}", self.path.join(name.as_ref()).display()))
    }

    /// # Errors
    /// `Exit::Io` when it is missing, or is not a regular file.
    pub fn input(&self, name: impl AsRef<OsStr>) -> Result<Input> {
        let path = self.path.join(name.as_ref());
        let fd = rustix::fs::openat(&self.fd, name.as_ref(), FOR_READING | OFlags::NOFOLLOW, Bits::empty());
        Input::of(fd.map_err(io::Error::from).doing(|| format!("reading {}", path.display()))?, &path)
    }

    /// The names in it and their kinds, sorted by their bytes.
    pub fn entries(&self) -> Result<Vec<(OsString, Kind)>> {
        use std::os::unix::ffi::OsStrExt as _;
        let reading = || format!("reading the directory {}", self.path.display());
        let mut all = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(io::Error::from).doing(reading)? {
            let entry = entry.map_err(io::Error::from).doing(reading)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            // Some file systems do not report the type here (readdir(3)).
            let kind = match Kind::of(entry.file_type()) {
                Kind::Other => match self.look(name)? {
                    Some(found) => found.kind,
                    None => continue,
                },
                kind => kind,
            };
            all.push((name.to_owned(), kind));
        }
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(all)
    }

    /// The path below it of the first match; a directory comes before its contents.
    pub fn find(&self, is_sought: &dyn Fn(&Path, Kind) -> bool) -> Result<Option<PathBuf>> {
        self.find_below(Path::new(""), is_sought)
    }

    fn find_below(&self, path: &Path, is_sought: &dyn Fn(&Path, Kind) -> bool) -> Result<Option<PathBuf>> {
        for (name, kind) in self.entries()? {
            let path = path.join(&name);
            if is_sought(&path, kind) {
                return Ok(Some(path));
            }
            if kind == Kind::Directory
                && let Some(found) = self.child(&name)?.find_below(&path, is_sought)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Renames an entry within the directory.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr, flags: RenameFlags) -> rustix::io::Result<()> {
        rustix::fs::renameat_with(&self.fd, from, &self.fd, to, flags)
    }

    /// Removes a file or a link; a missing one is fine.
    pub(super) fn remove_file(&self, name: &OsStr) -> Result<()> {
        gone(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()))
            .doing(|| format!("removing {}", self.path.join(name).display()))
    }

    /// Removes a directory and its contents; a missing one is fine.
    ///
    /// # Errors
    /// `Exit::Io`, also when something else has the name.
    pub(super) fn remove(&self, name: &OsStr) -> Result<()> {
        self.child_there(name)?.map_or(Ok(()), |held| self.remove_held(&held, name))
    }

    /// Removes a directory by its handle: its contents, wherever it has been moved, and the entry with the name here,
    /// if that is empty.
    pub(super) fn remove_held(&self, held: &Self, name: &OsStr) -> Result<()> {
        held.clear()?;
        // A directory that is not empty stays (rmdir(2)).
        gone(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR))
            .doing(|| format!("removing {}", self.path.join(name).display()))
    }

    /// Removes its contents, wherever it has been moved, and the directory itself at the path where it was opened.
    pub fn remove_itself(&self) -> Result<()> {
        Self::reached(&self.path)?.remove_held(self, self.path.file_name().unwrap_or_default())
    }

    /// Removes everything in it.
    fn clear(&self) -> Result<()> {
        // Two subdirectories at a time, such as a bundle's nodes or a fleet's bundles: each takes long where files are
        // large or many. The second pass reports entries that could not be removed.
        let parts = self.directories()?;
        let parts: Vec<PathBuf> = if parts.len() > 8 {
            parts
        } else {
            let inside = |part: &PathBuf| {
                let below = self.below(part).and_then(|part| part.directories()).unwrap_or_default();
                below.into_iter().map(|name| part.join(name)).collect::<Vec<_>>()
            };
            parts.iter().flat_map(inside).collect()
        };
        std::thread::scope(|scope| {
            let (one, other) = parts.split_at(parts.len() / 2);
            let clear = |half: &[PathBuf]| {
                half.iter().for_each(|part| drop(self.below(part).and_then(|part| part.clear_in_turn())));
            };
            // Without a second thread, the call below does all of the work.
            let _beside = parallel::beside(scope, move || clear(one));
            clear(other);
        });
        self.clear_in_turn()
    }

    fn directories(&self) -> Result<Vec<PathBuf>> {
        let entries = self.entries()?.into_iter();
        Ok(entries.filter(|(_, kind)| *kind == Kind::Directory).map(|(name, _)| name.into()).collect())
    }

    fn clear_in_turn(&self) -> Result<()> {
        for (name, kind) in self.entries()? {
            let flags = match kind {
                Kind::Directory => {
                    self.child_there(&name)?.map_or(Ok(()), |child| child.clear_in_turn())?;
                    AtFlags::REMOVEDIR
                }
                _ => AtFlags::empty(),
            };
            gone(rustix::fs::unlinkat(&self.fd, &name, flags))
                .doing(|| format!("removing {}", self.path.join(&name).display()))?;
        }
        Ok(())
    }

    /// The reason why other users may have put in entries that this user made elsewhere, under names of their choice;
    /// `None` where they cannot. Members of the directory's group are trusted with its contents.
    pub fn open_to_others(&self) -> Result<Option<String>> {
        let shown = self.path.display();
        let stat = self.stat()?;
        let mode = Mode::from_bits(stat.st_mode);
        Ok(if !is_trusted_owner(stat.st_uid) {
            Some(format!("{shown} belongs to another user (UID {})", stat.st_uid))
        } else if mode.lets_all_rename() {
            Some(format!("{shown} has mode {mode}, so that every user may write there"))
        } else {
            None
        })
    }

    /// Waits until the names in these directories are on disk.
    pub(super) fn sync_all<'a>(all: impl IntoIterator<Item = &'a Self>) -> Result<()> {
        let mut by_identity = BTreeMap::new();
        for directory in all {
            let stat = directory.stat()?;
            by_identity.insert((stat.st_dev, stat.st_ino), directory);
        }
        if by_identity.len() <= MAX_SYNCED_ONE_BY_ONE {
            return by_identity.into_values().try_for_each(|directory| {
                rustix::fs::fsync(&directory.fd)
                    .map_err(io::Error::from)
                    .doing(|| format!("syncing {}", directory.path.display()))
            });
        }
        Self::sync_file_systems(by_identity.into_values())
    }

    /// Syncs the file systems of these directories, each once.
    pub(super) fn sync_file_systems<'a>(all: impl IntoIterator<Item = &'a Self>) -> Result<()> {
        let mut devices = BTreeMap::new();
        for directory in all {
            devices.entry(directory.stat()?.st_dev).or_insert(directory);
        }
        devices.into_values().try_for_each(Self::sync_file_system)
    }

    /// One call for all files; since Linux 5.8 it also reports their write errors (syncfs(2)).
    pub(super) fn sync_file_system(&self) -> Result<()> {
        rustix::fs::syncfs(&self.fd)
            .map_err(io::Error::from)
            .doing(|| format!("syncing {}", self.path.display()))
    }
}
