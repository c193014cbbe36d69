//! The only access to the clock. The output of a build never depends on it: a date enters when a keystore is made or
//! renewed, and is recorded there.

use crate::values::Epoch;

/// Now, in whole seconds.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Epoch {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = since_1970.map_or(0, |since| since.as_secs());
    Epoch::from_seconds(seconds).unwrap_or(Epoch::START)
}
