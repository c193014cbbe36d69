//! What there is to say of a keystore's CA.

use x509_cert::SubjectPublicKeyInfo;

use super::authority::derived;
use super::chain::Chain;
use super::key;
use super::keystore::Keystore;
use super::record::Signer;
use crate::failure::Result;
use crate::values::Epoch;

/// The CA that issues, as its certificate says.
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
    /// The CA; `None` where it is derived and nothing has been built yet: what it will be, the profile says.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the imported one cannot be read.
    pub fn ca(&self) -> Result<Option<Ca>> {
        let (chain, algorithm) = match (self.imported(), self.fixed().map(|fixed| fixed.signer)) {
            (Some((chain, _)), _) => {
                let chain = Chain::from_pem(chain)?;
                let algorithm = kind(chain.ca().public_key());
                (chain, algorithm)
            }
            (None, Some(Signer::Derived { algorithm, lifetime })) => {
                let first = self.first_issued();
                let (_, chain) = derived(self.secret(), self.cluster(), algorithm, first, lifetime)?;
                (chain, algorithm.to_string())
            }
            (None, _) => return Ok(None),
        };
        let (not_before, not_after) = chain.validity();
        Ok(Some(Ca { subject: chain.ca().name(), algorithm, not_before, not_after }))
    }
}

fn kind(public: &SubjectPublicKeyInfo) -> String {
    match (key::rsa_bits(public), public.algorithm.oid, key::curve(public)) {
        (Some(bits), ..) => format!("RSA {bits}"),
        (_, key::ED25519, _) => "Ed25519".to_owned(),
        (.., Some(key::P256)) => "P-256".to_owned(),
        (.., Some(key::P384)) => "P-384".to_owned(),
        (.., Some(key::P521)) => "P-521".to_owned(),
        (_, other, _) => other.to_string(),
    }
}
