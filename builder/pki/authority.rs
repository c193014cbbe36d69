//! The cluster's CA: derived from the keystore or imported, issuing leaf certificates and checking each one.

use std::net::IpAddr;

use x509_cert::der::asn1::{Ia5String, OctetString};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};

use super::certificate::{Certificate, Content, common_name, encoding, extension};
use super::chain::{self, CLIENT_AUTH, Chain, SERVER_AUTH};
use super::key::{self, Key, KeyPem};
use super::keystore::Keystore;
use super::list::Issue;
use super::public;
use super::secret::Secret;
use super::signature;
use crate::failure::{Doing, Failure, Result};
use crate::plan::{CertificateSpec, Usage};
use crate::profile::Algorithm;
use crate::values::{ClusterName, Digest, Epoch, Lifetime};

/// A certificate is valid from a day before its date of issue: a machine's clock may be behind at first boot.
///
/// Part of the format: changing it changes every certificate.
const BACK_DATING: Lifetime = Lifetime::hours(24);

/// Issues certificates. Made once for a build; many threads may then call `issue`.
pub struct Authority {
    secret: Secret,
    cluster: ClusterName,
    issue: Issue,
    key: Key,
    chain: Chain,
    /// The identifier of the CA's key, as in leaves.
    identifier: Vec<u8>,
}

/// A certificate with its key, issued and checked.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The leaf, then the intermediate CAs if there are any, as a server or a client sends them.
    pub cert_pem: String,
    /// The leaf's private key.
    pub key_pem: KeyPem,
    /// `CN=cp-a`.
    pub subject: String,
    /// `DNS:cp-a`, `IP:10.240.16.10`, in the order of the certificate.
    pub sans: Vec<String>,
    /// 40 hex digits.
    pub serial: String,
    /// A day before the date of issue, but not before the CA's own.
    pub not_before: Epoch,
    /// The last second in which it is valid (RFC 5280 4.1.2.5).
    pub not_after: Epoch,
    /// Whether its lifetime is shortened by the end of the CA.
    pub shortened: bool,
}

/// The fields of a certificate that are shown.
#[derive(Clone, Debug)]
pub struct Root {
    /// `CN=ha3 etcd CA`.
    pub subject: String,
    /// Hex.
    pub serial: String,
    pub not_before: Epoch,
    pub not_after: Epoch,
}

impl Authority {
    /// The keystore's imported CA, or else the one derived from its secret, which is valid from the day before the
    /// first issue and across renewals until its own lifetime ends.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the CA is expired at the date of the latest issue.
    pub fn new(keystore: &Keystore, algorithm: Algorithm, lifetime: Lifetime) -> Result<Self> {
        let (secret, cluster) = (keystore.secret().copy(), keystore.cluster().clone());
        let (key, chain) = match keystore.imported() {
            Some((chain, key)) => (Key::from_pkcs8(key)?, Chain::from_pem(chain)?),
            None => derived(&secret, &cluster, algorithm, keystore.first_issued(), lifetime)?,
        };
        Self::with(secret, cluster, keystore.latest().clone(), key, chain)
    }

    /// A CA with a fresh random secret that is never stored, valid for a day: `kiln verify` sends the cluster a client
    /// certificate of an unknown CA. It has the name of a CA that the cluster trusts: the issuer of the first
    /// certificate in this PEM text.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the text does not begin with a certificate; `Exit::Io` without random bytes.
    pub fn namesake(cluster: &ClusterName, of: &[u8], at: Epoch) -> Result<Self> {
        Self::throwaway_called(cluster, Certificate::from_pem(of)?.issuer(), at)
    }

    /// The same with the name of the CA that Kiln would make for the cluster.
    pub fn throwaway(cluster: &ClusterName, at: Epoch) -> Result<Self> {
        Self::throwaway_called(cluster, &common_name(&ca_name(cluster))?, at)
    }

