//! What a node gets to issue its own certificates with.

use super::key::KeyPem;
use crate::values::Epoch;

/// A node's CA with its key, as the node gets them.
#[derive(Clone, Debug)]
pub struct NodeCa {
    /// Its certificate, and those above it that are sent with it.
    pub cert_pem: String,
    pub key_pem: KeyPem,
    /// `CN=ha3 cp-a server CA`.
    pub subject: String,
    /// 40 hex digits.
    pub serial: String,
    /// A day before the date of issue, but not before the CA's own.
    pub not_before: Epoch,
    /// The last second in which it is valid.
    pub not_after: Epoch,
}
