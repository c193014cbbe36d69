//! CAs that Kiln makes from the keystore's secret: a root alone, or a root and a CA below it that issues.

use std::net::IpAddr;

use kiln_wire::x509;
use x509_cert::der::asn1::Ia5String;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, NameConstraints, SubjectKeyIdentifier};

use super::certificate::{Certificate, Content, distinguished_name, encoding, extension};
use super::chain::Chain;
use super::issuing::{BACK_DATING, check, octets};
use super::key::Key;
use super::secret::Secret;
use crate::failure::Result;
use crate::plan::{CA, Made, Permits, Usage};
use crate::profile::Algorithm;
use crate::values::{ClusterName, Epoch, Lifetime};

/// The last part of the label of an intermediate's key.
///
/// Part of the format: changing it changes every certificate below an intermediate.
const ISSUING: &str = "issuing";

/// The CA with this name, derived from the secret: the key that issues, and its chain.
pub(super) fn derived(
    secret: &Secret,
    cluster: &ClusterName,
    name: &str,
    made: &Made,
    first: Epoch,
) -> Result<(Key, Chain)> {
    let maker = Maker { secret, algorithm: made.algorithm, first };
    let (length, below) = made.path_lengths();
    let root = maker.make(&One {
        label: &[cluster.as_str(), name],
        subject: &distinguished_name(&made.subject, &made.common_name)?,
        lifetime: made.lifetime,
        length,
        permits: made.permits.as_ref(),
        usages: &[],
        by: None,
        within: None,
    })?;
    let Some((common_name, lifetime)) = &made.intermediate else {
        return Ok((root.0, Chain::new(vec![root.1])?));
    };
    let (key, certificate) = maker.make(&One {
        label: &[cluster.as_str(), name, ISSUING],
        subject: &distinguished_name(&made.subject, common_name)?,
        lifetime: *lifetime,
        length: below.unwrap_or_default(),
        permits: None,
        usages: &[],
        by: Some((&root.0, &root.1)),
        within: None,
    })?;
    Ok((key, Chain::new(vec![certificate, root.1])?))
}

/// A root for a day, with this name in DER.
pub(super) fn throwaway(
    secret: &Secret,
    cluster: &ClusterName,
    subject: &[u8],
    at: Epoch,
) -> Result<(Key, Chain)> {
    let label = &[cluster.as_str(), CA];
    let lifetime = Lifetime::days(1);
    let one = One { label, subject, lifetime, length: 0, permits: None, usages: &[], by: None, within: None };
    let (key, root) = Maker { secret, algorithm: Algorithm::P256, first: at }.make(&one)?;
    Ok((key, Chain::new(vec![root])?))
}

pub(super) struct Maker<'a> {
    pub secret: &'a Secret,
    pub algorithm: Algorithm,
    /// The date of issue.
    pub first: Epoch,
}

pub(super) struct One<'a> {
    pub label: &'a [&'a str],
    /// DER.
    pub subject: &'a [u8],
    pub lifetime: Lifetime,
    /// The CAs that may be below it.
    pub length: u8,
    pub permits: Option<&'a Permits>,
    /// Those that certificates below it may have; any where there are none.
    pub usages: &'a [Usage],
    /// Its issuer; itself where there is none.
    pub by: Option<(&'a Key, &'a Certificate)>,
    /// Outside of which it is not valid.
    pub within: Option<(Epoch, Epoch)>,
}

impl Maker<'_> {
    pub fn make(&self, one: &One<'_>) -> Result<(Key, Certificate)> {
        let key = Key::derive(self.secret, self.algorithm, one.label)?;
        let public_key = key.public()?;
        let identifier = x509::identifier(&public_key);
        let issuer_identifier = match one.by {
            Some((_, issuer)) => x509::identifier(issuer.public_key()),
            None => identifier.clone(),
        };
        let mut extensions = vec![
            extension(&BasicConstraints { ca: true, path_len_constraint: Some(one.length) }, true)?,
            extension(&KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign), true)?,
        ];
        let usages: Vec<_> = one.usages.iter().map(|usage| usage.in_wire()).collect();
        if !usages.is_empty() {
            extensions.push(extension(&x509::extended_usages(&usages), false)?);
        }
        extensions.extend(one.permits.map(constraints).transpose()?);
        extensions.extend([
            extension(&SubjectKeyIdentifier(octets(identifier)?), false)?,
            extension(&x509::authority_key(issuer_identifier).map_err(encoding)?, false)?,
        ]);
        let (from, until) = (self.first.minus(BACK_DATING), self.first.plus(one.lifetime));
        let (from, until) =
            one.within.map_or((from, until), |within| (from.max(within.0), until.min(within.1)));
        let content = Content {
            issuer: one.by.map_or(one.subject, |(_, issuer)| issuer.subject()),
            subject: one.subject,
            not_before: from,
            not_after: until,
            public_key: &public_key,
            extensions,
        };
        let signer = one.by.map_or(&key, |(key, _)| key);
        let certificate = Certificate::from_der(&content.sign(signer, self.secret, one.label)?)?;
        let issuer = one.by.map_or(&certificate, |(_, issuer)| issuer);
        check(&certificate, issuer, &content, &key.to_pem()?)?;
        Ok((key, certificate))
    }
}

/// Critical, as RFC 5280 4.2.1.10 requires.
fn constraints(permits: &Permits) -> Result<Extension> {
    let subtree = |base| GeneralSubtree { base, minimum: 0, maximum: None };
    let mut trees = Vec::with_capacity(permits.dns.len() + permits.ips.len());
    for name in &permits.dns {
        trees.push(subtree(GeneralName::DnsName(Ia5String::new(name).map_err(encoding)?)));
    }
    for ip in &permits.ips {
        // An address and a mask of the same length.
        let bytes = match ip {
            IpAddr::V4(ip) => [&ip.octets()[..], &[0xff; 4]].concat(),
            IpAddr::V6(ip) => [&ip.octets()[..], &[0xff; 16]].concat(),
        };
        trees.push(subtree(GeneralName::IpAddress(octets(bytes)?)));
    }
    extension(&NameConstraints { permitted_subtrees: Some(trees), excluded_subtrees: None }, true)
}
