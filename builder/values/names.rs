//! Names of the DNS: labels, and names of several labels.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, deserialize_parsed, invalid, shown, text_value};

/// `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`: one DNS label (RFC 1123 2.1), safe in a path, a unit and a URL.
pub(super) fn check_label(text: &str) -> Result<(), Invalid> {
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

/// Whether the last label of a name is digits alone, as that of an address. No top-level domain is (RFC 3696 section
/// 2), and programs that take both read such a name as an address.
pub fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Labels with a dot between each two.
pub(super) fn check_labels(text: &str, example: &str) -> Result<(), Invalid> {
    text.split('.').try_for_each(|label| match check_label(label) {
        Err(_) if label.is_empty() => invalid(format!("it has an empty part; write it as in {example}")),
        other => other,
    })
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
    /// A DNS domain in lower case, without a dot at either end, at most 180 characters, so that a member's full name
    /// stays below the 253 of RFC 1035.
    Domain,
    |text| {
        if text.len() > 180 {
            return invalid("it is longer than 180 characters");
        }
        check_labels(text, "kloud.lan")
    }
);
text_value!(
    /// The name of a host that nodes run on, in lower case: DNS labels with dots between them, at most 253 characters.
    HostName,
    |text| {
        if text.len() > 253 {
            return invalid("it is longer than 253 characters");
        }
        check_labels(text, "pve1 or pve1.kloud.lan")
    }
);
text_value!(
    /// A server on the network: an IP address, or a DNS name in lower case.
    ServerName,
    |text| {
        if text.parse::<std::net::IpAddr>().is_ok() {
            return Ok(());
        }
        match text.is_empty() || ends_in_number(text) {
            true => invalid("write an address, or a name as in ntp.kloud.lan"),
            false => text.parse::<HostName>().map(drop),
        }
    }
);

text_value!(
    /// A subject alternative name of a node: `DNS:cp-a.kloud.lan`, `DNS:*.localhost` or `IP:10.240.16.10`.
    AltName,
    |text| match (text.strip_prefix("DNS:"), text.strip_prefix("IP:")) {
        (Some(name), _) if name.len() <= 253 => {
            name.strip_prefix("*.").unwrap_or(name).split('.').try_for_each(check_label)
        }
        (_, Some(address)) if address.parse::<std::net::IpAddr>().is_ok() => Ok(()),
        _ => invalid("write it as DNS:NAME or IP:ADDRESS"),
    }
);