    fn throwaway_called(cluster: &ClusterName, subject: &[u8], at: Epoch) -> Result<Self> {
        let secret = Secret::random()?;
        let (key, chain) = self_signed(&secret, cluster, subject, Algorithm::P256, at, Lifetime::days(1))?;
        Self::with(secret, cluster.clone(), Issue { number: 1, date: at }, key, chain)
    }

    fn with(secret: Secret, cluster: ClusterName, issue: Issue, key: Key, chain: Chain) -> Result<Self> {
        chain.check_key(&key)?;
        chain.check_dates(issue.date)?;
        let identifier = chain::key_identifier(chain.ca())?;
        Ok(Self { secret, cluster, issue, key, chain, identifier })
    }

    /// The certificate that members trust for clients and peers: only that of the issuing CA. With a root, they would
    /// also accept certificates issued by another CA below the same root.
    pub fn trust_pem(&self) -> Result<String> {
        self.chain.ca().pem()
    }

    /// The certificate that clients trust: the root, to which members' certificates chain through the intermediates
    /// that members send; or the topmost certificate that was imported.
    pub fn root_pem(&self) -> Result<String> {
        self.chain.top().pem()
    }

    /// The subject of the issuing CA, `CN=ha3 etcd CA`.
    pub fn subject(&self) -> String {
        self.chain.ca().name()
    }

    /// The root that clients trust.
    pub fn root(&self) -> Root {
        let top = self.chain.top();
        Root {
            subject: top.name(),
            serial: top.serial(),
            not_before: top.not_before(),
            not_after: top.not_after(),
        }
    }

    /// The period in which the CA and all CAs above it are valid; no leaf is valid outside of it.
    pub fn validity(&self) -> (Epoch, Epoch) {
        self.chain.validity()
    }

    /// Issues one certificate and checks it. The same specification at the same issue of the keystore gives the
    /// same bytes; another one with the same label gives the same key and another serial number.
    ///
    /// # Errors
    /// `Exit::Untrusted` when the CA may not issue for these names, or the certificate does not match `spec`.
    pub fn issue(&self, spec: &CertificateSpec, algorithm: Algorithm, lifetime: Lifetime) -> Result<Issued> {
        self.issue_checked(spec, algorithm, lifetime)
            .doing(|| format!("issuing the {} certificate of {}", spec.file, spec.common_name))
    }

    fn issue_checked(
        &self,
        spec: &CertificateSpec,
        algorithm: Algorithm,
        lifetime: Lifetime,
    ) -> Result<Issued> {
        self.chain.check_names(spec)?;
        let issue = self.issue.label();
        let label = [self.cluster.as_str(), &issue, &spec.label];
        let key = Key::derive(&self.secret, algorithm, &label)?;
        let public_key = key.public()?;

        let (from, until) = self.chain.validity();
        let asked = self.issue.date.plus(lifetime);
        let subject = common_name(&spec.common_name)?;
        let content = Content {
            issuer: self.chain.ca().subject(),
            subject: &subject,
            not_before: self.issue.date.minus(BACK_DATING).max(from),
            not_after: asked.min(until),
            public_key: &public_key,
            extensions: leaf_extensions(spec, public::identifier(&public_key), self.identifier.clone())?,
        };
        let leaf = Certificate::from_der(&content.sign(&self.key, &self.secret, &label)?)?;
        let key_pem = key.to_pem()?;
        check(&leaf, self.chain.ca(), &content, &key_pem)?;

        let mut cert_pem = leaf.pem()?;
        for certificate in self.chain.intermediates() {
            cert_pem.push_str(&certificate.pem()?);
        }
        Ok(Issued {
            cert_pem,
            key_pem,
            subject: leaf.name(),
            sans: chain::alternative_names(&leaf)?.iter().map(readable).collect(),
            serial: leaf.serial(),
            not_before: leaf.not_before(),
            not_after: leaf.not_after(),
            shortened: leaf.not_after() < asked,
        })
    }
}

