//! The certificate authorities of a cluster.

use serde::Serialize;

use crate::profile::{Algorithm, Pki};
use crate::values::Lifetime;

/// The one CA that every cluster has: it issues to members and to their clients.
pub const CA: &str = "ca";

/// An authority, as Kiln makes it unless one was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthoritySpec {
    /// The name that certificates refer to; `NAME.pem` is the file with its trusted certificate.
    pub name: &'static str,
    pub algorithm: Algorithm,
    pub lifetime: Lifetime,
}

impl AuthoritySpec {
    /// The file of its certificate, on nodes and in the bundle's `client/`.
    pub fn file(&self) -> String {
        file(self.name)
    }
}

pub fn file(authority: &str) -> String {
    format!("{authority}.pem")
}

/// All authorities of a cluster, the one that clients trust first.
pub fn of(pki: &Pki) -> Vec<AuthoritySpec> {
    vec![AuthoritySpec { name: CA, algorithm: pki.ca_algorithm, lifetime: pki.ca_lifetime }]
}
