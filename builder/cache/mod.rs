//! Results of earlier builds, by a digest of all their inputs. The cache may be deleted at any time.
//!
//! `1/<kind>/<64 hex digits>` is an entry: its bytes, then the SHA-256 of its key and its bytes. Entries appear
//! atomically, by a rename out of `1/new`, so that any number of builds may use one cache at once. They are not
//! synced: after a power failure one may be truncated, and an entry whose digest does not match is ignored. The digest
//! guards against damage only; other users are kept out by the mode of the directory, which must belong to this user
//! alone.

mod entry_kind;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::disk::{self, Kind};
use crate::failure::{Failure, Result};
use crate::values::{Digest, Epoch, Mode};

pub use entry_kind::EntryKind;

/// The default limit on the size of all entries together, in bytes.
pub const DEFAULT_MAX_BYTES: u64 = 2 << 30;

/// The layout of the directory: other layouts have directories of their own beside it.
const LAYOUT: &str = "1";

/// The largest entry that is read: a compressed release has 25 MB.
const MAX_ENTRY_BYTES: u64 = 1 << 30;

/// A cache is private: it contains the names and addresses of every node that was built.
const DIRECTORY: Mode = Mode::SECRET_DIRECTORY;
const FILE: Mode = Mode::SECRET;

const DIGEST_BYTES: usize = 32;

/// Where entries are written before they are renamed into place.
const UNFINISHED: &str = "new";

/// Unfinished entries older than this are left over from killed runs; in seconds.
const ABANDONED_AFTER_SECONDS: u64 = 3600;

/// The file that counts the bytes added since all entries were last listed.
const ADDED: &str = "added";

pub struct Cache {
    directory: PathBuf,
    /// The bytes added through this value.
    grown: AtomicU64,
}

/// The number and size of the entries of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    pub of: EntryKind,
    pub entries: usize,
    pub bytes: u64,
}

/// What pruning has removed, and what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    pub removed: usize,
    pub removed_bytes: u64,
    pub kept_bytes: u64,
}

impl Cache {
    /// # Errors
    /// `Exit::Unsafe` when something other than a cache is at the path, or around it.
    pub fn refuse_foreign(directory: &Path) -> Result<()> {
        disk::refuse_foreign(directory, disk::CACHE, "name another directory with --cache")
    }

    /// Opens or makes a cache, and removes unfinished entries of killed runs.
    ///
    /// # Errors
    /// `Exit::Unsafe` when other users may write there: what they write would get into bundles; and as
    /// [`Cache::refuse_foreign`].
    pub fn open(directory: &Path, now: Epoch) -> Result<Self> {
        Self::refuse_foreign(directory)?;
        let cache = Self::at(directory);
        let places = EntryKind::ALL.map(|of| cache.place(of)).into_iter().chain([cache.unfinished()]);
        for place in places.clone() {
            disk::make_directories(&place, DIRECTORY)?;
        }
        for path in [directory.to_owned(), directory.join(LAYOUT)].into_iter().chain(places) {
            check_private(&path)?;
        }
        cache.sweep(&cache.unfinished(), now)?;
        Ok(cache)
    }

    /// Removes unfinished entries of killed runs in a directory.
    fn sweep(&self, place: &Path, now: Epoch) -> Result<()> {
        if disk::look(place)?.is_none() {
            return Ok(());
        }
        for file in disk::stored(place)? {
            let is_unfinished = is_temporary(&file.path);
            let age = now.seconds().saturating_sub(u64::try_from(file.modified.0).unwrap_or(0));
            if is_unfinished && age > ABANDONED_AFTER_SECONDS {
                disk::remove_file(&file.path)?;
            }
        }
        Ok(())
    }

