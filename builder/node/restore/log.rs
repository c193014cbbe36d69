//! etcd's log: every segment begins with the IDs of the member and of its cluster (server/storage/wal).

use std::io::Read;

use kiln_wire::{LOG_BEGIN, LogIds, ids_of_log};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::dir::Dir;
use crate::failure::{Failure, Result};

/// A log has five segments, or as many as `max-wals` says.
const MOST: usize = 100_000;

/// Those of each segment in a directory.
///
/// # Errors
/// Where one is a link, or none of etcd's.
pub fn segments(directory: &Dir) -> Result<Vec<LogIds>> {
    let mut all = Vec::new();
    for name in directory.names()?.iter().filter(|name| name.ends_with(".wal")).take(MOST) {
        let Some(file) = directory.file(name)? else { continue };
        let path = directory.at(name);
        let mut begin = Vec::new();
        file.take(LOG_BEGIN)
            .read_to_end(&mut begin)
            .map_err(|error| Failure::io("reading", &path, &error))?;
        all.push(ids_of_log(&begin).ok_or_else(|| {
            Failure::new(format!("{} does not begin as etcd's log; nothing was changed", path.display()))
        })?);
    }
    Ok(all)
}

/// Whether another program has locked one of them: etcd locks those that it may write (fcntl(2), open file description
/// locks).
///
/// # Errors
/// Of the system.
pub fn are_in_use(directory: &Dir) -> Result<bool> {
    for name in directory.names()?.iter().filter(|name| name.ends_with(".wal")).take(MOST) {
        let Some(file) = directory.file(name)? else { continue };
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Ok(true),
            Err(error) => return Err(Failure::io("locking", &directory.at(name), &error.into())),
        }
    }
    Ok(false)
}
