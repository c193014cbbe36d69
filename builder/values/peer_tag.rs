//! The name that the peers of one cluster have in their certificates and nothing else has.

use std::fmt;

use serde::Serialize;

use super::hex;

/// `peer-0011223344556677.kiln.invalid`: no name below `invalid` leads anywhere (RFC 6761 section 6.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerTag(String);

impl PeerTag {
    /// From bytes that are those of one keystore alone.
    pub fn of(own: &[u8; 8]) -> Self {
        Self(format!("peer-{}.kiln.invalid", hex(own)))
    }

    /// For a plan of which nothing is kept, before there is a keystore.
    pub fn placeholder() -> Self {
        Self::of(&[0; 8])
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
