//! Compressed programs, kept beside the programs: `packed/<packer>/<sha256 of the program>`.
//!
//! A file is the output of `Compressor::teach`, then the SHA-256 of the packer's name, the program's digest and those
//! bytes: one that is damaged, truncated, or under another program's name is not used. The digest is not a signature.
//! So the file and the directories above it must also have the same owner as the records (or root, or this user), and
//! must not be writable by more users than the records are: a user who could have written the file could have written
//! the record.
//!
//! These files are optional. A build makes the missing ones (`build/`), and `kiln artifacts add` repairs damaged ones.

use std::path::{Path, PathBuf};

use super::store::Store;
use crate::disk::{self, Kind, Lock};
use crate::failure::{Failure, Result};
use crate::format::deflate::{PACKER, unpacks_to};
use crate::format::gzip::Compressor;
use crate::tree::Blob;
use crate::values::{Digest, Mode};

const SEAL_BYTES: usize = 32;

/// The packed form of a program, as it is in the store.
pub enum Kept {
    /// The bytes, checked against the digest at their end.
    Whole(Vec<u8>),
    /// No import or build has kept any for this packer.
    Missing,
    /// A sentence that says why.
    Unusable(String),
}

impl Store {
    /// A compressed program in the form that `Compressor::learn` takes.
    pub fn packed(&self, program: &Blob) -> Kept {
        let path = self.packed_path(program.digest());
        match disk::look(&path) {
            Ok(None) => return Kept::Missing,
            Ok(Some(_)) => {}
            Err(failure) => return Kept::Unusable(failure.to_string()),
        }
        match self.read_packed(&path, program) {
            Ok(kept) => Kept::Whole(kept),
            Err(failure) => Kept::Unusable(failure.to_string()),
        }
    }

    /// Keeps a compressed program that a build has made. `false` where it cannot be kept: the store is another user's
    /// or is read-only, another run is writing to it, or the disk is full. This never fails a build.
    pub fn keep_packed(&self, program: &Blob, kept: &[u8]) -> bool {
        let keep = || -> Result<bool> {
            // In another user's store it would lock out its owner.
            if !disk::is_own(&self.records())? {
                return Ok(false);
            }
            let Some(_lock) = Lock::exclusive_where_writable(&self.lock_path())? else { return Ok(false) };
            self.remove_remains()?;
            self.write_packed(program, kept).map(|()| true)
        };
        keep().unwrap_or(false)
    }

    /// For `add`, which holds the lock: compresses a program whose packed form is missing or does not match the
    /// program. Returns the path of a file that did not exist before.
    pub(super) fn pack(&self, program: &Blob, compressor: &Compressor) -> Result<Option<PathBuf>> {
        let path = self.packed_path(program.digest());
        if let Kept::Whole(kept) = self.packed(program)
            && unpacks_to(&kept, program.bytes()?)
        {
            return Ok(None);
        }
        let is_new = disk::look(&path)?.is_none();
        let kept = compressor.teach(program)?;
        self.write_packed(program, &kept)?;
        Ok(is_new.then_some(path))
    }

    fn write_packed(&self, program: &Blob, kept: &[u8]) -> Result<()> {
        let path = self.packed_path(program.digest());
        let sealed = [kept, seal(program.digest(), kept).bytes()].concat();
        disk::make_directories(&self.packed_directory().join(PACKER), Mode::DIRECTORY)?;
        disk::write_whole(&path, &sealed, Mode::FILE)
    }

    fn read_packed(&self, path: &Path, program: &Blob) -> Result<Vec<u8>> {
        for above in [&self.packed_directory(), &self.packed_directory().join(PACKER)] {
            self.refuse_strangers(above, Kind::Directory)?;
        }
        self.refuse_strangers(path, Kind::File)?;
        // Deflate expands its input by at most a few bytes per block.
        let limit = program.size() + program.size() / 64 + 4096;
        let mut bytes = disk::read(path, limit)
            .map_err(|failure| unusable(path, format!("cannot be read ({failure})")))?;
        let Some((kept, sealed)) = bytes.split_last_chunk::<SEAL_BYTES>() else {
            return Err(unusable(path, "is damaged: it is too short"));
        };
        if seal(program.digest(), kept).bytes() != sealed {
            return Err(unusable(path, "is damaged: its SHA-256 does not match its record"));
        }
        bytes.truncate(bytes.len() - SEAL_BYTES);
        Ok(bytes)
    }

    fn refuse_strangers(&self, path: &Path, want: Kind) -> Result<()> {
        let (records, found) = (disk::look(&self.records())?, disk::look(path)?);
        let (Some(records), Some(found)) = (records, found) else {
            return Err(unusable(path, "is missing"));
        };
        if found.kind != want {
            let want = if want == Kind::File { "a file" } else { "a directory" };
            return Err(unusable(path, format!("is not {want}")));
        }
        match found.open_to_others(Some(&records)) {
            Some(why) => Err(unusable(path, why)),
            None => Ok(()),
        }
    }

    /// The directories in which files may have been left by a run that was killed.
    pub(super) fn packed_directories(&self) -> Result<Vec<PathBuf>> {
        let top = self.packed_directory();
        if disk::look(&top)?.is_none_or(|found| found.kind != Kind::Directory) {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        for name in disk::list_utf8(&top)? {
            let path = top.join(name);
            if disk::look(&path)?.is_some_and(|found| found.kind == Kind::Directory) {
                all.push(path);
            }
        }
        Ok(all)
    }

    fn packed_directory(&self) -> PathBuf {
        self.directory().join("packed")
    }

    pub(super) fn packed_path(&self, program: Digest) -> PathBuf {
        self.packed_directory().join(PACKER).join(program.to_string())
    }
}

fn seal(program: Digest, kept: &[u8]) -> Digest {
    Digest::of_pieces([PACKER.as_bytes(), program.bytes(), kept])
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::untrusted(format!("{} {why}", path.display()))
}
