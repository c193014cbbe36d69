//! Forming the cluster of a bundle on this machine, from its baked bytes: a network namespace for each node, and in it what
//! the node's unit would start.

mod account;
mod elf;
mod files;
mod inside;
mod journal;
mod journald;
mod mounts;
mod namespace;
mod network;
mod node;
mod sandbox;
mod service;
mod unit;

pub use inside::inside;
pub use namespace::{Rehearsal, Rehearsed, rehearse};
