//! A CA's name constraints (RFC 5280 4.2.1.10), interpreted as in Go's crypto/x509, because etcd uses that.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_cert::ext::pkix::NameConstraints;
use x509_cert::ext::pkix::constraints::name::{GeneralSubtree, GeneralSubtrees};
use x509_cert::ext::pkix::name::GeneralName;

use super::certificate::Certificate;
use crate::failure::{Failure, Result};
use crate::plan::CertificateSpec;
use crate::values::printable;

/// # Errors
/// `Exit::Untrusted` when they constrain a kind of name that etcd would refuse to check.
pub(super) fn limits(certificate: &Certificate) -> Result<Option<NameConstraints>> {
    let Some(limits) = certificate.extension::<NameConstraints>()? else { return Ok(None) };
    let all = subtrees(&limits.permitted_subtrees).chain(subtrees(&limits.excluded_subtrees));
    for subtree in all {
        let known = match &subtree.base {
            GeneralName::DnsName(_) => true,
            GeneralName::IpAddress(range) => matches!(range.as_bytes().len(), 8 | 32),
            // Leaves have no such names, so these constraints always hold.
            GeneralName::Rfc822Name(_) | GeneralName::UniformResourceIdentifier(_) => true,
            _ => false,
        };
        if !known || subtree.minimum != 0 || subtree.maximum.is_some() {
            return Err(Failure::untrusted(format!(
                "{} has name constraints of a kind that etcd refuses; only DNS names, IP ranges, mail domains \
                 and URIs are judged by it",
                certificate.name()
            )));
        }
    }
    Ok(Some(limits))
}

/// # Errors
/// `Exit::Untrusted` for the first name that is not permitted or that is excluded.
pub(super) fn check(limits: &NameConstraints, spec: &CertificateSpec) -> Result<()> {
    let dns = spec.dns.iter().map(String::as_str).chain(spec.dns_like_common_name());
    for name in dns.map(Name::Dns).chain(spec.ips.iter().map(|ip| Name::Ip(*ip))) {
        if let Some(why) = objection(limits, &name) {
            return Err(Failure::untrusted(format!(
                "the CA's name constraints do not allow {name}, which the {} certificate of {} must contain: {why}; \
                 use another CA or other names",
                spec.file, spec.common_name
            )));
        }
    }
    Ok(())
}

/// A check that needs no node: every server certificate has these names.
///
/// # Errors
/// `Exit::Untrusted` when one of them is not allowed, so that no node could have a certificate.
pub(super) fn check_loopback(ca: &Certificate, limits: &NameConstraints) -> Result<()> {
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for name in [Name::Dns("localhost")].into_iter().chain(loopback.map(Name::Ip)) {
        if let Some(why) = objection(limits, &name) {
            return Err(Failure::untrusted(format!(
                "the name constraints of {}, or of a CA above it, do not allow {name}, which every node's server \
                 certificate contains: {why}; use another CA",
                ca.name()
            )));
        }
    }
    Ok(())
}

/// The constraint that forbids a name, if any.
fn objection(limits: &NameConstraints, name: &Name<'_>) -> Option<String> {
    let excluded = subtrees(&limits.excluded_subtrees).find(|tree| matches(&tree.base, name) == Some(true));
    if let Some(tree) = excluded {
        return Some(format!("{} is excluded", readable(&tree.base)));
    }
    let of_its_kind: Vec<_> = subtrees(&limits.permitted_subtrees)
        .filter_map(|tree| matches(&tree.base, name).map(|fits| (tree, fits)))
        .collect();
    // Without a permitted subtree of its kind, a name is unconstrained.
    if of_its_kind.is_empty() || of_its_kind.iter().any(|(_, fits)| *fits) {
        return None;
    }
    let permitted: Vec<_> = of_its_kind.iter().map(|(tree, _)| readable(&tree.base)).collect();
    Some(format!("only {} permitted", are(&permitted)))
}

fn are(list: &[String]) -> String {
    match list {
        [one] => format!("{one} is"),
        many => format!("{} are", many.join(", ")),
    }
}

fn readable(tree: &GeneralName) -> String {
    let bytes = match tree {
        GeneralName::DnsName(domain) if domain.as_str().is_empty() => return "every DNS name".to_owned(),
        GeneralName::DnsName(domain) => return format!("DNS:{}", printable(domain.as_str())),
        GeneralName::IpAddress(range) => range.as_bytes(),
        _ => return "another kind of name".to_owned(),
    };
    let ip = |octets: &[u8]| match (<[u8; 4]>::try_from(octets), <[u8; 16]>::try_from(octets)) {
        (Ok(four), _) => IpAddr::from(four).to_string(),
        (_, Ok(sixteen)) => IpAddr::from(sixteen).to_string(),
        _ => "?".to_owned(),
    };
    let (network, mask) = bytes.split_at(bytes.len() / 2);
    format!("IP:{}/{}", ip(network), ip(mask))
}

enum Name<'a> {
    Dns(&'a str),
    Ip(IpAddr),
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Dns(name) => f.write_str(name),
            Name::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

fn subtrees(trees: &Option<GeneralSubtrees>) -> impl Iterator<Item = &GeneralSubtree> {
    trees.iter().flatten()
}

/// `None` when the subtree is for another kind of name.
fn matches(tree: &GeneralName, name: &Name<'_>) -> Option<bool> {
    match (tree, name) {
        (GeneralName::DnsName(domain), Name::Dns(name)) => Some(below(domain.as_str(), name)),
        (GeneralName::IpAddress(range), Name::Ip(ip)) => Some(within(range.as_bytes(), *ip)),
        _ => None,
    }
}

/// A domain covers itself and its subdomains; with a leading dot only its subdomains; an empty one covers everything.
fn below(domain: &str, name: &str) -> bool {
    let (domain, name) = (domain.to_ascii_lowercase(), name.to_ascii_lowercase());
    match domain.strip_prefix('.') {
        _ if domain.is_empty() => true,
        Some(_) => name.ends_with(&domain),
        None => name == domain || name.ends_with(&format!(".{domain}")),
    }
}

/// `range` is an address and a mask of the same length, one after the other.
fn within(range: &[u8], ip: IpAddr) -> bool {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (network, mask) = range.split_at(range.len() / 2);
    octets.len() == network.len()
        && octets.iter().zip(network).zip(mask).all(|((octet, network), mask)| octet & mask == network & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_cover_what_is_below_them() {
        let cases = [
            ("kloud.lan", "kloud.lan", true),
            ("kloud.lan", "cp-a.kloud.lan", true),
            ("kloud.lan", "CP-A.Kloud.Lan", true),
            ("kloud.lan", "akloud.lan", false),
            (".kloud.lan", "kloud.lan", false),
            (".kloud.lan", "cp-a.kloud.lan", true),
            ("kloud.lan", "localhost", false),
            ("", "anything", true),
        ];
        for (domain, name, want) in cases {
            assert_eq!(below(domain, name), want, "{domain} {name}");
        }
    }

    #[test]
    fn ranges_cover_what_has_their_bits() {
        let ten = [10, 240, 0, 0, 255, 255, 0, 0];
        assert!(within(&ten, "10.240.16.10".parse().unwrap()));
        assert!(!within(&ten, "10.241.0.1".parse().unwrap()));
        assert!(!within(&ten, "::1".parse().unwrap()));
        let mut six = [0; 32];
        six[0] = 0xfd;
        six[16] = 0xff;
        assert!(within(&six, "fd00::1".parse().unwrap()));
        assert!(!within(&six, "fe80::1".parse().unwrap()));
        assert!(!within(&six, "10.240.0.1".parse().unwrap()));
    }
}
