//! The fast tier: tests that an ordinary user can run on a laptop, without a network. `cargo test` runs it.
//!
//! No etcd runs here. Where a release is needed, stand-ins are used (`support::store`).

#![allow(clippy::disallowed_methods, reason = "tests use files and programs as people do")]

mod archives;
mod artifact;
mod backup;
mod bad_values;
mod bundle;
mod command_line;
#[cfg(feature = "age")]
mod copies;
mod fleet;
mod formed;
mod imported;
mod instances;
mod kiln_node;
mod outputs;
mod overlays;
mod pki;
mod places;
mod private;
mod profiles;
mod published;
mod restored;
mod seal;
#[path = "../support/mod.rs"]
mod support;
mod up;