/// The CA derived from this secret.
pub(super) fn derived(
    secret: &Secret,
    cluster: &ClusterName,
    algorithm: Algorithm,
    first: Epoch,
    lifetime: Lifetime,
) -> Result<(Key, Chain)> {
    let subject = common_name(&ca_name(cluster))?;
    self_signed(secret, cluster, &subject, algorithm, first, lifetime)
}

/// The same, with this name in DER.
fn self_signed(
    secret: &Secret,
    cluster: &ClusterName,
    subject: &[u8],
    algorithm: Algorithm,
    first: Epoch,
    lifetime: Lifetime,
) -> Result<(Key, Chain)> {
    let label = [cluster.as_str(), "ca"];
    let key = Key::derive(secret, algorithm, &label)?;
    let public_key = key.public()?;
    let identifier = public::identifier(&public_key);
    let content = Content {
        issuer: subject,
        subject,
        not_before: first.minus(BACK_DATING),
        not_after: first.plus(lifetime),
        public_key: &public_key,
        extensions: vec![
            extension(&BasicConstraints { ca: true, path_len_constraint: Some(0) }, true)?,
            extension(&KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign), true)?,
            extension(&SubjectKeyIdentifier(octets(identifier.clone())?), false)?,
            extension(&authority_key(identifier)?, false)?,
        ],
    };
    let ca = Certificate::from_der(&content.sign(&key, secret, &label)?)?;
    check(&ca, &ca, &content, &key.to_pem()?)?;
    Ok((key, Chain::new(vec![ca])?))
}

/// `<cluster> etcd CA`, if that fits into the 64 characters of a common name; a longer name is truncated, and a digest
/// distinguishes it from others with the same beginning.
fn ca_name(cluster: &ClusterName) -> String {
    const MOST: usize = 64 - " etcd CA".len();
    let name = cluster.as_str();
    if name.len() <= MOST {
        return format!("{name} etcd CA");
    }
    let digest = Digest::of(name.as_bytes()).to_string();
    format!("{}-{} etcd CA", &name[..MOST - 9], &digest[..8])
}

fn leaf_extensions(spec: &CertificateSpec, own: Vec<u8>, issuer: Vec<u8>) -> Result<Vec<Extension>> {
    // In this order, whatever the order in the specification.
    let usages: Vec<_> = [(Usage::ServerAuth, SERVER_AUTH), (Usage::ClientAuth, CLIENT_AUTH)]
        .into_iter()
        .filter(|(usage, _)| spec.usages.contains(usage))
        .map(|(_, oid)| oid)
        .collect();
    if usages.is_empty() {
        return Err(Failure::untrusted("it has no extended key usage, which would allow every use"));
    }
    let mut extensions = vec![
        extension(&BasicConstraints { ca: false, path_len_constraint: None }, true)?,
        // Leaves have EC or Ed25519 keys: keyEncipherment is only for RSA (RFC 8422 5.3).
        extension(&KeyUsage(KeyUsages::DigitalSignature.into()), true)?,
        extension(&ExtendedKeyUsage(usages), false)?,
    ];
    let mut names = Vec::with_capacity(spec.dns.len() + spec.ips.len());
    for name in &spec.dns {
        names.push(GeneralName::DnsName(Ia5String::new(name).map_err(encoding)?));
    }
    for ip in &spec.ips {
        names.push(GeneralName::IpAddress(match ip {
            IpAddr::V4(ip) => octets(ip.octets().to_vec())?,
            IpAddr::V6(ip) => octets(ip.octets().to_vec())?,
        }));
    }
    if !names.is_empty() {
        extensions.push(extension(&SubjectAltName(names), false)?);
    }
    extensions.push(extension(&SubjectKeyIdentifier(octets(own)?), false)?);
    extensions.push(extension(&authority_key(issuer)?, false)?);
    Ok(extensions)
}

fn authority_key(identifier: Vec<u8>) -> Result<AuthorityKeyIdentifier> {
    Ok(AuthorityKeyIdentifier {
        key_identifier: Some(octets(identifier)?),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    })
}

