//! Whose certificates a member takes. A TLS server names the CAs that it trusts for clients when it asks for a certificate
//! (RFC 8446 section 4.2.4, RFC 5246 section 7.4.4); etcd's are those of its `trusted-ca-file`. Kiln has no key of a CA next to
//! this cluster's, of which it could try a certificate; but where a CA above this one is named, that CA's others get in.
//! What is shown is names, not keys; that names alone open no port, the strangers of `look` show.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use x509_cert::der::{Decode, Encode};
use x509_cert::name::Name;

use super::causes::Fault;
use super::look::Seen;
use super::report::Check;
use crate::bundle::Manifest;
use crate::bundle::manifest::Node;
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::pack::read::Archive;
use crate::values::printable;

/// For connecting, and for every read.
const PATIENCE: Duration = Duration::from_secs(2);

/// An overlay with etcd's three programs has 25 MB.
const ARCHIVE_LIMIT: u64 = 1 << 30;

const PEM_LIMIT: u64 = 1 << 20;

/// Subjects of CAs in DER.
type Names = BTreeSet<Vec<u8>>;

/// A row for each port of each node; and a note where more than one CA is trusted, as the bundle wants it.
///
/// # Errors
/// `Exit::Wrong` or `Exit::Untrusted` when the bundle's own files cannot be read.
pub fn check(bundle: &Path, manifest: &Manifest, seen: &[Seen<'_>]) -> Result<(Vec<Check>, Option<String>)> {
    let (_, issuer) = names_of(&disk::read(&bundle.join("client/etcdctl.pem"), PEM_LIMIT)?)
        .doing(|| "reading client/etcdctl.pem".into())?;
    let asked = super::each(seen, |one| {
        let peer = one.target.peer.ok_or_else(|| "only the client port of this node was given".to_owned());
        (ask(one.target.client), peer.and_then(ask))
    });
    let mut above = Names::new();
    let (mut checks, mut of_peers) = (Vec::new(), Vec::new());
    for (one, (client, peer)) in seen.iter().zip(asked) {
        let baked = baked(bundle, manifest, one.target.node)?;
        above.extend(baked.iter().flatten().filter(|name| Some(*name) != issuer.as_ref()).cloned());
        checks.push(judge("client port trusts the baked CA", one, baked.as_ref(), client));
        of_peers.push(judge("peer port trusts the baked CA", one, baked.as_ref(), peer));
    }
    checks.append(&mut of_peers);
    let note = (!above.is_empty()).then(|| {
        format!(
            "the members of this bundle let in certificates of every CA below {}, too; build it again with this kiln and bring \
             the nodes their new files",
            list(&above)
        )
    });
    Ok((checks, note))
}

fn judge(
    check: &str,
    one: &Seen<'_>,
    baked: Option<&Names>,
    named: std::result::Result<Names, String>,
) -> Check {
    let node = Some(one.name());
    match (baked, named) {
        _ if one.status.is_err() => Check::skipped(check, node, "it does not answer"),
        (None, _) => Check::skipped(check, node, "the bundle holds no ca.pem for it"),
        (_, Err(why)) => Check::skipped(check, node, why),
        (_, Ok(named)) if named.is_empty() => Check::skipped(check, node, "it names none"),
        (Some(baked), Ok(named)) if named == *baked => {
            Check::ok(check, node, format!("it names {}", list(&named)))
        }
        (Some(baked), Ok(named)) => {
            let detail = format!("it names {}; the bundle has {}", list(&named), list(baked));
            Check::failed(check, node, Fault::OtherTrust, detail)
        }
    }
}

/// The subjects of the certificates in the node's `ca.pem`. `None` when it has no such file.
fn baked(bundle: &Path, manifest: &Manifest, node: &Node) -> Result<Option<Names>> {
    let of_node =
        manifest.certificates.iter().find(|certificate| certificate.node.as_ref() == Some(&node.name));
    let Some((directory, _)) = of_node.and_then(|certificate| certificate.file.as_str().rsplit_once('/'))
    else {
        return Ok(None);
    };
    let path = bundle.join("nodes").join(node.name.as_str()).join("overlay.tar.gz");
    let bytes = disk::read(&path, ARCHIVE_LIMIT)?;
    let file = format!("{directory}/ca.pem");
    let pem =
        Archive::TarGz.file(&bytes, &file, PEM_LIMIT).doing(|| format!("reading {}", path.display()))?;
    let reading = || format!("reading {file} of {}", node.name);
    pem.map(|pem| names_of(&pem).map(|(subjects, _)| subjects).doing(reading)).transpose()
}

/// The subjects of a PEM file's certificates, and the issuer of the first.
fn names_of(pem: &[u8]) -> Result<(Names, Option<Vec<u8>>)> {
    let broken = |why: String| Failure::untrusted(format!("a certificate in it cannot be read: {why}"));
    let (mut subjects, mut issuer) = (Names::new(), None);
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|error| broken(error.to_string()))?;
        let certificate =
            x509_cert::Certificate::from_der(&der).map_err(|error| broken(error.to_string()))?;
        let body = certificate.tbs_certificate();
        let encode = |name: &Name| name.to_der().map_err(|error| broken(error.to_string()));
        issuer = issuer.or(Some(encode(body.issuer())?));
        subjects.insert(encode(body.subject())?);
    }
    Ok((subjects, issuer))
}

fn list(names: &Names) -> String {
    let readable = |der: &Vec<u8>| match Name::from_der(der) {
        Ok(name) => printable(&name.to_string()).into_owned(),
        Err(_) => "a name that cannot be read".to_owned(),
    };
    names.iter().map(readable).collect::<Vec<_>>().join(" and ")
}

/// The names of the CAs that a port asks a client's certificate of.
fn ask(address: SocketAddr) -> std::result::Result<Names, String> {
    let listener = Arc::new(Listener::default());
    let mut stream =
        TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| format!("connecting: {error}"))?;
    let timeouts =
        stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    timeouts.map_err(|error| error.to_string())?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("preparing TLS: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(listener.clone())
        .with_client_cert_resolver(listener.clone());
    let mut connection = ClientConnection::new(Arc::new(config), ServerName::IpAddress(address.ip().into()))
        .map_err(|error| format!("preparing TLS: {error}"))?;
    // The handshake itself fails, because no certificate is shown.
    let mut ended = None;
    while ended.is_none() && connection.is_handshaking() && listener.heard().is_none() {
        ended = connection.complete_io(&mut stream).err();
    }
    match (listener.heard(), ended) {
        (Some(names), _) => Ok(names),
        (None, Some(error)) => Err(format!("{address} ended the handshake: {error}")),
        (None, None) => Err(format!("{address} asks for no certificate")),
    }
}

/// Notes down whom a server asks for, and has nothing to show. It believes any server: no secret is sent, and no answer trusted.
#[derive(Debug, Default)]
struct Listener(Mutex<Option<Names>>);

impl Listener {
    fn heard(&self) -> Option<Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesClientCert for Listener {
    fn resolve(&self, issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let names = issuers.iter().map(|name| name.to_vec()).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for Listener {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
        ]
    }
}
