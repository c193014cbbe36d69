//! The file at a path, and its owner.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType};
use rustix::io::Errno;

use crate::failure::{Doing, Result};
use crate::values::Mode;

/// A file or directory at a path, without following a link.
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
    /// The user ID of its owner.
    pub owner: u32,
}

/// The bits of a mode by which the group and all users may write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

impl Found {
    /// How other users than root and this one may change it, as a clause without a subject; `None` where they cannot.
    /// Those who may change `also` are trusted, too. A directory that others may write to is open to them also where it
    /// is sticky: they may add files.
    pub fn open_to_others(&self, also: Option<&Found>) -> Option<String> {
        let (owner, mode) = (self.owner, self.mode);
        let trusted = also.map_or(0, |also| also.mode.bits());
        if !is_trusted_owner(owner) && also.is_none_or(|also| also.owner != owner) {
            Some(format!("belongs to another user (UID {owner})"))
        } else if mode.bits() & !trusted & WRITABLE_BY_OTHERS != 0 {
            Some(format!("has mode {mode}: others may write to it"))
        } else {
            None
        }
    }
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

/// Whether there is a directory, perhaps behind a link. One that cannot be looked at is none.
pub fn is_directory(path: &Path) -> bool {
    path.is_dir()
}

/// `None` when there is nothing.
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
        // A name that is too long cannot exist.
        Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether it belongs to the user that this process runs as.
pub fn is_own(path: &Path) -> Result<bool> {
    Ok(look(path)?.is_some_and(|found| found.owner == user()))
}

/// The user ID of this process.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether a file of this owner can be changed only by root and the user of this process.
pub fn is_trusted_owner(owner: u32) -> bool {
    owner == 0 || owner == user()
}

/// Whether both paths lead to one file or directory, links followed; a missing one is the same as none.
pub fn is_same(one: &Path, other: &Path) -> Result<bool> {
    let identity = |path: &Path| match fs::metadata(path) {
        Ok(meta) => Ok(Some((meta.dev(), meta.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(|| format!("looking at {}", path.display())),
    };
    Ok(matches!((identity(one)?, identity(other)?), (Some(one), Some(other)) if one == other))
}

/// A file to be removed that is already missing is not an error.
pub(super) fn gone(removed: rustix::io::Result<()>) -> io::Result<()> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

/// The directory that contains a path: `.` for a name alone.
pub(super) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_for_other_users_disagree() {
        let found = |owner: u32, bits: u32| Found {
            kind: Kind::Directory,
            mode: Mode::from_bits(bits),
            size: 0,
            owner,
        };
        let stranger = user() + 4711;
        for (owner, mode, want) in [
            (user(), 0o755, None),
            (0, 0o700, None),
            (user(), 0o775, Some("others may write")),
            (user(), 0o702, Some("others may write")),
            (0, 0o1777, Some("others may write")),
            (stranger, 0o700, Some("belongs to another user (UID")),
        ] {
            let why = found(owner, mode).open_to_others(None);
            assert_eq!(why.is_some(), want.is_some(), "{owner} {mode:o}");
            assert!(why.unwrap_or_default().contains(want.unwrap_or_default()), "{owner} {mode:o}");
        }
        // A store that a group shares: its owner and the group may change its records as well.
        let records = found(stranger, 0o775);
        assert!(found(stranger, 0o775).open_to_others(Some(&records)).is_none());
        assert!(found(stranger, 0o777).open_to_others(Some(&records)).is_some());
        assert!(found(stranger + 1, 0o755).open_to_others(Some(&records)).is_some());
    }
}
