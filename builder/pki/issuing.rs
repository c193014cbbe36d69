//! What certificates of CAs and leaves have in common when they are issued.

use x509_cert::der::asn1::OctetString;

use super::certificate::{Certificate, Content, encoding};
use super::key::{self, KeyPem};
use super::signature;
use crate::failure::{Failure, Result};
use crate::values::Lifetime;

/// A certificate is valid from a day before its date of issue: a machine's clock may be behind at first boot.
///
/// Part of the format: changing it changes every certificate.
pub(super) const BACK_DATING: Lifetime = Lifetime::hours(24);

pub(super) fn octets(bytes: Vec<u8>) -> Result<OctetString> {
    OctetString::new(bytes).map_err(encoding)
}

/// Compares the issued certificate, parsed from its bytes, with the specification.
pub(super) fn check(
    issued: &Certificate,
    by: &Certificate,
    content: &Content<'_>,
    key_pem: &KeyPem,
) -> Result<()> {
    let verified =
        signature::verify(by.public_key(), issued.algorithm(), issued.signed(), issued.signature()).is_ok();
    let key = super::pem::blocks(key_pem.as_bytes())?;
    let key = key.first().ok_or_else(|| Failure::untrusted("the key file that was written is empty"))?;
    let key = key::public_bits(&key.der, content.public_key)?;
    let checks = [
        ("its signature is wrong", verified && issued.names_one_algorithm()),
        ("its issuer is not the CA's subject", issued.issuer() == by.subject()),
        ("its subject differs", issued.subject() == content.subject),
        ("its start differs", issued.not_before() == content.not_before),
        ("its end differs", issued.not_after() == content.not_after),
        ("it ends before it begins", content.not_before < content.not_after),
        ("its extensions differ", issued.extensions() == content.extensions),
        ("its public key differs", issued.public_key() == content.public_key),
        ("its private key is another one", key == content.public_key.subject_public_key.raw_bytes()),
    ];
    match checks.iter().find(|(_, good)| !good) {
        Some((why, _)) => Err(Failure::untrusted(format!(
            "the issued certificate is wrong: {why}; nothing was written. This is a bug in Kiln or a fault of \
             this machine"
        ))),
        None => Ok(()),
    }
}
