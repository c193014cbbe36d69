//! The families of addresses that a card asks for by DHCP.

use serde::{Deserialize, Serialize};

use super::words;

words! {
    /// What a card asks for, beside its static addresses.
    Dhcp {
        /// DHCP.
        Ipv4 = "ipv4",
        /// DHCPv6.
        Ipv6 = "ipv6",
        /// Both of them.
        Both = "both"
    }
}

impl Dhcp {
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
