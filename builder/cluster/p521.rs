//! Signing with P-521 in a TLS handshake, which ring does not offer and profiles may choose for their leaves.

use std::sync::Arc;

use p521::ecdsa::signature::Signer as _;
use p521::ecdsa::{DerSignature, SigningKey};
use p521::pkcs8::DecodePrivateKey;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{Signer, SigningKey as TlsKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

/// `None` when it is not a P-521 key in PKCS#8.
pub fn signing_key(key: &PrivateKeyDer<'_>) -> Option<Arc<dyn TlsKey>> {
    let PrivateKeyDer::Pkcs8(der) = key else { return None };
    let secret = p521::SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).ok()?;
    Some(Arc::new(Key(SigningKey::from(secret))))
}

#[derive(Clone)]
struct Key(SigningKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a P-521 key")
    }
}

impl TlsKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let known = offered.contains(&SignatureScheme::ECDSA_NISTP521_SHA512);
        known.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: DerSignature =
            self.0.try_sign(message).map_err(|_| Error::General("signing".into()))?;
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}
