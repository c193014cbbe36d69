//! Writing a bundle: whole, or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::manifest::{self, Manifest};
use crate::disk::{self, Kind, Staging};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::pack::{self, Piece};
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
        let mut output = self.staging.create(path, mode)?;
        let mut hash = Sha256::new();
        for piece in stream {
            hash.update(piece.bytes());
            output.write(piece.bytes())?;
        }
        let digest = Digest::from_bytes(hash.finalize().into());
        let file =
            manifest::File { size: pack::length(stream), mode: mode.to_string(), sha256: digest.to_string() };
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), file);
        Ok(digest)
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
