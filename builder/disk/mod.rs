//! The only door to the file system. Errors name the path; nothing is written through a symbolic link; what
//! appears, appears whole.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

mod directory;
mod follow;
mod lock;
mod scratch;
mod socket;
mod staging;
mod swap;
mod what;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode as Bits, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::failure::{Doing, Failure, Result};
use crate::values::Mode;
use crate::verbose;

pub use directory::Directory;
pub use follow::{Follow, More};
pub use lock::Lock;
pub use scratch::Scratch;
pub use socket::{Datagrams, append_line};
pub use staging::{Output, Staging, left_of, recover};
pub use swap::{beside, replace_all};
pub use what::{made, resolved, what};

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
    /// The number of the user that it belongs to.
    pub owner: u32,
}

impl Kind {
    fn of(of: FileType) -> Self {
        match of {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        }
    }
}

/// `None` when nothing is there.
pub fn look(path: &Path) -> Result<Option<Found>> {
    found(CWD, path).doing(|| format!("looking at {}", path.display()))
}

fn found(at: BorrowedFd<'_>, path: &Path) -> io::Result<Option<Found>> {
    match rustix::fs::statat(at, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Found {
            kind: Kind::of(FileType::from_raw_mode(stat.st_mode)),
            mode: Mode::from_bits(stat.st_mode),
            size: stat.st_size as u64,
            owner: stat.st_uid,
        })),
        // A name that is too long is none of a file.
        Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A file opened for reading once: what is hashed is what is read.
pub struct Input {
    file: File,
    path: PathBuf,
    mode: Mode,
    /// Whether it has several names.
    names: bool,
    stamp: Stamp,
}

/// Which file it is and when it was last changed, in seconds and nanoseconds since 1970: its bytes (mtime), and anything of it
/// (ctime).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    pub modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &fs::Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether the two differ at most in when something else than the bytes was changed.
    pub fn is_same_content(&self, other: &Self) -> bool {
        *self == Self { changed: self.changed, ..*other }
    }
}

/// Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
const FOR_READING: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

impl Input {
    /// # Errors
    /// `Exit::Io` when it cannot be opened or is not a regular file.
    pub fn open(path: &Path) -> Result<Self> {
        let reading = || format!("reading {}", path.display());
        let fd =
            rustix::fs::open(path, FOR_READING, Bits::empty()).map_err(io::Error::from).doing(reading)?;
        Self::of(fd, path)
    }