    /// A cache that is only inspected or pruned: a missing directory is an empty cache.
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), grown: AtomicU64::new(0) }
    }

    /// `None` when there is no such entry, or it is damaged and therefore removed.
    pub fn get(&self, of: EntryKind, key: Digest) -> Option<Vec<u8>> {
        let path = self.entry(of, key);
        let mut bytes = disk::read_and_mark(&path, MAX_ENTRY_BYTES).ok()?;
        if let Some((rest, sum)) = bytes.split_last_chunk::<DIGEST_BYTES>()
            && *sum == seal(key, &[rest])
        {
            bytes.truncate(bytes.len() - DIGEST_BYTES);
            return Some(bytes);
        }
        let _ = disk::remove_file(&path);
        None
    }

    /// Stores bytes, given in pieces. Errors of writing are ignored: the build goes on without the cache.
    pub fn put(&self, of: EntryKind, key: Digest, pieces: &[&[u8]]) {
        let sum = seal(key, pieces);
        let all: Vec<&[u8]> = pieces.iter().copied().chain([&sum[..]]).collect();
        if disk::write_unsynced(&self.entry(of, key), &self.unfinished(), &all, FILE).is_ok() {
            self.grown.fetch_add(pieces.iter().map(|piece| piece.len() as u64).sum(), Ordering::Relaxed);
        }
    }

    /// Prunes the cache when it has grown beyond its limit, with a tolerance of 1/64 of it: listing every entry takes
    /// longer than a small build, so it is done only when that much has been added since the last time.
    pub fn keep_within(&self, limit: u64, now: Epoch) -> Result<()> {
        let grown = self.grown.swap(0, Ordering::Relaxed);
        if grown == 0 {
            return Ok(());
        }
        let path = self.directory.join(LAYOUT).join(ADDED);
        // An unreadable count is treated as exceeding the limit. Concurrent runs may lose a few of each other's bytes.
        let before = match disk::look(&path)? {
            None => Some(0),
            Some(_) => disk::read(&path, 64).ok().and_then(|text| String::from_utf8(text).ok()?.parse().ok()),
        };
        let added = before.map_or(u64::MAX, |before: u64| before.saturating_add(grown));
        let is_much = added > limit / 64;
        let rest = if is_much { 0 } else { added };
        // A cache that cannot be written to does not grow.
        let _ = disk::write_unsynced(&path, &self.unfinished(), &[rest.to_string().as_bytes()], FILE);
        if is_much { self.prune(limit, now).map(drop) } else { Ok(()) }
    }

    pub fn held(&self) -> Result<Vec<Usage>> {
        let count = |of| {
            let all = self.entries(of)?;
            Ok(Usage { of, entries: all.len(), bytes: all.iter().map(|entry| entry.size).sum() })
        };
        EntryKind::ALL.into_iter().map(count).collect()
    }

    /// Evicts the least recently used entries until at most `limit` bytes are left.
    pub fn prune(&self, limit: u64, now: Epoch) -> Result<Pruned> {
        let mut all = Vec::new();
        self.sweep(&self.unfinished(), now)?;
        for of in EntryKind::ALL {
            // Earlier versions of Kiln wrote entries in their final directory.
            self.sweep(&self.place(of), now)?;
            all.append(&mut self.entries(of)?);
        }
        // The most recently used first; of two with the same time the smaller one is kept.
        all.sort_by_key(|entry| (std::cmp::Reverse(entry.modified), entry.size));
        let mut pruned = Pruned::default();
        for entry in all {
            if pruned.kept_bytes + entry.size <= limit {
                pruned.kept_bytes += entry.size;
                continue;
            }
            disk::remove_file(&entry.path)?;
            pruned.removed += 1;
            pruned.removed_bytes += entry.size;
        }
        Ok(pruned)
    }

    fn entries(&self, of: EntryKind) -> Result<Vec<disk::Stored>> {
        let place = self.place(of);
        match disk::look(&place)? {
            // Anything else is not Kiln's, or still being written.
            Some(_) => Ok(disk::stored(&place)?.into_iter().filter(|file| is_entry(&file.path)).collect()),
            None => Ok(Vec::new()),
        }
    }

    fn unfinished(&self) -> PathBuf {
        self.directory.join(LAYOUT).join(UNFINISHED)
    }

    fn place(&self, of: EntryKind) -> PathBuf {
        self.directory.join(LAYOUT).join(of.directory())
    }

    fn entry(&self, of: EntryKind, key: Digest) -> PathBuf {
        self.place(of).join(key.to_string())
    }
}

