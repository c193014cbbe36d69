//! Writing a bundle: whole, or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::manifest::{self, Manifest};
use super::read::each_piece;
use crate::disk::{self, Kind, Output, Staging};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::pack::Piece;
use crate::values::{Digest, Mode};

/// The manifest and the list for `sha256sum -c`, in the bundle's top directory.
pub const MANIFEST: &str = "bundle.json";
pub const SUMS: &str = "SHA256SUMS";

/// A bundle being written. Shared between threads: every file is its own.
pub struct Writer {
    staging: Staging,
    target: PathBuf,
    files: Mutex<BTreeMap<String, manifest::File>>,
}

impl Writer {
    /// # Errors
    /// `Exit::Unsafe` when something that is not a bundle stands at the target, `Exit::Locked` when another
    /// run is writing it.
    pub fn begin(target: &Path) -> Result<Self> {
        check_replaceable(target)?;
        let staging = Staging::begin(target)?;
        Ok(Self { staging, target: target.to_owned(), files: Mutex::default() })
    }

    pub fn directory(&self, path: &str, mode: Mode) -> Result<()> {
        self.staging.directory(path, mode)
    }

    /// Writes one file and returns the SHA-256 of its bytes.
    ///
    /// # Errors
    /// `Exit::Io`, or `Exit::Interrupted` after Ctrl-C.
    pub fn put(&self, path: &str, mode: Mode, stream: &[Piece]) -> Result<Digest> {
        interrupt::check()?;
        let mut file = self.begin_file(path, mode)?;
        stream.iter().try_for_each(|piece| file.write(piece.bytes()))?;
        Ok(self.end_file(path, mode, file))
    }

    /// Writes one file that is a copy of `head`, zeros up to a multiple of `unit` bytes, and `stream`. Returns what
    /// `head` was: the size in bytes and the SHA-256 of what was read of it and written.
    ///
    /// It is streamed, because nobody knows how large it is, and a file of its size per core may not fit into memory.
    pub fn put_behind(
        &self,
        path: &str,
        mode: Mode,
        head: &Path,
        unit: u64,
        stream: &[Piece],
    ) -> Result<(u64, Digest)> {
        let mut file = self.begin_file(path, mode)?;
        each_piece(head, |bytes| file.write(bytes))?;
        let was = (file.size, file.digest());
        let missing = file.size.next_multiple_of(unit) - file.size;
        file.write(&vec![0; missing as usize])?;
        stream.iter().try_for_each(|piece| file.write(piece.bytes()))?;
        self.end_file(path, mode, file);
        Ok(was)
    }

    fn begin_file(&self, path: &str, mode: Mode) -> Result<Hashed> {
        Ok(Hashed { output: self.staging.create(path, mode)?, hash: Sha256::new(), size: 0 })
    }

    fn end_file(&self, path: &str, mode: Mode, file: Hashed) -> Digest {
        let digest = file.digest();
        let entry = manifest::File { size: file.size, mode: mode.to_string(), sha256: digest.to_string() };
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), entry);
        digest
    }

    pub fn put_bytes(&self, path: &str, mode: Mode, bytes: Vec<u8>) -> Result<Digest> {
        self.put(path, mode, &[Piece::Own(bytes)])
    }

    /// Adds the manifest and the sums; `last` runs when every byte is written, just before the bundle appears.
    pub fn publish(self, mut manifest: Manifest, last: impl FnOnce() -> Result<()>) -> Result<()> {
        let files = std::mem::take(&mut *self.files.lock().unwrap_or_else(PoisonError::into_inner));
        manifest.files = files;
        self.put_bytes(MANIFEST, Mode::FILE, manifest.to_json())?;
        let mut listed = manifest.files;
        listed.append(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner));
        self.put_bytes(SUMS, Mode::FILE, sums(&listed).into_bytes())?;
        interrupt::check()?;
        last()?;
        // Once more: somebody may have put something else there meanwhile.
        check_replaceable(&self.target)?;
        self.staging.publish()
    }
}

/// A file being written and hashed.
struct Hashed {
    output: Output,
    hash: Sha256,
    size: u64,
}

impl Hashed {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        self.output.write(bytes)
    }

    /// Of what has been written so far.
    fn digest(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }
}

/// The text of SHA256SUMS.
pub fn sums(files: &BTreeMap<String, manifest::File>) -> String {
    files.iter().map(|(path, file)| format!("{}  {path}\n", file.sha256)).collect()
}

/// A bundle may stand in the place of a bundle, and of nothing else.
fn check_replaceable(target: &Path) -> Result<()> {
    let shown = target.display();
    let refuse = |reason: String| Err(Failure::unsafe_to(reason));
    match disk::look(target)?.map(|found| found.kind) {
        None => return Ok(()),
        Some(Kind::Directory) => {}
        Some(Kind::Link) => {
            return refuse(format!("{shown} is a symbolic link; remove it or choose another --out"));
        }
        Some(_) => return refuse(format!("{shown} is not a directory; remove it or choose another --out")),
    }
    let manifest = target.join(MANIFEST);
    let manifest = match disk::look(&manifest)? {
        Some(found) if found.kind == Kind::File => {
            Manifest::from_json(&disk::read(&manifest, manifest::LIMIT)?).ok()
        }
        _ => None,
    };
    let Some(manifest) = manifest else {
        return refuse(format!("{shown} is not a bundle; remove it or choose another --out"));
    };
    // The old bundle goes when the new one is in its place, and whatever lies in it would go along: somebody's
    // notes, or a keystore.
    let is_its_own = |found: &disk::Walked| match (found.kind, found.path.to_str()) {
        (Kind::Directory, Some(path)) => {
            let below = format!("{path}/");
            manifest.files.keys().any(|file| file.starts_with(&below))
        }
        (Kind::File, Some(path)) => path == MANIFEST || path == SUMS || manifest.files.contains_key(path),
        _ => false,
    };
    match disk::walk(target)?.into_iter().find(|found| !is_its_own(found)) {
        Some(odd) => refuse(format!(
            "{shown} holds {}, which no build put there; move it away or choose another --out",
            odd.path.display()
        )),
        None => Ok(()),
    }
}
