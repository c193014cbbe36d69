//! Kiln bakes etcd nodes: from one TOML profile to payloads that machines boot from as a formed TLS cluster.
//!
//! ARCHITECTURE.md is the map. The rooms below know of each other only as `tests/tidy.rs` allows.

pub mod artifact;
pub mod base;
pub mod build;
pub mod bundle;
pub mod cache;
pub mod carrier;
pub mod causes;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod commands;
pub mod digest;
pub mod disk;
pub mod environ;
pub mod etcd;
pub mod failure;
pub mod format;
pub mod host;
pub mod interrupt;
pub mod parallel;
pub mod pki;
pub mod plan;
pub mod process;
pub mod profile;
#[cfg(feature = "oci")]
pub mod registry;
pub mod rehearse;
pub mod render;
pub mod report;
pub mod suggest;
pub mod tree;
pub mod values;
pub mod verbose;
pub mod verify;
pub mod xml;
pub mod yaml;
