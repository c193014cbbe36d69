//! Reads a CA's private key in the forms that openssl, cfssl and smallstep write.

use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use x509_cert::SubjectPublicKeyInfo;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use x509_cert::der::{Decode, Reader, SliceReader, TagNumber};

use super::key::Key;
use super::oid::EC_PUBLIC_KEY;
use super::pem::{self, Block};
use super::public;
use crate::failure::{Failure, Result};

/// The limit on rounds for an encrypted key; OpenSSL's default is 2048, other programs use up to a million.
const MAX_KDF_ROUNDS: u32 = 10_000_000;

/// The one private key of a PEM text: PKCS#8, encrypted PKCS#8, SEC1 or PKCS#1.
///
/// `of` is the public key of the CA's certificate: a SEC1 key may omit its curve.
///
/// # Errors
/// `Exit::Untrusted`, each reason with a sentence of its own, without a byte of the key.
pub(super) fn read(text: &[u8], passphrase: Option<&str>, of: &SubjectPublicKeyInfo) -> Result<Key> {
    let blocks = pem::blocks(text)?;
    // `openssl ecparam -genkey` writes the curve in a block before the key.
    let mut keys = blocks.iter().filter(|block| block.label != "EC PARAMETERS");
    let (Some(block), None) = (keys.next(), keys.next()) else {
        return Err(Failure::untrusted("the key file must hold one private key and nothing else"));
    };
    if block.encrypted {
        return Err(Failure::untrusted(
            "the key uses the obsolete PEM encryption (Proc-Type: 4,ENCRYPTED); convert it with \
             `openssl pkcs8 -topk8 -in KEY -out NEW`",
        ));
    }
    match block.label.as_str() {
        "PRIVATE KEY" => Key::from_pkcs8(&block.der),
        "ENCRYPTED PRIVATE KEY" => decrypt(block, passphrase),
        "RSA PRIVATE KEY" => Key::from_pkcs1(&block.der),
        "EC PRIVATE KEY" => from_sec1(&block.der, of),
        "CERTIFICATE" => Err(Failure::untrusted("the key file holds a certificate instead of a private key")),
        "OPENSSH PRIVATE KEY" => Err(Failure::untrusted(
            "the key is in OpenSSH format; convert it with `ssh-keygen -p -m PKCS8 -f KEY`",
        )),
        _ => Err(Failure::untrusted("the key file has no private key in PKCS#8, SEC1 or PKCS#1 form")),
    }
}

fn decrypt(block: &Block, passphrase: Option<&str>) -> Result<Key> {
    let unknown = || {
        Failure::untrusted(
            "the key is encrypted with a method that Kiln does not support; convert it with \
             `openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEW`",
        )
    };
    let info = EncryptedPrivateKeyInfoRef::from_der(&block.der).map_err(|_| unknown())?;
    let passphrase = passphrase.ok_or_else(|| {
        Failure::untrusted("the key is encrypted; give its passphrase with --passphrase-file")
    })?;
    let scheme = info.encryption_algorithm.pbes2().ok_or_else(unknown)?;
    if scheme.kdf.pbkdf2().is_some_and(|kdf| kdf.iteration_count > MAX_KDF_ROUNDS) {
        return Err(Failure::untrusted(format!(
            "the key's encryption asks for more than {MAX_KDF_ROUNDS} rounds; convert it with `openssl pkcs8 -topk8`"
        )));
    }
    let wrong = || Failure::untrusted("the passphrase is wrong, or the key file is damaged");
    match info.decrypt(passphrase) {
        // A wrong passphrase passes the check of the padding once in 256 times, and then gives random bytes.
        Ok(document) if PrivateKeyInfoRef::from_der(document.as_bytes()).is_ok() => {
            Key::from_pkcs8(document.as_bytes())
        }
        Ok(_) | Err(pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed)) => Err(wrong()),
        Err(pkcs8::Error::EncryptedPrivateKey(_)) => Err(unknown()),
        Err(_) => Err(wrong()),
    }
}

/// An `ECPrivateKey` (RFC 5915), wrapped in PKCS#8.
fn from_sec1(der: &[u8], of: &SubjectPublicKeyInfo) -> Result<Key> {
    let damaged = || Failure::untrusted("the EC private key is damaged, or its curve is not given by name");
    let curve = match curve_of(der).map_err(|_| damaged())? {
        Some(curve) => curve,
        None => public::curve(of).ok_or_else(damaged)?,
    };
    let algorithm =
        pkcs8::AlgorithmIdentifierRef { oid: EC_PUBLIC_KEY, parameters: Some(AnyRef::from(&curve)) };
    let info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(der).map_err(|_| damaged())?);
    let document = pkcs8::SecretDocument::encode_msg(&info).map_err(|_| damaged())?;
    Key::from_pkcs8(document.as_bytes())
}

fn curve_of(der: &[u8]) -> std::result::Result<Option<ObjectIdentifier>, x509_cert::der::Error> {
    let mut fields = SliceReader::new(AnyRef::from_der(der)?.value())?;
    let _version = fields.tlv_bytes()?;
    let _number = fields.tlv_bytes()?;
    while !fields.is_finished() {
        let field = AnyRef::from_der(fields.tlv_bytes()?)?;
        if field.header().tag() == TagNumber(0).context_specific(true) {
            return ObjectIdentifier::from_der(field.value()).map(Some);
        }
    }
    Ok(None)
}
