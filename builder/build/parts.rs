//! Parts of a bundle - a node's files, the layer, the clients' - which are not made again when nothing that they follow
//! from has changed: they are taken over from the bundle that is about to be replaced.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::sink::Sink;
use crate::bundle::manifest;
use crate::cache::{Cache, Of};
use crate::failure::Result;
use crate::values::{Digest, GuestPath};

/// The parts of one bundle.
pub struct Parts<'a> {
    pub cache: Option<&'a Cache>,
    pub sink: Sink<'a>,
}

/// What is remembered of a part: no byte of its files, among which are keys.
#[derive(Serialize, Deserialize)]
struct Known<T> {
    files: BTreeMap<GuestPath, manifest::File>,
    made: T,
}

impl Parts<'_> {
    /// The files below one directory of the bundle, which is there and which `make` puts there, and what is to be said of them.
    ///
    /// `inputs` is the digest of all that they follow from.
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
            && let Some(known) = cache.get(Of::Part, key)
            && let Ok(known) = serde_json::from_slice::<Known<T>>(&known)
            && writer.take_over(from, &known.files)?
        {
            return Ok(known.made);
        }
        let known = Known { made: make()?, files: writer.below(directory) };
        if let Ok(text) = serde_json::to_vec(&known) {
            cache.put(Of::Part, key, &[&text]);
        }
        Ok(known.made)
    }
}
