//! What a certificate that was issued earlier says, for comparing it with what was written down of it.

use super::authority::readable;
use super::certificate::Certificate;
use super::{chain, pem};
use crate::failure::Result;
use crate::values::Epoch;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// As in RFC 4514.
    pub subject: String,
    /// `DNS:cp-a`, `IP:10.0.0.1`.
    pub sans: Vec<String>,
    /// Hex.
    pub serial: String,
    pub not_before: Epoch,
    pub not_after: Epoch,
}

/// Every certificate of a PEM text, in its order.
///
/// # Errors
/// `Exit::Untrusted` when it is something else.
pub fn described(text: &[u8]) -> Result<Vec<Described>> {
    let describe = |block: &pem::Block| {
        let certificate = Certificate::from_der(&block.der)?;
        Ok(Described {
            subject: certificate.name(),
            sans: chain::alternative_names(&certificate)?.iter().map(readable).collect(),
            serial: certificate.serial(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        })
    };
    pem::blocks(text)?.iter().filter(|block| block.label == "CERTIFICATE").map(describe).collect()
}
