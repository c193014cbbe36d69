//! An etcd release number.

use std::fmt;
use std::str::FromStr;

use crate::values::{Invalid, deserialize_parsed, serialize_displayed};

deserialize_parsed!(Release);
serialize_displayed!(Release);

/// `MAJOR.MINOR.PATCH`, without a leading `v`, as `etcd --version` prints it. Ordered as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    /// Always 3 in the releases that Kiln knows.
    pub major: u16,
    /// Options, defaults and the storage schema change with it.
    pub minor: u16,
    /// From 0.
    pub patch: u16,
}

impl Release {
    /// Any three numbers; whether there is such a release is not checked.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }
}

impl FromStr for Release {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid("write it as three numbers, such as 3.5.16".into());
        let part = |part: Option<&str>| {
            let part = part.filter(|p| *p == "0" || !p.starts_with('0')).ok_or_else(wrong)?;
            if !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(wrong());
            }
            part.parse::<u16>().map_err(|_| wrong())
        };
        let mut parts = text.split('.');
        let release = Self::new(part(parts.next())?, part(parts.next())?, part(parts.next())?);
        if parts.next().is_some() { Err(wrong()) } else { Ok(release) }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}.{}", self.major, self.minor, self.patch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_three_numbers_in_order() {
        let read = |text: &str| text.parse::<Release>();
        assert!(read("3.5.9").unwrap() < read("3.5.16").unwrap());
        assert_eq!(read("3.5.16").unwrap().to_string(), "3.5.16");
        for bad in ["", "3.5", "v3.5.16", "3.5.16-4", "3.5.16.1", "3.05.1", "3.5.99999", "3.-5.1", "3.5. 1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
