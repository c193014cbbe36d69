//! The only door to the file system. Errors name the path; nothing is written through a symbolic link; what
//! appears, appears whole.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode as Bits, OFlags, RenameFlags};

use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::Mode;

/// What the names of files begin with that `write_whole` has not put in their place yet.
pub const TEMPORARY: &str = ".kiln-";

/// What stands at a path, without following a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Link,
    Other,
}

pub struct Found {
    pub kind: Kind,
    pub mode: Mode,
    pub size: u64,
}

/// `None` when nothing is there.
pub fn look(path: &Path) -> Result<Option<Found>> {
    match fs::symlink_metadata(path) {
        Ok(meta) => {
            let kind = match meta.file_type() {
                t if t.is_symlink() => Kind::Link,
                t if t.is_dir() => Kind::Directory,
                t if t.is_file() => Kind::File,
                _ => Kind::Other,
            };
            Ok(Some(Found { kind, mode: Mode::from_bits(meta.mode()), size: meta.len() }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(|| format!("looking at {}", path.display())),
    }
}

/// A file opened for reading once: what is hashed is what is read.
pub struct Input {
    file: File,
    path: PathBuf,
    size: u64,
}

impl Input {
    /// # Errors
    /// `Exit::Io` when it cannot be opened or is not a regular file.
    pub fn open(path: &Path) -> Result<Self> {
        let reading = || format!("reading {}", path.display());
        // Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::open(path, flags, Bits::empty()).map_err(io::Error::from).doing(reading)?;
        let file = File::from(fd);
        let meta = file.metadata().doing(reading)?;
        if !meta.is_file() {
            return Err(Failure::io("it is not a regular file").while_doing(reading()));
        }
        Ok(Self { size: meta.len(), file, path: path.to_owned() })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn path(&self) -> &Path {
        &self.path
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
/// `Exit::Io`, also when it is larger than the limit.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let reading = || format!("reading {}", path.display());
    let input = Input::open(path)?;
    let mut bytes = Vec::with_capacity(input.size().min(limit) as usize);
    input.file.take(limit + 1).read_to_end(&mut bytes).doing(reading)?;
    if bytes.len() as u64 > limit {
        return Err(Failure::io(format!("it is larger than {limit} bytes")).while_doing(reading()));
    }
    Ok(bytes)
}

/// The names in a directory, sorted by their bytes.
pub fn list(path: &Path) -> Result<Vec<String>> {
    let reading = || format!("reading the directory {}", path.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(path).doing(reading)? {
        let name = entry.doing(reading)?.file_name();
        names.push(name.into_string().map_err(|name| {
            Failure::io(format!("{} is not a UTF-8 name", name.display())).while_doing(reading())
        })?);
    }
    names.sort_unstable();
    Ok(names)
}

/// One entry below a walked directory.
pub struct Walked {
    /// Relative to where the walk began.
    pub path: PathBuf,
    pub kind: Kind,
    pub mode: Mode,
    /// Where a link points.
    pub target: Option<PathBuf>,
}

/// Everything below a directory, sorted, links not followed.
pub fn walk(root: &Path) -> Result<Vec<Walked>> {
    let mut all = Vec::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| {
            Failure::io(error.to_string()).while_doing(format!("reading the directory {}", root.display()))
        })?;
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned();
        let Some(found) = look(entry.path())? else { continue };
        let target = match found.kind {
            Kind::Link => Some(
                fs::read_link(entry.path())
                    .doing(|| format!("reading the link {}", entry.path().display()))?,
            ),
            _ => None,
        };
        all.push(Walked { path, kind: found.kind, mode: found.mode, target });
    }
    Ok(all)
}

/// Makes a directory and those above it; an existing one stays as it is.
pub fn make_directories(path: &Path, mode: Mode) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode.bits())
        .create(path)
        .doing(|| format!("making the directory {}", path.display()))
}

/// Writes a file so that it appears whole, with this mode, or not at all; synced before it appears.
pub fn write_whole(path: &Path, bytes: &[u8], mode: Mode) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let parent = parent_of(path);
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(fs::Permissions::from_mode(mode.bits()))
        .tempfile_in(parent)
        .doing(writing)?;
    file.write_all(bytes).doing(writing)?;
    // The umask has cut the mode that the file was made with.
    file.as_file().set_permissions(fs::Permissions::from_mode(mode.bits())).doing(writing)?;
    file.as_file().sync_all().doing(writing)?;
    file.persist(path).map_err(|error| error.error).doing(writing)?;
    sync_directory(parent)
}

/// Removes a directory and what is in it; nothing there is fine.
pub fn remove_directory(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes a file; nothing there is fine.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|d| d.sync_all()).doing(|| format!("syncing {}", path.display()))
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A directory for the time of one run, below TMPDIR, mode 0700; it goes away with the value.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new(purpose: &str) -> Result<Self> {
        tempfile::Builder::new()
            .prefix(&format!("kiln-{purpose}-"))
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map(Self)
            .doing(|| format!("making a directory in {}", std::env::temp_dir().display()))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file of its own into it.
    pub fn write(&self, name: &str, bytes: &[u8], mode: Mode) -> Result<PathBuf> {
        let path = self.path().join(name);
        write_whole(&path, bytes, mode)?;
        Ok(path)
    }
}

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
        let file = Self::open(path)
            .map_err(io::Error::from)
            .doing(|| format!("opening the lock {}", path.display()))?;
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

/// A directory that is being made beside its final place and appears there whole, by one rename.
///
/// Every path below it is opened from its own handle, a part at a time, without following links.
pub struct Staging {
    root: OwnedFd,
    parent: PathBuf,
    partial: PathBuf,
    target: PathBuf,
    published: bool,
    lock: Option<Lock>,
}

impl Staging {
    /// Locks the target, cleans up what a killed run left, and begins with an empty directory of mode 0755.
    ///
    /// # Errors
    /// `Exit::Locked` when another run is making the same target; `Exit::Usage` when it has no name.
    pub fn begin(target: &Path) -> Result<Self> {
        let name = target.file_name().and_then(|n| n.to_str()).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("{} has no name to make a bundle under", target.display()))
        })?;
        let parent = parent_of(target).to_owned();
        make_directories(&parent, Mode::DIRECTORY)?;
        let lock = Lock::exclusive(&parent.join(format!(".{name}.lock")))?;
        let partial = parent.join(format!(".{name}.partial"));
        let replaced = parent.join(format!(".{name}.replaced"));
        // A run that was killed between the two renames of `swap` left the good bundle under the other name.
        if look(&replaced)?.is_some() && look(target)?.is_none() {
            fs::rename(&replaced, target).doing(|| format!("bringing back {}", target.display()))?;
        }
        for left in [&partial, &replaced] {
            match look(left)? {
                Some(Found { kind: Kind::Directory, .. }) => remove_directory(left)?,
                Some(_) => remove_file(left)?,
                None => {}
            }
        }
        let making = || format!("making the directory {}", partial.display());
        rustix::fs::mkdir(&partial, Bits::from_raw_mode(0o700)).map_err(io::Error::from).doing(making)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let root = rustix::fs::open(&partial, flags, Bits::empty()).map_err(io::Error::from).doing(making)?;
        Ok(Self { root, parent, partial, target: target.to_owned(), published: false, lock: Some(lock) })
    }

    /// Makes one directory; those above it must be there.
    pub fn directory(&self, path: &str, mode: Mode) -> Result<()> {
        let making = || format!("making the directory {}", self.target.join(path).display());
        let (above, name) = self.open_above(path)?;
        let bits = Bits::from_raw_mode(mode.bits());
        rustix::fs::mkdirat(&above, name, bits).map_err(io::Error::from).doing(making)?;
        // Once more, because the umask has cut it.
        rustix::fs::chmodat(&above, name, bits, AtFlags::empty()).map_err(io::Error::from).doing(making)
    }

    /// A new file, with its mode from the moment it exists.
    pub fn create(&self, path: &str, mode: Mode) -> Result<Output> {
        let writing = || format!("writing {}", self.target.join(path).display());
        let (above, name) = self.open_above(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Begin without the bits that the umask might cut: fchmod then sets exactly the mode.
        let fd = rustix::fs::openat(&above, name, flags, Bits::from_raw_mode(0o600))
            .map_err(io::Error::from)
            .doing(writing)?;
        rustix::fs::fchmod(&fd, Bits::from_raw_mode(mode.bits())).map_err(io::Error::from).doing(writing)?;
        Ok(Output { file: File::from(fd), path: self.target.join(path) })
    }

    fn open_above<'p>(&self, path: &'p str) -> Result<(OwnedFd, &'p str)> {
        let opening = || format!("opening {}", self.target.join(path).display());
        let mut above = self.root.try_clone().doing(opening)?;
        let mut parts = path.split('/').peekable();
        let mut name = path;
        while let Some(part) = parts.next() {
            name = part;
            if parts.peek().is_some() {
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
                above = rustix::fs::openat(&above, part, flags, Bits::empty())
                    .map_err(io::Error::from)
                    .doing(opening)?;
            }
        }
        Ok((above, name))
    }

    /// Syncs everything and puts the directory in its place, in exchange for what may be there.
    ///
    /// The caller has looked at what is there and found it fit to be replaced.
    pub fn publish(self) -> Result<()> {
        self.publish_as(Mode::DIRECTORY).map(drop)
    }

    /// The same, with another mode for the directory itself. The lock on the target comes back, still held.
    pub fn publish_as(mut self, mode: Mode) -> Result<Option<Lock>> {
        let publishing = || format!("publishing {}", self.target.display());
        rustix::fs::fchmod(&self.root, Bits::from_raw_mode(mode.bits()))
            .map_err(io::Error::from)
            .doing(publishing)?;
        // One call for all files; since Linux 5.8 it also reports their write errors (syncfs(2)).
        rustix::fs::syncfs(&self.root).map_err(io::Error::from).doing(publishing)?;
        self.swap()?;
        self.published = true;
        sync_directory(&self.parent)?;
        Ok(self.lock.take())
    }

    fn swap(&self) -> Result<()> {
        let publishing = || format!("publishing {}", self.target.display());
        let rename = |flags| rustix::fs::renameat_with(CWD, &self.partial, CWD, &self.target, flags);
        match rename(RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            // Some file systems know no flags; `rename` onto a directory with files in it is refused anyway.
            Err(rustix::io::Errno::INVAL) if look(&self.target)?.is_none() => {
                return fs::rename(&self.partial, &self.target).doing(publishing);
            }
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(io::Error::from(error)).doing(publishing),
        }
        match rename(RenameFlags::EXCHANGE) {
            // The old bundle now has the partial name. The new one stands: what cannot be removed now is removed
            // by the next run.
            Ok(()) => {
                let _ = remove_directory(&self.partial);
                Ok(())
            }
            Err(rustix::io::Errno::INVAL) => {
                let replaced = self.partial.with_extension("replaced");
                fs::rename(&self.target, &replaced).doing(publishing)?;
                fs::rename(&self.partial, &self.target).doing(publishing)?;
                remove_directory(&replaced)
            }
            Err(error) => Err(io::Error::from(error)).doing(publishing),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: what cannot be removed now is removed by the next run.
            let _ = remove_directory(&self.partial);
        }
    }
}

