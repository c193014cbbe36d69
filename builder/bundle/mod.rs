//! The bundle on disk: its manifest, publishing it whole, reading it back and checking it; and fleets of bundles.

mod check;
mod contents;
#[cfg(test)]
mod example;
mod fleet;
mod inside;
mod judge;
pub mod manifest;
mod place;
mod read;
mod receive;
mod seen;
mod write;

pub use check::differs;
pub use contents::archives;
pub use fleet::{Entry, Fleet, INDEX, Index, join};
pub use manifest::Manifest;
pub use place::{Holds, Place};
pub use read::{Bundle, Problem, SHOWN, listed};
pub use receive::Receiver;
pub use seen::{Seen, digest_as_seen};
pub use write::{Laid, MANIFEST, SUMS, Writer, digest_of_stream};
