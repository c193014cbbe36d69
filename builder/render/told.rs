//! Values of the plan as a node's program reads them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, Result};

/// One that its type has checked.
///
/// # Errors
/// `Exit::Io` where it is not valid there: the plan allows more than the program.
pub(super) fn told<T: TryFrom<String>>(text: &str) -> Result<T>
where
    T::Error: std::fmt::Display,
{
    T::try_from(text.to_owned()).map_err(|why| untold(text, &why.to_string()))
}

pub(super) fn untold(text: &str, why: &str) -> Failure {
    Failure::io(format!("{text:?} is not valid for kiln-node: {why}"))
}

/// A file as the node's program reads it: what that refuses would never be done there.
///
/// # Errors
/// `Exit::Io` where it is not valid there.
pub(super) fn json<T: Serialize + DeserializeOwned>(
    file: &str,
    value: &T,
    check: impl Fn(&T) -> std::result::Result<(), &'static str>,
) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(value)
        .map_err(|error| Failure::io(format!("writing {file} as JSON: {error}")))?;
    json.push(b'\n');
    let read = serde_json::from_slice::<T>(&json).map_err(|why| untold(file, &why.to_string()))?;
    check(&read).map_err(|why| untold(file, why))?;
    Ok(json)
}
