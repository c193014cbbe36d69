//! Certificates that a server has sent: parsed without being trusted, to be compared with those that were issued.

use std::net::IpAddr;

use kiln_wire::Validity;
use kiln_wire::x509::{CLIENT_AUTH, SERVER_AUTH};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::ext::pkix::name::GeneralName;

use super::authority::readable;
use super::certificate::Certificate;
use super::{chain, pem, signature};
use crate::failure::{Failure, Result};
use crate::values::Epoch;

/// A certificate from an untrusted source. Its names are printable.
#[derive(Clone)]
pub struct Presented(Certificate);

impl Presented {
    /// # Errors
    /// `Exit::Untrusted` when it is not an X.509 certificate in DER.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        Certificate::from_der(der).map(Self)
    }

    /// All certificates of a PEM file, in its order.
    ///
    /// # Errors
    /// `Exit::Untrusted` when one of its blocks is not a certificate.
    pub fn all_from_pem(text: &[u8]) -> Result<Vec<Self>> {
        let read = |block: &pem::Block| match block.label.as_str() {
            "CERTIFICATE" => Self::from_der(&block.der),
            _ => Err(Failure::untrusted("a PEM block of the file is not a certificate")),
        };
        pem::blocks(text)?.iter().map(read).collect()
    }

    pub fn der(&self) -> &[u8] {
        self.0.der()
    }

    /// Hex.
    pub fn serial(&self) -> String {
        self.0.serial()
    }

    /// As in RFC 4514.
    pub fn subject(&self) -> String {
        self.0.name()
    }

    pub fn issuer(&self) -> String {
        self.0.issuer_name()
    }

    /// The DER bytes in the certificate.
    pub fn subject_der(&self) -> &[u8] {
        self.0.subject()
    }

    pub fn issuer_der(&self) -> &[u8] {
        self.0.issuer()
    }

    pub fn not_before(&self) -> Epoch {
        self.0.not_before()
    }

    pub fn not_after(&self) -> Epoch {
        self.0.not_after()
    }

    /// Both, and when a node that has made it renews it.
    pub fn validity(&self) -> Validity {
        Validity { from: self.not_before().seconds(), until: self.not_after().seconds() }
    }

    /// The subject alternative names, in the form of a manifest: `DNS:cp-a`, `IP:10.0.0.1`.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the extension is invalid.
    pub fn sans(&self) -> Result<Vec<String>> {
        Ok(chain::alternative_names(&self.0)?.iter().map(readable).collect())
    }

    /// Whether this is the other's issuer by name, and its key has made the signature.
    pub fn has_signed(&self, other: &Self) -> bool {
        let (by, of) = (&self.0, &other.0);
        by.subject() == of.issuer()
            && signature::verify(by.public_key(), of.algorithm(), of.signed(), of.signature()).is_ok()
    }

    /// Whether a subject alternative name is this address (RFC 5280 4.2.1.6).
    pub fn names(&self, address: IpAddr) -> bool {
        self.addresses().contains(&address)
    }

    /// Those among its alternative names.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let names = chain::alternative_names(&self.0).unwrap_or_default();
        let address = |name: &GeneralName| match name {
            GeneralName::IpAddress(octets) => address(octets.as_bytes()),
            _ => None,
        };
        names.iter().filter_map(address).collect()
    }

    /// The extended key usages, as OpenSSL calls those of TLS, or as numbers; sorted. None allow every use.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the extension is invalid.
    pub fn usages(&self) -> Result<Vec<String>> {
        let named = |usage: &ObjectIdentifier| match *usage {
            SERVER_AUTH => "serverAuth".to_owned(),
            CLIENT_AUTH => "clientAuth".to_owned(),
            other => other.to_string(),
        };
        let usages = self.0.extension::<ExtendedKeyUsage>()?.map(|usages| usages.0).unwrap_or_default();
        let mut usages: Vec<_> = usages.iter().map(named).collect();
        usages.sort();
        Ok(usages)
    }

    pub(super) fn certificate(&self) -> &Certificate {
        &self.0
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let four = || <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
    four().or_else(|| <[u8; 16]>::try_from(octets).ok().map(IpAddr::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(name: &str) -> (rcgen::Certificate, rcgen::Issuer<'static, rcgen::KeyPair>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = Default::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (params.self_signed(&key).unwrap(), rcgen::Issuer::new(params, key))
    }

    #[test]
    fn an_issuer_is_known_by_its_key_and_not_by_its_name() {
        let (ours, issuer) = authority("one name");
        let (twin, _) = authority("one name");
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["10.0.0.4".into(), "fd00::4".into()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let leaf = Presented::from_der(leaf.der()).unwrap();
        let read = |certificate: &rcgen::Certificate| Presented::from_der(certificate.der()).unwrap();
        assert!(read(&ours).has_signed(&leaf));
        assert!(!read(&twin).has_signed(&leaf));
        assert!(!leaf.has_signed(&leaf));
        for (address, named) in [("10.0.0.4", true), ("fd00::4", true), ("10.0.0.5", false)] {
            assert_eq!(leaf.names(address.parse().unwrap()), named, "{address}");
        }
        let both = ours.pem() + &twin.pem();
        assert_eq!(Presented::all_from_pem(both.as_bytes()).unwrap().len(), 2);
        assert!(Presented::all_from_pem(b"junk").is_err());
    }
}
