//! The words of systemd's filters of addresses and sockets (systemd.resource-control(5)).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::values::Invalid;

/// The networks of a word of `IPAddressAllow=` and `IPAddressDeny=`.
pub(super) fn networks(word: &str) -> Option<Vec<IpNet>> {
    let all = match word {
        "any" => ["0.0.0.0/0", "::/0"],
        "localhost" => ["127.0.0.0/8", "::1/128"],
        "link-local" => ["169.254.0.0/16", "fe80::/64"],
        "multicast" => ["224.0.0.0/4", "ff00::/8"],
        _ => {
            let network = word.parse().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
            return network.map(|network| vec![network]);
        }
    };
    all.iter().map(|network| network.parse().ok()).collect()
}

/// A rule of `SocketBindAllow=` and `SocketBindDeny=`, of TCP ports: `None` where it is about UDP alone.
pub(super) fn ports(word: &str) -> Result<Option<(u16, u16)>, ()> {
    let mut parts: Vec<_> = word.split(':').collect();
    if ["ipv4", "ipv6"].contains(&parts[0]) {
        parts.remove(0);
    }
    let is_udp = parts.first() == Some(&"udp");
    if ["tcp", "udp"].iter().any(|transport| parts.first() == Some(transport)) {
        parts.remove(0);
    }
    let all = match parts[..] {
        [] => (1, u16::MAX),
        ["any"] if word == "any" => (1, u16::MAX),
        [range] => {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let port = |text: &str| text.parse::<u16>().map_err(drop);
            let (first, last) = (port(first)?, port(last)?);
            if first == 0 || first > last {
                return Err(());
            }
            (first, last)
        }
        _ => return Err(()),
    };
    Ok((!is_udp).then_some(all))
}

/// A value of a setting that filters; any value of another one.
///
/// # Errors
/// A sentence that says what is allowed.
pub(super) fn check(key: &str, text: &str) -> Result<(), Invalid> {
    for word in text.split_whitespace() {
        if key.starts_with("IPAddress") && networks(word).is_none() {
            return Err(Invalid(format!(
                "{word:?} is not a network; write one as in 10.0.0.0/8, or any, localhost, link-local or multicast"
            )));
        }
        if key.starts_with("SocketBind") && ports(word).is_err() {
            return Err(Invalid(format!("{word:?} is not a rule; write any, or ports as in tcp:2379-2380")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_systemd_reads_them() {
        for good in ["any", "localhost link-local  multicast", "10.0.0.1 10.0.0.0/8 fd00::/8 ::1"] {
            assert!(check("IPAddressDeny", good).is_ok(), "{good}");
        }
        for bad in ["all", "10.0.0.0/33", "10.0.0", "any,localhost", "db-1", "~any"] {
            assert!(check("IPAddressDeny", bad).is_err(), "{bad}");
        }
        for good in ["any", "tcp", "ipv6", "ipv4:udp:1-65535", "2379", "tcp:2379-2380"] {
            assert!(check("SocketBindDeny", good).is_ok(), "{good}");
        }
        for bad in ["all", "0", "2380-2379", "tcp:any", "tcp:ipv4", "1-2-3", "70000", "sctp:1"] {
            assert!(check("SocketBindDeny", bad).is_err(), "{bad}");
        }
        assert_eq!((ports("udp"), ports("ipv4:tcp")), (Ok(None), Ok(Some((1, u16::MAX)))));
    }
}
