//! A CA's certificate and those above it, up to the root: whether they form a valid chain, and what they allow.

use kiln_wire::x509::{self, CLIENT_AUTH, SERVER_AUTH};
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName, SubjectKeyIdentifier,
};

use super::certificate::Certificate;
use super::key::Key;
use super::names;
use super::pem;
use super::public;
use super::signature::{self, Refused};
use crate::failure::{Doing, Failure, Result};
use crate::plan::CertificateSpec;
use crate::values::{Epoch, printable};

pub(super) const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// Longer chains between a leaf and its root are refused.
const MAX_CHAIN_CERTIFICATES: usize = 8;

/// The consequence of a CA's end.
pub(super) const OVER: &str = "it cannot issue certificates any more, and Kiln cannot renew a CA yet: create a new keystore for a new cluster";

/// Extensions that this module enforces; any other critical extension must be refused (RFC 5280 4.2).
const UNDERSTOOD: [ObjectIdentifier; 6] = [
    BasicConstraints::OID,
    KeyUsage::OID,
    ExtendedKeyUsage::OID,
    NameConstraints::OID,
    SubjectAltName::OID,
    SubjectKeyIdentifier::OID,
];

/// The signing CA first, then its issuer, and so on up to the self-signed root, or as far up as is known. Never empty.
pub(super) struct Chain {
    ca: Certificate,
    above: Vec<Certificate>,
    is_rooted: bool,
    limits: Vec<NameConstraints>,
}

impl Chain {
    /// From PEM: the CA's certificate first, the others in any order; a duplicate does no harm.
    ///
    /// # Errors
    /// `Exit::Untrusted`, each reason with a sentence of its own. Dates are not checked here: see `check_dates`.
    pub fn from_pem(text: &[u8]) -> Result<Self> {
        let mut all: Vec<Certificate> = Vec::new();
        for (at, block) in pem::blocks(text)?.iter().enumerate() {
            let reading = || format!("reading certificate {}", at + 1);
            if block.label != "CERTIFICATE" {
                return Err(Failure::untrusted(format!(
                    "it is a {} block; the certificate file holds CERTIFICATE blocks only",
                    printable(&block.label)
                ))
                .while_doing(reading()));
            }
            let certificate = Certificate::from_der(&block.der).doing(reading)?;
            if !all.iter().any(|there| there.der() == certificate.der()) {
                all.push(certificate);
            }
        }
        Self::new(all)
    }

    pub fn new(mut all: Vec<Certificate>) -> Result<Self> {
        if all.is_empty() {
            return Err(Failure::untrusted("there is no certificate"));
        }
        if all.len() > MAX_CHAIN_CERTIFICATES {
            return Err(Failure::untrusted(format!(
                "there are {} certificates; a chain has at most {MAX_CHAIN_CERTIFICATES}",
                all.len()
            )));
        }
        let ca = all.remove(0);
        check_authority(&ca, 0)?;
        let mut above: Vec<Certificate> = Vec::new();
        let is_rooted = loop {
            let last = above.last().unwrap_or(&ca);
            if is_root(last)? {
                break true;
            }
            match take_issuer(last, &mut all)? {
                Some(next) => {
                    check_authority(&next, above.len() + 1)?;
                    above.push(next);
                }
                None => break false,
            }
        };
        check_end(&ca, &above, is_rooted, &all)?;
        let mut limits = Vec::new();
        for certificate in std::iter::once(&ca).chain(&above) {
            limits.extend(names::limits(certificate)?);
        }
        Ok(Self { ca, above, is_rooted, limits })
    }

    /// The chain of a CA that this one's has just issued. It need not be fit for all of etcd's certificates.
    ///
    /// # Errors
    /// `Exit::Untrusted` when its name constraints cannot be read.
    pub fn with_below(&self, ca: Certificate) -> Result<Self> {
        let limits = names::limits(&ca)?.into_iter().chain(self.limits.iter().cloned()).collect();
        Ok(Self { ca, above: self.all().cloned().collect(), is_rooted: self.is_rooted, limits })
    }

    pub fn ca(&self) -> &Certificate {
        &self.ca
    }

    /// The last one: the root, or the topmost one that is known.
    pub fn top(&self) -> &Certificate {
        self.above.last().unwrap_or(&self.ca)
    }

    /// Whether the last one is self-signed.
    pub fn is_rooted(&self) -> bool {
        self.is_rooted
    }

