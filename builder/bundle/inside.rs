//! Reads a bundle's files once, for their digests and for the contents of the archives among them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::manifest::Manifest;
use crate::digest::{self, MAX_PIECE_BYTES};
use crate::disk::Input;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::format::read::Archive;
use crate::pki::Presented;
use crate::values::{Digest, GuestPath, Hasher};

/// The largest certificate file that is read, in bytes: a leaf and the CAs above it.
pub(super) const MAX_CERTIFICATES_BYTES: u64 = 1 << 20;

/// The members to look for in archives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    programs: BTreeSet<GuestPath>,
    certificates: BTreeSet<GuestPath>,
}

impl Wanted {
    pub fn of(manifest: &Manifest) -> Self {
        let of_nodes = manifest.certificates.iter().filter(|certificate| certificate.node.is_some());
        Self {
            programs: manifest.programs().map(|program| program.path.clone()).collect(),
            certificates: of_nodes.map(|certificate| certificate.file.clone()).collect(),
        }
    }
}

/// The wanted members that an archive contains.
#[derive(Default)]
pub(super) struct Inside {
    /// By their paths.
    pub programs: BTreeMap<GuestPath, (u64, Digest)>,
    pub certificates: BTreeMap<GuestPath, std::result::Result<Vec<Presented>, String>>,
}

pub(super) type Archives = BTreeMap<GuestPath, Arc<Inside>>;

/// The result of reading a file.
pub(super) struct FoundFile {
    pub size: u64,
    pub sha256: Digest,
    /// For an archive: its contents, or why it is invalid.
    pub inside: Option<std::result::Result<Arc<Inside>, String>>,
}

/// Results for files with several names, by the identity of the file. Shared between threads.
#[derive(Default)]
pub(super) struct Memory(Mutex<Files>);

type Files = BTreeMap<(u64, u64), (Option<Wanted>, Arc<FoundFile>)>;

impl Memory {
    pub fn read(&self, path: &Path, wanted: Option<&Wanted>) -> Result<Arc<FoundFile>> {
        let mut input = Input::open(path)?;
        let identity = input.shared_identity();
        if let Some(identity) = identity
            && let Some((with, seen)) = self.all().get(&identity)
            && with.as_ref() == wanted
        {
            return Ok(seen.clone());
        }
        let seen = Arc::new(match wanted {
            None => {
                let (size, sha256) = digest::of_input(&mut input)?;
                FoundFile { size, sha256, inside: None }
            }
            Some(wanted) => look_into(input, wanted)?,
        });
        if let Some(identity) = identity {
            self.all().insert(identity, (wanted.cloned(), seen.clone()));
        }
        Ok(seen)
    }

    fn all(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads an archive once, for its digest and for its wanted members.
fn look_into(input: Input, wanted: &Wanted) -> Result<FoundFile> {
    let mut hashing = Hashing { input, hasher: Hasher::default() };
    let mut inside = Inside::default();
    let result = Archive::TarGz.visit(&mut hashing, |member, body| {
        if wanted.programs.contains(&member.path) {
            inside.programs.insert(member.path.clone(), body.digest()?);
        } else if wanted.certificates.contains(&member.path) {
            let text = body.whole(MAX_CERTIFICATES_BYTES).doing(|| format!("reading {}", member.path))?;
            let read = Presented::all_from_pem(&text).map_err(|failure| failure.to_string());
            inside.certificates.insert(member.path.clone(), read);
        }
        Ok(ControlFlow::Continue(()))
    });
    let inside = match result {
        Ok(()) => Ok(Arc::new(inside)),
        Err(failure) if failure.exit() == Exit::Wrong => Err(failure.to_string()),
        Err(failure) => return Err(failure),
    };
    // Hash the rest of the file, also when parsing the archive stopped early.
    let path = hashing.input.path().to_owned();
    digest::each_piece(
        &mut hashing,
        &mut vec![0; MAX_PIECE_BYTES],
        |_| Ok(()),
        |error| Failure::io(error.to_string()).while_doing(format!("reading {}", path.display())),
    )?;
    let hasher = hashing.hasher;
    Ok(FoundFile { size: hasher.size(), sha256: hasher.digest(), inside: Some(inside) })
}

struct Hashing {
    input: Input,
    hasher: Hasher,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
