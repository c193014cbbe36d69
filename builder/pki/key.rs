//! Private keys: reading and writing them as PKCS#8, and signing with them, always with the same
//! signature for the same bytes.

use std::fmt;

use p256::ecdsa::signature::Signer;
use pkcs8::{EncodePrivateKey, PrivateKeyInfoRef, SecretDocument};
use ring::signature::KeyPair;
use sec1::EcPrivateKey;
use x509_cert::der::asn1::{Any, AnyRef, BitString, OctetStringRef, Uint};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode, Reader, SliceReader};
use x509_cert::{AlgorithmIdentifier, SubjectPublicKeyInfo};
use zeroize::Zeroizing;

use super::chance::chance;
use super::oid::{
    EC_PUBLIC_KEY, ECDSA_SHA256, ECDSA_SHA384, ECDSA_SHA512, ED25519, P256, P384, P521, RSA, RSA_SHA256,
};
use super::public::{bits, curve};
use crate::failure::{Failure, Result};

/// The smallest exponent that `ring` signs with (FIPS 186-5 section A.1.1 has the same limit).
const MIN_RSA_EXPONENT: u64 = 65_537;

/// Wiped from memory when dropped (`ring` does not expose its RSA numbers); it has no `Debug`.
pub(super) enum Key {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
    /// Only for an imported CA.
    Rsa(Rsa),
}

pub(super) struct Rsa {
    pair: ring::rsa::KeyPair,
    pkcs1: Zeroizing<Vec<u8>>,
}

/// Builds the table for P-256 multiplication, which the first key would build: it takes as long as ten certificates,
/// and can run in parallel with earlier steps.
pub fn warm_up() {
    let _ = p256::ecdsa::SigningKey::from_slice(&[1; 32]);
}

/// A private key as PKCS#8 PEM, the form that etcd reads. Its `Debug` reveals nothing of it.
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
    /// # Errors
    /// `Exit::Untrusted` when it is not PKCS#8 or is a key that Kiln does not sign with.
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
                "the private key's algorithm, {oid}, is not supported; use an EC key (P-256, \
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
                "the private key's curve, {other}, is not supported; use P-256, P-384 or P-521"
            ))),
        }
    }

    /// From an `RSAPrivateKey` (RFC 8017 A.1.2).
    pub fn from_pkcs1(der: &[u8]) -> Result<Self> {
        // `ring` reports "TooSmall" for a modulus and an exponent alike.
        if let Ok((bits, exponent)) = public_half(der)
            && bits >= 2048
            && exponent < MIN_RSA_EXPONENT
        {
            return Err(Failure::untrusted(format!(
                "the RSA private key is refused: its public exponent is {exponent}, but Kiln needs at least {MIN_RSA_EXPONENT}; \
                 create a CA with a new key"
            )));
        }
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
            Self::P256(key) => ec_pkcs8(P256, &Zeroizing::new(key.to_bytes()), &self.public()?),
            Self::P384(key) => ec_pkcs8(P384, &Zeroizing::new(key.to_bytes()), &self.public()?),
            Self::P521(key) => ec_pkcs8(P521, &Zeroizing::new(key.to_bytes()), &self.public()?),
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

    /// The algorithm of `sign`: the hash follows from the key (RFC 5480 section 4, RFC 8410).
    pub fn signature_algorithm(&self) -> AlgorithmIdentifier {
        let (oid, parameters) = match self {
            Self::P256(_) => (ECDSA_SHA256, None),
            Self::P384(_) => (ECDSA_SHA384, None),
            Self::P521(_) => (ECDSA_SHA512, None),
            Self::Ed25519(_) => (ED25519, None),
            // RFC 4055 section 5 requires the NULL.
            Self::Rsa(_) => (RSA_SHA256, Some(Any::null())),
        };
        AlgorithmIdentifier { oid, parameters }
    }

    /// The same bytes give the same signature: RFC 6979 for EC, RFC 8032, and PKCS#1 v1.5 uses no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let fault = |_| Failure::untrusted("signing the certificate was not possible");
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
                let chance = chance();
                key.pair
                    .sign(&ring::signature::RSA_PKCS1_SHA256, &chance, message, &mut signature)
                    .map_err(|_| Failure::untrusted("signing the certificate was not possible"))?;
                Ok(signature)
            }
        }
    }
}

/// An `ECPrivateKey` (RFC 5915) in PKCS#8, with the public key, in the form of `p256` and related crates: they compute
/// the public key again for that, which takes as long as a signature.
fn ec_pkcs8(
    curve: ObjectIdentifier,
    private: &[u8],
    public: &SubjectPublicKeyInfo,
) -> pkcs8::Result<SecretDocument> {
    let key = EcPrivateKey {
        private_key: private,
        parameters: None,
        public_key: Some(public.subject_public_key.raw_bytes()),
    };
    let key = Zeroizing::new(key.to_der()?);
    let parameters = Some(AnyRef::from(&curve));
    let algorithm = pkcs8::AlgorithmIdentifierRef { oid: EC_PUBLIC_KEY, parameters };
    Ok(SecretDocument::encode_msg(&PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&key)?))?)
}

