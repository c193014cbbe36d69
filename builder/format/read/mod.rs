//! Reads archives back: those that `format` writes, and nothing that it would not write.
//!
//! The bytes may come from anywhere, so everything is checked and bounded here: paths, kinds, sizes, the number of
//! members, and the unpacked size, each for the whole file.

mod archive;
mod cpio;
mod entries;
mod iso;
mod member;
mod source;
mod tar;

pub use archive::Archive;
pub(crate) use entries::{End, RawEntry, Rules, entries};
pub use iso::{Iso, IsoFile, iso};
pub use member::{Body, Member, MemberKind};

#[cfg(test)]
mod tests;
