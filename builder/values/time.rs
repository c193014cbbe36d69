//! Times and spans of time, in whole seconds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Invalid, deserialize_parsed, invalid, serialize_displayed};

deserialize_parsed!(Lifetime);
serialize_displayed!(Lifetime);

/// Certificates that end within as many days are mentioned.
pub const SOON_DAYS: u64 = 30;

/// Seconds since 1970-01-01T00:00:00Z; up to the end of the year 9999, the limit of X.509 (RFC 5280 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub struct Epoch(u64);

impl TryFrom<u64> for Epoch {
    type Error = Invalid;
    fn try_from(seconds: u64) -> Result<Self, Invalid> {
        Self::from_seconds(seconds)
    }
}

impl Epoch {
    const CIVIL_START: jiff::civil::DateTime = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    const END: u64 = 253_402_300_799;

    /// 1970-01-01T00:00:00Z.
    pub const START: Epoch = Epoch(0);

    /// # Errors
    /// When it is after the year 9999.
    pub fn from_seconds(seconds: u64) -> Result<Self, Invalid> {
        if seconds > Self::END { invalid("it is after the year 9999") } else { Ok(Self(seconds)) }
    }

    /// Since 1970-01-01T00:00:00Z.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// Whole days until then; `None` where it is over, as a certificate is after its last second.
    pub fn days_until(self, end: Self) -> Option<u64> {
        end.seconds().checked_sub(self.seconds()).map(|seconds| seconds / 86_400)
    }

    /// Later by a lifetime, and never past the end of the year 9999.
    pub fn plus(self, lifetime: Lifetime) -> Self {
        Self((self.0 + lifetime.seconds()).min(Self::END))
    }

    /// Earlier by a lifetime, and never before 1970.
    pub fn minus(self, lifetime: Lifetime) -> Self {
        Self(self.0.saturating_sub(lifetime.seconds()))
    }

    /// Without a time zone, because `jiff` ends its timestamps a day before the year 9999 does, and certificates
    /// without an expiry have that last second (RFC 5280 4.1.2.5).
    fn civil(self) -> jiff::civil::DateTime {
        let since = i64::try_from(self.0).map_or(jiff::SignedDuration::MAX, jiff::SignedDuration::from_secs);
        Self::CIVIL_START.checked_add(since).unwrap_or(jiff::civil::DateTime::MAX)
    }
}

impl fmt::Display for Epoch {
    /// RFC 3339 in UTC: `2026-11-21T00:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Z", self.civil())
    }
}

impl FromStr for Epoch {
    type Err = Invalid;

    /// A date (`2026-11-21`), an RFC 3339 time, or a number of seconds since 1970, as in SOURCE_DATE_EPOCH. A number
    /// that could also be a year or a date without dashes must be marked as seconds: `@2026`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some(seconds) = text.strip_prefix('@') {
            return match seconds.parse() {
                Ok(count) if seconds.bytes().all(|b| b.is_ascii_digit()) => Self::from_seconds(count),
                _ => invalid("write a count of seconds since 1970 after the @"),
            };
        }
        if let Some(seconds) = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit())) {
            return match seconds {
                0..1_000_000_000 => invalid(format!(
                    "a date is written as 2026-11-21, and a count of seconds since 1970 as @{seconds}"
                )),
                _ => Self::from_seconds(seconds),
            };
        }
        let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        let parsed = match full.parse::<jiff::Timestamp>() {
            Ok(timestamp) => Ok(timestamp.as_second()),
            // The last day of the year 9999.
            Err(_) if full.len() == "9999-12-31T23:59:59Z".len() => full
                .strip_suffix('Z')
                .and_then(|text| text.parse::<jiff::civil::DateTime>().ok())
                .map(|time| time.duration_since(Self::CIVIL_START).as_secs())
                .ok_or(()),
            Err(_) => Err(()),
        };
        let parsed = parsed
            .map_err(|()| Invalid("it is neither seconds since 1970 nor a date such as 2026-11-21".into()))?;
        match u64::try_from(parsed) {
            Ok(seconds) => Self::from_seconds(seconds),
            Err(_) => invalid("it is before 1970"),
        }
    }
}

