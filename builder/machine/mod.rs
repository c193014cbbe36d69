//! Running the nodes of a bundle. `namespace` forms the cluster on this machine without virtual machines; `fleet`
//! starts a virtual machine for each node.

mod accel;
mod base;
mod bridge;
mod domain;
mod elf;
mod fleet;
mod follow;
mod inside;
mod journal;
mod journald;
mod libvirt;
mod mounts;
mod namespace;
mod network;
mod node;
mod plain;
mod qemu;
mod record;
mod sandbox;
mod service;
mod state;
mod system;
mod unit;

pub use accel::Accel;
pub use base::{Base, Carrier};
pub use fleet::{Gone, Node, Order, Standing, down, runs, status, up};
pub use follow::Phase;
pub use inside::inside;
pub use namespace::{Rehearsal, Rehearsed, rehearse};
pub use plain::Plain;
pub use record::{Connect, Driver};
pub use state::State;
pub use system::System;
