//! Where snapshots are: a directory of this machine, as nodes have it, or a bucket.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use kiln_wire::{BODY, LONGEST_ENVELOPE, RECORD, SnapshotName};

use super::entry::{Entry, Found};
use crate::digest;
use crate::disk::{self, Kind};
use crate::failure::{Doing, Exit, Failure, Result};

/// A directory, or a bucket, with the names of what is in it.
pub enum Place {
    /// The paths of its files, by their names without an ending.
    Directory(Directory),
    /// The bucket of a bundle.
    #[cfg(feature = "s3")]
    Bucket(Box<super::bucket::Bucket>),
}

/// A copy of a node's directory of snapshots, or any other with their files.
pub struct Directory {
    path: PathBuf,
    bodies: BTreeMap<SnapshotName, PathBuf>,
    records: BTreeMap<SnapshotName, PathBuf>,
}

impl Directory {
    /// Files elsewhere below it count, too: whoever copies them may not keep the directories.
    ///
    /// # Errors
    /// `Exit::Io` when it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let (mut bodies, mut records) = (BTreeMap::new(), BTreeMap::new());
        let real = disk::resolved(path);
        if disk::look(&real)?.is_none_or(|found| found.kind != Kind::Directory) {
            return Err(Failure::new(Exit::Usage, format!("{} is not a directory", path.display())));
        }
        for found in disk::walk(&real)?.into_iter().filter(|found| found.kind == Kind::File) {
            let Some(file) = found.path.file_name().and_then(|name| name.to_str()) else { continue };
            let name = |ending: &str| file.strip_suffix(ending).and_then(|name| name.parse().ok());
            if let Some(name) = name(BODY) {
                bodies.insert(name, real.join(&found.path));
            } else if let Some(name) = name(RECORD) {
                records.insert(name, real.join(&found.path));
            }
        }
        Ok(Self { path: path.to_owned(), bodies, records })
    }
}

impl Place {
    /// For messages.
    pub fn shown(&self) -> String {
        match self {
            Self::Directory(directory) => directory.path.display().to_string(),
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.shown(),
        }
    }

    /// What there is, the newest first.
    ///
    /// # Errors
    /// `Exit::Io` where it cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut all: Vec<Entry> = match self {
            Self::Directory(directory) => {
                let mut all: BTreeMap<SnapshotName, Entry> = BTreeMap::new();
                for (name, path) in &directory.bodies {
                    let size = disk::look(path)?.map(|found| found.size);
                    all.insert(name.clone(), Entry { name: name.clone(), size, has_record: false });
                }
                for name in directory.records.keys() {
                    let entry = Entry { name: name.clone(), size: None, has_record: true };
                    all.entry(name.clone()).or_insert(entry).has_record = true;
                }
                all.into_values().collect()
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.entries()?,
        };
        all.sort_by(|one, other| other.name.cmp(&one.name));
        Ok(all)
    }

    /// The record of a snapshot, as it lies there.
    ///
    /// # Errors
    /// `Exit::Io` where the place itself cannot be reached.
    pub fn record(&self, name: &SnapshotName) -> Result<Found> {
        match self {
            Self::Directory(directory) => Ok(match directory.records.get(name) {
                None => Found::Nothing,
                Some(path) => match disk::read(path, LONGEST_ENVELOPE as u64) {
                    Ok(bytes) => Found::Bytes(bytes),
                    Err(failure) => Found::Unreadable(failure.to_string()),
                },
            }),
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.record(name),
        }
    }

    /// Writes the encrypted snapshot of this size to `to`; `false` where there is none.
    ///
    /// # Errors
    /// `Exit::Io` where it cannot be read or written, or has another size.
    pub fn copy(&self, name: &SnapshotName, size: u64, to: &mut dyn Write) -> Result<bool> {
        match self {
            Self::Directory(directory) => {
                let Some(path) = directory.bodies.get(name) else { return Ok(false) };
                let mut input = disk::Input::open(path)?;
                if input.size() != size {
                    return Err(Failure::wrong(format!("{} is not {size} bytes long", path.display())));
                }
                let write = |piece: &[u8]| to.write_all(piece).doing(|| format!("copying {name}"));
                digest::each_piece_of(&mut input, write).map(|()| true)
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.copy(name, size, to),
        }
    }
}
