//! Changes to a keystore after it was made: a new round of leaves, and another CA.

use std::path::Path;

use zeroize::Zeroizing;

use super::{Imported, ImportedKey, Keystore};
use crate::disk::Staging;
use crate::failure::{Doing, Failure, Result};
use crate::pki::chain::{Chain, OVER};
use crate::pki::record::Signer;
use crate::pki::{import, keyfile};
use crate::plan::{self, CA};
use crate::values::{ClusterName, Epoch};

/// A CA to be imported.
#[derive(Clone, Copy)]
pub struct Import<'a> {
    /// The authority that it becomes: `ca` or `peer-ca`.
    pub authority: &'static str,
    /// Its certificate, then the chain above it up to the root, PEM.
    pub certificates: &'a [u8],
    /// PEM.
    pub key: &'a [u8],
    /// Of the key, where it is encrypted.
    pub passphrase: Option<&'a str>,
}

impl Keystore {
    /// Begins a new round: from now on leaves have new keys, new dates and the next number. The CA stays.
    ///
    /// # Errors
    /// As `open`, and `Exit::Unsafe` when the date is before the latest issue, or other files are in its directory.
    pub fn renew(dir: &Path, cluster: &ClusterName, issued: Epoch) -> Result<Self> {
        let mut keystore = Self::open_to_change(dir, cluster)?;
        keystore.check_ca(issued)?;
        keystore.issues = keystore.issues.clone().and(issued)?;
        keystore.save(dir)?;
        Ok(keystore)
    }

    /// Checks that the CA has not ended by then, as far as that is recorded.
    fn check_ca(&self, at: Epoch) -> Result<()> {
        for imported in self.imported.values() {
            Chain::from_pem(&imported.chain)?.check_dates(at)?;
        }
        let Some(fixed) = self.fixed() else { return Ok(()) };
        let mut lifetimes = Vec::new();
        if let Signer::Derived { lifetime, .. } = fixed.signer {
            lifetimes.push(lifetime);
        }
        let issuing = fixed.authorities.iter().map(|(_, made)| match &made.intermediate {
            Some((_, lifetime)) => *lifetime,
            None => made.lifetime,
        });
        lifetimes.extend(issuing);
        let Some(shortest) = lifetimes.into_iter().min() else { return Ok(()) };
        let end = self.first_issued().plus(shortest);
        match end < at {
            true => {
                let cluster = &self.cluster;
                Err(Failure::untrusted(format!(
                    "the CA of {cluster} expired on {end}; {OVER}. Nothing was changed"
                )))
            }
            false => Ok(()),
        }
    }

    /// Imports the CA `ca`.
    ///
    /// # Errors
    /// As `import`.
    pub fn import_ca(
        dir: &Path,
        cluster: &ClusterName,
        certificates: &[u8],
        key: &[u8],
        passphrase: Option<&str>,
        issued: Epoch,
    ) -> Result<Self> {
        Self::import(dir, cluster, &Import { authority: CA, certificates, key, passphrase }, issued)
    }

    /// Imports a CA. Begins a new round of leaves, because no leaf of another CA may remain in use.
    ///
    /// # Errors
    /// As `renew`; `Exit::Untrusted` when the CA is not fit to issue, with a sentence for each reason, and when it and
    /// the other imported one are not two CAs apart; `Exit::Unsafe` when a CA has been imported under that name before
    /// (except the same one with another chain above it, before the first build), or has issued already.
    pub fn import(dir: &Path, cluster: &ClusterName, given: &Import<'_>, issued: Epoch) -> Result<Self> {
        let Import { authority, certificates, key, passphrase } = *given;
        let chain = Chain::from_pem(certificates).doing(|| "reading the CA's certificate".into())?;
        import::check(&chain)?;
        let over = "have it issued again, or import a CA that is still valid";
        chain.check_dates_or(issued, over, "check the clock, or wait until then")?;
        let key = keyfile::read(key, passphrase, chain.ca().public_key())
            .doing(|| "reading the CA's key".into())?;
        chain.check_key(&key)?;

        let mut keystore = Self::open_to_change(dir, cluster)?;
        // Nothing is issued yet, so nothing has to be issued again.
        let completes = keystore.is_unissued() && keystore.has_other_chain_of(authority, &chain)?;
        if !completes {
            keystore.refuse_second_ca(dir, authority)?;
            keystore.issues = keystore.issues.clone().and(issued)?;
        }
        for (name, other) in keystore.imported.iter().filter(|(name, _)| **name != authority) {
            chain.check_apart(&Chain::from_pem(&other.chain)?, authority, name)?;
        }
        let key = ImportedKey {
            der: key.to_pkcs8()?.to_bytes(),
            pem: Zeroizing::new(key.to_pem()?.as_bytes().to_vec()),
        };
        keystore.imported.insert(authority, Imported { chain: chain.pem()?.into_bytes(), key });
        // Several files change, so the whole directory is exchanged; under the same lock, which the staging directory
        // takes over.
        let lock = keystore.lock.take();
        keystore.lock = keystore.store(Staging::begin_holding(dir, lock)?)?;
        keystore.stored = Some(keystore.fingerprint()?);
        Ok(keystore)
    }

    /// Whether no build has been made from it.
    fn is_unissued(&self) -> bool {
        self.fixed.is_none() && self.sealed.is_empty()
    }

    /// Whether certificates may be in use that it has issued: then it takes no other CA.
    pub fn has_issued(&self) -> bool {
        !self.is_unissued()
    }

    /// Whether the same CA was imported with other certificates above it, such as without its root.
    fn has_other_chain_of(&self, authority: &str, chain: &Chain) -> Result<bool> {
        let Some((there, _)) = self.imported(authority) else { return Ok(false) };
        let is_same_ca = Chain::from_pem(there)?.ca().der() == chain.ca().der();
        Ok(is_same_ca && there != chain.pem()?.as_bytes())
    }

    /// Nodes and clients trust the first CA that issues to them, and no other CA of the same keystore.
    fn refuse_second_ca(&self, dir: &Path, authority: &str) -> Result<()> {
        let dir = dir.display();
        let why = if self.has_imported(authority) {
            let of_peers = plan::of_peers(authority);
            match self.is_unissued() {
                true => format!("{dir} has an imported CA{of_peers} already"),
                false => format!("{dir} has an imported CA{of_peers} already, and nodes trust it"),
            }
        } else if !self.sealed.is_empty() {
            format!(
                "{dir} is sealed: its cluster has formed under the CA that it has, and members would not trust another"
            )
        } else if self.fixed.is_some() {
            format!(
                "{dir} has issued certificates under its own CA, and nodes that have them would not trust another"
            )
        } else {
            return Ok(());
        };
        Err(Failure::unsafe_to(format!(
            "{why}; for a cluster under this CA create another keystore, and import the CA before the first build: kiln \
             keystore init {} --keystore DIR",
            self.cluster
        )))
    }
}
