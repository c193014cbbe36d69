//! The only access to the time.

#![allow(clippy::disallowed_methods, reason = "this is the access")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds since 1970; 0 where the clock shows less.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time that the clock's jumps do not change.
pub struct Deadline(Instant);

impl Deadline {
    /// From now on.
    pub fn after(seconds: u64) -> Self {
        Self(Instant::now() + Duration::from_secs(seconds))
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.0
    }
}
