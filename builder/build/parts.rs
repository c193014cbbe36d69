//! Parts of a bundle - a node's files, the layer, the clients' - are not rebuilt when none of their inputs has
//! changed: they are taken over from the bundle that is about to be replaced.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::sink::Sink;
use crate::bundle::manifest;
use crate::cache::{Cache, EntryKind};
use crate::failure::Result;
use crate::values::{Digest, GuestPath};

/// The parts of one bundle.
pub struct Parts<'a> {
    pub cache: Option<&'a Cache>,
    pub sink: Sink<'a>,
}

/// The record of a part: no bytes of its files, among which are keys.
#[derive(Serialize, Deserialize)]
struct PartRecord<T> {
    files: BTreeMap<GuestPath, manifest::File>,
    made: T,
}

impl Parts<'_> {
    /// The files below one existing directory of the bundle, which `make` writes, and the value that describes them.
    ///
    /// `inputs` is the digest of all their inputs.
    pub fn part<T: Serialize + DeserializeOwned>(
        &self,
        directory: &str,
        inputs: Digest,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let (Some(cache), Sink::Bundle { writer, replaced, .. }) = (self.cache, &self.sink) else {
            return make();
        };
        let key = Digest::of(format!("{directory}\n{inputs}").as_bytes());
        if let Some(from) = replaced
            && let Some(known) = cache.get(EntryKind::Part, key)
            && let Ok(known) = serde_json::from_slice::<PartRecord<T>>(&known)
            && writer.take_over(from, &known.files)?
        {
            return Ok(known.made);
        }
        let known = PartRecord { made: make()?, files: writer.below(directory) };
        if let Ok(text) = serde_json::to_vec(&known) {
            cache.put(EntryKind::Part, key, &[&text]);
        }
        Ok(known.made)
    }
}
