//! Names with placeholders for what differs between nodes: `{{node}}-server.crt`.

use std::net::IpAddr;

use serde::Serialize;

use super::subject;
use crate::profile::Cluster;
use crate::values::{HostName, Invalid, NodeName, PemFile, ends_in_number, fill};

/// The placeholders, without their braces.
const PLACEHOLDERS: [&str; 4] = ["node", "index", "cluster", "fqdn"];

/// A text with placeholders, each of which exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pattern(String);

/// What the placeholders stand for on one node.
#[derive(Clone, Copy)]
pub struct Filling<'a> {
    pub node: &'a str,
    /// The node's place in the profile, from 1.
    pub index: usize,
    pub cluster: &'a str,
    pub fqdn: &'a str,
}

impl<'a> Filling<'a> {
    /// For a node by its place in the profile, from 0.
    pub fn of(cluster: &'a Cluster, at: usize, node: &'a NodeName, fqdn: &'a str) -> Self {
        Self { node, index: at + 1, cluster: &cluster.name, fqdn }
    }
}

/// What a placeholder may stand for, so that a pattern can be checked before there are nodes.
const SAMPLE: Filling<'_> = Filling { node: "n", index: 1, cluster: "c", fqdn: "n.d" };

impl Pattern {
    /// A text of Kiln's own.
    pub fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn fill(&self, with: &Filling<'_>) -> String {
        let index = with.index.to_string();
        let [node, place, cluster, fqdn] = PLACEHOLDERS;
        let values = [(node, with.node), (place, index.as_str()), (cluster, with.cluster), (fqdn, with.fqdn)];
        fill(&self.0, &values)
    }

    /// Whether the nodes have different values.
    pub fn is_per_node(&self) -> bool {
        ["{{node}}", "{{index}}", "{{fqdn}}"].iter().any(|name| self.0.contains(name))
    }

    fn parse(text: &str, check: impl Fn(&str) -> Result<(), Invalid>) -> Result<Self, Invalid> {
        let pattern = Self(text.to_owned());
        let filled = pattern.fill(&SAMPLE);
        if filled.contains("{{") || filled.contains("}}") {
            let known: Vec<_> = PLACEHOLDERS.iter().map(|name| format!("{{{{{name}}}}}")).collect();
            return Err(Invalid(format!("it has an unknown placeholder; there are {}", known.join(", "))));
        }
        check(&filled).map(|()| pattern)
    }

    /// The name of a certificate's file.
    pub fn certificate(text: &str) -> Result<Self, Invalid> {
        Self::parse(text, |text| certificate_file(text).map(drop))
    }

    /// The name of a key's file.
    pub fn key(text: &str) -> Result<Self, Invalid> {
        Self::parse(text, |text| key_file(text).map(drop))
    }

    /// A subject alternative name.
    pub fn alternative(text: &str) -> Result<Self, Invalid> {
        Self::parse(text, |text| alternative(text).map(drop))
    }

    pub fn common_name(text: &str) -> Result<Self, Invalid> {
        Self::parse(text, |text| subject::name(text).map(drop))
    }
}

/// A subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum AltName {
    Dns(String),
    Ip(IpAddr),
}

/// An address, or a host name that may begin with `*.`.
pub fn alternative(text: &str) -> Result<AltName, Invalid> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return match ip.is_unspecified() || ip.is_multicast() {
            true => Err(Invalid("it is not the address of a host".into())),
            false => Ok(AltName::Ip(ip)),
        };
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    match text.len() <= 253 && name.parse::<HostName>().is_ok() && !ends_in_number(name) {
        true => Ok(AltName::Dns(text.to_owned())),
        false => Err(Invalid(
            "it takes an address, or a host name in lower case, as in etcd.example.com or *.example.com"
                .into(),
        )),
    }
}

pub fn certificate_file(text: &str) -> Result<String, Invalid> {
    match PemFile::of(text) {
        Some(PemFile::Certificate) => file(text),
        _ => Err(Invalid("a certificate's file ends in .crt or .pem, and not in -key.pem".into())),
    }
}

pub fn key_file(text: &str) -> Result<String, Invalid> {
    match PemFile::of(text) {
        Some(PemFile::Key) => file(text),
        _ => Err(Invalid("a key's file ends in .key or -key.pem".into())),
    }
}

/// The name alone: the directory is `[pki] directory`.
fn file(text: &str) -> Result<String, Invalid> {
    if text.len() > 128 {
        return Err(Invalid(format!("it has {} characters; at most 128 are allowed", text.len())));
    }
    if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
        return Err(Invalid(format!("{bad:?} is not allowed; use letters, digits, '.', '_' and '-'")));
    }
    match text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        true => Ok(text.to_owned()),
        false => Err(Invalid("it must begin with a letter or a digit".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in() {
        let filling = Filling { node: "cp-a", index: 2, cluster: "ha3", fqdn: "cp-a.kloud.lan" };
        let pattern = Pattern::certificate("{{cluster}}-{{index}}-{{node}}.crt").unwrap();
        assert_eq!((pattern.fill(&filling).as_str(), pattern.is_per_node()), ("ha3-2-cp-a.crt", true));
        assert!(!Pattern::of("{{cluster}}").is_per_node());
        assert_eq!(Pattern::alternative("*.{{fqdn}}").unwrap().fill(&filling), "*.cp-a.kloud.lan");
        for bad in
            ["{{host}}.crt", "{{node}.crt", "{{node}}/x.crt", "{{node}}.key", "{{node}}-key.pem", ".crt"]
        {
            assert!(Pattern::certificate(bad).is_err(), "{bad}");
        }
        for (text, good) in [("a.key", true), ("a-key.pem", true), ("a.pem", false), (".key", false)] {
            assert_eq!(Pattern::key(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn alternative_names_are_hosts() {
        for good in ["etcd.example.com", "*.localhost", "a", "10.0.0.1", "fd00::1"] {
            assert!(alternative(good).is_ok(), "{good}");
        }
        for bad in ["", "*", "*.", "a.*.b", "A.b", "a..b", "-a", "10.0.0.256", "0.0.0.0", "a_b", "https://a"]
        {
            assert!(alternative(bad).is_err(), "{bad}");
        }
    }
}
