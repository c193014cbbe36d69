//! The bundle on disk: its manifest, publishing it whole, reading it back and checking it.

pub mod manifest;
mod read;
mod write;

pub use manifest::Manifest;
pub use read::{Bundle, Problem, digest};
pub use write::{MANIFEST, SUMS, Writer};
