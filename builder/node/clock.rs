//! The only access to the time.

#![allow(clippy::disallowed_methods, reason = "this is the access")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use x509_cert::der::DateTime;

/// Seconds since 1970; 0 where the clock shows less.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time in seconds since 1970, as RFC 3339 writes it; as a number from the year 10000 on.
pub fn date(seconds: u64) -> String {
    match DateTime::from_unix_duration(Duration::from_secs(seconds)) {
        Ok(date) => date.to_string(),
        Err(_) => format!("{seconds} s after 1970"),
    }
}

/// A time that the clock's jumps do not change.
#[derive(Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// From now on.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// The time until then; `None` where it is over.
    pub fn left(&self) -> Option<Duration> {
        Some(self.0.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.left().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_readable() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(1_764_000_000), "2025-11-24T16:00:00Z");
        assert_eq!(date(253_402_300_799), "9999-12-31T23:59:59Z");
        assert_eq!(date(u64::MAX), "18446744073709551615 s after 1970");
    }
}
