//! etcd's release files -> verified binaries, in a store that later builds read without a network.
//!
//! A file goes through three gates. Its SHA-256 must be one that is trusted, before a byte of it is
//! interpreted. It is then unpacked in memory, with a cap on everything that it can claim, and only the
//! programs that an etcd release is made of are picked from it, by exact name. Each of them must be an ELF
//! program for the architecture and of the release that the file says it is. Nothing is written before all
//! the files of a call are through.

mod archive;
mod catalogue;
mod control;
mod deb;
mod elf;
mod group;
mod limits;
mod record;
mod release_file;
mod source;
mod store;
mod tarball;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::etcd::Release;
use crate::values::Digest;

pub use catalogue::{Known, known};
pub use elf::check as check_program;
pub use record::{Binary, Record, Source, Trust};
pub use store::{Added, Outcome, Store};

/// The programs that an etcd release is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    Etcd,
    Etcdctl,
    Etcdutl,
}

impl Program {
    pub const ALL: [Program; 3] = [Program::Etcd, Program::Etcdctl, Program::Etcdutl];

    pub fn as_str(self) -> &'static str {
        match self {
            Program::Etcd => "etcd",
            Program::Etcdctl => "etcdctl",
            Program::Etcdutl => "etcdutl",
        }
    }

    /// Whether a release has it: etcdutl was split off etcdctl in 3.5.0 (etcd's CHANGELOG-3.5).
    pub fn is_part_of(self, release: Release) -> bool {
        self != Program::Etcdutl || release >= Release::new(3, 5, 0)
    }

    fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|program| program.as_str().as_bytes() == name)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What `Store::add` takes besides what the built-in catalogue knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accept<'a> {
    /// Digests that a profile names under `[etcd] sha256`.
    pub pinned: &'a [Digest],
    /// Any digest; the record then says that it was trusted by hand.
    pub trust: bool,
    /// Other binaries than those that the store has for the same release.
    pub replace: bool,
}
