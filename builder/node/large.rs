//! Files that are too large for memory, and the room for them. As `disk.rs`, this follows no link.

#![allow(clippy::disallowed_methods, reason = "this is the access")]

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::disk;
use crate::failure::{Failure, Result};

/// Creates a file that nobody else can read, and that is not there yet.
///
/// # Errors
/// Of the system; a file of that name is one, too.
pub fn create(path: &Path) -> Result<File> {
    let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| Failure::io("creating", path, &error))
}

/// Opens a file of this program's user that nobody else can write, and takes from others the right to read it; its
/// bytes are returned, too.
///
/// # Errors
/// Where it is anything else.
pub fn open(path: &Path) -> Result<(File, u64)> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = file.map_err(|error| Failure::io("opening", path, &error))?;
    let found = file.metadata().map_err(|error| Failure::io("reading", path, &error))?;
    let is_own = found.uid() == disk::own();
    if !found.is_file() || !is_own || found.mode() & 0o022 != 0 {
        return Err(Failure::new(format!("{} is not a file that only root can write", path.display())));
    }
    if found.mode() & 0o077 != 0 {
        let set = file.set_permissions(fs::Permissions::from_mode(0o600));
        set.map_err(|error| Failure::io("setting the mode of", path, &error))?;
    }
    Ok((file, found.len()))
}

/// The bytes of a file, where there is one.
pub fn size(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|found| found.len())
}

/// Gives a finished file its name, where there is nothing of this name: what is there is never replaced.
///
/// # Errors
/// Of the system; a file of that name is one, too.
pub fn publish(from: &Path, to: &Path) -> Result<()> {
    fs::hard_link(from, to).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format!("{} is there already", to.display())),
        _ => Failure::io("naming", to, &error),
    })?;
    to.parent().map_or(Ok(()), disk::sync)?;
    disk::remove_file(from)
}

/// Of a file system, in bytes.
#[derive(Clone, Copy)]
pub struct Room {
    /// What this program can use.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// Of the file system of this directory.
///
/// # Errors
/// Of the system.
pub fn room(path: &Path) -> Result<Room> {
    let found = rustix::fs::statvfs(path)
        .map_err(|error| Failure::io("asking for free space in", path, &error.into()))?;
    Ok(Room {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        total: found.f_blocks.saturating_mul(found.f_frsize),
    })
}