fn octets(bytes: Vec<u8>) -> Result<OctetString> {
    OctetString::new(bytes).map_err(encoding)
}

/// Compares the issued certificate, parsed from its bytes, with the specification.
fn check(issued: &Certificate, by: &Certificate, content: &Content<'_>, key_pem: &KeyPem) -> Result<()> {
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

pub(super) fn readable(name: &GeneralName) -> String {
    match name {
        GeneralName::DnsName(name) => format!("DNS:{}", name.as_str()),
        GeneralName::IpAddress(octets) => match *octets.as_bytes() {
            [a, b, c, d] => format!("IP:{}", IpAddr::from([a, b, c, d])),
            ref long => match <[u8; 16]>::try_from(long) {
                Ok(octets) => format!("IP:{}", IpAddr::from(octets)),
                Err(_) => "IP:?".to_owned(),
            },
        },
        _ => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every property of a certificate is made wrong in turn, and must be detected.
    #[test]
    fn what_was_issued_is_compared_with_what_was_asked() {
        let secret = Secret::new(&[7; 32]);
        let at: Epoch = "2030-01-01".parse().unwrap();
        let name: ClusterName = "ha3".parse().unwrap();
        let (ca_key, chain) = derived(&secret, &name, Algorithm::P256, at, Lifetime::years(1)).unwrap();
        let key = Key::derive(&secret, Algorithm::P256, &["leaf"]).unwrap();
        let other = Key::derive(&secret, Algorithm::P256, &["other"]).unwrap();
        let (public, other_public) = (key.public().unwrap(), other.public().unwrap());
        let (subject, other_subject) = (common_name("a").unwrap(), common_name("b").unwrap());
        let asked = || Content {
            issuer: chain.ca().subject(),
            subject: &subject,
            not_before: at,
            not_after: at.plus(Lifetime::days(1)),
            public_key: &public,
            extensions: vec![extension(&KeyUsage(KeyUsages::DigitalSignature.into()), true).unwrap()],
        };
        let judge = |given: &Content<'_>, signer: &Key, key: &Key| {
            let leaf = Certificate::from_der(&given.sign(signer, &secret, &["leaf"]).unwrap()).unwrap();
            let verdict = check(&leaf, chain.ca(), &asked(), &key.to_pem().unwrap());
            verdict.err().map(|failure| failure.to_string()).unwrap_or_default()
        };
        assert_eq!(judge(&asked(), &ca_key, &key), "");
        let later = at.plus(Lifetime::hours(1));
        let cases: [(&str, Content<'_>, &Key, &Key); 8] = [
            ("its signature is wrong", asked(), &other, &key),
            ("its issuer is not", Content { issuer: &other_subject, ..asked() }, &ca_key, &key),
            ("its subject differs", Content { subject: &other_subject, ..asked() }, &ca_key, &key),
            ("its start differs", Content { not_before: later, ..asked() }, &ca_key, &key),
            ("its end differs", Content { not_after: later, ..asked() }, &ca_key, &key),
            ("its extensions differ", Content { extensions: Vec::new(), ..asked() }, &ca_key, &key),
            ("its public key differs", Content { public_key: &other_public, ..asked() }, &ca_key, &other),
            ("its private key is another one", asked(), &ca_key, &other),
        ];
        for (why, given, signer, key) in cases {
            let said = judge(&given, signer, key);
            assert!(said.contains(why), "{why}: {said}");
        }
    }

    #[test]
    fn a_long_cluster_name_is_cut_but_stays_its_own() {
        let name = |text: String| ca_name(&text.parse().unwrap());
        assert_eq!(name("ha3".into()), "ha3 etcd CA");
        assert_eq!(name("a".repeat(56)), format!("{} etcd CA", "a".repeat(56)));
        assert_eq!(name("a".repeat(57)).len(), 64);
        assert_ne!(name("a".repeat(57)), name("a".repeat(58)));
    }
}
