//! Ends connections that are never silent, but too slow.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

/// The interval over which the pace is measured.
const PACE_INTERVAL: Duration = Duration::from_secs(60);

/// The minimum number of bytes in each interval: 4 KiB a second. Slower transfers would take days.
const MIN_BYTES_PER_INTERVAL: u64 = 60 * (4 << 10);

/// Measures the bytes that a connection transfers.
pub struct Pace {
    begun: Instant,
    /// The start of the current interval, and the bytes in it.
    span: Duration,
    moved: u64,
}

impl Pace {
    pub fn new() -> Self {
        Self { begun: Instant::now(), span: Duration::ZERO, moved: 0 }
    }

    /// Records that more bytes were transferred.
    ///
    /// # Errors
    /// `Exit::Io` when the last interval had too few.
    pub fn moved(&mut self, bytes: u64) -> Result<()> {
        self.moved_at(self.begun.elapsed(), bytes)
    }

    fn moved_at(&mut self, now: Duration, bytes: u64) -> Result<()> {
        self.moved += bytes;
        if now - self.span < PACE_INTERVAL {
            return Ok(());
        }
        if self.moved < MIN_BYTES_PER_INTERVAL {
            return Err(Failure::io(format!(
                "too slow: {} bytes in {} seconds",
                self.moved,
                (now - self.span).as_secs()
            )));
        }
        (self.span, self.moved) = (now, 0);
        Ok(())
    }
}

/// The body of an answer, which must arrive at that pace.
pub struct Paced<R> {
    inner: R,
    pace: Pace,
}

impl<R: Read> Paced<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, pace: Pace::new() }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count > 0 {
            self.pace.moved(count as u64).map_err(|failure| io::Error::other(failure.to_string()))?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_registry_does_not_hold_for_ever() {
        let seconds = Duration::from_secs;
        // A byte a second.
        let mut pace = Pace::new();
        let held = (1..=600).find(|second| pace.moved_at(seconds(*second), 1).is_err());
        assert_eq!(held, Some(60));
        // Slightly more than the minimum, for hours.
        let mut pace = Pace::new();
        assert!(
            (1..=36_000)
                .all(|second| pace.moved_at(seconds(second), MIN_BYTES_PER_INTERVAL / 60 + 1).is_ok())
        );
        // Later intervals count as well.
        let held = (36_001..).find(|second| pace.moved_at(seconds(*second), 1).is_err()).unwrap();
        assert!(held <= 36_060);
        // A whole blob at once, however late.
        assert!(Pace::new().moved_at(seconds(100), MIN_BYTES_PER_INTERVAL).is_ok());
    }
}
