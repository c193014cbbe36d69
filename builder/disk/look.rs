//! What is at a path, and whose it is.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType};
use rustix::io::Errno;

use crate::failure::{Doing, Result};
use crate::values::Mode;

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
    pub(super) fn of(of: FileType) -> Self {
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

pub(super) fn found(at: BorrowedFd<'_>, path: &Path) -> io::Result<Option<Found>> {
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

/// What was to be removed and is not there is fine.
pub(super) fn gone(removed: rustix::io::Result<()>) -> io::Result<()> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

/// The directory that a path is in: `.` for a name alone.
pub(super) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
