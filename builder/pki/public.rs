//! Public keys: their kind, whether two are the same, and the identifier that certificates use for them.

use x509_cert::SubjectPublicKeyInfo;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{Any, Uint};
use x509_cert::der::oid::ObjectIdentifier;

use super::oid::{EC_PUBLIC_KEY, ED25519, P256, P384, P521, RSA};

/// Whether two are the same key, however their parameters are encoded.
pub(super) fn same(one: &SubjectPublicKeyInfo, other: &SubjectPublicKeyInfo) -> bool {
    one.algorithm.oid == other.algorithm.oid && one.subject_public_key == other.subject_public_key
}

/// The curve of an EC key, if it is a named one.
pub(super) fn curve(key: &SubjectPublicKeyInfo) -> Option<ObjectIdentifier> {
    key.algorithm.parameters.as_ref().and_then(|parameters| parameters.decode_as().ok())
}

/// The size of an RSA modulus in bits (RFC 8017 A.1.1); `None` when it is not an RSA key.
pub(super) fn rsa_bits(key: &SubjectPublicKeyInfo) -> Option<usize> {
    if key.algorithm.oid != RSA {
        return None;
    }
    let numbers = Vec::<Uint>::from_der(key.subject_public_key.raw_bytes()).ok()?;
    bits(numbers.first()?)
}

/// The length of a number in bits, without leading zeros; `None` for zero.
pub(super) fn bits(number: &Uint) -> Option<usize> {
    let bytes = number.as_bytes();
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some((bytes.len() - first) * 8 - bytes[first].leading_zeros() as usize)
}

/// The kind of a public key for messages: `P-256`, `Ed25519`, `RSA 2048`.
///
/// # Errors
/// The actual kind, as in "has an EC key …", when Kiln cannot verify its signatures.
pub(super) fn kind(key: &SubjectPublicKeyInfo) -> std::result::Result<String, String> {
    Ok(match (key.algorithm.oid, curve(key)) {
        (EC_PUBLIC_KEY, Some(P256)) => "P-256".to_owned(),
        (EC_PUBLIC_KEY, Some(P384)) => "P-384".to_owned(),
        (EC_PUBLIC_KEY, Some(P521)) => "P-521".to_owned(),
        (EC_PUBLIC_KEY, Some(other)) => {
            return Err(format!("an EC key on the curve {other}; use P-256, P-384 or P-521"));
        }
        (EC_PUBLIC_KEY, None) => {
            return Err("an EC key whose curve is written out as parameters instead of by its name, which etcd does not \
                        read; make the CA with `-pkeyopt ec_param_enc:named_curve`"
                .to_owned());
        }
        (ED25519, _) => "Ed25519".to_owned(),
        // RFC 3279 2.3.1; Go reads no other one (`parsePublicKey` in crypto/x509/parser.go).
        (RSA, _) if key.algorithm.parameters != Some(Any::null()) => {
            return Err("an RSA key without the NULL of its parameters, which etcd does not read; make the CA anew with openssl"
                .to_owned());
        }
        (RSA, _) => match rsa_bits(key) {
            Some(bits) => format!("RSA {bits}"),
            None => return Err("a damaged RSA key".to_owned()),
        },
        (other, _) => {
            return Err(format!("a key of the algorithm {other}; use ECDSA, Ed25519 or RSA"));
        }
    })
}

#[cfg(test)]
mod tests {
    use x509_cert::der::asn1::BitString;
    use x509_cert::spki::AlgorithmIdentifierOwned;

    use super::*;

    #[test]
    fn an_rsa_key_is_the_same_without_its_parameters_and_etcd_does_not_read_it() {
        // The modulus 255, and the exponent 3.
        let numbers = BitString::from_bytes(&[0x30, 7, 2, 2, 0, 0xff, 2, 1, 3]).unwrap();
        let [with, without] = [Some(Any::null()), None].map(|parameters| SubjectPublicKeyInfo {
            algorithm: AlgorithmIdentifierOwned { oid: RSA, parameters },
            subject_public_key: numbers.clone(),
        });
        assert!(with != without && same(&with, &without));
        assert_eq!(kind(&with).unwrap(), "RSA 8");
        assert!(kind(&without).unwrap_err().contains("which etcd does not read"));
    }
}
