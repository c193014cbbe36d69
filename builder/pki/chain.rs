//! A CA's certificate and those above it, up to the root: whether they hold together, and what they allow.

use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName, SubjectKeyIdentifier,
};

use super::certificate::Certificate;
use super::key::{self, Key};
use super::names;
use super::pem;
use super::signature::{self, Refused};
use crate::failure::{Doing, Failure, Result};
use crate::plan::CertificateSpec;
use crate::values::{Epoch, printable};

pub(super) const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
pub(super) const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// More certificates than this between a leaf and its root are a mistake.
const LONGEST: usize = 8;

/// Extensions whose meaning this room obeys; any other one that is critical must be refused (RFC 5280 4.2).
const UNDERSTOOD: [ObjectIdentifier; 6] = [
    BasicConstraints::OID,
    KeyUsage::OID,
    ExtendedKeyUsage::OID,
    NameConstraints::OID,
    SubjectAltName::OID,
    SubjectKeyIdentifier::OID,
];

/// The CA that signs, first, then its issuer, and so on up to the self-signed root. Never empty.
pub(super) struct Chain {
    ca: Certificate,
    above: Vec<Certificate>,
    limits: Vec<NameConstraints>,
}

impl Chain {
    /// From PEM: the CA's certificate first, the others in any order; the same one twice does no harm.
    ///
    /// # Errors
    /// `Exit::Untrusted`, each reason with a sentence of its own. Dates are not looked at: see `check_dates`.
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
        if all.len() > LONGEST {
            return Err(Failure::untrusted(format!(
                "there are {} certificates; a chain has at most {LONGEST}",
                all.len()
            )));
        }
        let ca = all.remove(0);
        check_authority(&ca, 0)?;
        let mut above: Vec<Certificate> = Vec::new();
        loop {
            let last = above.last().unwrap_or(&ca);
            if last.issuer() == last.subject() {
                check_signature(last, last)?;
                break;
            }
            let next = take_issuer(last, &mut all)?;
            check_authority(&next, above.len() + 1)?;
            above.push(next);
        }
        if let Some(stray) = all.first() {
            return Err(Failure::untrusted(format!(
                "{} does not belong to the chain of {}; leave it out",
                stray.name(),
                ca.name()
            )));
        }
        let mut limits = Vec::new();
        for certificate in std::iter::once(&ca).chain(&above) {
            limits.extend(names::limits(certificate)?);
        }
        Ok(Self { ca, above, limits })
    }

    pub fn ca(&self) -> &Certificate {
        &self.ca
    }

    fn all(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.ca).chain(&self.above)
    }

    /// What a TLS server sends after its own certificate: all but the root, which the other side has.
    pub fn intermediates(&self) -> impl Iterator<Item = &Certificate> {
        self.all().take(self.above.len())
    }

    pub fn pem(&self) -> Result<String> {
        self.all().map(Certificate::pem).collect()
    }

    /// From when to when all of them are valid.
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
        for certificate in self.all() {
            let name = certificate.name();
            // The last second is part of it (RFC 5280 4.1.2.5).
            if certificate.not_after() < at {
                return Err(Failure::untrusted(format!(
                    "{name} expired on {}, and certificates are issued as of {at}; renew the CA",
                    certificate.not_after()
                )));
            }
            if certificate.not_before() > at {
                return Err(Failure::untrusted(format!(
                    "{name} is not valid before {}, and certificates are issued as of {at}; look at the clock, \
                     or renew the keystore",
                    certificate.not_before()
                )));
            }
        }
        Ok(())
    }

    /// # Errors
    /// `Exit::Untrusted` when the key is not that of the CA's certificate.
    pub fn check_key(&self, key: &Key) -> Result<()> {
        if key::same(&key.public()?, self.ca.public_key()) {
            return Ok(());
        }
        Err(Failure::untrusted(format!(
            "the key does not belong to the certificate of {}, the first in the file; it is another CA's",
            self.ca.name()
        )))
    }

    /// # Errors
    /// `Exit::Untrusted` when the CA, or one above it, is not allowed to issue for such names.
    pub fn check_names(&self, spec: &CertificateSpec) -> Result<()> {
        self.limits.iter().try_for_each(|limits| names::check(limits, spec))
    }
}

fn take_issuer(of: &Certificate, from: &mut Vec<Certificate>) -> Result<Certificate> {
    // Two certificates may have the issuer's name, when it was renewed with another key.
    let mut refused = None;
    for at in 0..from.len() {
        if from[at].subject() == of.issuer() {
            match check_signature(of, &from[at]) {
                Ok(()) => return Ok(from.remove(at)),
                Err(failure) => refused = Some(failure),
            }
        }
    }
    Err(refused.unwrap_or_else(|| {
        Failure::untrusted(format!(
            "the chain does not lead from {} to a root: the certificate of its issuer, {}, is missing; append it",
            of.name(),
            of.issuer_name()
        ))
    }))
}

fn check_signature(of: &Certificate, by: &Certificate) -> Result<()> {
    let name = of.name();
    if !of.names_one_algorithm() {
        return Err(Failure::untrusted(format!("{name} names two different signature algorithms")));
    }
    match signature::verify(by.public_key(), of.algorithm(), of.signed(), of.signature()) {
        Ok(()) => Ok(()),
        Err(Refused::Broken(hash)) => Err(Failure::untrusted(format!(
            "{name} is signed with {hash}, which can be forged; have it issued again with SHA-256"
        ))),
        Err(Refused::Unknown(oid)) => Err(Failure::untrusted(format!(
            "{name} is signed by an algorithm or key ({oid}) that kiln does not check; use ECDSA, Ed25519 or \
             RSA (PKCS#1 v1.5) with SHA-256, SHA-384 or SHA-512"
        ))),
        Err(Refused::Wrong) => Err(Failure::untrusted(format!(
            "{name} carries a signature that is not by {}: the chain does not lead to it",
            by.name()
        ))),
    }
}

/// Whether a certificate may stand in a chain, with `below` other CAs between it and the leaf.
fn check_authority(certificate: &Certificate, below: usize) -> Result<()> {
    let name = certificate.name();
    let refuse = |why: String| Err(Failure::untrusted(format!("{name} {why}")));
    // Before anything is verified with it: `ring` would only say that verifying went wrong.
    if let Some(bits) = key::rsa_bits(certificate.public_key()) {
        if bits < 2048 {
            return refuse(format!("has an RSA key of {bits} bits; 2048 is the least"));
        }
        // `ring` signs with no more, and verifies no more than 8192.
        if (below == 0 && bits > 4096) || bits > 8192 {
            return refuse(format!("has an RSA key of {bits} bits; the most is 4096, or 8192 above the CA"));
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
    // Go and OpenSSL both hold the leaf to the extended usages of every CA above it.
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
            refuse(format!("has the critical extension {}, which kiln does not know", extension.extn_id))
        }
        None => Ok(()),
    }
}

/// The key identifier that leaves name their CA by.
pub(super) fn key_identifier(ca: &Certificate) -> Result<Vec<u8>> {
    Ok(match ca.extension::<SubjectKeyIdentifier>()? {
        Some(identifier) => identifier.0.as_bytes().to_vec(),
        None => key::identifier(ca.public_key()),
    })
}

/// The names of a certificate, as it carries them.
pub(super) fn alternative_names(certificate: &Certificate) -> Result<Vec<GeneralName>> {
    Ok(certificate.extension::<SubjectAltName>()?.map(|names| names.0).unwrap_or_default())
}
