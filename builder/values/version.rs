//! The version of Kiln, and of the program that it puts onto nodes.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, deserialize_parsed, invalid, text_value};

/// The name of Kiln's own program on a node.
pub const NODE_PROGRAM: &str = "kiln-node";

text_value!(
    /// `0.1.0` or `0.2.0-rc.1`: letters, digits, `.`, `-` and `+` (Semantic Versioning 2.0.0), the first one a digit,
    /// at most 64 characters.
    Version,
    |text| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
        match text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(is_allowed) {
            true => Ok(()),
            false => invalid("write a version, such as 0.1.0"),
        }
    }
);

impl Version {
    /// Of this Kiln.
    pub fn own() -> Self {
        Self(env!("CARGO_PKG_VERSION").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_fits_into_the_name_of_a_file() {
        assert_eq!(Version::own().as_str().parse::<Version>().unwrap(), Version::own());
        assert!("0.2.0-rc.1+x86".parse::<Version>().is_ok());
        for bad in ["", "x", ".1", "0/1", "0.1.0\n", "0 1", &"1".repeat(65)] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?}");
        }
    }
}
