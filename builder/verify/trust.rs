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
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, SignatureScheme};
use x509_cert::der::Decode;
use x509_cert::name::Name;

use super::look::Seen;
use super::probe::Recorder;
use crate::causes::Fault;
use crate::disk;
use crate::failure::{Doing, Result};
use crate::pki::Presented;
use crate::report::Check;
use crate::values::printable;

/// For connecting, and for every read.
const PATIENCE: Duration = Duration::from_secs(2);

/// Subjects of CAs in DER.
type Names = BTreeSet<Vec<u8>>;

/// A row for each port of each node; and a note where more than one CA is trusted, as the bundle wants it.
///
/// # Errors
/// `Exit::Untrusted` when the bundle's own certificate cannot be read.
pub fn check(bundle: &Path, seen: &[Seen<'_>]) -> Result<(Vec<Check>, Option<String>)> {
    let own = Presented::all_from_pem(&disk::read(&bundle.join("client/etcdctl.pem"), super::PEM_LIMIT)?)
        .doing(|| "reading client/etcdctl.pem".into())?;
    let issuer = own.first().map(Presented::issuer_der);
    let asked = super::each(seen, |one| {
        let peer = one.target.peer.ok_or_else(|| "only the client port of this node was given".to_owned());
        (ask(one.target.client), peer.and_then(ask))
    });
    let mut above = Names::new();
    let (mut checks, mut of_peers) = (Vec::new(), Vec::new());
    for (one, (client, peer)) in seen.iter().zip(asked) {
        let baked: Names = one.baked.trust.iter().map(|ca| ca.subject_der().to_vec()).collect();
        above.extend(baked.iter().filter(|name| Some(name.as_slice()) != issuer).cloned());
        checks.push(judge("client port trusts the baked CA", one, &baked, client));
        of_peers.push(judge("peer port trusts the baked CA", one, &baked, peer));
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

fn judge(check: &str, one: &Seen<'_>, baked: &Names, named: std::result::Result<Names, String>) -> Check {
    let node = Some(one.name());
    match named {
        _ if one.status.is_err() => Check::skipped(check, node, one.silence()),
        _ if baked.is_empty() => Check::skipped(check, node, "the bundle holds no ca.pem for it"),
        Err(why) => Check::skipped(check, node, why),
        Ok(named) if named.is_empty() => Check::skipped(check, node, "it names none"),
        Ok(named) if named == *baked => Check::ok(check, node, format!("it names {}", list(&named))),
        Ok(named) => {
            let detail = format!("it names {}; the bundle has {}", list(&named), list(baked));
            Check::failed(check, node, Fault::OtherTrust, detail)
        }
    }
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
        .with_custom_certificate_verifier(Arc::new(Recorder::default()))
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

/// Notes down whom a server asks for, and has nothing to show.
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
