//! All files of a node, as one sorted value that refuses to overwrite an entry.

mod base;
mod origin;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use crate::failure::{Failure, Result};
use crate::values::{Digest, GuestPath, Mode};

pub use base::{is_of_all, known_mode};
pub use origin::Origin;

/// Bytes that several nodes share: read, hashed and compressed once, and not read at all where they are not needed.
pub struct Blob {
    digest: Digest,
    size: u64,
    bytes: OnceLock<Vec<u8>>,
    read: Option<Box<Read>>,
}

type Read = dyn Fn() -> Result<Vec<u8>> + Send + Sync;

impl Blob {
    /// Bytes in memory; they are hashed here.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            bytes: OnceLock::from(bytes),
            read: None,
        }
    }

    /// Bytes that are read when they are needed. `read` checks their size and digest.
    pub fn elsewhere(
        digest: Digest,
        size: u64,
        read: impl Fn() -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self { digest, size, bytes: OnceLock::new(), read: Some(Box::new(read)) }
    }

    /// # Errors
    /// Those of reading them, unless they have been read already.
    pub fn bytes(&self) -> Result<&[u8]> {
        if let (None, Some(read)) = (self.bytes.get(), &self.read) {
            let bytes = read()?;
            return Ok(self.bytes.get_or_init(|| bytes));
        }
        Ok(self.bytes.get().map_or(&[], Vec::as_slice))
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// SHA-256 of the bytes, known without reading them.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// A file's content.
#[derive(Clone)]
pub enum Content {
    /// The content for one node only.
    Own(Vec<u8>),
    /// The same in many nodes, such as a program of etcd.
    Shared(Arc<Blob>),
}

impl Content {
    /// # Errors
    /// Those of reading shared bytes.
    pub fn bytes(&self) -> Result<&[u8]> {
        match self {
            Content::Own(bytes) => Ok(bytes),
            Content::Shared(blob) => blob.bytes(),
        }
    }

    /// In bytes.
    pub fn len(&self) -> u64 {
        match self {
            Content::Own(bytes) => bytes.len() as u64,
            Content::Shared(blob) => blob.size(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// SHA-256 of the bytes. Shared bytes are not hashed again.
    pub fn digest(&self) -> Digest {
        match self {
            Content::Own(bytes) => Digest::of(bytes),
            Content::Shared(blob) => blob.digest(),
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Content::Own(bytes)
    }
}

/// A content may be a private key: only its length is shown.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// The kind of an entry. Devices, sockets and hard links are not allowed in a node's files.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Its contents are entries of their own.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link and its target, unchanged.
    Link(String),
}

/// One entry of a tree. Every entry belongs to root (0:0): the etcd account gets its number on the node at boot, and
/// systemd-tmpfiles changes the owner of its files.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Directory, file or link.
    pub kind: Kind,
    /// Permission bits on the node.
    pub mode: Mode,
    /// Its source.
    pub origin: Origin,
}

impl Entry {
    /// A regular file with bytes of its own.
    pub fn file(content: Vec<u8>, mode: Mode, origin: impl Into<Origin>) -> Self {
        Self { kind: Kind::File(Content::Own(content)), mode, origin: origin.into() }
    }

    /// A regular file whose bytes other nodes share.
    pub fn shared(blob: Arc<Blob>, mode: Mode, origin: impl Into<Origin>) -> Self {
        Self { kind: Kind::File(Content::Shared(blob)), mode, origin: origin.into() }
    }

    /// A directory, which may stay empty.
    pub fn directory(mode: Mode, origin: impl Into<Origin>) -> Self {
        Self { kind: Kind::Directory, mode, origin: origin.into() }
    }

    /// A symbolic link; `target` is not changed, and need not exist.
    pub fn link(target: impl Into<String>, origin: impl Into<Origin>) -> Self {
        // Linux shows 0777 for every symbolic link and ignores it (symlink(7)).
        Self { kind: Kind::Link(target.into()), mode: Mode::from_bits(0o777), origin: origin.into() }
    }
}

/// Sorted by path, so that a directory always comes before its contents.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    entries: BTreeMap<GuestPath, Entry>,
}

impl Tree {
    /// # Errors
    /// `Exit::Unsafe` when the path is taken, or when a parent is not a directory. Two overlays may have the same
    /// directory with the same mode.
    pub fn insert(&mut self, path: GuestPath, entry: Entry) -> Result<()> {
        self.check_parents(&path, &entry)?;
        if let Some(there) = self.entries.get(&path) {
            let same_directory = matches!((&there.kind, &entry.kind), (Kind::Directory, Kind::Directory));
            if same_directory && there.mode == entry.mode {
                return Ok(());
            }
            return Err(Failure::unsafe_to(format!(
                "{path} is already in the tree, from {}, and again from {}",
                there.origin, entry.origin
            )));
        }
        self.entries.insert(path, entry);
        Ok(())
    }

    /// Replaces an existing entry.
    ///
    /// # Errors
    /// `Exit::Unsafe` when there is no entry to replace, or the kinds differ.
    pub fn replace(&mut self, path: GuestPath, entry: Entry) -> Result<()> {
        match self.entries.get_mut(&path) {
            Some(there) if matches!(there.kind, Kind::Directory) == matches!(entry.kind, Kind::Directory) => {
                *there = entry;
                Ok(())
            }
            Some(there) => Err(Failure::unsafe_to(format!(
                "{path} from {} is a directory or a file where {} has the other",
                entry.origin, there.origin
            ))),
            None => Err(Failure::unsafe_to(format!("{path} from {} replaces nothing", entry.origin))),
        }
    }

    fn check_parents(&self, path: &GuestPath, entry: &Entry) -> Result<()> {
        for parent in path.parents() {
            if let Some(above) = self.entries.get(&parent)
                && !matches!(above.kind, Kind::Directory)
            {
                return Err(Failure::unsafe_to(format!(
                    "{path} from {} is below {parent}, which is not a directory, from {}",
                    entry.origin, above.origin
                )));
            }
        }
        // Conversely, a path that becomes a file or a link must not have entries below it.
        if !matches!(entry.kind, Kind::Directory)
            && let Some((child, there)) = self.below(path).next()
        {
            return Err(Failure::unsafe_to(format!(
                "{path} from {} is not a directory, but {child} from {} is below it",
                entry.origin, there.origin
            )));
        }
        Ok(())
    }

    /// The entries below a directory.
    pub fn below(&self, path: &GuestPath) -> impl Iterator<Item = (&GuestPath, &Entry)> {
        let below = format!("{path}/");
        let from = (Bound::Excluded(below.as_str()), Bound::Unbounded);
        self.entries.range::<str, _>(from).take_while(move |(path, _)| path.as_str().starts_with(&below))
    }

    /// Whether there is an entry, or a directory that is implied by an entry below it.
    pub fn has(&self, path: &GuestPath) -> bool {
        self.entries.contains_key(path) || self.below(path).next().is_some()
    }

    /// The entry at exactly this path; `None` for a parent that is not listed itself.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&GuestPath, &Entry)> {
        self.entries.iter()
    }

    /// The number of entries, directories included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The same tree with every parent directory listed, as an initramfs needs it: the kernel makes no directory that
    /// the archive does not list. It also gives an existing directory the owner and mode in the archive (Linux 6.12,
    /// init/initramfs.c, `do_name`), so each parent gets the mode that base systems have for it.
    pub fn with_parents(&self) -> Tree {
        let mut all = self.clone();
        for parent in self.entries.keys().flat_map(GuestPath::parents) {
            all.entries
                .entry(parent)
                .or_insert_with_key(|path| Entry::directory(base::mode(path), "a parent"));
        }
        all
    }

    /// A readable list of the tree, a line per entry: mode, owner, size in bytes, path.
    pub fn listing(&self) -> String {
        let mut text = String::new();
        for (path, entry) in &self.entries {
            let (size, tail) = match &entry.kind {
                Kind::Directory => (0, "/".to_owned()),
                Kind::File(content) => (content.len(), String::new()),
                Kind::Link(target) => (target.len() as u64, format!(" -> {target}")),
            };
            text.push_str(&format!("{} root root {size:>9} {path}{tail}\n", entry.mode));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> GuestPath {
        text.parse().unwrap()
    }

    fn file(origin: &'static str) -> Entry {
        Entry::file(b"x".to_vec(), Mode::FILE, origin)
    }

    #[test]
    fn a_taken_path_is_refused_and_both_origins_are_named() {
        let mut tree = Tree::default();
        tree.insert(path("etc/a"), file("overlay \"one\"")).unwrap();
        let error = tree.insert(path("etc/a"), file("overlay \"two\"")).unwrap_err().to_string();
        assert!(error.contains("one") && error.contains("two"), "{error}");
        assert!(tree.insert(path("etc/a/b"), file("x")).is_err(), "a file has nothing below it");
        tree.insert(path("usr/b/c"), file("x")).unwrap();
        assert!(tree.insert(path("usr/b"), file("x")).is_err(), "a directory is not covered by a file");
    }

    #[test]
    fn replacing_needs_something_to_replace() {
        let mut tree = Tree::default();
        assert!(tree.replace(path("a"), file("x")).is_err());
        tree.insert(path("a"), file("x")).unwrap();
        tree.replace(path("a"), file("y")).unwrap();
        assert_eq!(tree.get("a").unwrap().origin, Origin::Part("y"));
    }

    #[test]
    fn parents_come_first_and_once() {
        let mut tree = Tree::default();
        tree.insert(path("etc/etcd/a"), file("x")).unwrap();
        tree.insert(path("etc/b"), file("x")).unwrap();
        let all = tree.with_parents();
        let names: Vec<_> = all.iter().map(|(p, _)| p.as_str().to_owned()).collect();
        assert_eq!(names, ["etc", "etc/b", "etc/etcd", "etc/etcd/a"]);
    }

    #[test]
    fn parents_have_the_modes_of_a_base_system() {
        let mut tree = Tree::default();
        for name in
            ["root/keys/a", "var/spool/cron/crontabs/x", "etc/site/b", "var/lib/private/c", "opt/own/d"]
        {
            tree.insert(path(name), file("x")).unwrap();
        }
        tree.insert(path("opt/own"), Entry::directory(Mode::SECRET_DIRECTORY, "an overlay")).unwrap();
        let all = tree.with_parents();
        let mode = |name: &str| all.get(name).unwrap().mode.to_string();
        for (name, want) in [
            ("root", "0700"),
            ("root/keys", "0755"),
            ("var/spool/cron/crontabs", "1730"),
            ("etc", "0755"),
            ("etc/site", "0755"),
            ("var/lib/private", "0700"),
            ("opt/own", "0700"),
        ] {
            assert_eq!(mode(name), want, "{name}");
        }
    }

    #[test]
    fn debug_shows_no_content() {
        let text = format!("{:?}", Entry::file(b"PRIVATE".to_vec(), Mode::SECRET, "keys"));
        assert!(!text.contains("PRIVATE") && text.contains("7 bytes"), "{text}");
    }
}