    /// What a walk has found, and no other file: no link is followed below `root`, whatever has been put there since.
    ///
    /// # Errors
    /// `Exit::Io` when something else stands there by now.
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
            return Err(Failure::io("it was changed meanwhile; run kiln again").while_doing(reading()));
        }
        Ok(input)
    }

    fn of(fd: OwnedFd, path: &Path) -> Result<Self> {
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

    /// The file system and the number there of a file that has several names; `None` for one that has one.
    pub fn shared_identity(&self) -> Option<(u64, u64)> {
        self.names.then_some((self.stamp.device, self.stamp.inode))
    }

    /// As it was when the file was opened.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Of the open file itself, whatever stands at its path by now.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it.
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

    /// Forward to a byte of the file.
    pub fn skip_to(&mut self, at: u64) -> Result<()> {
        let seeking = self.file.seek(io::SeekFrom::Start(at));
        seeking.map(drop).doing(|| format!("reading {}", self.path.display()))
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

/// The same, without those that are no UTF-8: for looking for names that Kiln gives.
pub fn list_utf8(path: &Path) -> Result<Vec<String>> {
    let reading = || format!("reading the directory {}", path.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(path).doing(reading)? {
        names.extend(entry.doing(reading)?.file_name().into_string());
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
    /// In bytes; of a file with holes, what is read of it.
    pub size: u64,
    /// The user that it belongs to.
    pub owner: u32,
    /// Where a link points.
    pub target: Option<PathBuf>,
}

/// Everything below a directory, sorted, links not followed.
pub fn walk(root: &Path) -> Result<Vec<Walked>> {
    let mut all = Vec::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| {
            // Its own text repeats the path.
            let path = error.path().unwrap_or(root).display().to_string();
            let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
            Failure::io(reason).while_doing(format!("reading {path}"))
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
        let Found { kind, mode, size, owner } = found;
        all.push(Walked { path, kind, mode, size, owner, target });
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
    // What had the name before goes with the temporary one; so does the new file where the disk does not confirm its name.
    let file = file.into_temp_path();
    rename(&file, path)
}

/// Writes a file that appears whole, or not at all, but may be short after a power cut: for what is checked when it is read.
/// It is written in another directory of the same file system.
pub fn write_unsynced(path: &Path, directory: &Path, pieces: &[&[u8]], mode: Mode) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(fs::Permissions::from_mode(mode.bits()))
        .tempfile_in(directory)
        .doing(writing)?;
    pieces.iter().try_for_each(|piece| file.write_all(piece)).doing(writing)?;
    file.persist(path).map_err(|error| error.error).doing(writing)?;
    Ok(())
}

/// A whole file of at most `limit` bytes, whose time of change becomes now: so it is known when it was used.
pub fn read_and_mark(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let bytes = read(path, limit)?;
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    // Where that is not allowed, it is not known.
    let _ = rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
    Ok(bytes)
}

/// A file in a directory of files.
pub struct Stored {
    pub path: PathBuf,
    pub size: u64,
    /// Seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
}

/// The files in a directory, in no order.
pub fn stored(directory: &Path) -> Result<Vec<Stored>> {
    let reading = || format!("reading the directory {}", directory.display());
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).doing(reading)? {
        let entry = entry.doing(reading)?;
        // Another run may have removed it meanwhile.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_file() {
            all.push(Stored {
                path: entry.path(),
                size: meta.len(),
                modified: (meta.mtime(), meta.mtime_nsec()),
            });
        }
    }
    Ok(all)
}

/// Whether it belongs to the user that this process runs as.
pub fn is_own(path: &Path) -> Result<bool> {
    Ok(look(path)?.is_some_and(|found| found.owner == user()))
}

/// The number of the user that this process runs as.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether what belongs to this user can be changed by nobody but root and whoever this process runs as.
pub fn is_trusted_owner(owner: u32) -> bool {
    owner == 0 || owner == user()
}

/// Whether both paths lead to one file or directory, links followed; what is not there is the same as nothing.
pub fn is_same(one: &Path, other: &Path) -> Result<bool> {
    let identity = |path: &Path| match fs::metadata(path) {
        Ok(meta) => Ok(Some((meta.dev(), meta.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(|| format!("looking at {}", path.display())),
    };
    Ok(matches!((identity(one)?, identity(other)?), (Some(one), Some(other)) if one == other))
}

/// Puts a finished file in its place, in the directory that it is in.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    let above = Directory::above(to)?;
    let [from, to] = [from, to].map(|path| path.file_name().unwrap_or_default());
    swap::confirm(&[swap::Swap::file(&above, from, to)?])
}

/// Removes a directory and what is in it, links not followed; nothing there is fine.
///
/// # Errors
/// `Exit::Io`, also where a link is in the directory's place: what it leads to would stay.
pub fn remove_directory(path: &Path) -> Result<()> {
    if look(path)?.is_some_and(|found| found.kind == Kind::Link) {
        return Err(Failure::io("it is a symbolic link, and what it leads to is left as it is")
            .while_doing(format!("removing {}", path.display())));
    }
    match path.file_name() {
        Some(_) if look(path)?.is_none() => Ok(()),
        Some(name) => Directory::reached(path)?.remove(name),
        None => {
            Err(Failure::io("it has no name of its own").while_doing(format!("removing {}", path.display())))
        }
    }
}

/// Removes a file; nothing there is fine.
pub fn remove_file(path: &Path) -> Result<()> {
    gone(rustix::fs::unlink(path)).doing(|| format!("removing {}", path.display()))
}

/// What was to be removed and is not there is fine.
fn gone(removed: rustix::io::Result<()>) -> io::Result<()> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Sets the time of change, in seconds since 1970.
#[cfg(test)]
pub fn set_modified(path: &Path, seconds: i64) -> io::Result<()> {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
pub fn set_mode(path: &Path, mode: Mode) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode.bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_not_removed_through_a_link() {
        let scratch = Scratch::new("test").unwrap();
        let (real, link) = (scratch.path().join("real"), scratch.path().join("link"));
        for number in 0..9 {
            fs::create_dir_all(real.join(number.to_string())).unwrap();
        }
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(remove_directory(&link).is_err());
        assert_eq!(list(&real).unwrap().len(), 9);
        assert!(look(&link).unwrap().is_some());
        remove_directory(&real).unwrap();
        assert!(look(&real).unwrap().is_none());
    }

    #[test]
    fn a_fifo_is_no_input() {
        let scratch = Scratch::new("test").unwrap();
        let path = scratch.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            Bits::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(Input::open(&path).is_err());
    }
}
