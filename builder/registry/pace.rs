//! A connection that is never silent, and never done either.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

/// Over each of these spans,
const SPAN: Duration = Duration::from_secs(60);

/// so many bytes have to come or go, or nobody would live to see the end: 4 KiB a second.
const LEAST: u64 = 60 * (4 << 10);

/// What moves over a connection, told as it moves.
pub struct Pace {
    begun: Instant,
    /// When the current span began, and what has moved in it.
    span: Duration,
    moved: u64,
}

impl Pace {
    pub fn new() -> Self {
        Self { begun: Instant::now(), span: Duration::ZERO, moved: 0 }
    }

    /// So many more bytes have moved.
    ///
    /// # Errors
    /// `Exit::Io` when it was too few in the last span.
    pub fn moved(&mut self, bytes: u64) -> Result<()> {
        self.moved_at(self.begun.elapsed(), bytes)
    }

    fn moved_at(&mut self, now: Duration, bytes: u64) -> Result<()> {
        self.moved += bytes;
        if now - self.span < SPAN {
            return Ok(());
        }
        if self.moved < LEAST {
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

/// The body of an answer, which has to come at that pace.
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
        // A little more than has to be, for hours.
        let mut pace = Pace::new();
        assert!((1..=36_000).all(|second| pace.moved_at(seconds(second), LEAST / 60 + 1).is_ok()));
        // It has to hold on.
        let held = (36_001..).find(|second| pace.moved_at(seconds(*second), 1).is_err()).unwrap();
        assert!(held <= 36_060);
        // A whole blob at once, however late.
        assert!(Pace::new().moved_at(seconds(100), LEAST).is_ok());
    }
}
