//! The bundle on disk: its manifest, publishing it whole, reading it back and checking it; and fleets of bundles.

mod check;
mod contents;
#[cfg(test)]
mod example;
mod files;
mod fleet;
mod inside;
mod json;
mod judge;
mod layout;
pub mod manifest;
mod place;
mod problem;
mod read;
mod receive;
mod seen;
mod write;

pub use contents::archives;
pub use fleet::{Entry, Fleet, Index, join};
pub use layout::{
    DOMAIN, INDEX, LAYER_ARCHIVE, LISTING, MANIFEST, MANIFEST_SCHEMA, MAX_MANIFEST_BYTES, NETWORK,
    NODE_ARCHIVE, SUMS, client_file, node_file,
};
pub use manifest::Manifest;
pub use place::{Holds, Place};
pub use problem::{Problem, SHOWN, differs, listed};
pub use read::Bundle;
pub use receive::Receiver;
pub use seen::{Seen, digest_as_seen};
pub use write::{Laid, Writer, digest_of_stream};
