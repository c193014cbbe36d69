//! Bundles in OCI registries: the only room that speaks HTTP.
//!
//! A bundle is an image manifest with an artifact type of its own, as the OCI image specification 1.1 has it ("Guidelines
//! for artifact usage"): its config is `bundle.json`, and every file of the bundle is a layer. Registries keep blobs by
//! their digest, so that what two bundles share is there once.
//!
//! A bundle holds private keys, and a registry may send its client elsewhere: by a redirect, by the `Location` of an
//! upload, by the realm of its tokens. Every such address is judged like the one that was given (`Client::permit`).

mod address;
mod answer;
mod artifact;
mod auth;
mod client;
mod credentials;
mod limits;
mod pace;
mod pull;
mod push;

pub use address::{Address, Reference};
pub use client::{Client, Trust};
pub use credentials::{Credentials, Login};
pub use pull::{Pulled, pull};
pub use push::{Count, Pushed, push};
