//! One certificate: written field by field, and parsed with the exact bytes that matter.

use std::ops::Range;

use kiln_wire::{AttributeType, x509};
use x509_cert::Certificate as Decoded;
use x509_cert::SubjectPublicKeyInfo;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber};
use x509_cert::ext::Extension;
use x509_cert::time::Time;

use super::key::Key;
use super::secret::Secret;
use crate::failure::{Failure, Result};
use crate::profile::Subject;
use crate::values::{Digest, Epoch, hex, printable};

/// In octets, without a leading zero octet for the sign.
const MAX_SERIAL_BYTES: usize = 20;

/// The fields of a certificate, except for its serial number and signature.
pub(super) struct Content<'a> {
    /// DER, exactly the bytes in the CA's own certificate: verifiers compare names as bytes.
    pub issuer: &'a [u8],
    /// DER.
    pub subject: &'a [u8],
    pub not_before: Epoch,
    pub not_after: Epoch,
    pub public_key: &'a SubjectPublicKeyInfo,
    pub extensions: Vec<Extension>,
}

impl Content<'_> {
    /// The signed certificate in DER. Its serial number is derived from the label and from all its fields.
    pub fn sign(&self, signer: &Key, secret: &Secret, label: &[&str]) -> Result<Vec<u8>> {
        let algorithm = signer.signature_algorithm();
        let content = x509::Content {
            issuer: self.issuer,
            subject: self.subject,
            not_before: self.not_before.seconds(),
            not_after: self.not_after.seconds(),
            public_key: self.public_key,
            extensions: self.extensions.clone(),
        };
        let after_serial = content.after_serial(&algorithm).map_err(encoding)?;
        let body =
            x509::to_be_signed(&serial(secret, label, &after_serial)?, &after_serial).map_err(encoding)?;
        x509::signed(&body, &algorithm, &signer.sign(&body)?).map_err(encoding)
    }
}

/// A serial number: positive, and always 20 octets, the most that RFC 5280 4.1.2.2 allows. Certificates that differ in
/// any field have different numbers.
///
/// Part of the format: changing it changes every certificate.
pub(super) fn serial(secret: &Secret, label: &[&str], content: &[u8]) -> Result<[u8; 20]> {
    let digest = Digest::of(content).to_string();
    let mut number = *secret.derive::<20>(&[&["serial"], label, &[&digest]].concat())?;
    // A clear top bit makes it positive, the next bit set makes it neither zero nor short.
    number[0] = (number[0] & 0x3f) | 0x40;
    Ok(number)
}

/// An extension with its value in DER.
pub(super) fn extension<T: Encode + AssociatedOid>(value: &T, critical: bool) -> Result<Extension> {
    x509::extension(value, critical).map_err(encoding)
}

/// A distinguished name, in DER: the attributes of the subject in their order, and the common name.
///
/// # Errors
/// `Exit::Untrusted` when the common name is empty or has more than 64 characters (ub-common-name, RFC 5280 appendix
/// A.1). The other attributes have been checked when the profile was read.
pub(super) fn distinguished_name(subject: &Subject, common_name: &str) -> Result<Vec<u8>> {
    if common_name.is_empty() || common_name.chars().count() > 64 {
        return Err(Failure::untrusted("a certificate's common name has 1 to 64 characters (RFC 5280)"));
    }
    let mut attributes = Vec::new();
    for (name, text) in subject.attributes().chain([("CN", common_name)]) {
        let kind = AttributeType::of(name).ok_or_else(|| {
            Failure::untrusted(format!("a certificate's subject cannot have the attribute {name}"))
        })?;
        attributes.push((kind, text));
    }
    x509::distinguished_name(attributes.into_iter()).map_err(encoding)
}

/// The same with a common name alone.
///
/// # Errors
/// As `distinguished_name`.
pub(super) fn common_name(text: &str) -> Result<Vec<u8>> {
    distinguished_name(&Subject::default(), text)
}

pub(super) fn encoding(error: x509_cert::der::Error) -> Failure {
    Failure::untrusted(format!("the certificate cannot be encoded: {error}"))
}

/// A parsed certificate together with its own bytes. Names and the signed part are never encoded again: another
/// encoder might order or spell something differently than the CA did.
#[derive(Clone)]
pub(super) struct Certificate {
    der: Vec<u8>,
    decoded: Decoded,
    not_before: Epoch,
    not_after: Epoch,
    signed: Range<usize>,
    serial: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
}

