//! TLS with a member: the certificate to send, and the certificates that it sends.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    SupportedProtocolVersion,
};

use zeroize::Zeroize;

use super::connect::Socket;
use super::p521;
use crate::failure::{Failure, Result};

/// A certificate and its key.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// From PEM: the leaf first, then its chain; the key as PKCS#8, SEC1 or PKCS#1.
    ///
    /// # Errors
    /// `Exit::Untrusted` when either cannot be parsed. The message contains nothing of the key.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| Failure::untrusted("the client certificate is not PEM"))?;
        let mut key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| Failure::untrusted("the client key is not PKCS#8, SEC1 or PKCS#1 PEM"))?;
        let signer = match rustls::crypto::ring::sign::any_supported_type(&key) {
            Ok(signer) => signer,
            // ring has no P-521, which profiles may choose.
            Err(_) => p521::signing_key(&key)
                .ok_or_else(|| Failure::untrusted("the type of the client key is not supported"))?,
        };
        key.zeroize();
        Ok(Self(Arc::new(CertifiedKey::new(chain, signer))))
    }
}

pub(super) fn client(
    address: SocketAddr,
    identity: Option<&Identity>,
    recorder: Arc<Recorder>,
) -> std::result::Result<ClientConnection, rustls::Error> {
    let config = config(identity, recorder, rustls::DEFAULT_VERSIONS)?;
    ClientConnection::new(config, ServerName::IpAddress(address.ip().into()))
}

pub(super) fn config(
    identity: Option<&Identity>,
    recorder: Arc<Recorder>,
    versions: &[&'static SupportedProtocolVersion],
) -> std::result::Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(recorder);
    Ok(Arc::new(match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(Show(identity.clone()))),
        None => builder.with_no_client_auth(),
    }))
}

/// Sends the certificate to every server, so that another CA's certificate is tried even if it is not in the server's
/// list of acceptable issuers.
#[derive(Debug)]
struct Show(Identity);

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl ResolvesClientCert for Show {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Records the server's certificates and accepts all of them: a probe sends no secret, and the certificates are
/// checked later.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Vec<Vec<u8>>>);

impl Recorder {
    pub(super) fn seen(&self) -> Vec<Vec<u8>> {
        self.0.lock().map(|seen| seen.clone()).unwrap_or_default()
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut seen) = self.0.lock() {
            *seen = std::iter::once(end_entity).chain(intermediates).map(|one| one.to_vec()).collect();
        }
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
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
        ]
    }
}

/// Whether a server accepts only this version of TLS. `None` where it answers neither with a hello nor with the alert
/// for an unsupported version (RFC 8446 6.2, protocol_version).
pub fn takes(socket: Socket, version: &'static SupportedProtocolVersion) -> Option<bool> {
    let mut stream = socket.connect().ok()?;
    let config = config(None, Arc::new(Recorder::default()), &[version]).ok()?;
    let mut connection =
        ClientConnection::new(config, ServerName::IpAddress(socket.address.ip().into())).ok()?;
    while connection.protocol_version().is_none() {
        if let Err(error) = connection.complete_io(&mut stream) {
            let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            let said_no =
                matches!(tls, Some(rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)));
            return match connection.protocol_version() {
                Some(_) => Some(true),
                None => said_no.then_some(false),
            };
        }
    }
    Some(true)
}