/// A span of time in whole seconds: `90d`, `10y`, `12h`. A year is 365 days, as in openssl's `-days 365`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Lifetime(u64);

impl Lifetime {
    /// This many times 3,600 seconds.
    pub const fn hours(hours: u64) -> Self {
        Self(hours * 3600)
    }

    /// This many times 24 hours; leap seconds are ignored.
    pub const fn days(days: u64) -> Self {
        Self::hours(days * 24)
    }

    /// This many times 365 days.
    pub const fn years(years: u64) -> Self {
        Self::days(years * 365)
    }

    /// # Errors
    /// When it cannot be written as a lifetime: zero, more than 100 years, or not a whole number of hours.
    pub fn from_seconds(seconds: u64) -> Result<Self, Invalid> {
        let lifetime = Self(seconds);
        lifetime
            .to_string()
            .parse::<Self>()
            .ok()
            .filter(|read| *read == lifetime)
            .ok_or_else(|| Invalid("it is not a lifetime".into()))
    }

    /// Its length in seconds.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// Twice as long; at most 200 years, which no profile can say.
    pub fn twice(self) -> Self {
        Self(self.0.saturating_mul(2))
    }
}

impl FromStr for Lifetime {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let unit = text.chars().last().unwrap_or(' ');
        let scale = match unit {
            'h' => 3600,
            'd' => 86_400,
            'y' => 365 * 86_400,
            _ => return invalid("write a number and a unit: 12h, 90d or 10y"),
        };
        let number = &text[..text.len() - 1];
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return invalid("write a number and a unit: 12h, 90d or 10y");
        }
        match number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)) {
            Some(0) => invalid("it must be more than zero"),
            Some(seconds) if seconds <= 100 * 365 * 86_400 => Ok(Self(seconds)),
            _ => invalid("it must be 100y or less"),
        }
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s % (365 * 86_400) == 0 => write!(f, "{}y", s / (365 * 86_400)),
            s if s % 86_400 == 0 => write!(f, "{}d", s / 86_400),
            s => write!(f, "{}h", s / 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_read_and_write() {
        let cases = [
            ("@0", Some("1970-01-01T00:00:00Z")),
            ("@2026", Some("1970-01-01T00:33:46Z")),
            ("1000000000", Some("2001-09-09T01:46:40Z")),
            ("0", None),
            ("2026", None),
            ("20261121", None),
            ("999999999", None),
            ("@", None),
            ("@-1", None),
            ("@+1", None),
            ("@2026-11-21", None),
            ("2026-11-21", Some("2026-11-21T00:00:00Z")),
            ("2051-01-02T03:04:05Z", Some("2051-01-02T03:04:05Z")),
            ("-1", None),
            ("junk", None),
            ("1969-12-31", None),
            ("253402300799", Some("9999-12-31T23:59:59Z")),
            ("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59Z")),
            ("9999-12-31", Some("9999-12-31T00:00:00Z")),
            ("2026-11-21T02:00:00+02:00", Some("2026-11-21T00:00:00Z")),
            ("2026-02-29", None),
            ("253402300800", None),
            ("99999999999999999999", None),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Epoch>().ok().map(|e| e.to_string()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn lifetimes_have_a_unit_and_an_end() {
        assert_eq!("90d".parse::<Lifetime>(), Ok(Lifetime::days(90)));
        assert_eq!("10y".parse::<Lifetime>().unwrap().to_string(), "10y");
        for (seconds, want) in
            [(3600, Some("1h")), (86_400 * 365, Some("1y")), (3601, None), (0, None), (u64::MAX, None)]
        {
            assert_eq!(Lifetime::from_seconds(seconds).ok().map(|l| l.to_string()).as_deref(), want);
        }
        for bad in ["", "90", "d", "0h", "-1d", "1w", "101y", "1.5h", "99999999999999999999y", "é"] {
            assert!(bad.parse::<Lifetime>().is_err(), "{bad}");
        }
    }
}
