//! Secrets that are made here, and what is derived from them.

#![allow(clippy::disallowed_types, reason = "each file has keys of random bytes")]

use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::error::Error;

/// What the content's key is made of.
pub type FileKey = Zeroizing<[u8; 16]>;

/// Random bytes of the kernel (getrandom(2)).
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Chance)?;
    Ok(bytes)
}

/// 32 bytes of HKDF with SHA-256.
struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

/// HKDF (RFC 5869) with SHA-256.
pub fn derive(secret: &[u8], salt: &[u8], label: &[u8]) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut key = Zeroizing::new([0; 32]);
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, salt);
    let filled = salt.extract(secret).expand(&[label], Length).and_then(|okm| okm.fill(key.as_mut_slice()));
    filled.map_err(|_| Error::Weak)?;
    Ok(key)
}
