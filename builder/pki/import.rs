//! The requirements on an imported CA besides a valid chain.
//!
//! A CA that an earlier version of Kiln has imported is not checked again: its cluster is running.

use x509_cert::der::oid::AssociatedOid;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};

use super::certificate::Certificate;
use super::chain::{ANY_USAGE, Chain};
use super::names;
use crate::failure::{Failure, Result};
use crate::values::{hex, printable};

/// # Errors
/// `Exit::Untrusted` for faults that etcd, or a client, would report only when the cluster starts.
pub(super) fn check(chain: &Chain) -> Result<()> {
    chain.all().try_for_each(check_one)?;
    check_identifiers(chain)?;
    chain.limits().iter().try_for_each(|limits| names::check_loopback(chain.ca(), limits))
}

/// What strict clients miss: `openssl verify -x509_strict` (crypto/x509/x509_vfy.c, `check_extensions`) and Python from
/// 3.13 on, whose default context sets `VERIFY_X509_STRICT`. etcd and plain OpenSSL accept such CAs, of which plain
/// `openssl req -x509` makes some, and clusters run with them. One sentence for each CA.
///
/// # Errors
/// `Exit::Untrusted` for an extension that cannot be read.
pub(super) fn missed_by_strict_clients(chain: &Chain) -> Result<Vec<String>> {
    let all: Vec<&Certificate> = chain.all().collect();
    let mut sentences = Vec::new();
    for (at, ca) in all.iter().enumerate() {
        let is_root = chain.is_rooted() && at + 1 == all.len();
        let missed = missed_in(ca, is_root)?;
        if !missed.is_empty() {
            let (lacks, with): (Vec<_>, Vec<_>) = missed.into_iter().unzip();
            sentences.push(format!(
                "{} has {}; etcd accepts that, but strict clients refuse everything below it (openssl verify -x509_strict, and \
                 Python from 3.13 on, so Patroni there); for them, have it issued again with {}",
                ca.name(),
                lacks.join(", and "),
                with.join(" ")
            ));
        }
    }
    Ok(sentences)
}

/// What one CA lacks, and the extension to have it issued with, in the words of openssl's configuration.
fn missed_in(ca: &Certificate, is_root: bool) -> Result<Vec<(&'static str, &'static str)>> {
    let is_critical = |oid| ca.extensions().iter().any(|one| one.extn_id == oid && one.critical);
    let issuers_key = ca.extension::<AuthorityKeyIdentifier>()?.and_then(|its| its.key_identifier);
    let missed = [
        (ca.extension::<KeyUsage>()?.is_none(), "no key usage", "keyUsage=critical,keyCertSign,cRLSign"),
        (
            !is_critical(BasicConstraints::OID),
            "basic constraints that are not critical",
            "basicConstraints=critical,CA:TRUE",
        ),
        (
            ca.extension::<SubjectKeyIdentifier>()?.is_none(),
            "no subject key identifier",
            "subjectKeyIdentifier=hash",
        ),
        (
            !is_root && issuers_key.is_none(),
            "no identifier of its issuer's key",
            "authorityKeyIdentifier=keyid:always",
        ),
    ];
    Ok(missed
        .into_iter()
        .filter(|(is_missed, ..)| *is_missed)
        .map(|(_, lacks, with)| (lacks, with))
        .collect())
}

/// OpenSSL takes a certificate for the issuer of another one only where all that the other says of it is true, and one
/// for a root only where that is true of itself (`X509_check_akid` in crypto/x509/v3_purp.c, `EXFLAG_SS`).
fn check_identifiers(chain: &Chain) -> Result<()> {
    let all: Vec<&Certificate> = chain.all().collect();
    for (ca, issuer) in all.iter().zip(all.iter().skip(1)) {
        if let Some(other) = other_issuer(ca, issuer)? {
            return Err(Failure::untrusted(format!(
                "{} names {other} of its issuer than {} has (authorityKeyIdentifier), so OpenSSL does not find its issuer; \
                 append the certificate of the issuer that it names, or have it issued again",
                ca.name(),
                issuer.name()
            )));
        }
    }
    let root = chain.top();
    if chain.is_rooted()
        && let Some(other) = other_issuer(root, root)?
    {
        return Err(Failure::untrusted(format!(
            "{} is signed by itself, but names {other} of its issuer than its own (authorityKeyIdentifier), so OpenSSL does \
             not take it for a root; have it issued again with authorityKeyIdentifier=keyid, or without that extension",
            root.name()
        )));
    }
    Ok(())
}

/// What a certificate says of its issuer that is not true of this one.
fn other_issuer(of: &Certificate, issuer: &Certificate) -> Result<Option<&'static str>> {
    let Some(named) = of.extension::<AuthorityKeyIdentifier>()? else { return Ok(None) };
    let own = issuer.extension::<SubjectKeyIdentifier>()?;
    if let (Some(key), Some(own)) = (&named.key_identifier, own)
        && own.0 != *key
    {
        return Ok(Some("another key"));
    }
    if let Some(number) = &named.authority_cert_serial_number
        && hex(number.as_bytes()) != issuer.serial()
    {
        return Ok(Some("another serial number"));
    }
    // OpenSSL looks at the first name, and compares the texts of names without regard to their case.
    let mut names = named.authority_cert_issuer.iter().flatten();
    let name = names.find_map(|name| match name {
        GeneralName::DirectoryName(name) => Some(printable(&name.to_string()).to_lowercase()),
        _ => None,
    });
    Ok(name.filter(|name| *name != issuer.issuer_name().to_lowercase()).map(|_| "another issuer"))
}

fn check_one(ca: &Certificate) -> Result<()> {
    let refuse = |name: &str, why: &str| Err(Failure::untrusted(format!("{name} {why}")));
    if ca.is_nameless() {
        // Issuer and subject of a CA must not be empty (RFC 5280 4.1.2.4 and 4.1.2.6); chains are built by them.
        return refuse(
            "a certificate in the file",
            "has an empty subject; have the CA issued again with a name",
        );
    }
    let name = ca.name();
    let identifier = ca.extensions().iter().find(|extension| extension.extn_id == SubjectKeyIdentifier::OID);
    if identifier.is_some_and(|extension| extension.critical) {
        // Go's crypto/x509, parser.go: "x509: subject key identifier incorrectly marked critical".
        return refuse(
            &name,
            "has a subject key identifier that is marked critical, which etcd refuses (RFC 5280 4.2.1.2); have it issued \
             again without that mark",
        );
    }
    if ca.has_negative_serial() {
        // The same, since Go 1.23: "x509: negative serial number". Not where a build sets GODEBUG=x509negativeserial=1.
        return refuse(
            &name,
            "has a negative serial number, which etcd refuses (RFC 5280 4.1.2.2); have it issued again",
        );
    }
    if let Some(ExtendedKeyUsage(usages)) = ca.extension::<ExtendedKeyUsage>()?
        && usages.contains(&ANY_USAGE)
    {
        // OpenSSL looks for serverAuth and clientAuth explicitly, in crypto/x509/v3_purp.c.
        return refuse(
            &name,
            "has the extended key usage anyExtendedKeyUsage, which OpenSSL refuses for TLS; have it issued again without \
             extended key usages, or with serverAuth and clientAuth",
        );
    }
    Ok(())
}
