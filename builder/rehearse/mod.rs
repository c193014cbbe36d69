//! Forms the cluster of a bundle on this machine, from the files in the bundle: a network namespace for each node, and
//! in it the process that the node's unit would start.

mod account;
mod environment;
mod files;
mod inside;
mod journald;
mod life;
mod linkage;
mod mounts;
mod namespace;
mod network;
mod node;
mod restored;
mod sandbox;
mod service;
mod settings;
mod snapshot;
mod together;
mod unit;

pub use inside::inside;
pub use namespace::{Rehearsal, rehearse};
pub use snapshot::Snapshot;
