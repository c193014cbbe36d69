//! Knocking at a member's ports as somebody whom it has to keep out, and looking at how it answers.
//!
//! A refusal counts only with evidence: a TLS alert about the certificate, the sentence etcd has for plain HTTP, or
//! a connection closed right after the handshake. A port that nobody answers at refuses nothing.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, Stream,
    SupportedProtocolVersion,
};

use super::ask::request;
use super::etcdctl::Trouble;
use super::p521;
use crate::causes::Fault;
use crate::failure::{Failure, Result};

/// For connecting, and for every read.
const PATIENCE: Duration = Duration::from_secs(2);

/// A member that lets somebody in says nothing until it is asked something; one that refuses says so at once.
const REFUSAL_WAIT: Duration = Duration::from_millis(1200);

/// Somebody's certificate and key.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// From PEM: the leaf first, then its chain; the key as PKCS#8, SEC1 or PKCS#1.
    ///
    /// # Errors
    /// `Exit::Untrusted` when either cannot be read. The message holds nothing of the key.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| Failure::untrusted("the client certificate is not PEM"))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| Failure::untrusted("the client key is not PKCS#8, SEC1 or PKCS#1 PEM"))?;
        let signer = match rustls::crypto::ring::sign::any_supported_type(&key) {
            Ok(signer) => signer,
            // ring has no P-521, which profiles may choose.
            Err(_) => p521::signing_key(&key).ok_or_else(|| {
                Failure::untrusted("the client key is of a kind that this kiln does not know")
            })?,
        };
        Ok(Self(Arc::new(CertifiedKey::new(chain, signer))))
    }
}

/// How a port answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It let the visitor in; the status line of what it then answered, or "nothing".
    LetIn(String),
    /// It refused, and how.
    Refused(String),
    Trouble(Trouble),
}

/// A visit over TLS: the answer, and the certificates that the port has shown, leaf first, in DER. None where the
/// handshake did not get as far.
pub struct Visit {
    pub answer: Answer,
    pub presented: Vec<Vec<u8>>,
}

pub(super) fn trouble(fault: Fault, said: impl Into<String>) -> Answer {
    Answer::Trouble(Trouble { fault, said: said.into() })
}

pub(super) fn connect(address: SocketAddr) -> std::result::Result<TcpStream, Answer> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).and_then(|stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    });
    stream.map_err(|error| {
        let fault = match error.kind() {
            io::ErrorKind::ConnectionRefused => Fault::Stopped,
            _ => Fault::Unreachable,
        };
        trouble(fault, format!("connecting to {address}: {error}"))
    })
}

/// Speaks HTTP without TLS.
pub fn plain(address: SocketAddr) -> Answer {
    let mut stream = match connect(address) {
        Ok(stream) => stream,
        Err(answer) => return answer,
    };
    let mut reply = [0; 512];
    let asked = stream.write_all(request("/version").as_bytes());
    match asked.and_then(|()| stream.read(&mut reply)) {
        Ok(0) => Answer::Refused("it closed the connection".into()),
        Ok(length) => read_plain(&reply[..length]),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
            Answer::Refused("it reset the connection".into())
        }
        Err(error) => trouble(Fault::Waiting, format!("plain HTTP to {address}: {error}")),
    }
}

fn read_plain(reply: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(reply);
    // The first byte of a TLS alert record (RFC 8446 5.1).
    if reply.first() == Some(&21) {
        Answer::Refused("it answered with a TLS alert".into())
    } else if text.contains("HTTP request to an HTTPS server") {
        Answer::Refused("it answered: this is an HTTPS server".into())
    } else {
        Answer::LetIn(text.lines().next().unwrap_or_default().to_owned())
    }
}

/// Speaks TLS, with or without a certificate, waits for a refusal, and then asks for `/version`.
pub fn tls(address: SocketAddr, identity: Option<&Identity>) -> Visit {
    let recorder = Arc::new(Recorder::default());
    let answer = match connect(address) {
        Ok(stream) => visit(address, stream, identity, recorder.clone()),
        Err(answer) => answer,
    };
    let presented = recorder.seen();
    Visit { answer: believed(answer, address, &presented), presented }
}

/// Closing is an answer only from a server that has shown who it is.
pub(super) fn believed(answer: Answer, address: SocketAddr, presented: &[Vec<u8>]) -> Answer {
    match answer {
        Answer::Refused(how) if presented.is_empty() => trouble(
            Fault::Unknown,
            format!("{address} ended the handshake before showing a certificate: {how}"),
        ),
        other => other,
    }
}

