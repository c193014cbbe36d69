//! All authorities of a cluster.

use super::authority::{Authority, Issued};
use super::keystore::Keystore;
use crate::failure::{Failure, Result};
use crate::plan::{AuthoritySpec, CertificateSpec};
use crate::profile::Algorithm;
use crate::values::Lifetime;

/// The authorities of a plan, in its order.
pub struct Authorities(Vec<(&'static str, Authority)>);

impl Authorities {
    /// # Errors
    /// As `Authority::new`.
    pub fn new(keystore: &Keystore, specs: &[AuthoritySpec]) -> Result<Self> {
        let make = |spec: &AuthoritySpec| Ok((spec.name, Authority::of(keystore, spec.name, &spec.made)?));
        specs.iter().map(make).collect::<Result<_>>().map(Self)
    }

    /// The certificates that clients trust for each authority, in PEM.
    ///
    /// # Errors
    /// As `Authority::root_pem`.
    pub fn roots(&self) -> Result<Vec<String>> {
        self.all().map(|(_, authority)| authority.root_pem()).collect()
    }

    /// Each with its name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Authority)> {
        self.0.iter().map(|(name, authority)| (*name, authority))
    }

    /// The CAs that members trust for each authority, in PEM.
    ///
    /// # Errors
    /// As `Authority::trust_pem`.
    pub fn trust(&self) -> Result<Vec<String>> {
        self.all().map(|(_, authority)| authority.trust_pem()).collect()
    }

    /// Issues a certificate with the authority that it names.
    ///
    /// # Errors
    /// As `Authority::issue`.
    pub fn issue(&self, spec: &CertificateSpec, algorithm: Algorithm, lifetime: Lifetime) -> Result<Issued> {
        let named = self.all().find(|(name, _)| *name == spec.authority);
        let (_, authority) = named.ok_or_else(|| {
            Failure::untrusted(format!("{} needs the CA {}, which does not exist", spec.file, spec.authority))
        })?;
        authority.issue(spec, algorithm, lifetime)
    }
}
