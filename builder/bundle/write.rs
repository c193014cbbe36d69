//! Writing the files of one bundle, each hashed as it is written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::files::{Files, below, sums};
use super::layout::{MANIFEST, SUMS};
use super::manifest::{self, Manifest};
use super::seen::{MIN_REMEMBERED_BYTES, SeenFiles};
use crate::digest;
use crate::disk::{Input, Output, Staging};
use crate::failure::{Failure, Result};
use crate::format::{DiskFile, Piece};
use crate::interrupt;
use crate::parallel;
use crate::values::{Digest, GuestPath, Hasher, Mode};

/// Fits into the cache of one core; in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// Writeback is started after this many bytes, while the rest is made.
const WRITEBACK_BYTES: u64 = 4 << 20;

/// A bundle being written, into a `Place`. Shared between threads: every file is its own.
pub struct Writer<'p> {
    staging: &'p Staging,
    seen: &'p SeenFiles,
    /// The prefix of its paths in the staging directory: nothing, or `ha3/`.
    prefix: String,
    files: Mutex<Files>,
}

/// The files below one directory of a bundle, which other bundles of the same place may share.
pub struct Laid {
    prefix: String,
    files: Files,
}

impl<'p> Writer<'p> {
    pub(super) fn new(staging: &'p Staging, seen: &'p SeenFiles, prefix: String) -> Self {
        Self { staging, seen, prefix, files: Mutex::default() }
    }

    pub fn directory(&self, path: &str, mode: Mode) -> Result<()> {
        self.staging.directory(&self.inside(path), mode)
    }

    /// Writes one file and returns the SHA-256 of its bytes.
    ///
    /// # Errors
    /// `Exit::Io`, also when a file among its pieces has changed; `Exit::Interrupted` after Ctrl-C.
    pub fn put(&self, path: &str, mode: Mode, stream: &[Piece]) -> Result<Digest> {
        interrupt::check()?;
        let mut file = self.begin_file(path, mode)?;
        // The digest of the first piece is computed already: a base system is large, and every node has it.
        let rest = match stream.split_first() {
            Some((Piece::File(first), rest)) => {
                digest::each_piece_of(&mut Input::open(&first.path)?, |bytes| file.write(bytes))?;
                unchanged(first, &file.hasher)?;
                rest
            }
            _ => stream,
        };
        each_bytes(rest, |bytes| file.write(bytes))?;
        self.end_file(path, mode, file)
    }

    /// Takes files over from another bundle with hard links, when every byte of all of them is as expected. `false`,
    /// with nothing written, when it is not, or when one cannot be linked.
    pub fn take_over(&self, from: &Path, files: &Files) -> Result<bool> {
        // A thread for each large one, because there are few of them.
        let wanted: Vec<(&GuestPath, &manifest::File)> = files.iter().collect();
        let large = wanted.iter().filter(|(_, file)| file.size >= MIN_REMEMBERED_BYTES).count();
        let open =
            |(path, want): &(&GuestPath, &manifest::File)| self.open_as(&from.join(path.as_str()), want);
        let opened = parallel::each(&wanted, large, open)?;
        let mut inputs = BTreeMap::new();
        for (path, input) in files.keys().zip(opened) {
            match input {
                Some(input) => inputs.insert(path.as_str(), input),
                None => return Ok(false),
            };
        }
        let taken = self.name_all(files, |path| match inputs.get(path) {
            Some((input, _)) => self.staging.link(input, &self.inside(path)),
            None => Ok(false),
        })?;
        for (path, (input, digest)) in
            inputs.iter().filter(|(_, (input, _))| taken && input.size() >= MIN_REMEMBERED_BYTES)
        {
            self.seen.lies(self.inside(path), input.stamp(), *digest);
        }
        Ok(taken)
    }

    /// The files below a directory so far.
    pub fn laid(&self, directory: &str) -> Laid {
        Laid { prefix: self.prefix.clone(), files: self.below(directory) }
    }

    /// Links to the files of another bundle of this place. `false`, with nothing written, when one cannot be linked:
    /// file systems limit the number of links.
    pub fn share(&self, laid: &Laid) -> Result<bool> {
        self.name_all(&laid.files, |path| {
            self.staging.link_within(&format!("{}{path}", laid.prefix), &self.inside(path))
        })
    }

    /// Links all of these files here, or none.
    fn name_all(&self, files: &Files, mut name: impl FnMut(&str) -> Result<bool>) -> Result<bool> {
        for (at, path) in files.keys().enumerate() {
            if !name(path)? {
                files.keys().take(at).try_for_each(|path| self.staging.remove(&self.inside(path)))?;
                return Ok(false);
            }
        }
        self.files().extend(files.iter().map(|(path, file)| (path.clone(), file.clone())));
        Ok(true)
    }

