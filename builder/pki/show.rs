//! The description of a keystore's CA.

use super::keystore::Keystore;
use super::made::derived;
use super::record::Signer;
use super::recorded;
use crate::failure::Result;
use crate::plan::{CA, ImportedCa, Made};
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
        let Some((fixed, Signer::Derived { algorithm, lifetime })) =
            self.fixed().map(|fixed| (fixed, fixed.signer))
        else {
            return Ok(None);
        };
        let plain = Made::plain(self.cluster(), algorithm, lifetime);
        let made = fixed.made().unwrap_or(&plain);
        let (_, chain) = derived(self.secret(), self.cluster(), CA, made, self.first_issued())?;
        let (not_before, not_after) = chain.validity();
        Ok(Some(Ca { subject: chain.ca().name(), algorithm: algorithm.to_string(), not_before, not_after }))
    }

    /// The CAs that are recorded with more than an algorithm and a lifetime, each by its name: as in a refusal.
    pub fn recorded_authorities(&self) -> Vec<(&'static str, String)> {
        let all = self.fixed().map(|fixed| fixed.authorities.as_slice()).unwrap_or_default();
        all.iter().map(|(name, made)| (*name, recorded::describe(made))).collect()
    }
}
