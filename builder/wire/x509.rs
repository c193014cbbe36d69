//! Certificates, written field by field (RFC 5280): those that Kiln issues and those that a node makes have one form.

use std::net::IpAddr;
use std::time::Duration;

use x509_cert::der::asn1::{
    Any, BitString, GeneralizedTime, Ia5String, OctetString, PrintableStringRef, SetOfVec, UtcTime,
    Utf8StringRef,
};
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::der::{Encode, Error, Tag, TagNumber};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::Time;

use super::policy::{AttributeType, Usage};

use super::hex::Digest;

/// `id-kp-serverAuth` and `id-kp-clientAuth`.
pub const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// The second of these.
pub const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// The first second of the year 2050: dates from then on are GeneralizedTime (RFC 5280 4.1.2.5).
const YEAR_2050: u64 = 2_524_608_000;

/// The fields of a certificate, except for its serial number and signature.
pub struct Content<'a> {
    /// DER, exactly the bytes in the CA's own certificate: verifiers compare names as bytes.
    pub issuer: &'a [u8],
    /// DER.
    pub subject: &'a [u8],
    /// In seconds since 1970.
    pub not_before: u64,
    /// The last second in which it is valid.
    pub not_after: u64,
    /// The key that it is about.
    pub public_key: &'a SubjectPublicKeyInfoOwned,
    /// In their order.
    pub extensions: Vec<Extension>,
}

impl Content<'_> {
    /// All of the signed part behind the serial number; the algorithm is the signer's.
    ///
    /// # Errors
    /// Where a field cannot be encoded, as a date behind the year 9999.
    pub fn after_serial(&self, algorithm: &AlgorithmIdentifierOwned) -> Result<Vec<u8>, Error> {
        let validity = sequence(&[&time(self.not_before)?, &time(self.not_after)?])?;
        let extensions = wrap(context(3), &self.extensions.to_der()?)?;
        let (algorithm, key) = (algorithm.to_der()?, self.public_key.to_der()?);
        Ok([&algorithm, self.issuer, &validity, self.subject, &key, &extensions].concat())
    }
}

/// The part to be signed, from the serial number and what follows it.
///
/// # Errors
/// Where the number is longer than 20 octets.
pub fn to_be_signed(number: &[u8], after_serial: &[u8]) -> Result<Vec<u8>, Error> {
    let version = wrap(context(0), &2u8.to_der()?)?;
    let number = SerialNumber::<x509_cert::certificate::Rfc5280>::new(number)?.to_der()?;
    sequence(&[&version, &number, after_serial])
}

/// The whole certificate, in DER.
///
/// # Errors
/// Where it is too long for DER.
pub fn signed(body: &[u8], algorithm: &AlgorithmIdentifierOwned, signature: &[u8]) -> Result<Vec<u8>, Error> {
    sequence(&[body, &algorithm.to_der()?, &BitString::from_bytes(signature)?.to_der()?])
}

/// An extension with its value in DER.
///
/// # Errors
/// Where the value cannot be encoded.
pub fn extension<T: Encode + AssociatedOid>(value: &T, critical: bool) -> Result<Extension, Error> {
    let extn_value = OctetString::new(value.to_der()?)?;
    Ok(Extension { extn_id: T::OID, critical, extn_value })
}

/// A distinguished name, in DER: the attributes in their order, each in a set of its own.
///
/// # Errors
/// Where a value does not fit its type: a country is a PrintableString (RFC 5280 appendix A.1).
pub fn distinguished_name<'t>(
    attributes: impl Iterator<Item = (AttributeType, &'t str)>,
) -> Result<Vec<u8>, Error> {
    let mut sets = Vec::new();
    for (kind, text) in attributes {
        let value = match kind {
            AttributeType::C => Any::encode_from(&PrintableStringRef::new(text)?)?,
            _ => Any::encode_from(&Utf8StringRef::new(text)?)?,
        };
        let attribute = x509_cert::attr::AttributeTypeAndValue { oid: kind.oid(), value };
        sets.push(SetOfVec::try_from(vec![attribute])?.to_der()?);
    }
    wrap(Tag::Sequence, &sets.concat())
}

