//! Small checked values. A name that could be wrong is a type that cannot: `FromStr` is the only way in, and
//! its error is a sentence that says what is allowed.

mod login;
mod machine;
mod printable;
mod shard;
mod time;

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

pub use login::{LoginName, SshKey, hide, looks_private, without_private_keys};
pub use machine::{Arch, Digest, Mac, Mode, disk_serial};
pub use printable::{printable, printable_lines, steers};
pub use shard::Shard;
pub use time::{Epoch, Lifetime};

/// Why a text is not the value it should be. A sentence, without the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

fn invalid<T>(reason: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(reason.into()))
}

/// A character in quotes, with its number when it may look like another one: `'а' (U+0430)`.
fn shown(c: char) -> String {
    if c.is_ascii() { format!("{c:?}") } else { format!("{c:?} (U+{:04X})", u32::from(c)) }
}

/// `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`: one DNS label (RFC 1123 2.1), safe in a path, a unit and a URL.
fn check_label(text: &str) -> Result<(), Invalid> {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = |c: char| edge(c) || c == '-';
    if text.is_empty() {
        invalid("it is empty")
    } else if text.len() > 63 {
        invalid(format!("it has {} characters; at most 63 are allowed", text.chars().count()))
    } else if let Some(bad) = text.chars().find(|c| !inner(*c)) {
        invalid(format!("{} is not allowed; use a-z, 0-9 and - only", shown(bad)))
    } else if !text.starts_with(edge) || !text.ends_with(edge) {
        invalid("it must begin and end with a letter or a digit")
    } else {
        Ok(())
    }
}

macro_rules! text_value {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let check: fn(&str) -> Result<(), Invalid> = $check;
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

text_value!(
    /// A member's name and its host name: one DNS label in lower case, 1 to 63 characters.
    NodeName,
    check_label
);
text_value!(
    /// A cluster's name: one DNS label in lower case, 1 to 63 characters.
    ClusterName,
    check_label
);
text_value!(
    /// A client certificate's file name and common name (etcd's user name once authentication is on):
    /// one DNS label in lower case, 1 to 63 characters.
    ClientName,
    check_label
);
text_value!(
    /// A DNS domain in lower case, without a dot at either end, at most 180 characters so that a member's
    /// full name stays below the 253 of RFC 1035.
    Domain,
    |text| {
        if text.len() > 180 {
            return invalid("it is longer than 180 characters");
        }
        text.split('.').try_for_each(|label| match check_label(label) {
            Err(_) if label.is_empty() => invalid("it has an empty part; write it as in kloud.lan"),
            other => other,
        })
    }
);
text_value!(
    /// etcd's `initial-cluster-token`: 1 to 128 characters of `[A-Za-z0-9._-]`.
    Token,
    |text| {
        if text.is_empty() || text.len() > 128 {
            return invalid("it must have 1 to 128 characters");
        }
        match text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
            Some(bad) => invalid(format!("{} is not allowed; use A-Z, a-z, 0-9, '.', '_' and '-'", shown(bad))),
            None => Ok(()),
        }
    }
);
text_value!(
    /// A path in the guest, relative to its root: no leading slash, no empty part, no `.` or `..`, no character that
    /// `steers`, at most 255 bytes a part and 1024 in all. `etc/etcd/etcd.conf`.
    GuestPath,
    |text| {
        if text.is_empty() || text.len() > 1024 {
            return invalid("it must have 1 to 1024 bytes");
        }
        if text.starts_with('/') {
            return invalid("it must not begin with /; paths are relative to the guest's root");
        }
        if text.chars().any(steers) {
            return invalid("it has a character that is not to be seen but does something to the text around it");
        }
        text.split('/').try_for_each(|part| match part {
            "" => invalid("it has an empty part"),
            "." | ".." => invalid("it has a . or .. part"),
            _ if part.len() > 255 => invalid("it has a part longer than 255 bytes"),
            _ => Ok(()),
        })
    }
);

impl Token {
    /// For a plan that is only looked at, before there is a keystore to derive the real one from.
    pub fn placeholder() -> Self {
        Self("placeholder".to_owned())
    }
}

/// Ordered as its text is, so that a sorted collection can be searched by what a path begins with.
impl Borrow<str> for GuestPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl GuestPath {
    /// The directories above it, outermost first: `etc`, `etc/etcd`.
    pub fn parents(&self) -> impl Iterator<Item = GuestPath> + '_ {
        self.0.match_indices('/').map(|(at, _)| GuestPath(self.0[..at].to_owned()))
    }

    /// Whether it is this directory or lies below it.
    pub fn is_within(&self, directory: &str) -> bool {
        self.0.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// As the guest itself writes it: `/etc/etcd/etcd.conf`.
    pub fn absolute(&self) -> String {
        format!("/{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "cp-a", "0", &"a".repeat(63)] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        let bad =
            ["", "../x", "-rf", "a-", "a=b,c", "a b", "%n", "{{x}}", "$(x)", "A", "a.b", "a_b", "а", "a\n"];
        for bad in bad.into_iter().chain([&*"a".repeat(64), &*"a".repeat(300)]) {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn guest_paths_stay_below_the_root() {
        for bad in ["", "/etc", "a//b", "a/", "..", "a/../b", "./a", "a\nb", "a\u{202e}b"] {
            assert!(bad.parse::<GuestPath>().is_err(), "{bad}");
        }
        let path: GuestPath = "etc/etcd/etcd.conf".parse().unwrap();
        assert_eq!(path.parents().map(|p| p.to_string()).collect::<Vec<_>>(), ["etc", "etc/etcd"]);
        assert_eq!(path.file_name(), "etcd.conf");
        assert_eq!(path.absolute(), "/etc/etcd/etcd.conf");
    }
}
