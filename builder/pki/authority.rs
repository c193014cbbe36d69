//! The cluster's CA: derived from the keystore or imported, issuing leaf certificates and checking each one.

use std::net::IpAddr;

use kiln_wire::x509;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;

use super::certificate::{Certificate, Content, common_name, distinguished_name, encoding};
use super::chain::{self, Chain};
use super::issuing::{BACK_DATING, check};
use super::key::{Key, KeyPem};
use super::keystore::Keystore;
use super::list::Issue;
use super::made::{self, derived};
use super::node_ca::NodeCa;
use super::secret::Secret;
use crate::failure::{Doing, Failure, Result};
use crate::plan::{self, CertificateSpec, Made};
use crate::profile::Algorithm;
use crate::values::{ClusterName, Epoch, Lifetime};

/// Issues certificates. Made once for a build; many threads may then call `issue`.
pub struct Authority {
    pub(super) secret: Secret,
    pub(super) cluster: ClusterName,
    pub(super) issue: Issue,
    key: Key,
    chain: Chain,
    /// The identifier of the CA's key, as in leaves.
    identifier: Vec<u8>,
    /// Whether Kiln has made it, and every CA above it.
    own: bool,
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
    /// The node's own CA that has issued it, where the node renews it.
    pub issuer: Option<NodeCa>,
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
        Self::of(keystore, plan::CA, &Made::plain(keystore.cluster(), algorithm, lifetime))
    }

    /// The authority with this name: the imported CA, where the keystore has one of that name.
    ///
    /// # Errors
    /// As `new`.
    pub fn of(keystore: &Keystore, name: &str, made: &Made) -> Result<Self> {
        let (secret, cluster) = (keystore.secret().copy(), keystore.cluster().clone());
        let imported = keystore.imported(name);
        let (key, chain) = match imported {
            Some((chain, key)) => (Key::from_pkcs8(key)?, Chain::from_pem(chain)?),
            None => derived(&secret, &cluster, name, made, keystore.first_issued())?,
        };
        let own = imported.is_none();
        Ok(Self { own, ..Self::with(secret, cluster, keystore.latest().clone(), key, chain)? })
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
        Self::throwaway_called(cluster, &common_name(&plan::common_name(cluster, plan::OF_CLIENTS))?, at)
    }

    fn throwaway_called(cluster: &ClusterName, subject: &[u8], at: Epoch) -> Result<Self> {
        let secret = Secret::random()?;
        let (key, chain) = made::throwaway(&secret, cluster, subject, at)?;
        Self::with(secret, cluster.clone(), Issue { number: 1, date: at }, key, chain)
    }

    /// The key that issues, and its certificate.
    pub(super) fn signer(&self) -> (&Key, &Certificate) {
        (&self.key, self.chain.ca())
    }

    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// A CA below this one.
    pub(super) fn with_chain(&self, key: Key, chain: Chain) -> Result<Self> {
        Self::with(self.secret.copy(), self.cluster.clone(), self.issue.clone(), key, chain)
    }

    fn with(secret: Secret, cluster: ClusterName, issue: Issue, key: Key, chain: Chain) -> Result<Self> {
        chain.check_key(&key)?;
        chain.check_dates(issue.date)?;
        let identifier = chain::key_identifier(chain.ca())?;
        Ok(Self { secret, cluster, issue, key, chain, identifier, own: true })
    }

    /// The certificate that members trust for clients and peers. Of an imported CA only that of the issuing CA: with a
    /// root, they would also accept certificates issued by another CA below the same root. A root that Kiln made has no
    /// other CA below it.
    pub fn trust_pem(&self) -> Result<String> {
        if self.own { self.chain.top().pem() } else { self.chain.ca().pem() }
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
        let issued = match &spec.issuer {
            Some(issuer) => self.issue_below(spec, issuer, algorithm, lifetime),
            None => self.issue_checked(spec, algorithm, lifetime),
        };
        issued.doing(|| format!("issuing the {} certificate of {}", spec.file, spec.common_name))
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
        let subject = distinguished_name(&spec.subject, &spec.common_name)?;
        let content = Content {
            issuer: self.chain.ca().subject(),
            subject: &subject,
            not_before: self.issue.date.minus(BACK_DATING).max(from),
            not_after: asked.min(until),
            public_key: &public_key,
            extensions: leaf_extensions(spec, x509::identifier(&public_key), self.identifier.clone())?,
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
            issuer: None,
        })
    }
}

fn leaf_extensions(spec: &CertificateSpec, own: Vec<u8>, issuer: Vec<u8>) -> Result<Vec<Extension>> {
    let usages: Vec<_> = spec.usages.iter().map(|usage| usage.in_wire()).collect();
    if usages.is_empty() {
        return Err(Failure::untrusted("it has no extended key usage, which would allow every use"));
    }
    let dns: Vec<_> = spec.dns.iter().map(String::as_str).collect();
    let leaf = x509::Leaf { dns: &dns, ips: &spec.ips, usages: &usages, identifier: own, issuer };
    leaf.extensions().map_err(encoding)
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
    use x509_cert::ext::pkix::{KeyUsage, KeyUsages};

    use super::super::certificate::extension;
    use super::*;

    /// Every property of a certificate is made wrong in turn, and must be detected.
    #[test]
    fn what_was_issued_is_compared_with_what_was_asked() {
        let secret = Secret::new(&[7; 32]);
        let at: Epoch = "2030-01-01".parse().unwrap();
        let name: ClusterName = "ha3".parse().unwrap();
        let made = Made::plain(&name, Algorithm::P256, Lifetime::years(1));
        let (ca_key, chain) = derived(&secret, &name, plan::CA, &made, at).unwrap();
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
}
