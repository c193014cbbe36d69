//! The names for which a CA may issue.

use std::net::IpAddr;

use serde::Serialize;

/// Name constraints (RFC 5280 4.2.1.10). Both lists are sorted; a kind of name of which there is none is not
/// constrained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Permits {
    /// Each with all names below it.
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
}

impl Permits {
    /// Each once, in order.
    pub(super) fn sort(&mut self) {
        self.dns.sort();
        self.dns.dedup();
        self.ips.sort();
        self.ips.dedup();
    }
}
