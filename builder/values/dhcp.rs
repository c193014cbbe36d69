//! The families of addresses that a card asks for by DHCP.

use serde::{Deserialize, Serialize};

/// What a card asks for, beside its static addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dhcp {
    /// DHCP.
    Ipv4,
    /// DHCPv6.
    Ipv6,
    /// Both of them.
    Both,
}

impl Dhcp {
    /// Each value with its word in profiles.
    pub const CHOICES: &[(&str, Self)] = &[("ipv4", Self::Ipv4), ("ipv6", Self::Ipv6), ("both", Self::Both)];
    /// The words alone.
    pub const NAMES: &[&str] = &["ipv4", "ipv6", "both"];

    /// Its word in profiles.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Both => "both",
        }
    }

    /// Whether it asks for an IPv4 address, or else for an IPv6 one.
    pub fn asks(self, for_ipv4: bool) -> bool {
        self == Self::Both || (self == Self::Ipv4) == for_ipv4
    }

    /// As systemd.network(5) has it.
    pub fn networkd(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Both => "yes",
        }
    }
}
