//! Snapshots on their way to a private directory of this machine: copied, held against their records, decrypted.

use std::path::{Path, PathBuf};

use kiln_wire::{BODY, Record};

use super::bucket::bucket;
use crate::backup::{self, Directory, Place, Plain, Reader};
use crate::bundle::Bundle;
use crate::cli::SnapshotsFrom;
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::unlock;
use crate::values::{Epoch, Mode};

/// Of the directories in which something lies in plain: a killed run's are removed by the next one.
pub const PURPOSE: &str = "snapshot";

/// # Errors
/// `Exit::Usage` where neither a directory nor credentials for the bucket are named.
pub fn place(bundle: &Bundle, from: &SnapshotsFrom) -> Result<Place> {
    match &from.from {
        Some(directory) => Ok(Place::Directory(Directory::open(directory)?)),
        None => bucket(bundle, from.secrets.as_deref()),
    }
}

/// The snapshot in a private directory, held against its record.
pub fn copied(place: &Place, record: &Record, scratch: &Path) -> Result<PathBuf> {
    let path = scratch.join(format!("{}{BODY}", record.name));
    let mut counted = None;
    disk::write_streamed(&path, Mode::SECRET, |to| {
        let mut to = backup::Counted::new(to);
        if !place.copy(&record.name, record.size, &mut to)? {
            return Err(Failure::wrong(format!("{} has no {}{BODY} any more", place.shown(), record.name)));
        }
        counted = Some((to.size(), to.digest()));
        Ok(())
    })?;
    match counted {
        Some((size, digest)) if size == record.size && *digest.bytes() == record.sha256.0 => Ok(path),
        _ => Err(Failure::wrong(format!(
            "{}{BODY} in {} is not what its record is of; it was changed or truncated. Name an older one: kiln snapshots list \
             shows them",
            record.name,
            place.shown()
        ))),
    }
}

/// What is in it, in the same directory.
pub fn decrypted(bundle: &Bundle, body: &Path, record: &Record, scratch: &Path) -> Result<Plain> {
    let path = scratch.join("snapshot.db");
    let opening = || format!("decrypting {}{BODY}", record.name);
    disk::write_streamed(&path, Mode::SECRET, |to| {
        unlock::decrypt_to(&mut disk::Input::open(body)?, to, &record.name.to_string()).doing(opening)
    })?;
    let plain = Plain::of(&path)?;
    plain.check(record)?;
    Reader::new(bundle, scratch)?.check(&plain, record)?;
    Ok(plain)
}

/// `3 h old`, in the largest unit of which it has two or more.
pub fn age(taken: Epoch, now: Epoch) -> String {
    let Some(seconds) = now.seconds().checked_sub(taken.seconds()) else {
        return "from the future".to_owned();
    };
    let units = [(86_400, "days"), (3600, "h"), (60, "min")];
    let fits = units.into_iter().find(|(unit, _)| seconds >= 2 * unit);
    fits.map_or_else(|| format!("{seconds} s old"), |(unit, name)| format!("{} {name} old", seconds / unit))
}
