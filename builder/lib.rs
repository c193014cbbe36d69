//! Kiln builds etcd nodes: from one TOML profile to payloads from which machines boot as a formed TLS cluster.
//!
//! ARCHITECTURE.md is the map. The modules below may use each other only as `tests/tidy.rs` allows.

pub mod artifact;
mod backup;
mod base;
mod build;
pub mod bundle;
mod cache;
pub mod carrier;
mod causes;
mod cipher;
pub mod cli;
mod clock;
mod cluster;
pub mod commands;
mod digest;
pub mod disk;
mod elf;
pub mod environ;
pub mod etcd;
pub mod failure;
pub mod format;
pub mod host;
mod import;
pub mod interrupt;
mod parallel;
pub mod pki;
pub mod plan;
pub mod process;
pub mod profile;
#[cfg(feature = "oci")]
mod registry;
mod rehearse;
pub mod render;
mod report;
mod suggest;
pub mod tree;
mod unlock;
pub mod values;
mod verbose;
mod verify;
mod xdg;
mod xml;
mod yaml;
