//! Reading a bundle back and holding it to its manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::manifest::{self, Manifest, Node};
use super::write::{MANIFEST, SUMS, sums};
use crate::disk::{self, Input, Kind};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;
use crate::values::{Digest, printable};

/// A bundle on disk.
pub struct Bundle {
    pub path: PathBuf,
    pub manifest: Manifest,
}

/// Something in a bundle that is not as its manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub path: String,
    pub problem: String,
}

/// As many problems as a person reads.
pub const SHOWN: usize = 20;

/// A line for each of the first `most`, and one for how many more there are, to stand below a sentence that says what
/// follows from them. The pieces of a line may be a stranger's.
pub fn listed(problems: &[Problem], most: usize) -> String {
    let line = |found: &Problem| format!("\n  {} {}", printable(&found.path), printable(&found.problem));
    let mut text: String = problems.iter().take(most).map(line).collect();
    if problems.len() > most {
        text.push_str(&format!("\n  and {} more", problems.len() - most));
    }
    text
}

impl Bundle {
    /// # Errors
    /// `Exit::Wrong` when it is not a bundle of this schema.
    pub fn open(path: &Path) -> Result<Self> {
        let manifest = path.join(MANIFEST);
        if disk::look(&manifest)?.is_none() {
            return Err(Failure::wrong(format!(
                "{} is not a bundle: it has no {MANIFEST}; make one with kiln build",
                path.display()
            )));
        }
        let bytes = disk::read(&manifest, manifest::LIMIT)?;
        let manifest = Manifest::from_json(&bytes).doing(|| format!("reading {}", manifest.display()))?;
        Ok(Self { path: path.to_owned(), manifest })
    }

    /// # Errors
    /// `Exit::Usage` when there is no such node, with those that there are.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.manifest.nodes.iter().find(|node| node.name.as_str() == name).ok_or_else(|| {
            let names: Vec<_> = self.manifest.nodes.iter().map(|node| node.name.as_str()).collect();
            Failure::new(Exit::Usage, format!("no node {name:?} in this bundle; it has {}", names.join(", ")))
        })
    }

    /// Recomputes every digest; compares sizes, modes and what is there with what should be.
    ///
    /// # Errors
    /// `Exit::Io` only when a directory cannot be read; what is wrong with the bundle is in the result.
    pub fn check(&self) -> Result<Vec<Problem>> {
        self.check_with(&mut Memory::default())
    }

    /// The same, for one of many bundles that share files.
    pub(super) fn check_with(&self, memory: &mut Memory) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        let mut problem =
            |path: &str, problem: String| problems.push(Problem { path: path.to_owned(), problem });
        let mut seen = BTreeSet::new();
        for found in disk::walk(&self.path)? {
            let path = found.path.to_string_lossy().into_owned();
            match found.kind {
                Kind::Directory => continue,
                Kind::File => {}
                _ => problem(&path, "is neither a file nor a directory".into()),
            }
            match self.manifest.files.get(path.as_str()) {
                Some(want) if found.mode != want.mode => {
                    problem(&path, format!("has mode {}, not {}", found.mode, want.mode));
                }
                None if path != MANIFEST && path != SUMS => problem(&path, "is not in the manifest".into()),
                _ => {}
            }
            seen.insert(path);
        }
        for (path, want) in &self.manifest.files {
            interrupt::check()?;
            if !seen.contains(path.as_str()) {
                problem(path, "is missing".into());
                continue;
            }
            match memory.digest(&self.path.join(path.as_str())) {
                Ok((size, _)) if size != want.size => {
                    problem(path, format!("has {size} bytes, not {}", want.size));
                }
                Ok((_, sha256)) if sha256 != want.sha256 => {
                    problem(path, format!("has the SHA-256 {sha256}, not {}", want.sha256));
                }
                Ok(_) => {}
                Err(error) => problem(path, error.to_string()),
            }
        }
        self.check_sums(&mut problem)?;
        Ok(problems)
    }

    fn check_sums(&self, problem: &mut impl FnMut(&str, String)) -> Result<()> {
        if disk::look(&self.path.join(SUMS))?.is_none() {
            problem(SUMS, "is missing".into());
            return Ok(());
        }
        let (_, sha256) = digest(&self.path.join(MANIFEST))?;
        if disk::read(&self.path.join(SUMS), manifest::LIMIT)?
            != sums(&self.manifest.files, sha256).into_bytes()
        {
            problem(SUMS, "does not list exactly the manifest and the files in it".into());
        }
        Ok(())
    }
}

/// What files with several names have been found to be, by the file itself.
#[derive(Default)]
pub(super) struct Memory(BTreeMap<(u64, u64), (u64, Digest)>);

impl Memory {
    fn digest(&mut self, path: &Path) -> Result<(u64, Digest)> {
        let mut input = Input::open(path)?;
        let Some(identity) = input.shared_identity() else { return digest_of(&mut input) };
        if let Some(known) = self.0.get(&identity) {
            return Ok(*known);
        }
        let found = digest_of(&mut input)?;
        self.0.insert(identity, found);
        Ok(found)
    }
}

/// A file's size in bytes and its SHA-256.
pub fn digest(path: &Path) -> Result<(u64, Digest)> {
    digest_of(&mut Input::open(path)?)
}

pub(super) fn digest_of(input: &mut Input) -> Result<(u64, Digest)> {
    let mut hash = Sha256::new();
    let mut size = 0;
    each_piece_of(input, |bytes| {
        size += bytes.len() as u64;
        hash.update(bytes);
        Ok(())
    })?;
    Ok((size, Digest::from_bytes(hash.finalize().into())))
}

/// Reads a file from its beginning to its end, without ever holding more than a piece of it.
pub(super) fn each_piece(path: &Path, take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    each_piece_of(&mut Input::open(path)?, take)
}

pub(super) fn each_piece_of(input: &mut Input, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    // Most files are small, and there may be a hundred thousand of them.
    let mut buffer = vec![0; (input.size() as usize).clamp(1, 1 << 18)];
    loop {
        interrupt::check()?;
        let count = input.read(&mut buffer).doing(|| format!("reading {}", input.path().display()))?;
        if count == 0 {
            return Ok(());
        }
        take(&buffer[..count])?;
    }
}
