//! A certificate with its chain, as etcd presents it: what it says, and whether that is what the policy wants.

use std::net::IpAddr;

use kiln_wire::{Pair, Usage, Validity, x509};
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::KeyUsage;
use x509_cert::der::Encode;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::key::{self, Key};
use crate::pem;

/// A leaf and the CAs below which it is.
pub struct Leaf {
    /// The leaf first.
    chain: Vec<Zeroizing<Vec<u8>>>,
    decoded: x509_cert::Certificate,
    /// Of it and the CAs that are sent with it.
    pub validity: Validity,
}

impl Leaf {
    /// From a file with the leaf and the CAs that are sent with it.
    ///
    /// # Errors
    /// Where it is anything else.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        let chain = pem::blocks(pem::CERTIFICATE, text)?;
        let all = chain.iter().map(|der| key::certificate(der)).collect::<Result<Vec<_>>>()?;
        let validity = key::validity(&all);
        let decoded = all.into_iter().next().ok_or_else(|| Failure::new("it is empty"))?;
        Ok(Self { chain, decoded, validity })
    }

    /// DER.
    pub fn der(&self) -> &[u8] {
        &self.chain[0]
    }

    /// It and the CAs that are sent with it, DER.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.chain.iter().map(|der| der.as_slice())
    }

    /// Hex.
    pub fn serial(&self) -> String {
        let number = self.decoded.tbs_certificate().serial_number();
        number.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether etcd can use it: its key is this one, and members and clients accept its chain at some time. Its dates
    /// are another matter.
    ///
    /// # Errors
    /// The reason why not.
    pub fn check(&self, pair: &Pair, anchors: &[Zeroizing<Vec<u8>>], own: &Key) -> Result<()> {
        let public = self.decoded.tbs_certificate().subject_public_key_info();
        if public.subject_public_key.raw_bytes() != own.public_bits() {
            return Err(Failure::new("its key is not the one in the key's file"));
        }
        pair.usages.iter().try_for_each(|usage| self.check_chain(*usage, anchors))
    }

    /// Whether it is what the policy wants, and below this CA of the node, if that is known.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, pair: &Pair, issuer: Option<&[Zeroizing<Vec<u8>>]>) -> Result<()> {
        let certificate = self.decoded.tbs_certificate();
        let (dns, ips) = names(&self.decoded)?;
        let subject =
            certificate.subject().to_der().map_err(|_| Failure::new("its subject cannot be read"))?;
        let wanted = subject_of(pair)?;
        let (mut usages, mut wanted_usages) = (usages(&self.decoded)?, pair.usages.clone());
        usages.sort();
        wanted_usages.sort();
        let is_below = |issuer: &[Zeroizing<Vec<u8>>]| self.chain[1..] == *issuer;
        let checks = [
            (
                "its key is of another algorithm",
                key::is_of(certificate.subject_public_key_info(), pair.algorithm),
            ),
            ("its subject differs from the policy", subject == wanted),
            (
                "its names differ from the policy",
                dns.iter().eq(pair.dns.iter().map(kiln_wire::DnsName::as_str)) && ips == pair.ips,
            ),
            ("its usages differ from the policy", usages == wanted_usages),
            ("it is not issued by this node's own CA", issuer.is_none_or(is_below)),
        ];
        match checks.iter().find(|(_, good)| !good) {
            Some((why, _)) => Err(Failure::new(*why)),
            None => Ok(()),
        }
    }

    /// At a time at which it is valid.
    fn check_chain(&self, usage: Usage, anchors: &[Zeroizing<Vec<u8>>]) -> Result<()> {
        let refused = |error: webpki::Error| Failure::new(format!("its chain is refused: {error:?}"));
        let anchors: Vec<CertificateDer<'_>> =
            anchors.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let anchors = anchors.iter().map(|der| webpki::anchor_from_trusted_cert(der).map_err(refused));
        let anchors = anchors.collect::<Result<Vec<_>>>()?;
        let leaf = CertificateDer::from(self.der());
        let leaf = webpki::EndEntityCert::try_from(&leaf).map_err(refused)?;
        let above: Vec<_> = self.chain[1..].iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let usage = match usage {
            Usage::ServerAuth => KeyUsage::server_auth(),
            Usage::ClientAuth => KeyUsage::client_auth(),
        };
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.validity.from));
        leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &above, at, usage, None, None)
            .map(|_| ())
            .map_err(refused)
    }
}

/// The subject that the policy wants, in DER.
///
/// # Errors
/// Where it cannot be encoded.
pub fn subject_of(pair: &Pair) -> Result<Vec<u8>> {
    let attributes = pair.subject.iter().map(|attribute| (attribute.0, attribute.1.as_str()));
    x509::distinguished_name(attributes)
        .map_err(|error| Failure::new(format!("a subject cannot be written: {error}")))
}

fn names(certificate: &x509_cert::Certificate) -> Result<(Vec<String>, Vec<IpAddr>)> {
    let broken = || Failure::new("its names cannot be read");
    let found = certificate.tbs_certificate().get_extension::<SubjectAltName>().map_err(|_| broken())?;
    let (mut dns, mut ips) = (Vec::new(), Vec::new());
    for name in found.map(|(_, names)| names.0).unwrap_or_default() {
        match name {
            GeneralName::DnsName(name) => dns.push(name.to_string()),
            GeneralName::IpAddress(octets) => ips.push(address(octets.as_bytes()).ok_or_else(broken)?),
            _ => return Err(broken()),
        }
    }
    Ok((dns, ips))
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
    }
}

fn usages(certificate: &x509_cert::Certificate) -> Result<Vec<Usage>> {
    let broken = || Failure::new("its uses cannot be read");
    let found = certificate.tbs_certificate().get_extension::<ExtendedKeyUsage>().map_err(|_| broken())?;
    let oids = found.map(|(_, usages)| usages.0).unwrap_or_default();
    let usage = |oid| match oid {
        x509::SERVER_AUTH => Ok(Usage::ServerAuth),
        x509::CLIENT_AUTH => Ok(Usage::ClientAuth),
        _ => Err(broken()),
    };
    oids.into_iter().map(usage).collect()
}
