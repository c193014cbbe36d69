//! The JSON of the store's records.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

/// What a record is of, in messages: `release`, `program`.
pub struct Of(pub &'static str);

impl Of {
    /// Pretty JSON with a newline at its end.
    ///
    /// # Errors
    /// `Exit::Io`, when it cannot be written as JSON.
    pub fn written(&self, record: &impl Serialize) -> Result<Vec<u8>> {
        let bytes = serde_json::to_vec_pretty(record);
        let mut bytes =
            bytes.map_err(|error| Failure::io(format!("writing a {}'s record: {error}", self.0)))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// A record of this schema, which is looked at first: another one may have other fields.
    ///
    /// # Errors
    /// `Exit::Untrusted` when it is anything else.
    pub fn read<T: DeserializeOwned>(&self, bytes: &[u8], known: u32) -> Result<T> {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let what = self.0;
        let broken = |error| {
            Failure::untrusted(format!(
                "it is not the record of a {what} ({error}); add the {what} again with --replace"
            ))
        };
        let Schema { schema } = serde_json::from_slice(bytes).map_err(broken)?;
        if schema != known {
            return Err(Failure::untrusted(format!(
                "record schema {schema} is not supported; this version of Kiln reads schema {known}"
            )));
        }
        serde_json::from_slice(bytes).map_err(broken)
    }
}