impl Certificate {
    /// # Errors
    /// `Exit::Untrusted` when it is not an X.509 certificate in DER.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let broken = |error: x509_cert::der::Error| {
            Failure::untrusted(format!("it is not an X.509 certificate: {error}"))
        };
        let Ranges { signed, serial, issuer, subject } = ranges(der).map_err(broken)?;
        let number = der[serial.clone()].strip_prefix(&[0]).unwrap_or(&der[serial.clone()]);
        if number.len() > MAX_SERIAL_BYTES {
            return Err(Failure::untrusted(format!(
                "the certificate's serial number has {} bytes; X.509 allows {MAX_SERIAL_BYTES} (RFC 5280 4.1.2.2), so have \
                 it issued again",
                number.len()
            )));
        }
        let decoded = Decoded::from_der(der).map_err(broken)?;
        let validity = decoded.tbs_certificate().validity();
        let (not_before, not_after) = (epoch(validity.not_before)?, epoch(validity.not_after)?);
        Ok(Self { der: der.to_vec(), decoded, not_before, not_after, signed, serial, issuer, subject })
    }

    /// The first certificate of a PEM text.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the first block is not a certificate.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        match super::pem::blocks(text)?.first() {
            Some(block) if block.label == "CERTIFICATE" => Self::from_der(&block.der),
            _ => Err(Failure::untrusted("the first PEM block is not a certificate")),
        }
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub fn pem(&self) -> Result<String> {
        x509_cert::der::pem::encode_string("CERTIFICATE", x509_cert::der::pem::LineEnding::LF, &self.der)
            .map_err(|_| Failure::untrusted("the certificate cannot be written as PEM"))
    }

    /// The part that the signature covers.
    pub fn signed(&self) -> &[u8] {
        &self.der[self.signed.clone()]
    }

    pub fn issuer(&self) -> &[u8] {
        &self.der[self.issuer.clone()]
    }

    pub fn subject(&self) -> &[u8] {
        &self.der[self.subject.clone()]
    }

    /// The subject for people, as in RFC 4514, without control characters.
    pub fn name(&self) -> String {
        printable(&self.decoded.tbs_certificate().subject().to_string()).into_owned()
    }

    pub fn issuer_name(&self) -> String {
        printable(&self.decoded.tbs_certificate().issuer().to_string()).into_owned()
    }

    pub fn serial(&self) -> String {
        hex(self.decoded.tbs_certificate().serial_number().as_bytes())
    }

    /// Whether the serial number is negative, which in DER is a first bit that is set.
    pub fn has_negative_serial(&self) -> bool {
        self.der[self.serial.clone()].first().is_some_and(|byte| byte & 0x80 != 0)
    }

    /// Whether the subject has no attribute at all.
    pub fn is_nameless(&self) -> bool {
        self.decoded.tbs_certificate().subject().is_empty()
    }

    pub fn not_before(&self) -> Epoch {
        self.not_before
    }

    pub fn not_after(&self) -> Epoch {
        self.not_after
    }

    pub fn public_key(&self) -> &SubjectPublicKeyInfo {
        self.decoded.tbs_certificate().subject_public_key_info()
    }

    pub fn algorithm(&self) -> &x509_cert::AlgorithmIdentifier {
        self.decoded.signature_algorithm()
    }

    pub fn signature(&self) -> &[u8] {
        self.decoded.signature().raw_bytes()
    }

    /// Whether the algorithm inside the signed part is the one outside (RFC 5280 4.1.1.2).
    pub fn names_one_algorithm(&self) -> bool {
        self.decoded.tbs_certificate().signature() == self.decoded.signature_algorithm()
    }

    pub fn extensions(&self) -> &[Extension] {
        self.decoded.tbs_certificate().extensions().map_or(&[], Vec::as_slice)
    }

    /// An extension's value, where the certificate has it.
    ///
    /// # Errors
    /// `Exit::Untrusted` when it is present but invalid, or a duplicate.
    pub fn extension<T: for<'a> Decode<'a, Error = x509_cert::der::Error> + AssociatedOid>(
        &self,
    ) -> Result<Option<T>> {
        let mut all = self.extensions().iter().filter(|extension| extension.extn_id == T::OID);
        let broken = || Failure::untrusted(format!("{} has a broken extension {}", self.name(), T::OID));
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some(one), None) => T::from_der(one.extn_value.as_bytes()).map(Some).map_err(|_| broken()),
            (Some(_), Some(_)) => Err(broken()),
        }
    }
}

/// The positions of parts of a certificate in its bytes: each with its tag and length, except for the serial number.
struct Ranges {
    signed: Range<usize>,
    serial: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
}

fn ranges(der: &[u8]) -> std::result::Result<Ranges, x509_cert::der::Error> {
    let at = |part: &[u8]| {
        let start = part.as_ptr() as usize - der.as_ptr() as usize;
        start..start + part.len()
    };
    let outer = AnyRef::from_der(der)?;
    let signed = SliceReader::new(outer.value())?.tlv_bytes()?;
    let mut fields = SliceReader::new(AnyRef::from_der(signed)?.value())?;
    if Tag::peek(&fields)? == TagNumber(0).context_specific(true) {
        fields.tlv_bytes()?;
    }
    let serial = AnyRef::from_der(fields.tlv_bytes()?)?.value();
    let _algorithm = fields.tlv_bytes()?;
    let issuer = fields.tlv_bytes()?;
    let _validity = fields.tlv_bytes()?;
    let subject = fields.tlv_bytes()?;
    Ok(Ranges { signed: at(signed), serial: at(serial), issuer: at(issuer), subject: at(subject) })
}

fn epoch(time: Time) -> Result<Epoch> {
    Epoch::from_seconds(time.to_unix_duration().as_secs())
        .map_err(|why| Failure::untrusted(format!("its validity is wrong: {why}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use x509_cert::serial_number::SerialNumber;

    use super::*;

    proptest! {
        #[test]
        fn serial_numbers_are_positive_and_have_20_octets(
            seed: [u8; 32], label in ".{0,80}", content in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            let secret = Secret::new(&seed);
            let number = serial(&secret, &[&label], &content).unwrap();
            prop_assert!((0x40..0x80).contains(&number[0]), "{number:02x?}");
            let der = SerialNumber::<x509_cert::certificate::Rfc5280>::new(&number).unwrap().to_der().unwrap();
            prop_assert_eq!(&der[..2], &[2, 20]);
            prop_assert_eq!(&der[2..], &number[..]);
            prop_assert_eq!(number, serial(&secret, &[&label], &content).unwrap());

            let mut other = content.clone();
            other.push(0);
            prop_assert_ne!(number, serial(&secret, &[&label], &other).unwrap());
            prop_assert_ne!(number, serial(&secret, &[&label, ""], &content).unwrap());
            let mut seed = seed;
            seed[31] ^= 1;
            prop_assert_ne!(number, serial(&Secret::new(&seed), &[&label], &content).unwrap());
        }

        #[test]
        fn junk_is_no_certificate_and_no_panic(junk in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Certificate::from_der(&junk).is_err());
        }
    }
}
