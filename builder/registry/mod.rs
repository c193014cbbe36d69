//! Bundles in OCI registries: the only module that uses HTTP with registries.
//!
//! A bundle is an image manifest with an artifact type of its own, as in the OCI image specification 1.1 ("Guidelines
//! for artifact usage"): its config is `bundle.json`, and every file of the bundle is a layer. Registries store blobs
//! by their digest, so data that two bundles share is stored once.
//!
//! A bundle contains private keys, and a registry may send its client elsewhere: by a redirect, by the `Location` of
//! an upload, by the realm of its tokens. Every such address is checked like the one that the user gave
//! (`Client::permit`).

mod address;
mod answer;
mod artifact;
mod auth;
mod client;
mod credentials;
mod helper;
mod limits;
mod login;
mod pace;
mod pull;
mod push;
mod trust;

pub use address::{Address, Reference};
pub use client::Client;
pub use credentials::Credentials;
pub use pull::pull;
pub use push::{Count, push};
pub use trust::Trust;
