//! Private keys: derived from the secret or read from PKCS#8, and signing with them, always with the same
//! signature for the same bytes.

use std::fmt;

use p256::ecdsa::signature::Signer;
use pkcs8::{EncodePrivateKey, PrivateKeyInfoRef, SecretDocument};
use ring::signature::KeyPair;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{Any, BitString, OctetStringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::{AlgorithmIdentifier, SubjectPublicKeyInfo};
use zeroize::Zeroizing;

use super::secret::Secret;
use crate::failure::{Failure, Result};
use crate::profile::Algorithm;

pub(super) const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(super) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
pub(super) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
pub(super) const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
pub(super) const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
pub(super) const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
pub(super) const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
pub(super) const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");

/// Wiped from memory when dropped (`ring` keeps its RSA numbers to itself); it has no `Debug`.
pub(super) enum Key {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
    /// Of an imported CA only.
    Rsa(Rsa),
}

pub(super) struct Rsa {
    pair: ring::rsa::KeyPair,
    pkcs1: Zeroizing<Vec<u8>>,
}

/// A private key as PKCS#8 PEM, the form that etcd reads. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct KeyPem(Zeroizing<String>);

impl KeyPem {
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for KeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPem(…)")
    }
}

impl Key {
    /// The key of this algorithm and label.
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

    /// # Errors
    /// `Exit::Untrusted` when it is not PKCS#8 or holds a key that Kiln does not sign with.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let damaged = || Failure::untrusted("the private key is damaged");
        let info = PrivateKeyInfoRef::from_der(der)
            .map_err(|_| Failure::untrusted("the private key is not in PKCS#8 form, or it is damaged"))?;
        let oid = info.algorithm.oid;
        if oid == ED25519 {
            return ed25519_dalek::SigningKey::try_from(info).map(Self::Ed25519).map_err(|_| damaged());
        }
        if oid == RSA {
            return Self::from_pkcs1(info.private_key.as_bytes());
        }
        if oid != EC_PUBLIC_KEY {
            return Err(Failure::untrusted(format!(
                "the private key's algorithm, {oid}, is not one that kiln signs with; use an EC key (P-256, \
                 P-384, P-521), an Ed25519 key or an RSA key"
            )));
        }
        let curve = info.algorithm.parameters_oid().map_err(|_| {
            Failure::untrusted(
                "the private key's curve is not given by name; convert it with \
                 `openssl pkey -in KEY -ec_param_enc named_curve -out NEW`",
            )
        })?;
        match curve {
            P256 => p256::SecretKey::try_from(info).map(|k| Self::P256(k.into())).map_err(|_| damaged()),
            P384 => p384::SecretKey::try_from(info).map(|k| Self::P384(k.into())).map_err(|_| damaged()),
            P521 => p521::SecretKey::try_from(info).map(|k| Self::P521(k.into())).map_err(|_| damaged()),
            other => Err(Failure::untrusted(format!(
                "the private key's curve, {other}, is not one that kiln signs with; use P-256, P-384 or P-521"
            ))),
        }
    }

    /// From an `RSAPrivateKey` (RFC 8017 A.1.2).
    pub fn from_pkcs1(der: &[u8]) -> Result<Self> {
        let pair = ring::rsa::KeyPair::from_der(der).map_err(|rejected| {
            Failure::untrusted(format!(
                "the RSA private key is refused ({rejected}); it must have two primes and 2048, 3072 or 4096 bits"
            ))
        })?;
        Ok(Self::Rsa(Rsa { pair, pkcs1: Zeroizing::new(der.to_vec()) }))
    }

    /// PKCS#8 (RFC 5958) without the optional public key of version 2, which OpenSSL 1.1 and Go 1.12 refuse
    /// for Ed25519.
    pub fn to_pkcs8(&self) -> Result<SecretDocument> {
        let document = match self {
            Self::P256(key) => key.to_pkcs8_der(),
            Self::P384(key) => key.to_pkcs8_der(),
            Self::P521(key) => key.to_pkcs8_der(),
            Self::Ed25519(key) => {
                let pair =
                    ed25519_dalek::pkcs8::KeypairBytes { secret_key: key.to_bytes(), public_key: None };
                pair.to_pkcs8_der()
            }
            Self::Rsa(key) => OctetStringRef::new(&key.pkcs1)
                .and_then(|octets| {
                    let algorithm = pkcs8::AlgorithmIdentifierRef {
                        oid: RSA,
                        parameters: Some(x509_cert::der::asn1::AnyRef::NULL),
                    };
                    SecretDocument::encode_msg(&PrivateKeyInfoRef::new(algorithm, octets))
                })
                .map_err(pkcs8::Error::from),
        };
        document.map_err(|_| Failure::untrusted("the private key cannot be written as PKCS#8"))
    }

    pub fn to_pem(&self) -> Result<KeyPem> {
        self.to_pkcs8()?
            .to_pem("PRIVATE KEY", pkcs8::LineEnding::LF)
            .map(KeyPem)
            .map_err(|_| Failure::untrusted("the private key cannot be written as PEM"))
    }

    pub fn public(&self) -> Result<SubjectPublicKeyInfo> {
        match self {
            Self::P256(key) => SubjectPublicKeyInfo::from_key(key.verifying_key()).map_err(|e| e.to_string()),
            Self::P384(key) => SubjectPublicKeyInfo::from_key(key.verifying_key()).map_err(|e| e.to_string()),
            Self::P521(key) => SubjectPublicKeyInfo::from_key(key.verifying_key()).map_err(|e| e.to_string()),
            Self::Ed25519(key) => {
                SubjectPublicKeyInfo::from_key(&key.verifying_key()).map_err(|e| e.to_string())
            }
            Self::Rsa(key) => BitString::from_bytes(key.pair.public_key().as_ref())
                .map(|subject_public_key| SubjectPublicKeyInfo {
                    algorithm: AlgorithmIdentifier { oid: RSA, parameters: Some(Any::null()) },
                    subject_public_key,
                })
                .map_err(|e| e.to_string()),
        }
        .map_err(|error| Failure::untrusted(format!("the public key cannot be written: {error}")))
    }

    /// What `sign` signs with: the hash follows from the key (RFC 5480 section 4, RFC 8410).
    pub fn signature_algorithm(&self) -> AlgorithmIdentifier {
        let (oid, parameters) = match self {
            Self::P256(_) => (ECDSA_SHA256, None),
            Self::P384(_) => (ECDSA_SHA384, None),
            Self::P521(_) => (ECDSA_SHA512, None),
            Self::Ed25519(_) => (ED25519, None),
            // RFC 4055 section 5 asks for the NULL.
            Self::Rsa(_) => (RSA_SHA256, Some(Any::null())),
        };
        AlgorithmIdentifier { oid, parameters }
    }

    /// The same bytes, the same signature: RFC 6979 for EC, RFC 8032, and PKCS#1 v1.5 has no chance in it.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let fault = |_| Failure::untrusted("signing a certificate went wrong");
        match self {
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.try_sign(message).map_err(fault)?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.try_sign(message).map_err(fault)?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
            Self::P521(key) => {
                let signature: p521::ecdsa::Signature = key.try_sign(message).map_err(fault)?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
            Self::Ed25519(key) => Ok(key.try_sign(message).map_err(fault)?.to_bytes().to_vec()),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.pair.public().modulus_len()];
                let chance = ring::rand::SystemRandom::new();
                key.pair
                    .sign(&ring::signature::RSA_PKCS1_SHA256, &chance, message, &mut signature)
                    .map_err(|_| Failure::untrusted("signing a certificate went wrong"))?;
                Ok(signature)
            }
        }
    }
}