fn visit(
    address: SocketAddr,
    mut stream: TcpStream,
    identity: Option<&Identity>,
    recorder: Arc<Recorder>,
) -> Answer {
    let mut connection = match client(address, identity, recorder) {
        Ok(connection) => connection,
        Err(error) => return trouble(Fault::Unknown, format!("preparing TLS: {error}")),
    };
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            return refusal(address, &error);
        }
    }
    let mut reply = [0; 512];
    // Under TLS 1.3 the client is done before the server has judged its certificate.
    let _ = stream.set_read_timeout(Some(REFUSAL_WAIT));
    match Stream::new(&mut connection, &mut stream).read(&mut reply) {
        Ok(0) => return Answer::Refused("it closed the connection after the handshake".into()),
        Ok(_) => return Answer::LetIn("data, unasked".into()),
        Err(error) if is_timeout(&error) => {}
        Err(error) => return refusal(address, &error),
    }
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let mut tls = Stream::new(&mut connection, &mut stream);
    match tls.write_all(request("/version").as_bytes()).and_then(|()| tls.read(&mut reply)) {
        Ok(0) => Answer::Refused("it closed the connection after the handshake".into()),
        Ok(length) => Answer::LetIn(
            String::from_utf8_lossy(&reply[..length]).lines().next().unwrap_or_default().to_owned(),
        ),
        Err(error) if is_timeout(&error) => Answer::LetIn("nothing".into()),
        Err(error) => refusal(address, &error),
    }
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

pub(super) fn refusal(address: SocketAddr, error: &io::Error) -> Answer {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, error.kind()) {
        (Some(rustls::Error::AlertReceived(alert)), _) if is_about_certificates(*alert) => {
            Answer::Refused(format!("TLS alert {alert:?}"))
        }
        (Some(rustls::Error::AlertReceived(alert)), _) => {
            let said = format!("{address} ended the handshake with the TLS alert {alert:?}");
            trouble(Fault::named_in(&said), said)
        }
        (Some(rustls::Error::InvalidMessage(_)), _) => {
            trouble(Fault::NotEtcd, format!("{address} answers, but does not speak TLS"))
        }
        (Some(other), _) => {
            trouble(Fault::Unknown, format!("{address} does not speak TLS as it should: {other}"))
        }
        (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            Answer::Refused("it closed the connection".into())
        }
        (None, _) if is_timeout(error) => {
            trouble(Fault::Waiting, format!("{address} accepts the connection but does not answer TLS"))
        }
        (None, _) => trouble(Fault::Unreachable, format!("TLS with {address}: {error}")),
    }
}

/// The alerts by which Go's crypto/tls refuses a client for its certificate, or for having none.
fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied
    )
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

/// Shows the certificate whoever asks: the server's list of acceptable issuers must not keep another CA's
/// certificate from being tried.
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

/// Keeps the server's certificates and believes them: a probe sends no secret, and whether they are good is judged later.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers one connection with these bytes, or keeps silent, and gives its address.
    fn server(reply: Option<&'static [u8]>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        crate::parallel::detached(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request);
            match reply {
                Some(bytes) => stream.write_all(bytes).unwrap(),
                None => std::thread::sleep(PATIENCE * 3),
            }
        })
        .unwrap();
        address
    }

    #[test]
    fn plain_http_is_refused_only_with_evidence() {
        let cases: [(&[u8], bool); 4] = [
            (b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", true),
            (b"\x15\x03\x01\x00\x02\x02\x46", true),
            (b"", true),
            (b"HTTP/1.1 200 OK\r\n\r\n{}", false),
        ];
        for (reply, refused) in cases {
            let answer = plain(server(Some(reply)));
            assert_eq!(matches!(answer, Answer::Refused(_)), refused, "{answer:?}");
            assert_eq!(matches!(answer, Answer::LetIn(_)), !refused, "{answer:?}");
        }
    }

    #[test]
    fn nobody_and_silence_refuse_nothing() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let fault = |answer| match answer {
            Answer::Trouble(trouble) => trouble.fault,
            other => panic!("{other:?}"),
        };
        assert_eq!(fault(plain(closed)), Fault::Stopped);
        assert_eq!(fault(tls(closed, None).answer), Fault::Stopped);
        assert_eq!(fault(plain(server(None))), Fault::Waiting);
        assert_eq!(fault(tls(server(None), None).answer), Fault::Waiting);
        // Something that is no TLS server closes before it shows a certificate.
        assert_eq!(fault(tls(server(Some(b"")), None).answer), Fault::Unknown);
    }
}
