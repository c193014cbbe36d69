//! `[pki]` and the tables below it, and `[[client]]`: certificates, their files, and the CAs.

mod around;
mod authorities;
mod clash;
mod clients;
mod fields;
pub(super) mod keys;
mod pattern;
mod read;
mod renewal;
mod subject;
mod types;

pub(super) use around::Around;
pub(super) use clash::check;
pub(super) use clients::{Clients, clients, on_nodes};
pub use pattern::{AltName, Filling, alternative};
pub(super) use read::pki;
pub(super) use renewal::check_release;
pub use subject::Subject;
pub use types::{Ca, CaKeys, Client, Leaf, OnNodes, Pki, Renewal};
