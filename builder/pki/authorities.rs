//! All authorities of a cluster.

use super::authority::{Authority, Issued};
use super::keystore::Keystore;
use super::successor::Successors;
use crate::failure::{Failure, Result};
use crate::plan::{AuthoritySpec, CertificateSpec};
use crate::profile::Algorithm;
use crate::values::Lifetime;

/// The authorities of a plan, in its order.
pub struct Authorities {
    all: Vec<(&'static str, Authority)>,
    /// Trusted beside them.
    successors: Successors,
}

impl Authorities {
    /// # Errors
    /// As `Authority::new`.
    pub fn new(keystore: &Keystore, specs: &[AuthoritySpec]) -> Result<Self> {
        let make = |spec: &AuthoritySpec| Ok((spec.name, Authority::of(keystore, spec.name, &spec.made)?));
        let all = specs.iter().map(make).collect::<Result<_>>()?;
        Ok(Self { all, successors: keystore.successors().clone() })
    }

    /// The certificates that clients trust for each authority, in PEM.
    ///
    /// # Errors
    /// As `Authority::root_pem`.
    pub fn roots(&self) -> Result<Vec<String>> {
        self.all().map(|(name, _)| self.root(name)).collect()
    }

    /// The certificates that clients trust for the authority with this name.
    ///
    /// # Errors
    /// As `Authority::root_pem`; `Exit::Untrusted` where there is no such authority.
    pub fn root(&self, name: &str) -> Result<String> {
        let authority = self.named(name);
        let authority =
            authority.ok_or_else(|| Failure::untrusted(format!("the CA {name} does not exist")))?;
        Ok(authority.root_pem()? + self.successors.of(name))
    }

    fn named(&self, name: &str) -> Option<&Authority> {
        self.all().find(|(other, _)| *other == name).map(|(_, authority)| authority)
    }

    /// Each with its name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Authority)> {
        self.all.iter().map(|(name, authority)| (*name, authority))
    }

    /// The CAs that members trust for each authority, in PEM.
    ///
    /// # Errors
    /// As `Authority::trust_pem`.
    pub fn trust(&self) -> Result<Vec<String>> {
        self.all().map(|(name, authority)| Ok(authority.trust_pem()? + self.successors.of(name))).collect()
    }

    /// Issues a certificate with the authority that it names.
    ///
    /// # Errors
    /// As `Authority::issue`.
    pub fn issue(&self, spec: &CertificateSpec, algorithm: Algorithm, lifetime: Lifetime) -> Result<Issued> {
        let authority = self.named(spec.authority).ok_or_else(|| {
            Failure::untrusted(format!("{} needs the CA {}, which does not exist", spec.file, spec.authority))
        })?;
        authority.issue(spec, algorithm, lifetime)
    }
}
