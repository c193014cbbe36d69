//! Private keys: made here, or read.

#![allow(clippy::disallowed_types, reason = "the keys of a node are made of the kernel's random bytes")]

use kiln_wire::{Algorithm, Validity};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use x509_cert::der::Decode;
use x509_cert::der::asn1::{Any, BitString, ObjectIdentifier};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};

/// RFC 5480, RFC 5758, RFC 8410.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// Before the 32 bytes of an Ed25519 key in PKCS#8 (RFC 8410 section 7).
const ED25519_PKCS8: [u8; 16] = *b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// A key that signs.
pub struct Key {
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Random bytes of the kernel (getrandom(2)).
///
/// # Errors
/// Where it gives none.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Failure::new("the kernel gives no random bytes"))?;
    Ok(bytes)
}

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// Without random bytes.
    pub fn make(algorithm: Algorithm) -> Result<Self> {
        let curve = match algorithm {
            Algorithm::P256 => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            Algorithm::P384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
            Algorithm::Ed25519 => {
                // ring writes the second version of PKCS#8, with the public key, which OpenSSL does not read.
                let mut pkcs8 = Zeroizing::new(Vec::with_capacity(ED25519_PKCS8.len() + 32));
                pkcs8.extend(ED25519_PKCS8);
                pkcs8.extend(Zeroizing::new(random::<32>()?).iter());
                return Self::read(pkcs8);
            }
        };
        let made = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new());
        let made = made.map_err(|_| Failure::new("no key can be made: the kernel gives no random bytes"))?;
        Self::read(Zeroizing::new(made.as_ref().to_vec()))
    }

    /// From PKCS#8, which names its own algorithm.
    ///
    /// # Errors
    /// Where it is of none that is known here, or its halves do not belong together.
    pub fn read(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self> {
        let chance = SystemRandom::new();
        let of = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &chance);
        let pair = of(&signature::ECDSA_P256_SHA256_ASN1_SIGNING)
            .map(Pair::P256)
            .or_else(|_| of(&signature::ECDSA_P384_SHA384_ASN1_SIGNING).map(Pair::P384))
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).map(Pair::Ed25519))
            .map_err(|_| {
                Failure::new("it is damaged, or not a key on P-256 or P-384 or an Ed25519 key in PKCS#8")
            })?;
        Ok(Self { pair, pkcs8 })
    }

    /// PKCS#8, DER.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The same.
    pub fn into_pkcs8(self) -> Zeroizing<Vec<u8>> {
        self.pkcs8
    }

    /// The bits of the public half.
    pub fn public_bits(&self) -> &[u8] {
        match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    /// As in a certificate.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn public(&self) -> Result<SubjectPublicKeyInfoOwned> {
        let broken =
            |error: x509_cert::der::Error| Failure::new(format!("a public key cannot be written: {error}"));
        let (oid, curve) = match &self.pair {
            Pair::P256(_) => (EC_PUBLIC_KEY, Some(P256)),
            Pair::P384(_) => (EC_PUBLIC_KEY, Some(P384)),
            Pair::Ed25519(_) => (ED25519, None),
        };
        let parameters = curve.map(|curve| Any::encode_from(&curve)).transpose().map_err(broken)?;
        let subject_public_key = BitString::from_bytes(self.public_bits()).map_err(broken)?;
        Ok(SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned { oid, parameters },
            subject_public_key,
        })
    }

    /// The algorithm of `sign`.
    pub fn signature_algorithm(&self) -> AlgorithmIdentifierOwned {
        let oid = match &self.pair {
            Pair::P256(_) => ECDSA_SHA256,
            Pair::P384(_) => ECDSA_SHA384,
            Pair::Ed25519(_) => ED25519,
        };
        AlgorithmIdentifierOwned { oid, parameters: None }
    }

    /// # Errors
    /// Without random bytes.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signed = match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => pair.sign(&SystemRandom::new(), message),
            Pair::Ed25519(pair) => Ok(pair.sign(message)),
        };
        signed
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| Failure::new("the kernel gives no random bytes"))
    }
}

/// Whether a certificate's key is of this algorithm.
pub fn is_of(key: &SubjectPublicKeyInfoOwned, algorithm: Algorithm) -> bool {
    let curve =
        key.algorithm.parameters.as_ref().and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
    match algorithm {
        Algorithm::P256 => key.algorithm.oid == EC_PUBLIC_KEY && curve == Some(P256),
        Algorithm::P384 => key.algorithm.oid == EC_PUBLIC_KEY && curve == Some(P384),
        Algorithm::Ed25519 => key.algorithm.oid == ED25519,
    }
}

/// A certificate from its bytes.
///
/// # Errors
/// Where they are none.
pub fn certificate(der: &[u8]) -> Result<x509_cert::Certificate> {
    x509_cert::Certificate::from_der(der)
        .map_err(|error| Failure::new(format!("it is not a certificate: {error}")))
}

/// The time in which all of these are valid.
pub fn validity(all: &[x509_cert::Certificate]) -> Validity {
    let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
    let dates = all.iter().map(|certificate| certificate.tbs_certificate().validity());
    Validity::of_all(
        dates.map(|dates| Validity { from: seconds(dates.not_before), until: seconds(dates.not_after) }),
    )
}
