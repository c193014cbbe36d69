//! The node's own CA for one kind of certificate.

use kiln_wire::{DnsName, Pair, x509};
use x509_cert::der::Encode;
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use zeroize::Zeroizing;

use crate::disk;
use crate::failure::{Failure, Result};
use crate::key::{self, Key};
use crate::leaf::{Leaf, subject_of};
use crate::pem;

/// Its certificate and key, which belong together.
pub struct Issuer {
    key: Key,
    der: Zeroizing<Vec<u8>>,
    decoded: x509_cert::Certificate,
    /// What members and clients trust, DER.
    pub anchors: Vec<Zeroizing<Vec<u8>>>,
    /// In seconds since 1970.
    pub not_before: u64,
    /// The last second in which it is valid.
    pub not_after: u64,
}

/// A new certificate of a node, with its key.
pub struct Minted {
    /// The leaf and its issuer, PEM.
    pub cert: String,
    /// PKCS#8, PEM.
    pub key: Zeroizing<String>,
    /// The leaf as it is read again.
    pub leaf: Leaf,
}

impl Issuer {
    /// The issuer of a pair, from its files.
    ///
    /// # Errors
    /// Where one of them is not this program's user's alone, or not what it should be.
    pub fn load(pair: &Pair) -> Result<Self> {
        let at = |path: &str, failure: Failure| Failure::new(format!("{path}: {failure}"));
        let read = |path: &str, secret| disk::read(std::path::Path::new(path), secret);
        let (cert, own, anchors) = (pair.issuer.as_str(), pair.issuer_key.as_str(), pair.anchors.as_str());
        let anchors =
            pem::blocks(pem::CERTIFICATE, &read(anchors, false)?).map_err(|why| at(anchors, why))?;
        let mut ders = pem::blocks(pem::CERTIFICATE, &read(cert, false)?).map_err(|why| at(cert, why))?;
        let der = ders.swap_remove(0);
        let decoded = key::certificate(&der).map_err(|why| at(cert, why))?;
        let mut keys = pem::blocks(pem::PRIVATE_KEY, &read(own, true)?).map_err(|why| at(own, why))?;
        let key = Key::read(keys.swap_remove(0)).map_err(|why| at(own, why))?;
        let body = decoded.tbs_certificate();
        if body.subject_public_key_info().subject_public_key.raw_bytes() != key.public_bits() {
            return Err(at(own, Failure::new(format!("it is not the key of {cert}"))));
        }
        let (not_before, not_after) = (
            body.validity().not_before.to_unix_duration().as_secs(),
            body.validity().not_after.to_unix_duration().as_secs(),
        );
        Ok(Self { key, der, decoded, anchors, not_before, not_after })
    }

    /// DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The identifier of its key, as its own certificate has it (RFC 5280 4.2.1.1).
    fn identifier(&self) -> Result<Vec<u8>> {
        let body = self.decoded.tbs_certificate();
        let found = body.get_extension::<SubjectKeyIdentifier>();
        let found = found.map_err(|_| Failure::new("the issuer's key identifier cannot be read"))?;
        Ok(found.map_or_else(
            || x509::identifier(body.subject_public_key_info()),
            |(_, id)| id.0.as_bytes().to_vec(),
        ))
    }

    /// A certificate for a new key, valid from one second to another, but not outside of the issuer's own time. It is
    /// read again and checked before it is returned.
    ///
    /// # Errors
    /// Where the issuer may not issue it, or without random bytes.
    pub fn mint(&self, pair: &Pair, from: u64, until: u64) -> Result<Minted> {
        let broken =
            |error: x509_cert::der::Error| Failure::new(format!("a certificate cannot be written: {error}"));
        let key = Key::make(pair.algorithm)?;
        let public = key.public()?;
        let body = self.decoded.tbs_certificate();
        let (issuer, subject) = (body.subject().to_der().map_err(broken)?, subject_of(pair)?);
        let dns: Vec<_> = pair.dns.iter().map(DnsName::as_str).collect();
        let names = x509::Leaf {
            dns: &dns,
            ips: &pair.ips,
            usages: &pair.usages,
            identifier: x509::identifier(&public),
            issuer: self.identifier()?,
        };
        let content = x509::Content {
            issuer: &issuer,
            subject: &subject,
            not_before: from.max(self.not_before),
            not_after: until.min(self.not_after),
            public_key: &public,
            extensions: names.extensions().map_err(broken)?,
        };
        let algorithm = self.key.signature_algorithm();
        let after_serial = content.after_serial(&algorithm).map_err(broken)?;
        let body = x509::to_be_signed(&serial()?, &after_serial).map_err(broken)?;
        let der = x509::signed(&body, &algorithm, &self.key.sign(&body)?).map_err(broken)?;
        let cert = [pem::text(pem::CERTIFICATE, &der)?, pem::text(pem::CERTIFICATE, &self.der)?];
        let cert = cert.map(|text| text.to_string()).concat();
        let leaf = Leaf::from_pem(cert.as_bytes())?;
        leaf.check(pair, &self.der, &self.anchors, &key).map_err(|why| {
            Failure::new(format!("the {} certificate cannot be issued: {why}", pair.kind.as_str()))
        })?;
        Ok(Minted { cert, key: pem::text(pem::PRIVATE_KEY, key.pkcs8())?, leaf })
    }
}

/// 20 octets, positive (RFC 5280 4.1.2.2).
fn serial() -> Result<[u8; 20]> {
    let mut number = key::random::<20>()?;
    number[0] = (number[0] & 0x3f) | 0x40;
    Ok(number)
}
