//! Addresses and ranges of them, as profiles and manifests may have them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::values::{Domain, Invalid, ends_in_number, everything};

/// An address range without host bits.
pub fn network_range(text: &str) -> Result<IpNet, Invalid> {
    let cidr: IpNet = text
        .parse()
        .map_err(|_| Invalid("write an address and a prefix length, as in 10.240.0.0/16".into()))?;
    if cidr.trunc() != cidr {
        return Err(Invalid(format!("it has host bits set; the network is {}", cidr.trunc())));
    }
    if cidr.prefix_len() == 0 {
        return Err(Invalid("it is every address there is; write the range that the nodes are in".into()));
    }
    Ok(cidr)
}

pub(super) fn address(text: &str) -> Result<IpAddr, Invalid> {
    text.parse().map_err(|_| {
        Invalid(match text.split_once('/').map(|(address, _)| address.parse::<IpAddr>()) {
            Some(Ok(address)) => format!("write it without the prefix length, as {address}"),
            _ => "write an address, as in 10.240.16.10 or fd00::10".into(),
        })
    })
}

/// A domain: names in it must not be read as addresses.
pub(super) fn domain(text: &str) -> Result<Domain, Invalid> {
    match ends_in_number(text) {
        true => {
            Err(Invalid("its last part is a number, as in an address; write a name, as in kloud.lan".into()))
        }
        false => text.parse(),
    }
}

/// The reason why an address is not a host of a network, and whether the network is part of it.
pub(super) struct Unfit {
    pub reason: String,
    pub about_cidr: bool,
}

/// Whether a host can have this address in this network.
pub(super) fn fit(address: IpAddr, cidr: &IpNet) -> Result<(), Unfit> {
    let unfit = |reason: &str| Err(Unfit { reason: reason.into(), about_cidr: false });
    let outside = |reason: String| Err(Unfit { reason, about_cidr: true });
    match address {
        IpAddr::V4(v4) if v4.is_link_local() => {
            return unfit("peers cannot connect to a link-local address");
        }
        IpAddr::V4(v4) if v4.is_broadcast() => return unfit("it is the broadcast address of every network"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            return unfit("it is an IPv4-mapped IPv6 address; write the IPv4 address");
        }
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            return unfit("peers cannot connect to a link-local address");
        }
        _ => {}
    }
    if address.is_unspecified() {
        return unfit("it means \"any address\", not one");
    }
    if address.is_loopback() {
        return unfit("it is a loopback address, which only the node itself can reach");
    }
    if address.is_multicast() {
        return unfit("it is a multicast address");
    }
    if !cidr.contains(&address) {
        return outside(format!("it is not in {cidr}"));
    }
    // Networks of one or two addresses have neither (RFC 3021, RFC 6164).
    if cidr.max_prefix_len() - cidr.prefix_len() >= 2 {
        if address == cidr.network() {
            return outside(format!("it is the address of the network {cidr} itself"));
        }
        if address.is_ipv4() && address == cidr.broadcast() {
            return outside(format!("it is the broadcast address of {cidr}"));
        }
    }
    Ok(())
}

/// Whether a router on the link of this network can have this address: one outside of the network, or a link-local one,
/// too.
pub fn is_router(address: IpAddr, network: &IpNet) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let is_one = is_link_local || fit(address, &everything(address)).is_ok();
    is_one && address.is_ipv4() == network.addr().is_ipv4()
}

/// Whether a member can have this address in this network.
pub fn check_host(address: IpAddr, cidr: &IpNet) -> Result<(), Invalid> {
    fit(address, cidr).map_err(|unfit| Invalid(unfit.reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_hosts_in_the_network() {
        let cases = [
            ("10.240.0.0/16", "10.240.16.10", ""),
            ("10.240.0.0/16", "10.240.0.0", "itself"),
            ("10.240.0.0/16", "10.240.255.255", "broadcast"),
            ("10.240.0.0/16", "10.241.0.1", "not in"),
            ("10.240.0.0/16", "fd00::1", "not in"),
            ("10.240.0.0/16", "127.0.0.1", "loopback"),
            ("10.240.0.0/16", "224.0.0.1", "multicast"),
            ("10.240.0.0/16", "0.0.0.0", "any address"),
            ("10.240.0.0/16", "169.254.1.1", "link-local"),
            ("10.240.0.0/16", "255.255.255.255", "broadcast"),
            ("0.0.0.0/0", "255.255.255.255", "broadcast"),
            ("10.0.0.0/31", "10.0.0.0", ""),
            ("10.0.0.0/31", "10.0.0.1", ""),
            ("10.0.0.7/32", "10.0.0.7", ""),
            ("fd00::/64", "fd00::10", ""),
            ("fd00::/64", "fd00::", "itself"),
            ("fd00::/64", "fd00::ffff:ffff:ffff:ffff", ""),
            ("fd00::/64", "fe80::1", "link-local"),
            ("fd00::/64", "::1", "loopback"),
            ("fd00::/64", "::", "any address"),
            ("fd00::/64", "ff02::1", "multicast"),
            ("::/0", "::ffff:10.0.0.1", "IPv4"),
        ];
        for (cidr, address, want) in cases {
            let got = fit(address.parse().unwrap(), &cidr.parse().unwrap()).err().map(|why| why.reason);
            match want {
                "" => assert_eq!(got, None, "{address} in {cidr}"),
                _ => assert!(
                    got.as_ref().is_some_and(|got| got.contains(want)),
                    "{address} in {cidr}: {got:?}"
                ),
            }
        }
    }
}
