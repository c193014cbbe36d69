//! A decrypted snapshot: a file that is as secret as the cluster's data.

use std::io::Write;
use std::path::{Path, PathBuf};

use kiln_wire::{Record, TRAILER, is_whole};

#[cfg(feature = "s3")]
use super::place::Place;
use crate::disk::{self, Input};
#[cfg(feature = "s3")]
use crate::failure::Exit;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::values::{Digest, Hasher};

/// A file of a private directory, sound by etcd's own digest.
pub struct Plain {
    pub path: PathBuf,
    pub size: u64,
    /// Of the whole file.
    pub sha256: Digest,
}

impl Plain {
    /// # Errors
    /// `Exit::Wrong` where it is cut short, or is damaged.
    pub fn of(path: &Path) -> Result<Self> {
        let mut input = Input::open(path)?;
        let size = input.size();
        if !is_whole(size) {
            return Err(Failure::wrong(format!("the snapshot has {size} bytes, so that it is not whole")));
        }
        let (mut all, mut pages) = (Hasher::default(), Hasher::default());
        let mut trailer = Vec::new();
        crate::digest::each_piece_of(&mut input, |bytes| {
            let left = usize::try_from((size - TRAILER).saturating_sub(all.size())).unwrap_or(usize::MAX);
            let (page, end) = bytes.split_at(left.min(bytes.len()));
            pages.update(page);
            trailer.extend_from_slice(end);
            all.update(bytes);
            Ok(())
        })?;
        match all.size() == size && pages.digest().bytes() == trailer.as_slice() {
            true => Ok(Self { path: path.to_owned(), size, sha256: all.digest() }),
            false => Err(Failure::wrong("the snapshot is damaged: etcd's own digest at its end is another")),
        }
    }

    /// Makes one of a database that nobody has open: as etcd does, its SHA-256 comes behind it.
    ///
    /// # Errors
    /// `Exit::Wrong` where it is no whole database, and of the system.
    pub fn of_database(path: &Path) -> Result<Self> {
        let mut all = Hasher::default();
        crate::digest::each_piece_of(&mut Input::open(path)?, |bytes| {
            all.update(bytes);
            Ok(())
        })?;
        let (size, pages) = (all.size(), all.digest());
        if !is_whole(size + TRAILER) {
            return Err(Failure::wrong(format!("the database has {size} bytes, so that it is not whole")));
        }
        disk::write_at(path, size, pages.bytes())?;
        all.update(pages.bytes());
        Ok(Self { path: path.to_owned(), size: all.size(), sha256: all.digest() })
    }

    /// # Errors
    /// `Exit::Wrong` where it is not what the record is of.
    pub fn check(&self, record: &Record) -> Result<()> {
        match (self.size, self.sha256.bytes()) == (record.plain_size, &record.plain_sha256.0) {
            true => Ok(()),
            false => Err(Failure::wrong(format!(
                "what is in {} is not what its record says; the file and its record do not belong together",
                record.name
            ))),
        }
    }
}

/// Whether what lies in a place is what its record is of.
///
/// # Errors
/// Those of reading it, but for a wrong size.
#[cfg(feature = "s3")]
pub fn is_whole_there(place: &Place, record: &Record) -> Result<bool> {
    let mut counted = Counted::new(std::io::sink());
    match place.copy(&record.name, record.size, &mut counted) {
        Ok(is_there) => Ok(is_there && counted.digest().bytes() == &record.sha256.0),
        Err(failure) if failure.exit() == Exit::Wrong => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Passes bytes on, with their digest and their number.
pub struct Counted<W> {
    to: W,
    hasher: Hasher,
}

impl<W: Write> Counted<W> {
    pub fn new(to: W) -> Self {
        Self { to, hasher: Hasher::default() }
    }

    pub fn size(&self) -> u64 {
        self.hasher.size()
    }

    pub fn digest(self) -> Digest {
        self.hasher.digest()
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // What is copied may come slowly from far away.
        if interrupt::asked() {
            return Err(std::io::Error::other("interrupted"));
        }
        let count = self.to.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}
