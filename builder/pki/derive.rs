//! Private keys from the keystore's secret.

use super::key::Key;
use super::secret::Secret;
use crate::failure::{Failure, Result};
use crate::profile::Algorithm;

impl Key {
    /// The key for this algorithm and label.
    ///
    /// Part of the format: changing it changes every key of every cluster.
    pub fn derive(secret: &Secret, algorithm: Algorithm, label: &[&str]) -> Result<Self> {
        let name = algorithm.to_string();
        let label = [&["key", name.as_str()], label].concat();
        match algorithm {
            Algorithm::P256 => {
                sample::<32, _>(secret, &label, |b| p256::ecdsa::SigningKey::from_slice(b).ok())
                    .map(Self::P256)
            }
            Algorithm::P384 => {
                sample::<48, _>(secret, &label, |b| p384::ecdsa::SigningKey::from_slice(b).ok())
                    .map(Self::P384)
            }
            // 521 bits are 65 bytes and one bit.
            Algorithm::P521 => sample::<66, _>(secret, &label, |b| {
                b[0] &= 1;
                p521::ecdsa::SigningKey::from_slice(b).ok()
            })
            .map(Self::P521),
            Algorithm::Ed25519 => {
                let seed = secret.derive::<32>(&label)?;
                Ok(Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(&seed)))
            }
        }
    }
}

/// Rejection sampling: numbers from a counter until one is within the curve's order, so that every key is equally
/// likely. P-256 rejects the first number once in 2^32.
fn sample<const N: usize, K>(
    secret: &Secret,
    label: &[&str],
    accept: impl Fn(&mut [u8; N]) -> Option<K>,
) -> Result<K> {
    for counter in 0..256 {
        let counter = counter.to_string();
        let mut bytes = secret.derive::<N>(&[label, &[&counter]].concat())?;
        if let Some(key) = accept(&mut bytes) {
            return Ok(key);
        }
    }
    Err(Failure::untrusted("no private key can be derived from this keystore's secret"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_goes_on_until_a_number_fits() {
        let secret = Secret::new(&[7; 32]);
        let tried = std::cell::RefCell::new(Vec::new());
        let third = sample::<32, _>(&secret, &["x"], |bytes| {
            tried.borrow_mut().push(*bytes);
            (tried.borrow().len() == 3).then_some(*bytes)
        });
        let tried = tried.into_inner();
        assert_eq!(third.unwrap(), tried[2]);
        assert!(tried[0] != tried[1] && tried[1] != tried[2]);
        assert!(sample::<32, ()>(&secret, &["x"], |_| None).is_err(), "and gives up in the end");
    }
}
