//! The CAs from which a port requests client certificates. A TLS server names the CAs that it trusts for clients when
//! it requests a certificate (RFC 8446 section 4.2.4, RFC 5246 section 7.4.4); etcd's are those of its
//! `trusted-ca-file`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, SignatureScheme};

use super::answer::is_timeout;
use super::connect::Socket;
use super::tls::Recorder;

/// Subjects of CAs in DER.
pub type Names = BTreeSet<Vec<u8>>;

/// The names of the CAs from which a port requests a client certificate.
///
/// # Errors
/// The reason why it named none, in a few words.
pub fn asked_for(socket: Socket) -> Result<Names, String> {
    let listener = Arc::new(Listener::default());
    let mut stream = socket.connect().map_err(|error| format!("connecting: {error}"))?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("preparing TLS: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Recorder::default()))
        .with_client_cert_resolver(listener.clone());
    let mut connection =
        ClientConnection::new(Arc::new(config), ServerName::IpAddress(socket.address.ip().into()))
            .map_err(|error| format!("preparing TLS: {error}"))?;
    // The handshake itself fails, because no certificate is sent.
    let mut ended = None;
    while ended.is_none() && connection.is_handshaking() && listener.heard().is_none() {
        ended = connection.complete_io(&mut stream).err();
    }
    match (listener.heard(), ended) {
        (Some(names), _) => Ok(names),
        (None, Some(error)) if is_timeout(&error) => Err(format!("{socket} does not answer in time")),
        (None, Some(error)) => Err(format!("{socket} ended the handshake: {error}")),
        (None, None) => Err(format!("{socket} asks for no certificate")),
    }
}

/// Records the CAs that a server names, and sends no certificate.
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