/// A file being written inside a staging directory.
pub struct Output {
    file: File,
    path: PathBuf,
}

impl Output {
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).doing(|| format!("writing {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> Scratch {
        Scratch::new("test").unwrap()
    }

    #[test]
    fn a_dropped_staging_leaves_only_its_lock() {
        let scratch = scratch();
        let target = scratch.path().join("out/ha3");
        let staging = Staging::begin(&target).unwrap();
        staging.create("a", Mode::FILE).unwrap().write(b"x").unwrap();
        drop(staging);
        assert_eq!(list(&scratch.path().join("out")).unwrap(), [".ha3.lock"]);
    }

    #[test]
    fn publishing_replaces_the_old_directory_whole() {
        let scratch = scratch();
        let target = scratch.path().join("ha3");
        for name in ["one", "two"] {
            let staging = Staging::begin(&target).unwrap();
            staging.directory("nodes", Mode::SECRET_DIRECTORY).unwrap();
            staging.create(&format!("nodes/{name}"), Mode::SECRET).unwrap().write(b"x").unwrap();
            staging.publish().unwrap();
        }
        assert_eq!(list(&target).unwrap(), ["nodes"]);
        assert_eq!(list(&target.join("nodes")).unwrap(), ["two"]);
        assert_eq!(look(&target.join("nodes")).unwrap().unwrap().mode, Mode::SECRET_DIRECTORY);
        assert_eq!(look(&target.join("nodes/two")).unwrap().unwrap().mode, Mode::SECRET);
        assert_eq!(list(scratch.path()).unwrap(), [".ha3.lock", "ha3"]);
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
        assert_eq!(list(scratch.path()).unwrap(), [".ha3.lock", "ha3"]);
    }

    #[test]
    fn two_runs_on_one_target_do_not_meet() {
        let scratch = scratch();
        let target = scratch.path().join("ha3");
        let _first = Staging::begin(&target).unwrap();
        assert_eq!(Staging::begin(&target).err().unwrap().exit(), Exit::Locked);
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

    #[test]
    fn a_fifo_is_no_input() {
        let scratch = scratch();
        let path = scratch.path().join("fifo");
        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, Bits::from_raw_mode(0o600), 0).unwrap();
        assert!(Input::open(&path).is_err());
    }
}