    /// An open file with this size, mode and digest; `None` when there is none at the path.
    fn open_as(&self, path: &Path, want: &manifest::File) -> Result<Option<(Input, Digest)>> {
        let Ok(mut input) = Input::open(path) else { return Ok(None) };
        if input.size() != want.size || input.mode() != want.mode {
            return Ok(None);
        }
        let digest = match self.seen.digest(&input) {
            Some(digest) => digest,
            None => digest::of_input(&mut input)?.1,
        };
        Ok((digest == want.sha256).then_some((input, digest)))
    }

    /// The files that have been written below a directory, by their path in the bundle.
    pub fn below(&self, directory: &str) -> Files {
        below(&self.files(), directory).map(|(path, file)| (path.clone(), file.clone())).collect()
    }

    /// Adds the manifest and the sums; returns the SHA-256 of each.
    ///
    /// # Errors
    /// `Exit::Wrong` when Kiln would refuse to read the bundle.
    pub fn finish(self, mut manifest: Manifest) -> Result<[Digest; 2]> {
        manifest.files = std::mem::take(&mut *self.files());
        manifest.check()?;
        let described = self.put(MANIFEST, Mode::FILE, &[Piece::Own(manifest.to_json()?)])?;
        let sums = sums(&manifest.files, described).into_bytes();
        let sums = self.put(SUMS, Mode::FILE, &[Piece::Own(sums)])?;
        Ok([described, sums])
    }

    fn inside(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        // A thread that panicked with the lock has left a valid map behind: entries are only ever added.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_file(&self, path: &str, mode: Mode) -> Result<Hashed> {
        let output = self.staging.create(&self.inside(path), mode)?;
        Ok(Hashed { output, hasher: Hasher::default(), begun: 0 })
    }

    fn end_file(&self, path: &str, mode: Mode, mut file: Hashed) -> Result<Digest> {
        let (size, digest) = (file.hasher.size(), file.hasher.digest());
        if size >= MIN_REMEMBERED_BYTES {
            file.begin_writeback();
            self.seen.lies(self.inside(path), file.output.stamp()?, digest);
        }
        let entry = manifest::File { size, mode, sha256: digest };
        let inside =
            path.parse().map_err(|why| Failure::io(format!("{path:?} is not a valid path: {why}")))?;
        self.files().insert(inside, entry);
        Ok(digest)
    }
}

/// A file being written and hashed.
struct Hashed {
    output: Output,
    hasher: Hasher,
    /// The kernel has been told to write back the bytes before this offset.
    begun: u64,
}

impl Hashed {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        // Bytes that have just been hashed are still in the cache of the core when they are written.
        interrupt::check()?;
        for near in bytes.chunks(CHUNK_BYTES) {
            self.hasher.update(near);
            self.output.write(near)?;
            if self.hasher.size() - self.begun >= WRITEBACK_BYTES {
                self.begin_writeback();
            }
        }
        Ok(())
    }

    fn begin_writeback(&mut self) {
        let size = self.hasher.size();
        self.output.begin_writeback(self.begun, size - self.begun);
        self.begun = size;
    }
}

/// The SHA-256 of a whole stream.
///
/// # Errors
/// `Exit::Io` when a file among its pieces cannot be read, or has changed.
pub fn digest_of_stream(stream: &[Piece]) -> Result<Digest> {
    let mut hasher = Hasher::default();
    each_bytes(stream, |bytes| {
        hasher.update(bytes);
        interrupt::check()
    })?;
    Ok(hasher.digest())
}

/// All bytes of a stream, piece by piece: a file among them may be larger than memory.
fn each_bytes(stream: &[Piece], mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    for piece in stream {
        match piece {
            Piece::File(file) => copy_of(file, &mut take)?,
            Piece::Zeros(count) => {
                let zeros = vec![0; (*count).min(CHUNK_BYTES as u64) as usize];
                let mut left = *count;
                while left > 0 {
                    let part = left.min(CHUNK_BYTES as u64);
                    take(&zeros[..part as usize])?;
                    left -= part;
                }
            }
            Piece::Own(bytes) => take(bytes)?,
            Piece::Packed(bytes) => take(bytes)?,
        }
    }
    Ok(())
}

/// Reads the contents of a file, and fails if they have changed.
fn copy_of(file: &DiskFile, take: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut hasher = Hasher::default();
    digest::each_piece_of(&mut Input::open(&file.path)?, |bytes| {
        hasher.update(bytes);
        take(bytes)
    })?;
    unchanged(file, &hasher)
}

/// Checks that the bytes read from a file are the expected ones.
fn unchanged(file: &DiskFile, read: &Hasher) -> Result<()> {
    match (read.size(), read.digest()) == (file.size, file.sha256) {
        true => Ok(()),
        false => Err(Failure::io(format!("{} changed while it was read; build again", file.path.display()))),
    }
}
