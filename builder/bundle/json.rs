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

/// Looks at the schema before all else: another one's fields may be others.
pub(super) fn check_schema(bytes: &[u8], what: &str, known: u32) -> Result<()> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let Schema { schema } = serde_json::from_slice(bytes)
        .map_err(|error| Failure::wrong(format!("it is not {what}: {}", said(&error))))?;
    if schema != known {
        return Err(Failure::wrong(format!(
            "it is {what} of schema {schema}; this kiln reads schema {known}"
        )));
    }
    Ok(())
}

/// A value that is none, with its place.
pub(super) fn not_written(what: &str, error: &serde_json::Error) -> Failure {
    Failure::wrong(format!("it is not a {what} that kiln writes: {}", said(error)))
}

/// What serde_json says, which quotes names that it does not know, however long.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let why = text.strip_suffix(&place).unwrap_or(&text);
    let why: String = printable(why).chars().take(400).collect();
    format!("{why}{place}")
}
