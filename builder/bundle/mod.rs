//! The bundle on disk: its manifest, publishing it whole, reading it back and checking it; and fleets of bundles.

mod fleet;
pub mod manifest;
mod place;
mod read;
mod receive;
mod write;

pub use fleet::{Entry, Fleet, INDEX, Index, join};
pub use manifest::Manifest;
pub use place::{Holds, Place};
pub use read::{Bundle, Problem, digest, listed};
pub use receive::{Receiver, mode};
pub use write::{MANIFEST, SUMS, Shared, Writer};
