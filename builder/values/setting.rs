//! A key of a profile that the command line sets.

use std::str::FromStr;

use super::Invalid;

/// The longest value, in bytes: less than a profile may have.
const MAX_VALUE_BYTES: usize = 64 * 1024;

/// `KEY=VALUE`, as in `etcd.version=3.5.16`: a dotted key of letters, digits, `_` and `-`, and a value on one line.
/// Whether there is such a key, and which values it takes, is checked with the profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    key: String,
    value: String,
}

impl Setting {
    /// One of Kiln's own.
    pub fn new(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), value: value.to_owned() }
    }

    /// `etcd.version`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// As given: without quotes, or in the syntax of TOML.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl FromStr for Setting {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some((key, value)) = text.split_once('=') else {
            return Err(Invalid("write KEY=VALUE, as in etcd.version=3.5.16".into()));
        };
        let (key, value) = (key.trim(), value.trim());
        // TOML's quotes around a part with dots; which part that is follows from the table.
        let unquoted = key.replace('"', "");
        let key = if key.matches('"').count() == 2 { unquoted.as_str() } else { key };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if key.split('.').any(|part| part.is_empty() || !part.chars().all(is_plain)) {
            return Err(Invalid("the key is a table and a name, as in etcd.version=3.5.16".into()));
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(Invalid(format!("the value has more than {} KiB", MAX_VALUE_BYTES >> 10)));
        }
        if value.chars().any(char::is_control) {
            return Err(Invalid("the value has a control character; it must be on one line".into()));
        }
        Ok(Self { key: key.into(), value: value.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_key_and_a_value() {
        let read = |text: &str| text.parse::<Setting>().map(|set| (set.key, set.value));
        let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
        assert_eq!(read("etcd.version=3.5.16"), pair("etcd.version", "3.5.16"));
        assert_eq!(read("etcd.config.x = [\"a=b\"]"), pair("etcd.config.x", "[\"a=b\"]"));
        assert_eq!(read("pki.links.\"a.crt\"=ca"), pair("pki.links.a.crt", "ca"));
        assert_eq!(read("cluster.domain="), pair("cluster.domain", ""));
        for bad in ["etcd.version", "=1", "etcd.=1", ".x=1", "a b=1", "a\"b=1", "a=1\n[b]", "a=\u{1b}"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read(&format!("a={}", "b".repeat(MAX_VALUE_BYTES + 1))).is_err());
    }
}
