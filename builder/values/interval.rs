//! How often something is done.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, deserialize_parsed, invalid, serialize_displayed};

deserialize_parsed!(Interval);
serialize_displayed!(Interval);

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A span of time in whole minutes, from one minute to 30 days: `30m`, `6h`, `1d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Interval(u64);

impl Interval {
    /// Half an hour.
    pub const HALF_AN_HOUR: Self = Self(30 * MINUTE);
    const LONGEST: u64 = 30 * DAY;

    /// Its length in seconds.
    pub fn seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Interval {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let form = "write a number and a unit: 30m, 6h or 1d";
        let (number, scale) = match text.as_bytes().last() {
            Some(b'm') => (&text[..text.len() - 1], MINUTE),
            Some(b'h') => (&text[..text.len() - 1], HOUR),
            Some(b'd') => (&text[..text.len() - 1], DAY),
            _ => return invalid(form),
        };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return invalid(form);
        }
        match number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale)) {
            Some(0) => invalid("it must be more than zero"),
            Some(seconds) if seconds <= Self::LONGEST => Ok(Self(seconds)),
            _ => invalid("it must be 30d or less"),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s % DAY == 0 => write!(f, "{}d", s / DAY),
            s if s % HOUR == 0 => write!(f, "{}h", s / HOUR),
            s => write!(f, "{}m", s / MINUTE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_read_and_write() {
        for (text, want) in
            [("30m", "30m"), ("60m", "1h"), ("24h", "1d"), ("90m", "90m"), ("1d", "1d"), ("30d", "30d")]
        {
            let interval: Interval = text.parse().unwrap();
            assert_eq!(interval.to_string(), want);
            assert_eq!(want.parse(), Ok(interval));
        }
        for text in ["", "m", "30", "30s", "-1m", "+1m", "0m", "1.5h", "31d", "99999999999999999999m", "1ö"]
        {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
    }
}
