//! The description of a keystore's CA.

use super::authority::derived;
use super::keystore::Keystore;
use super::record::Signer;
use crate::failure::Result;
use crate::plan::ImportedCa;
use crate::values::Epoch;

/// The issuing CA, as its certificate describes it.
pub struct Ca {
    /// `CN=ha3 etcd CA`.
    pub subject: String,
    /// Of its key: as in a profile where it is derived, and `P-256` or `RSA 2048` where it is imported.
    pub algorithm: String,
    /// Of the CA and all above it.
    pub not_before: Epoch,
    pub not_after: Epoch,
}

impl Keystore {
    /// The CA; `None` where it is derived and nothing has been built yet: the profile then determines it.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the imported one cannot be read.
    pub fn ca(&self) -> Result<Option<Ca>> {
        if let Some(ImportedCa { subject, algorithm, not_before, not_after, .. }) = self.imported_ca()? {
            return Ok(Some(Ca { subject, algorithm, not_before, not_after }));
        }
        let Some(Signer::Derived { algorithm, lifetime }) = self.fixed().map(|fixed| fixed.signer) else {
            return Ok(None);
        };
        let first = self.first_issued();
        let (_, chain) = derived(self.secret(), self.cluster(), algorithm, first, lifetime)?;
        let (not_before, not_after) = chain.validity();
        Ok(Some(Ca { subject: chain.ca().name(), algorithm: algorithm.to_string(), not_before, not_after }))
    }
}