/// Whether an entry has this name: a digest as Kiln writes it.
fn is_entry(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.parse::<Digest>().is_ok_and(|digest| digest.to_string() == name)
}

/// Whether a file that is being written has this name: the prefix, and `RANDOM_CHARACTERS` letters and digits.
fn is_temporary(path: &Path) -> bool {
    const RANDOM_CHARACTERS: usize = 6;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix(disk::TEMPORARY).is_some_and(|random| {
        random.len() == RANDOM_CHARACTERS && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Covers the key as well, so that a file under the wrong name is not used.
fn seal(key: Digest, pieces: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    *Digest::of_pieces(std::iter::once(&key.bytes()[..]).chain(pieces.iter().copied())).bytes()
}

fn check_private(path: &Path) -> Result<()> {
    let found = disk::look(path)?.filter(|found| found.kind == Kind::Directory);
    let reason = match found.map(|found| found.open_to_others(None)) {
        None => "is not a directory".to_owned(),
        Some(None) => return Ok(()),
        Some(Some(reason)) => reason,
    };
    Err(Failure::unsafe_to(format!(
        "the cache is not used: {} {reason}, so other users could change what goes into a bundle; fix its owner and mode, name another with \
         --cache, or use --no-cache",
        path.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Scratch;
    use crate::failure::Exit;

    fn key(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn now() -> Epoch {
        Epoch::from_seconds(1_800_000_000).unwrap()
    }

    fn cache() -> (Scratch, Cache) {
        let scratch = Scratch::new("test").unwrap();
        let cache = Cache::open(&scratch.path().join("cache"), now()).unwrap();
        (scratch, cache)
    }

    #[test]
    fn what_was_put_comes_back_and_nothing_else() {
        let (_scratch, cache) = cache();
        cache.put(EntryKind::Part, key("a"), &[b"on", b"e"]);
        assert_eq!(cache.get(EntryKind::Part, key("a")).unwrap(), b"one");
        assert!(cache.get(EntryKind::Packed, key("a")).is_none());
        assert!(cache.get(EntryKind::Part, key("b")).is_none());
        cache.put(EntryKind::Part, key("a"), &[b"two"]);
        assert_eq!(cache.get(EntryKind::Part, key("a")).unwrap(), b"two");
    }

    #[test]
    fn damage_of_any_byte_and_any_length_is_noticed() {
        let (_scratch, cache) = cache();
        let path = cache.entry(EntryKind::Part, key("a"));
        cache.put(EntryKind::Part, key("a"), &[b"hello"]);
        let good = disk::read(&path, 1 << 20).unwrap();
        let flipped = (0..good.len()).map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        });
        let cut = (0..good.len()).map(|length| good[..length].to_vec());
        for bad in flipped.chain(cut).chain([[&good[..], b"x"].concat()]) {
            disk::write_whole(&path, &bad, Mode::SECRET).unwrap();
            assert!(cache.get(EntryKind::Part, key("a")).is_none(), "{bad:?}");
            assert!(disk::look(&path).unwrap().is_none(), "what is damaged goes away");
        }
        disk::write_whole(&cache.entry(EntryKind::Part, key("b")), &good, Mode::SECRET).unwrap();
        assert!(cache.get(EntryKind::Part, key("b")).is_none(), "an entry under another's name");
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let (_scratch, cache) = cache();
        for (name, size) in [("old", 100), ("older", 100), ("new", 100)] {
            cache.put(EntryKind::Part, key(name), &[&vec![0; size]]);
        }
        for (name, time) in [("old", 2_000), ("older", 1_000)] {
            disk::set_modified(&cache.entry(EntryKind::Part, key(name)), time).unwrap();
        }
        assert!(
            cache.get(EntryKind::Part, key("older")).is_some(),
            "which makes it the latest but one, or the latest"
        );
        let one = 100 + DIGEST_BYTES as u64;
        let pruned = cache.prune(2 * one, now()).unwrap();
        assert_eq!(pruned, Pruned { removed: 1, removed_bytes: one, kept_bytes: 2 * one });
        assert!(cache.get(EntryKind::Part, key("old")).is_none());
        assert!(
            cache.get(EntryKind::Part, key("older")).is_some()
                && cache.get(EntryKind::Part, key("new")).is_some()
        );
        cache.keep_within(0, now()).unwrap();
        assert!(cache.get(EntryKind::Part, key("old")).is_none());
        assert_eq!(cache.held().unwrap().iter().map(|held| held.entries).sum::<usize>(), 0);
    }

    #[test]
    fn it_grows_past_its_limit_by_little_however_little_each_run_adds() {
        let (_scratch, cache) = cache();
        let limit = 6_400;
        for run in 0..200 {
            let another = Cache::at(&cache.directory);
            another.put(EntryKind::Part, key(&run.to_string()), &[&[0; 68]]);
            another.keep_within(limit, now()).unwrap();
            let held: u64 = cache.held().unwrap().iter().map(|held| held.bytes).sum();
            assert!(held <= limit + limit / 64 + 2 * 100, "{held} after {run}");
        }
        // Whatever is there.
        disk::write_whole(&cache.directory.join(LAYOUT).join(ADDED), b"many", Mode::SECRET).unwrap();
        cache.put(EntryKind::Part, key("one"), &[b"x"]);
        cache.keep_within(200, now()).unwrap();
        assert!(cache.held().unwrap().iter().map(|held| held.bytes).sum::<u64>() <= 200);
    }

    #[test]
    fn a_cache_that_others_may_write_to_is_refused() {
        let (scratch, cache) = cache();
        drop(cache);
        let path = scratch.path().join("cache");
        disk::set_mode(&path, Mode::from_bits(0o777)).unwrap();
        let error = Cache::open(&path, now()).err().unwrap();
        assert_eq!(error.exit(), Exit::Unsafe);
        assert!(error.to_string().contains("mode 0777"), "{error}");
    }

    #[test]
    fn what_a_killed_run_left_goes_away_and_what_another_run_writes_stays() {
        let (_scratch, cache) = cache();
        let place = |directory: &Path, name: &str| {
            let path = directory.join(name);
            disk::write_whole(&path, b"half", Mode::SECRET).unwrap();
            path
        };
        let [old, old_layout] =
            [cache.unfinished(), cache.place(EntryKind::Packed)].map(|d| place(&d, ".kiln-oldOld"));
        let [young, young_layout] =
            [cache.unfinished(), cache.place(EntryKind::Packed)].map(|d| place(&d, ".kiln-young1"));
        cache.put(EntryKind::Packed, key("a"), &[b"entry"]);
        let seconds = now().seconds().cast_signed();
        for (path, age) in [(&old, 3700), (&old_layout, 3700), (&young, 3000), (&young_layout, 3000)] {
            disk::set_modified(path, seconds - age).unwrap();
        }
        let is_there = |path: &Path| disk::look(path).unwrap().is_some();
        Cache::open(&cache.directory, now()).unwrap();
        assert!(!is_there(&old) && is_there(&young) && is_there(&young_layout));
        assert_eq!(cache.held().unwrap().iter().map(|held| held.entries).sum::<usize>(), 1);
        cache.prune(0, now()).unwrap();
        assert!(!is_there(&old_layout) && is_there(&young_layout) && is_there(&young));
        assert!(cache.get(EntryKind::Packed, key("a")).is_none());
    }

    #[test]
    fn nothing_is_an_empty_cache() {
        let scratch = Scratch::new("test").unwrap();
        let cache = Cache::at(&scratch.path().join("none"));
        assert_eq!(cache.prune(0, now()).unwrap(), Pruned::default());
        assert!(cache.held().unwrap().iter().all(|held| held.entries == 0));
    }
}