/// The identifier of a public key in certificates: the first 160 bits of the SHA-256 of its bits (RFC 7093 section 2,
/// method 1).
pub fn identifier(key: &SubjectPublicKeyInfoOwned) -> Vec<u8> {
    Digest::of(key.subject_public_key.raw_bytes()).0[..20].to_vec()
}

/// What the extensions of a leaf say.
pub struct Leaf<'a> {
    /// Alternative names, before the addresses.
    pub dns: &'a [&'a str],
    /// Addresses among them.
    pub ips: &'a [IpAddr],
    /// At least one: none would allow every use.
    pub usages: &'a [Usage],
    /// Of its own key.
    pub identifier: Vec<u8>,
    /// Of its issuer's key.
    pub issuer: Vec<u8>,
}

impl Leaf<'_> {
    /// In the order in which Kiln writes them.
    ///
    /// # Errors
    /// Where a name is not ASCII.
    pub fn extensions(self) -> Result<Vec<Extension>, Error> {
        let mut extensions = vec![
            extension(&BasicConstraints { ca: false, path_len_constraint: None }, true)?,
            // Leaves have EC or Ed25519 keys: keyEncipherment is only for RSA (RFC 8422 5.3).
            extension(&KeyUsage(KeyUsages::DigitalSignature.into()), true)?,
            extension(&extended_usages(self.usages), false)?,
        ];
        let mut names = Vec::with_capacity(self.dns.len() + self.ips.len());
        for name in self.dns {
            names.push(GeneralName::DnsName(Ia5String::new(name)?));
        }
        for ip in self.ips {
            names.push(GeneralName::IpAddress(match ip {
                IpAddr::V4(ip) => OctetString::new(ip.octets())?,
                IpAddr::V6(ip) => OctetString::new(ip.octets())?,
            }));
        }
        if !names.is_empty() {
            extensions.push(extension(&SubjectAltName(names), false)?);
        }
        extensions.push(extension(&SubjectKeyIdentifier(OctetString::new(self.identifier)?), false)?);
        extensions.push(extension(&authority_key(self.issuer)?, false)?);
        Ok(extensions)
    }
}

/// These usages, in one order.
pub fn extended_usages(wanted: &[Usage]) -> ExtendedKeyUsage {
    let all = [(Usage::ServerAuth, SERVER_AUTH), (Usage::ClientAuth, CLIENT_AUTH)];
    ExtendedKeyUsage(
        all.into_iter().filter(|(usage, _)| wanted.contains(usage)).map(|(_, oid)| oid).collect(),
    )
}

/// The identifier of the issuer's key.
///
/// # Errors
/// Where it is too long for DER.
pub fn authority_key(identifier: Vec<u8>) -> Result<AuthorityKeyIdentifier, Error> {
    Ok(AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(identifier)?),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    })
}

/// A date as certificates have it.
fn time(seconds: u64) -> Result<Vec<u8>, Error> {
    let since_1970 = Duration::from_secs(seconds);
    let time = match seconds < YEAR_2050 {
        true => Time::UtcTime(UtcTime::from_unix_duration(since_1970)?),
        false => Time::GeneralTime(GeneralizedTime::from_unix_duration(since_1970)?),
    };
    time.to_der()
}

fn context(number: u32) -> Tag {
    TagNumber(number).context_specific(true)
}

fn sequence(parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
    wrap(Tag::Sequence, &parts.concat())
}

fn wrap(tag: Tag, content: &[u8]) -> Result<Vec<u8>, Error> {
    Any::new(tag, content)?.to_der()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_change_their_type_where_rfc_5280_says() {
        let cases: [(u64, u8, &str); 4] = [
            (YEAR_2050 - 1, 0x17, "491231235959Z"),
            (YEAR_2050, 0x18, "20500101000000Z"),
            (0, 0x17, "700101000000Z"),
            (253_402_300_799, 0x18, "99991231235959Z"),
        ];
        for (seconds, tag, want) in cases {
            let der = time(seconds).unwrap();
            assert_eq!((der[0], std::str::from_utf8(&der[2..]).unwrap()), (tag, want));
        }
        assert!(time(253_402_300_800).is_err());
    }
}
