//! Reading a bundle's files once, for their digests and for what the archives among them hold.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::manifest::{Manifest, Program};
use crate::digest::{self, Hasher, MAX_PIECE_BYTES};
use crate::disk::Input;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::format::read::Archive;
use crate::pki::Presented;
use crate::values::{Digest, GuestPath};

/// The largest certificate file that is read, in bytes: a leaf and the CAs above it.
pub(super) const CERTIFICATES: u64 = 1 << 20;

/// What is looked for in archives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    programs: BTreeMap<GuestPath, Program>,
    certificates: BTreeSet<GuestPath>,
}

impl Wanted {
    pub fn of(manifest: &Manifest) -> Self {
        let programs = manifest.etcd.binaries.iter().map(|(program, binary)| (binary.path.clone(), *program));
        let of_nodes = manifest.certificates.iter().filter(|certificate| certificate.node.is_some());
        Self {
            programs: programs.collect(),
            certificates: of_nodes.map(|certificate| certificate.file.clone()).collect(),
        }
    }
}

/// What an archive holds of it.
#[derive(Default)]
pub(super) struct Inside {
    pub programs: BTreeMap<Program, (u64, Digest)>,
    pub certificates: BTreeMap<GuestPath, std::result::Result<Vec<Presented>, String>>,
}

pub(super) type Archives = BTreeMap<GuestPath, Arc<Inside>>;

/// What a file was found to be.
pub(super) struct Seen {
    pub size: u64,
    pub sha256: Digest,
    /// For an archive, or why it is none.
    pub inside: Option<std::result::Result<Arc<Inside>, String>>,
}

/// What files with several names have been found to be, by the file itself. Shared between threads.
#[derive(Default)]
pub(super) struct Memory(Mutex<Files>);

type Files = BTreeMap<(u64, u64), (Option<Wanted>, Arc<Seen>)>;

impl Memory {
    pub fn read(&self, path: &Path, wanted: Option<&Wanted>) -> Result<Arc<Seen>> {
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
                Seen { size, sha256, inside: None }
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

/// Reads an archive once, for its digest and for what it holds.
fn look_into(input: Input, wanted: &Wanted) -> Result<Seen> {
    let mut hashing = Hashing { input, hasher: Hasher::default() };
    let mut inside = Inside::default();
    let result = Archive::TarGz.visit(&mut hashing, |member, body| {
        if let Some(program) = wanted.programs.get(&member.path) {
            inside.programs.insert(*program, body.digest()?);
        } else if wanted.certificates.contains(&member.path) {
            let text = body.whole(CERTIFICATES).doing(|| format!("reading {}", member.path))?;
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
    // What follows where the archive was given up.
    let path = hashing.input.path().to_owned();
    digest::each_piece(
        &mut hashing,
        &mut vec![0; MAX_PIECE_BYTES],
        |_| Ok(()),
        |error| Failure::io(error.to_string()).while_doing(format!("reading {}", path.display())),
    )?;
    let hasher = hashing.hasher;
    Ok(Seen { size: hasher.size(), sha256: hasher.digest(), inside: Some(inside) })
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
