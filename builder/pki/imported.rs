//! The description of an imported CA.

use super::chain::Chain;
use super::import;
use super::keystore::Keystore;
use super::public;
use crate::failure::{Failure, Result};
use crate::plan::{self, ImportedCa};

impl Keystore {
    /// The description of the imported CA; `None` where the CA is derived from the secret.
    ///
    /// # Errors
    /// As `imported_authority`.
    pub fn imported_ca(&self) -> Result<Option<ImportedCa>> {
        self.imported_authority(plan::CA)
    }

    /// The same of the authority with this name.
    ///
    /// # Errors
    /// `Exit::Untrusted` when its certificates cannot be read.
    pub fn imported_authority(&self, authority: &str) -> Result<Option<ImportedCa>> {
        let Some((chain, _)) = self.imported(authority) else { return Ok(None) };
        let chain = Chain::from_pem(chain)?;
        let (not_before, not_after) = chain.validity();
        Ok(Some(ImportedCa {
            subject: chain.ca().name(),
            algorithm: public::kind(chain.ca().public_key()).map_err(Failure::untrusted)?,
            not_before,
            not_after,
            clients_trust: chain.top().name(),
            is_rooted: chain.is_rooted(),
        }))
    }

    /// What strict clients miss in the imported authority with this name: a sentence for each of its certificates.
    ///
    /// # Errors
    /// `Exit::Untrusted` when its certificates cannot be read.
    pub fn missed_by_strict_clients(&self, authority: &str) -> Result<Vec<String>> {
        let Some((chain, _)) = self.imported(authority) else { return Ok(Vec::new()) };
        import::missed_by_strict_clients(&Chain::from_pem(chain)?)
    }
}