/// The bits of the public key that belongs to a private one in PKCS#8, which must be of the same kind as `like`.
/// `ring` reads the key where it can, because it is independent of the code that made it; it checks that the two
/// halves belong together.
pub(super) fn public_bits(pkcs8: &[u8], like: &SubjectPublicKeyInfo) -> Result<Vec<u8>> {
    let by_ring = match curve(like) {
        Some(P256) => &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        Some(P384) => &ring::signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        _ => return Ok(Key::from_pkcs8(pkcs8)?.public()?.subject_public_key.raw_bytes().to_vec()),
    };
    // ring's interface requires random numbers, which only signing would use.
    let chance = chance();
    ring::signature::EcdsaKeyPair::from_pkcs8(by_ring, pkcs8, &chance)
        .map(|pair| pair.public_key().as_ref().to_vec())
        .map_err(|rejected| Failure::untrusted(format!("the private key is refused ({rejected})")))
}

/// The bits of the modulus and the public exponent of an `RSAPrivateKey` (RFC 8017 A.1.2). Neither is secret.
fn public_half(pkcs1: &[u8]) -> std::result::Result<(usize, u64), x509_cert::der::Error> {
    let mut fields = SliceReader::new(AnyRef::from_der(pkcs1)?.value())?;
    let _version = fields.tlv_bytes()?;
    let modulus = Uint::from_der(fields.tlv_bytes()?)?;
    let exponent = Uint::from_der(fields.tlv_bytes()?)?;
    let exponent = exponent
        .as_bytes()
        .iter()
        .try_fold(0_u64, |sum, byte| sum.checked_mul(256).map(|sum| sum + u64::from(*byte)));
    Ok((bits(&modulus).unwrap_or(0), exponent.unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::public::same;
    use crate::pki::secret::Secret;
    use crate::profile::Algorithm;
    use crate::values::hex;

    const ALGORITHMS: [Algorithm; 4] =
        [Algorithm::P256, Algorithm::P384, Algorithm::P521, Algorithm::Ed25519];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    /// RFC 6979 A.2.5 to A.2.7, the message "sample" with each curve's own hash: key, r, s.
    #[test]
    fn ec_signatures_are_those_of_rfc_6979() {
        let p256 = "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721";
        let key = Key::P256(p256::ecdsa::SigningKey::from_slice(&bytes(p256)).unwrap());
        let signature = p256::ecdsa::Signature::from_der(&key.sign(b"sample").unwrap()).unwrap();
        assert_eq!(
            hex(&signature.to_bytes()).to_uppercase(),
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716\
             F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
        );
        let p384 = "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D8\
                    96D5724E4C70A825F872C9EA60D2EDF5";
        let key = Key::P384(p384::ecdsa::SigningKey::from_slice(&bytes(p384)).unwrap());
        let signature = p384::ecdsa::Signature::from_der(&key.sign(b"sample").unwrap()).unwrap();
        assert_eq!(
            hex(&signature.to_bytes()).to_uppercase(),
            "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C\
             81A648152E44ACF96E36DD1E80FABE46\
             99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94F\
             A329C145786E679E7B82C71A38628AC8"
        );
        let p521 = "00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75\
                    CAA896EB32F1F47C70855836A6D16FCC1466F6D8FBEC67DB89EC0C08B0E996B83538";
        let key = Key::P521(p521::ecdsa::SigningKey::from_slice(&bytes(p521)).unwrap());
        let signature = p521::ecdsa::Signature::from_der(&key.sign(b"sample").unwrap()).unwrap();
        assert_eq!(
            hex(&signature.to_bytes()).to_uppercase(),
            "00C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F174E\
             25A1EE9017B5D450606ADD152B534931D7D4E8455CC91F9B15BF05EC36E377FA\
             00617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF2826\
             23EAA63E5B5C0723D8B8C37FF0777B1A20F8CCB1DCCC43997F1EE0E44DA4A67A"
        );
    }

    #[test]
    fn keys_come_back_from_pkcs8() {
        let secret = Secret::new(&[7; 32]);
        for algorithm in ALGORITHMS {
            let key = Key::derive(&secret, algorithm, &["x"]).unwrap();
            let again = Key::from_pkcs8(key.to_pkcs8().unwrap().as_bytes()).unwrap();
            assert_eq!(key.public().unwrap(), again.public().unwrap());
            assert_eq!(key.sign(b"x").unwrap(), again.sign(b"x").unwrap());
            let other = Key::derive(&secret, algorithm, &["y"]).unwrap();
            assert!(!same(&key.public().unwrap(), &other.public().unwrap()));
        }
    }

    #[test]
    fn a_private_key_gives_the_public_one_of_its_kind_and_no_other() {
        let secret = Secret::new(&[7; 32]);
        for algorithm in ALGORITHMS {
            let [key, other] = ["a", "b"].map(|name| Key::derive(&secret, algorithm, &[name]).unwrap());
            let (pkcs8, public) = (key.to_pkcs8().unwrap(), key.public().unwrap());
            let bits = public_bits(pkcs8.as_bytes(), &public).unwrap();
            assert_eq!(bits, public.subject_public_key.raw_bytes(), "{algorithm}");
            assert_ne!(bits, other.public().unwrap().subject_public_key.raw_bytes(), "{algorithm}");
            if matches!(algorithm, Algorithm::P256 | Algorithm::P384) {
                // Its own public half, which comes last, with a bit flipped.
                let mut damaged = pkcs8.as_bytes().to_vec();
                *damaged.last_mut().unwrap() ^= 1;
                let refused = public_bits(&damaged, &public).unwrap_err().to_string();
                assert!(refused.contains("the private key is refused"), "{refused}");
            }
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let key = Key::derive(&Secret::new(&[7; 32]), Algorithm::P256, &["x"]).unwrap();
        assert_eq!(format!("{:?}", key.to_pem().unwrap()), "KeyPem(…)");
    }
}
