//! The bundle on disk: its manifest, publishing it whole, reading it back and checking it.

pub mod manifest;

pub use manifest::Manifest;
