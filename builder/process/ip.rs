//! Lines for `ip -batch` (ip(8)).

use std::net::IpAddr;

use ipnet::IpNet;

/// IPv6 addresses are used at once: nobody else is on this network who might have the same.
pub fn address_line(address: IpAddr, network: IpNet, device: &str) -> String {
    let nodad = if address.is_ipv6() { " nodad" } else { "" };
    format!("address add {address}/{} dev {device}{nodad}\n", network.prefix_len())
}
