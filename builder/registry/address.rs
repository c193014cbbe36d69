//! `oci://HOST[:PORT]/REPOSITORY:TAG`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ureq::http::uri::Authority;

use crate::values::{Digest, Invalid};

/// A bundle's place in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// With its port, where one is written: `registry.lan:5000`, `[::1]:5000`.
    pub host: String,
    /// `clusters/ha3`.
    pub repository: String,
    pub reference: Reference,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A name that can point to another manifest at any time.
    Tag(String),
    /// The SHA-256 of the manifest: this bundle and no other.
    Digest(Digest),
}

impl Address {
    /// The last part of the repository, which may be a directory's name.
    pub fn name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }

    /// The same repository, by a manifest's digest.
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { reference: Reference::Digest(digest), ..self.clone() }
    }

    /// Whether data that is sent there stays on this machine. `localhost` is loopback by RFC 6761, section 6.3.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

/// The same for a host, with or without its port.
pub fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

impl FromStr for Address {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Err(Invalid(why.to_owned()));
        let Some((host, rest)) = text.strip_prefix("oci://").and_then(|rest| rest.split_once('/')) else {
            return invalid("write it as oci://HOST[:PORT]/REPOSITORY:TAG");
        };
        if host.contains('@') {
            return invalid("it has a user name before the host; use --username and --password-file");
        }
        if !host.parse::<Authority>().is_ok_and(|authority| {
            let port = authority.as_str().len() > authority.host().len();
            !authority.host().is_empty() && (!port || authority.port_u16().is_some())
        }) {
            return invalid("its host is not valid; write it as registry.lan or 10.0.0.1:5000");
        }
        let (repository, reference) = match (rest.split_once('@'), rest.rsplit_once(':')) {
            (Some((repository, digest)), _) => {
                let digest = digest.strip_prefix("sha256:").map(str::parse);
                let Some(Ok(digest)) = digest else {
                    return invalid("the @ must be followed by sha256: and 64 hex digits");
                };
                (repository, Reference::Digest(digest))
            }
            (None, Some((repository, tag))) if is_tag(tag) => (repository, Reference::Tag(tag.to_owned())),
            (None, Some(_)) => {
                return invalid("its tag must be 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-'");
            }
            (None, None) => return invalid("it names no tag; append :TAG"),
        };
        if repository.len() > 255 || !repository.split('/').all(is_part) {
            return invalid(
                "its repository must be parts of a-z and 0-9 joined by / ('.', '_' and '-' inside a part), at most 255 \
                 characters",
            );
        }
        Ok(Self { host: host.to_owned(), repository: repository.to_owned(), reference })
    }
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec 1.1, "Pulling manifests").
fn is_tag(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let inner = |c: char| first(c) || c == '.' || c == '-';
    text.len() <= 128 && text.starts_with(first) && text.chars().all(inner)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` (the same).
fn is_part(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text.split(edge).filter(|between| !between.is_empty());
    let mut joined = separators.map(|s| matches!(s, "." | "_" | "__") || s.chars().all(|c| c == '-'));
    text.starts_with(edge) && text.ends_with(edge) && joined.all(|fine| fine)
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Tag(tag) => f.write_str(tag),
            Reference::Digest(digest) => write!(f, "sha256:{digest}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joint = if matches!(self.reference, Reference::Tag(_)) { ':' } else { '@' };
        write!(f, "oci://{}/{}{joint}{}", self.host, self.repository, self.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were_written() {
        let digest = "7".repeat(64);
        for text in [
            "oci://registry.lan/ha3:v1",
            "oci://registry.lan:5000/clusters/prod/ha3:2026-11-21",
            "oci://127.0.0.1:5000/a:_",
            "oci://[::1]:5000/a.b__c--d:Tag",
            &format!("oci://registry.lan/ha3@sha256:{digest}"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let address: Address = "oci://registry.lan:5000/clusters/ha3:v1".parse().unwrap();
        assert_eq!(address.name(), "ha3");
        assert_eq!(address.host, "registry.lan:5000");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("oci://h/a:{}", "t".repeat(129));
        for text in [
            "",
            "ha3",
            "https://h/a:t",
            "oci://h",
            "oci:///a:t",
            "oci://h/a",
            "oci://h/:t",
            "oci://h/a:",
            "oci://h/A:t",
            "oci://h/a//b:t",
            "oci://h/../b:t",
            "oci://h/a/:t",
            "oci://h/-a:t",
            "oci://h/a._b:t",
            "oci://h/a___b:t",
            "oci://u:p@h/a:t",
            "oci://h:x/a:t",
            "oci://h:99999/a:t",
            "oci://h/a:t t",
            "oci://h/a@sha256:12",
            "oci://h/a@sha512:77",
            "oci://h/a:t@sha256:12",
            "oci://h/a:../t",
            "oci://h /a:t",
            &long,
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_what_stays_here() {
        for (host, loopback) in [
            ("localhost:5000", true),
            ("127.0.0.1", true),
            ("127.8.8.8:5000", true),
            ("[::1]:5000", true),
            ("localhost.lan", false),
            ("127.0.0.1.lan", false),
            ("10.0.0.1:5000", false),
            ("[::2]", false),
        ] {
            assert_eq!(is_loopback(host), loopback, "{host}");
        }
    }
}
