//! The bundle on disk: its manifest, publishing it whole, reading it back and checking it; and fleets of bundles.

mod check;
mod cluster;
mod contents;
pub(crate) mod delivered;
#[cfg(test)]
pub(crate) mod example;
mod files;
mod fleet;
mod inside;
mod json;
mod judge;
mod kiln_node;
mod kit;
mod layout;
pub(crate) mod manifest;
mod own_roots;
mod place;
mod placed;
mod problem;
mod programs;
mod read;
#[cfg(feature = "oci")]
mod receive;
mod seen;
mod snapshots;
mod wired;
mod write;

pub(crate) use contents::archives;
pub use fleet::Index;
pub(crate) use fleet::{Fleet, IndexEntry, join};
pub use kit::Kit;
pub(crate) use kit::{KIT_BUNDLE, KIT_NODES, KIT_ORDERS, KIT_SNAPSHOT};
pub(crate) use layout::{
    CLIENT_CA, CLIENT_PEER_CA, DOMAIN, FILES, INDEX, LAYER_ARCHIVE, LISTING, MANIFEST, MANIFEST_SCHEMA,
    MAX_MANIFEST_BYTES, NETWORK, NODE_ARCHIVE, OPERATOR_CERT, OPERATOR_KEY, PEER_NETWORK, SUMS, client_file,
    node_file,
};
pub use manifest::Manifest;
pub(crate) use place::{Holds, Place, copy, take};
#[cfg(feature = "oci")]
pub(crate) use problem::{MAX_PROBLEMS_SHOWN, listed};
pub(crate) use problem::{Problem, differs};
pub use read::Bundle;
#[cfg(feature = "oci")]
pub(crate) use receive::Receiver;
pub(crate) use seen::{SeenFiles, digest_as_seen};
pub(crate) use write::{Laid, Writer, digest_of_stream};
