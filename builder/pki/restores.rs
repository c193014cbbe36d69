//! The restores of a cluster from a snapshot, as its keystore counts them.
//!
//! Each makes another cluster to etcd, with members that have the same names and places: its token says which. Who
//! restores from an old copy of a keystore counts the same number again, and so a restore has an identity, too.

use std::fmt::Write;

use serde::Deserialize;

use super::damage::changed;
use crate::failure::Result;
use crate::values::{Epoch, Token};

/// One restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The token of the first generation.
    pub token: Token,
    /// From 2.
    pub generation: u32,
    /// What tells it from another one of the same number.
    pub id: kiln_wire::Id,
    /// When it was decided.
    pub date: Epoch,
    /// The highest revision of the snapshot.
    pub revision: u64,
}

/// `[[restored]]` in `keystore.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRestore {
    token: String,
    generation: u32,
    id: String,
    date: String,
    revision: u64,
}

impl RawRestore {
    pub fn read(&self) -> Result<Restore> {
        Ok(Restore {
            token: self.token.parse().map_err(|_| changed())?,
            generation: self.generation,
            id: self.id.parse().map_err(|_| changed())?,
            date: self.date.parse().map_err(|_| changed())?,
            revision: self.revision,
        })
    }
}

/// As a part of `keystore.toml`; empty where there was none.
pub(super) fn render(all: &[Restore]) -> String {
    let mut text = String::new();
    for Restore { token, generation, id, date, revision } in all {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n[[restored]]\ntoken = \"{token}\"\ngeneration = {generation}\nid = \"{id}\"\ndate = \"{date}\"\n\
             revision = {revision}\n"
        );
    }
    text
}
