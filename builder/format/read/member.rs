//! An entry of an archive, its content, and the common checks.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::ops::ControlFlow;

use super::source::Budget;
use crate::failure::{Failure, Result};
use crate::values::{Digest, GuestPath, Hasher, Mode};

/// The kind of an entry. Any other kind in an archive is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// Without content.
    Directory,
    /// A regular file; its content is in [`Body`].
    File,
    /// A symbolic link and its target.
    Link(String),
}

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Relative to the root, without `./` before it.
    pub path: GuestPath,
    /// Directory, file or link.
    pub kind: MemberKind,
    /// Permission bits, without the type.
    pub mode: Mode,
    /// 0 in everything that Kiln writes.
    pub uid: u64,
    /// 0 in everything that Kiln writes.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Of a file's content, in bytes; 0 for the others.
    pub size: u64,
}

/// The content of the member that is being visited.
pub struct Body<'a> {
    pub(super) reader: &'a mut dyn Read,
    pub(super) size: u64,
}

impl Body<'_> {
    /// All of its content.
    ///
    /// # Errors
    /// `Exit::Wrong` when it is longer than `limit` bytes or the archive ends within it.
    pub fn whole(&mut self, limit: u64) -> Result<Vec<u8>> {
        if self.size > limit {
            return Err(Failure::wrong(format!("it has {} bytes; at most {limit} are expected", self.size)));
        }
        // Not preallocated: the size in the header may be false, and memory is only for bytes that have arrived.
        let mut bytes = Vec::new();
        self.reader.take(self.size).read_to_end(&mut bytes).map_err(damaged)?;
        if bytes.len() as u64 != self.size {
            return Err(Failure::wrong("the archive ends within it"));
        }
        Ok(bytes)
    }

    /// Its size in bytes and its SHA-256, without keeping it in memory.
    ///
    /// # Errors
    /// `Exit::Wrong` when the archive ends within it.
    pub fn digest(&mut self) -> Result<(u64, Digest)> {
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = self.reader.read(&mut buffer).map_err(damaged)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
        }
        match hasher.size() == self.size {
            true => Ok((hasher.size(), hasher.digest())),
            false => Err(Failure::wrong("the archive ends within it")),
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

pub(super) type Visit<'a> = dyn FnMut(&Member, &mut Body) -> Result<ControlFlow<()>> + 'a;

/// An error while unpacking is a fault of the archive; the budget records errors of reading the file.
pub(super) fn damaged(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::OutOfMemory => {
            Failure::io(format!("unpacking takes more memory than there is ({error})"))
        }
        _ => Failure::wrong(format!("the archive is damaged: {error}")),
    }
}

/// A path from an archive; directories may end in a slash.
pub(super) fn path(bytes: &[u8]) -> Result<GuestPath> {
    let text = std::str::from_utf8(bytes).map_err(|_| Failure::wrong("a member's path is not UTF-8"))?;
    let text = text.strip_suffix('/').unwrap_or(text);
    text.parse().map_err(|reason| Failure::wrong(format!("a member's path is not valid on a node: {reason}")))
}

/// The members of one archive so far; a file may contain several archives.
pub(super) struct SeenMembers<'b> {
    paths: BTreeSet<GuestPath>,
    budget: &'b Budget,
}

impl<'b> SeenMembers<'b> {
    pub fn new(budget: &'b Budget) -> Self {
        Self { paths: BTreeSet::new(), budget }
    }

    pub fn check(&mut self, member: &Member) -> Result<()> {
        let target = if let MemberKind::Link(target) = &member.kind { target.len() } else { 0 };
        self.budget.take_member(member.path.len() + target)?;
        match self.paths.insert(member.path.clone()) {
            true => Ok(()),
            false => Err(Failure::wrong(format!("{} is in the archive twice", member.path))),
        }
    }
}
