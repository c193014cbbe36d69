//! Running the nodes of a bundle. `namespace` forms the cluster on this machine without virtual machines.

mod elf;
mod inside;
mod journal;
mod namespace;
mod network;
mod node;
mod service;
mod unit;

pub use inside::inside;
pub use namespace::{Rehearsal, Rehearsed, rehearse};
