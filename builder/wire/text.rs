//! Texts with a rule.

use std::fmt;

/// Why a text is not allowed. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid(pub(crate) &'static str);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $rule:path, $why:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::text::Invalid;
            fn try_from(text: String) -> Result<Self, $crate::text::Invalid> {
                if $rule(&text) { Ok(Self(text)) } else { Err($crate::text::Invalid($why)) }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use text;

text!(
    /// The name of a cluster or of a node.
    Name,
    is_name,
    "a name has 1 to 63 of a-z, 0-9 and -, and - neither first nor last"
);
text!(
    /// An account of the node, as useradd(8) allows it.
    Account,
    is_account,
    "an account has 1 to 31 of a-z, 0-9, - and _, and begins with a letter or _"
);
text!(
    /// An absolute path without empty parts, `.` and `..`.
    FilePath,
    is_path,
    "a path is absolute, printable ASCII, and has no empty part, . or .."
);
text!(
    /// A file's name in a directory.
    FileName,
    is_file_name,
    "a file's name is printable ASCII without /, and not . or .."
);
text!(
    /// A DNS name in a certificate; `*` may be its first label.
    DnsName,
    is_dns_name,
    "a DNS name has labels of 1 to 63 of a-z, 0-9, - and _"
);

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_name(text: &str) -> bool {
    is_label(text)
}

fn is_account(text: &str) -> bool {
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=31).contains(&text.len())
        && text.bytes().all(inner)
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
}

pub(crate) fn is_part(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.len() <= 255
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

pub(crate) fn is_path(text: &str) -> bool {
    text.len() < 4096 && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_part))
}

fn is_file_name(text: &str) -> bool {
    is_part(text) && !text.contains('/')
}

pub(crate) fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    text.len() <= 253 && text.strip_prefix("*.").unwrap_or(text).split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<T: TryFrom<String>>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(T::try_from((*text).to_owned()).is_ok(), "{text}");
        }
        for text in bad {
            assert!(T::try_from((*text).to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn texts_have_their_rules() {
        let long = "a".repeat(64);
        all::<Name>(&["a", "cp-a", "1"], &["", "-a", "a-", "A", "a.b", "a\n", "é", &long]);
        all::<Account>(&["etcd", "_etcd", "a1-b_"], &["", "1a", "-a", "a b", "root:0", &long]);
        all::<FilePath>(&["/a", "/a b/c.d"], &["", "/", "a", "/a/", "//a", "/a/../b", "/./a", "/a\n", "/é"]);
        all::<FileName>(&["server.pem", "a b"], &["", ".", "..", "a/b", "/a", "a\0", &"a".repeat(256)]);
        all::<DnsName>(&["a", "cp-a.kloud.lan", "*.localhost"], &["", "a..b", "*.", "a.*", "a b", "A", ".a"]);
    }
}