    pub fn all(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.ca).chain(&self.above)
    }

    /// Checks that neither CA is, or is above, the other: etcd lets in whatever a trusted CA has issued, and also what
    /// a CA below it has. `name` and `other_name` are the authorities.
    ///
    /// # Errors
    /// `Exit::Untrusted` with the CA that is in both chains.
    pub fn check_apart(&self, other: &Chain, name: &str, other_name: &str) -> Result<()> {
        for (one, one_name, chain, chain_name) in
            [(self, name, other, other_name), (other, other_name, self, name)]
        {
            let ca = one.ca();
            let is_in = chain.all().any(|there| public::same(there.public_key(), ca.public_key()));
            let is_above = chain.top().issuer() == ca.subject() && is_signed(chain.top(), ca)?;
            if is_in || is_above {
                let both = ca.name();
                let reason = match public::same(chain.ca().public_key(), ca.public_key()) {
                    true => format!("the CAs {one_name} and {chain_name} would be one CA, {both}"),
                    false => format!("the CA {chain_name} is issued by the CA {one_name}, {both}"),
                };
                return Err(Failure::untrusted(format!(
                    "{reason}: members would take each other's and clients' certificates on both ports; import two CAs of \
                     which neither issues the other, or one for all and no [pki.peer-ca]"
                )));
            }
        }
        Ok(())
    }

    /// The certificates to send after a leaf, so that it chains to the root: all except the root, which the other side
    /// has. Where the root is not known here, the other side may have one above the topmost certificate, so that is
    /// sent, too.
    pub fn intermediates(&self) -> impl Iterator<Item = &Certificate> {
        self.all().take(self.above.len() + usize::from(!self.is_rooted))
    }

    pub fn pem(&self) -> Result<String> {
        self.all().map(Certificate::pem).collect()
    }

    /// The name constraints of the CA and of those above it.
    pub(super) fn limits(&self) -> &[NameConstraints] {
        &self.limits
    }

    /// The period in which all of them are valid.
    pub fn validity(&self) -> (Epoch, Epoch) {
        let mut span = (self.ca.not_before(), self.ca.not_after());
        for certificate in &self.above {
            span = (span.0.max(certificate.not_before()), span.1.min(certificate.not_after()));
        }
        span
    }

    /// # Errors
    /// `Exit::Untrusted` when one of them is expired or not yet valid.
    pub fn check_dates(&self, at: Epoch) -> Result<()> {
        self.check_dates_or(at, OVER, "check the clock, or renew the keystore")
    }

    /// The same with what to do where one is expired, or not yet valid.
    pub fn check_dates_or(&self, at: Epoch, over: &str, early: &str) -> Result<()> {
        for certificate in self.all() {
            let name = certificate.name();
            // The last second is included (RFC 5280 4.1.2.5).
            if certificate.not_after() < at {
                return Err(Failure::untrusted(format!(
                    "{name} expired on {}, and certificates are issued as of {at}; {over}",
                    certificate.not_after()
                )));
            }
            if certificate.not_before() > at {
                return Err(Failure::untrusted(format!(
                    "{name} is not valid before {}, and certificates are issued as of {at}; {early}",
                    certificate.not_before()
                )));
            }
        }
        Ok(())
    }

    /// # Errors
    /// `Exit::Untrusted` when the key is not that of the CA's certificate.
    pub fn check_key(&self, key: &Key) -> Result<()> {
        let public = key.public()?;
        if public::same(&public, self.ca.public_key()) {
            return Ok(());
        }
        if let Some(owner) = self.above.iter().find(|above| public::same(&public, above.public_key())) {
            return Err(Failure::untrusted(format!(
                "the key belongs to {}, and the first certificate in the file is {}; the CA that signs comes first",
                owner.name(),
                self.ca.name()
            )));
        }
        Err(Failure::untrusted(format!(
            "the key does not match the certificate of {}, the first in the file; it belongs to another CA",
            self.ca.name()
        )))
    }

    /// # Errors
    /// `Exit::Untrusted` when the CA, or one above it, may not issue for such names.
    pub fn check_names(&self, spec: &CertificateSpec) -> Result<()> {
        self.limits.iter().try_for_each(|limits| names::check(limits, spec))
    }
}

/// Whether a certificate is self-signed. One with its own name as the issuer, signed by another key, is not: CAs make
/// such certificates when they change their key (RFC 4210 section 4.4).
fn is_root(certificate: &Certificate) -> Result<bool> {
    Ok(certificate.issuer() == certificate.subject() && is_signed(certificate, certificate)?)
}

/// The issuer of a certificate, removed from the others; `None` when it is not among them.
fn take_issuer(of: &Certificate, from: &mut Vec<Certificate>) -> Result<Option<Certificate>> {
    // Two certificates may have the issuer's name, when the CA was renewed with another key.
    let mut namesake = None;
    for at in 0..from.len() {
        if from[at].subject() == of.issuer() {
            if is_signed(of, &from[at])? {
                return Ok(Some(from.remove(at)));
            }
            namesake = Some(&from[at]);
        }
    }
    match namesake {
        None => Ok(None),
        Some(namesake) => Err(Failure::untrusted(format!(
            "{} has a signature that was not made by {}: the chain does not lead to it",
            of.name(),
            namesake.name()
        ))),
    }
}

