//! What a certificate may be used for.

use serde::Serialize;

/// An extended key usage (RFC 5280 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Usage {
    /// `id-kp-serverAuth`.
    ServerAuth,
    /// `id-kp-clientAuth`.
    ClientAuth,
}

impl Usage {
    /// The same for the program on nodes.
    pub fn in_wire(self) -> kiln_wire::Usage {
        match self {
            Self::ServerAuth => kiln_wire::Usage::ServerAuth,
            Self::ClientAuth => kiln_wire::Usage::ClientAuth,
        }
    }
}
