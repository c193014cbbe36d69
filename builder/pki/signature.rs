//! Verifies signatures, also those of other people's CAs. RSA and the common EC pairs are verified by `ring`, which is
//! independent of the code that makes ours; `ring` supports neither P-521 nor SHA-512 with EC.

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use ring::signature as ring;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::oid::{
    EC_PUBLIC_KEY, ECDSA_SHA256, ECDSA_SHA384, ECDSA_SHA512, ED25519, P256, P384, P521, RSA, RSA_SHA256,
};

const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");

/// Signature algorithms whose hash is broken, by the name of that hash.
const BROKEN: [(ObjectIdentifier, &str); 6] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.2"), "MD2"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.4"), "MD5"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"), "SHA-1"),
    (ObjectIdentifier::new_unwrap("1.3.14.3.2.29"), "SHA-1"),
    (ObjectIdentifier::new_unwrap("1.2.840.10040.4.3"), "SHA-1"),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"), "SHA-1"),
];

/// The reason why a signature is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The hash of this name is broken.
    Broken(&'static str),
    /// Kiln does not verify this pair of key and signature algorithm.
    Unknown(ObjectIdentifier),
    /// It is not a signature of these bytes by this key.
    Wrong,
}

pub(super) fn verify(
    key: &SubjectPublicKeyInfo,
    algorithm: &AlgorithmIdentifier,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Refused> {
    let oid = algorithm.oid;
    if let Some((_, hash)) = BROKEN.iter().find(|(broken, _)| *broken == oid) {
        return Err(Refused::Broken(hash));
    }
    let curve = super::public::curve(key);
    let by_ring: &dyn ring::VerificationAlgorithm = match (key.algorithm.oid, curve, oid) {
        (EC_PUBLIC_KEY, Some(P256), ECDSA_SHA256) => &ring::ECDSA_P256_SHA256_ASN1,
        (EC_PUBLIC_KEY, Some(P256), ECDSA_SHA384) => &ring::ECDSA_P256_SHA384_ASN1,
        (EC_PUBLIC_KEY, Some(P384), ECDSA_SHA256) => &ring::ECDSA_P384_SHA256_ASN1,
        (EC_PUBLIC_KEY, Some(P384), ECDSA_SHA384) => &ring::ECDSA_P384_SHA384_ASN1,
        (RSA, _, RSA_SHA256) => &ring::RSA_PKCS1_2048_8192_SHA256,
        (RSA, _, RSA_SHA384) => &ring::RSA_PKCS1_2048_8192_SHA384,
        (RSA, _, RSA_SHA512) => &ring::RSA_PKCS1_2048_8192_SHA512,
        (ED25519, _, ED25519) => &ring::ED25519,
        (EC_PUBLIC_KEY, Some(curve), _) => return verify_other_curve(curve, oid, key, message, signature),
        _ => return Err(Refused::Unknown(oid)),
    };
    ring::UnparsedPublicKey::new(by_ring, key.subject_public_key.raw_bytes())
        .verify(message, signature)
        .map_err(|_| Refused::Wrong)
}

fn verify_other_curve(
    curve: ObjectIdentifier,
    algorithm: ObjectIdentifier,
    key: &SubjectPublicKeyInfo,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Refused> {
    let hash = match algorithm {
        ECDSA_SHA256 => Sha256::digest(message).to_vec(),
        ECDSA_SHA384 => Sha384::digest(message).to_vec(),
        ECDSA_SHA512 => Sha512::digest(message).to_vec(),
        other => return Err(Refused::Unknown(other)),
    };
    let point = key.subject_public_key.raw_bytes();
    let good = match curve {
        P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point).and_then(|key| {
            let signature = p256::ecdsa::Signature::from_der(signature)?;
            key.verify_prehash(&hash, &signature)
        }),
        P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point).and_then(|key| {
            let signature = p384::ecdsa::Signature::from_der(signature)?;
            key.verify_prehash(&hash, &signature)
        }),
        P521 => p521::ecdsa::VerifyingKey::from_sec1_bytes(point).and_then(|key| {
            let signature = p521::ecdsa::Signature::from_der(signature)?;
            key.verify_prehash(&hash, &signature)
        }),
        other => return Err(Refused::Unknown(other)),
    };
    good.map_err(|_| Refused::Wrong)
}