/// Whether a chain may end with this certificate, and whether all certificates in the file belong to it.
fn check_end(ca: &Certificate, above: &[Certificate], is_rooted: bool, left: &[Certificate]) -> Result<()> {
    let refuse = |why: String| Err(Failure::untrusted(why));
    let top = above.last().unwrap_or(ca);
    if !is_rooted {
        if top.issuer() == top.subject() {
            return refuse(format!(
                "{} names itself as its issuer, but is signed by another key: it is damaged, or it was made when the CA \
                 changed its key; append the certificate of the key that signed it",
                top.name()
            ));
        }
        for below in std::iter::once(ca).chain(above) {
            if below.subject() == top.issuer() && is_signed(top, below)? {
                return refuse(format!(
                    "{} and {} issue each other, so there is no root; import a CA whose chain has one",
                    below.name(),
                    top.name()
                ));
            }
        }
    }
    let Some(stray) = left.first() else { return Ok(()) };
    for issuer in std::iter::once(ca).chain(above) {
        if stray.issuer() == issuer.subject() && is_signed(stray, issuer)? {
            return refuse(format!(
                "{} is issued by {}, which comes before it in the file; the CA that signs comes first, then its issuer, \
                 and so on up to the root",
                stray.name(),
                issuer.name()
            ));
        }
    }
    if !is_rooted {
        return refuse(format!(
            "the chain does not lead from {} to {}: the certificate of its issuer, {}, is missing; append it",
            top.name(),
            stray.name(),
            top.issuer_name()
        ));
    }
    refuse(format!("{} does not belong to the chain of {}; omit it", stray.name(), ca.name()))
}

/// Whether one has signed the other.
///
/// # Errors
/// `Exit::Untrusted` when the signature algorithm is not trusted.
fn is_signed(of: &Certificate, by: &Certificate) -> Result<bool> {
    let name = of.name();
    if !of.names_one_algorithm() {
        return Err(Failure::untrusted(format!("{name} names two different signature algorithms")));
    }
    match signature::verify(by.public_key(), of.algorithm(), of.signed(), of.signature()) {
        Ok(()) => Ok(true),
        Err(Refused::Broken(hash)) => Err(Failure::untrusted(format!(
            "{name} is signed with {hash}, which can be forged; have it issued again with SHA-256"
        ))),
        Err(Refused::Unknown(oid)) => Err(Failure::untrusted(format!(
            "{name} is signed with an algorithm or key ({oid}) that Kiln does not support; use ECDSA, Ed25519 or \
             RSA (PKCS#1 v1.5) with SHA-256, SHA-384 or SHA-512"
        ))),
        Err(Refused::Wrong) => Ok(false),
    }
}

/// Whether a certificate may be in a chain, with `below` other CAs between it and the leaf.
fn check_authority(certificate: &Certificate, below: usize) -> Result<()> {
    let name = certificate.name();
    let refuse = |why: String| Err(Failure::untrusted(format!("{name} {why}")));
    if let Err(why) = public::kind(certificate.public_key()) {
        return refuse(format!("has {why}"));
    }
    // Checked before a signature is verified with it: `ring` would only report that verification failed.
    if let Some(bits) = public::rsa_bits(certificate.public_key()) {
        if bits < 2048 {
            return refuse(format!("has an RSA key of {bits} bits; at least 2048 are required"));
        }
        // `ring` signs with at most 4096 bits, and verifies at most 8192.
        if (below == 0 && bits > 4096) || bits > 8192 {
            return refuse(format!(
                "has an RSA key of {bits} bits; at most 4096 are allowed, or 8192 above the CA"
            ));
        }
    }
    let Some(basic) = certificate.extension::<BasicConstraints>()?.filter(|basic| basic.ca) else {
        return refuse("is not a CA: its basic constraints do not say CA:TRUE".into());
    };
    if let Some(length) = basic.path_len_constraint
        && usize::from(length) < below
    {
        return refuse(format!(
            "allows {length} CA certificates below it (path length), and the chain has {below}"
        ));
    }
    // Without the extension a key may be used for anything (RFC 5280 4.2.1.3); `openssl req -x509` makes such CAs.
    if certificate.extension::<KeyUsage>()?.is_some_and(|usage| !usage.key_cert_sign()) {
        return refuse("may not sign certificates: its key usage lacks keyCertSign".into());
    }
    // Go and OpenSSL both apply the extended usages of every CA above it to the leaf.
    if let Some(ExtendedKeyUsage(usages)) = certificate.extension::<ExtendedKeyUsage>()?
        && !usages.contains(&ANY_USAGE)
        && !(usages.contains(&SERVER_AUTH) && usages.contains(&CLIENT_AUTH))
    {
        return refuse(
            "is limited by its extended key usage; etcd needs both serverAuth and clientAuth below it".into(),
        );
    }
    let stranger = certificate.extensions().iter().find(|e| e.critical && !UNDERSTOOD.contains(&e.extn_id));
    match stranger {
        Some(extension) => {
            refuse(format!("has the critical extension {}, which Kiln does not support", extension.extn_id))
        }
        None => Ok(()),
    }
}

/// The key identifier by which leaves name their CA.
pub(super) fn key_identifier(ca: &Certificate) -> Result<Vec<u8>> {
    Ok(match ca.extension::<SubjectKeyIdentifier>()? {
        Some(identifier) => identifier.0.as_bytes().to_vec(),
        None => x509::identifier(ca.public_key()),
    })
}

/// The names of a certificate, as they are in it.
pub(super) fn alternative_names(certificate: &Certificate) -> Result<Vec<GeneralName>> {
    Ok(certificate.extension::<SubjectAltName>()?.map(|names| names.0).unwrap_or_default())
}