/// Rejection sampling: numbers by a counter until one lies within the curve's order, so that every key is
/// equally likely. P-256's first number is good but once in 2^32.
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

/// RFC 7093 section 2, method 1: the first 160 bits of the SHA-256 of the public key's bits.
pub(super) fn identifier(key: &SubjectPublicKeyInfo) -> Vec<u8> {
    let digest = crate::values::Digest::of(key.subject_public_key.raw_bytes());
    digest.bytes()[..20].to_vec()
}

/// Whether two are the same key, whatever their parameters look like.
pub(super) fn same(one: &SubjectPublicKeyInfo, other: &SubjectPublicKeyInfo) -> bool {
    one.algorithm.oid == other.algorithm.oid && one.subject_public_key == other.subject_public_key
}

/// The curve of an EC key, where it is given by name.
pub(super) fn curve(key: &SubjectPublicKeyInfo) -> Option<ObjectIdentifier> {
    key.algorithm.parameters.as_ref().and_then(|parameters| parameters.decode_as().ok())
}

/// The size of an RSA modulus in bits (RFC 8017 A.1.1); `None` when it is no RSA key.
pub(super) fn rsa_bits(key: &SubjectPublicKeyInfo) -> Option<usize> {
    if key.algorithm.oid != RSA {
        return None;
    }
    let numbers = Vec::<x509_cert::der::asn1::Uint>::from_der(key.subject_public_key.raw_bytes()).ok()?;
    let modulus = numbers.first()?.as_bytes();
    let first = modulus.iter().position(|byte| *byte != 0)?;
    Some((modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize)
}
