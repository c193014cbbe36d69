//! The JSON of manifests and indexes.

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::values::printable;

/// Pretty JSON with a newline at its end.
pub(super) fn written(value: &impl Serialize) -> Result<Vec<u8>> {
    let bytes = serde_json::to_vec_pretty(value);
    let mut bytes = bytes.map_err(|error| Failure::io(format!("writing it as JSON: {error}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Checks the schema before anything else: another schema may have other fields.
pub(super) fn check_schema(bytes: &[u8], what: &str, known: u32) -> Result<()> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let Schema { schema } = serde_json::from_slice(bytes)
        .map_err(|error| Failure::wrong(format!("it is not {what}: {}", said(&error))))?;
    if schema != known {
        return Err(Failure::wrong(format!(
            "it is {what} of schema {schema}; this version of Kiln reads schema {known}"
        )));
    }
    Ok(())
}

/// An error for an invalid value, with its place.
pub(super) fn not_written(what: &str, error: &serde_json::Error) -> Failure {
    Failure::wrong(format!("it is not a valid {what}: {}", said(error)))
}

/// The text of serde_json, which quotes unknown names, however long.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let why = text.strip_suffix(&place).unwrap_or(&text);
    let why: String = printable(why).chars().take(400).collect();
    format!("{why}{place}")
}
