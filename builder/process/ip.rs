//! Lines for `ip -batch` (ip(8)).

use std::net::IpAddr;

use ipnet::IpNet;

/// IPv6 addresses are used at once, without duplicate address detection: no other host on this network can have the
/// same one.
pub fn address_line(address: IpAddr, network: IpNet, device: &str) -> String {
    let nodad = if address.is_ipv6() { " nodad" } else { "" };
    format!("address add {address}/{} dev {device}{nodad}\n", network.prefix_len())
}
