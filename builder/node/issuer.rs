//! The node's own CA for one kind of certificate.

use std::path::Path;

use kiln_wire::{DnsName, FilePath, Pair, Policy, Validity, x509};
use x509_cert::der::Encode;
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use zeroize::Zeroizing;

use crate::disk;
use crate::failure::{Failure, Result};
use crate::key::{self, Key};
use crate::leaf::{Leaf, subject_of};
use crate::pem;

/// What members and clients trust, and what this node's certificates are below.
pub struct Trust {
    /// DER.
    pub anchors: Vec<Zeroizing<Vec<u8>>>,
    /// The node's own CA and those above it that are sent with it, DER; `None` where they cannot be read, which says
    /// nothing of the certificates that it has issued.
    pub issuer: Option<Vec<Zeroizing<Vec<u8>>>>,
}

impl Trust {
    /// For a pair, from its files.
    ///
    /// # Errors
    /// Where the CAs that are trusted cannot be read.
    pub fn load(pair: &Pair) -> Result<Self> {
        Ok(Self { anchors: certificates(&pair.anchors)?, issuer: certificates(&pair.issuer).ok() })
    }
}

/// Its certificate and key, which belong together.
struct Issuer {
    key: Key,
    /// Its own certificate first, DER.
    chain: Vec<Zeroizing<Vec<u8>>>,
    decoded: x509_cert::Certificate,
    anchors: Vec<Zeroizing<Vec<u8>>>,
    validity: Validity,
}

/// One for each pair of a policy, in their order.
pub struct Issuers(Vec<Issuer>);

impl Issuers {
    /// All of them.
    ///
    /// # Errors
    /// The first reason why one cannot be used.
    pub fn load(policy: &Policy) -> Result<Self> {
        policy.pairs.iter().map(Issuer::load).collect::<Result<_>>().map(Self)
    }

    /// The time in which all of them are valid.
    pub fn validity(&self) -> Validity {
        Validity::of_all(self.0.iter().map(|issuer| issuer.validity))
    }

    /// A certificate and a new key for each pair.
    ///
    /// # Errors
    /// Where one of them may not issue what the policy wants, or without random bytes.
    pub fn mint(&self, policy: &Policy, at: Validity) -> Result<Vec<Minted>> {
        policy.pairs.iter().zip(&self.0).map(|(pair, issuer)| issuer.mint(pair, at)).collect()
    }
}

/// A new certificate of a node, with its key.
pub struct Minted {
    /// The leaf and its issuer, PEM.
    pub cert: String,
    /// PKCS#8, PEM.
    pub key: Zeroizing<String>,
}

fn certificates(path: &FilePath) -> Result<Vec<Zeroizing<Vec<u8>>>> {
    let text = disk::read(Path::new(path.as_str()), false)?;
    pem::blocks(pem::CERTIFICATE, &text).map_err(|why| at(path, &why))
}

fn at(path: &FilePath, why: &Failure) -> Failure {
    Failure::new(format!("{path}: {why}"))
}

impl Issuer {
    /// The issuer of a pair, from its files.
    ///
    /// # Errors
    /// Where one of them is not this program's user's alone, or not what it should be.
    fn load(pair: &Pair) -> Result<Self> {
        let anchors = certificates(&pair.anchors)?;
        let chain = certificates(&pair.issuer)?;
        let all = chain.iter().map(|der| key::certificate(der)).collect::<Result<Vec<_>>>();
        let all = all.map_err(|why| at(&pair.issuer, &why))?;
        let validity = key::validity(&all);
        let own = all.into_iter().next().ok_or_else(|| Failure::new("it is empty"));
        let decoded = own.map_err(|why| at(&pair.issuer, &why))?;
        let text = disk::read(Path::new(pair.issuer_key.as_str()), true)?;
        let keys = pem::blocks(pem::PRIVATE_KEY, &text);
        let key = keys.and_then(|mut keys| Key::read(keys.swap_remove(0)));
        let key = key.map_err(|why| at(&pair.issuer_key, &why))?;
        let body = decoded.tbs_certificate();
        if body.subject_public_key_info().subject_public_key.raw_bytes() != key.public_bits() {
            return Err(at(&pair.issuer_key, &Failure::new(format!("it is not the key of {}", pair.issuer))));
        }
        Ok(Self { key, chain, decoded, anchors, validity })
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

    /// A certificate for a new key, valid at that time, but not outside of the issuer's own time. It is read again and
    /// checked before it is returned.
    ///
    /// # Errors
    /// Where the issuer may not issue it, or without random bytes.
    fn mint(&self, pair: &Pair, at: Validity) -> Result<Minted> {
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
            not_before: at.from.max(self.validity.from),
            not_after: at.until.min(self.validity.until),
            public_key: &public,
            extensions: names.extensions().map_err(broken)?,
        };
        let algorithm = self.key.signature_algorithm();
        let after_serial = content.after_serial(&algorithm).map_err(broken)?;
        let body = x509::to_be_signed(&serial()?, &after_serial).map_err(broken)?;
        let der = x509::signed(&body, &algorithm, &self.key.sign(&body)?).map_err(broken)?;
        let mut cert = String::new();
        for der in std::iter::once(&der).chain(self.chain.iter().map(|der| &**der)) {
            cert.push_str(&pem::text(pem::CERTIFICATE, der)?);
        }
        let leaf = Leaf::from_pem(cert.as_bytes())?;
        let judged =
            leaf.check(pair, &self.anchors, &key).and_then(|()| leaf.compare(pair, Some(&self.chain)));
        judged.map_err(|why| {
            Failure::new(format!(
                "{} may not issue the {} certificate: {why}",
                pair.issuer,
                pair.kind.as_str()
            ))
        })?;
        Ok(Minted { cert, key: pem::text(pem::PRIVATE_KEY, key.pkcs8())? })
    }
}

/// 20 octets, positive (RFC 5280 4.1.2.2).
fn serial() -> Result<[u8; 20]> {
    let mut number = key::random::<20>()?;
    number[0] = (number[0] & 0x3f) | 0x40;
    Ok(number)
}
