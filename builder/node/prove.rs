//! Whether etcd presents a new certificate: a handshake with each of its ports.

#![allow(clippy::disallowed_methods, reason = "this is the access to etcd's ports")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kiln_wire::{Kind, Pair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use crate::clock::Deadline;
use crate::failure::{Failure, Result};
use crate::issuer::Minted;
use crate::pem;

/// For each try on each port.
const PATIENCE: Duration = Duration::from_secs(2);
/// etcd reads its files at each handshake, so one that still presents the old certificate after this many seconds does
/// not read this link.
const DEADLINE: u64 = 10;

/// What the ports of a certificate say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Each port that answers presents it, and one does.
    Presented,
    /// None answers: etcd does not run, or does not serve yet.
    Silent,
}

/// One try.
enum Seen {
    New,
    Other(String),
    Silent,
}

/// Asks until each port that answers presents the new certificate.
///
/// # Errors
/// Where one does not in time, or etcd refuses the new certificate as that of a peer.
pub fn prove(pair: &Pair, minted: &Minted) -> Result<Proof> {
    let deadline = Deadline::after(DEADLINE);
    loop {
        let mut proof = Proof::Silent;
        let mut wrong = None;
        for port in &pair.ports {
            match look(*port, pair, minted)? {
                Seen::New => proof = Proof::Presented,
                Seen::Silent => {}
                Seen::Other(why) => wrong = Some(format!("{port} {why}")),
            }
        }
        match wrong {
            None => return Ok(proof),
            Some(why) if deadline.is_over() => return Err(Failure::new(why)),
            Some(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

fn look(port: SocketAddr, pair: &Pair, minted: &Minted) -> Result<Seen> {
    let Ok(mut stream) = TcpStream::connect_timeout(&port, PATIENCE) else { return Ok(Seen::Silent) };
    let broken = |error: &dyn std::fmt::Display| Failure::new(format!("TLS cannot be spoken: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| broken(&error))?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(|error| broken(&error))?;
    let witness = Arc::new(Witness::new());
    let config = config(&witness, pair, minted).map_err(|error| broken(&error))?;
    let name = ServerName::IpAddress(port.ip().into());
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(|error| broken(&error))?;
    let said = talk(&mut tls, &mut stream, pair.kind);
    let signed = witness.signed.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(match (signed, said) {
        (Some(der), _) if der != minted.leaf.der() => Seen::Other("presents another certificate".to_owned()),
        // Only the peer port takes this certificate as a client's, too.
        (Some(_), Err(error)) if pair.kind == Kind::Peer && !is_silence(&error) => {
            Seen::Other(format!("presents it, but refuses it from a peer: {error}"))
        }
        (Some(_), _) => Seen::New,
        (None, Err(error)) if !is_silence(&error) => Seen::Other(format!("ends the handshake: {error}")),
        (None, _) => Seen::Silent,
    })
}

/// Nobody answers in time, or closes the connection: etcd does both before it serves.
fn is_silence(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
    matches!(error.kind(), ConnectionReset | TimedOut | UnexpectedEof | WouldBlock)
}

/// The handshake. A peer port then answers to a request only if it accepts the certificate.
fn talk(tls: &mut ClientConnection, stream: &mut TcpStream, kind: Kind) -> io::Result<()> {
    while tls.is_handshaking() {
        tls.complete_io(stream)?;
    }
    if kind == Kind::Peer {
        let mut tls = rustls::Stream::new(tls, stream);
        tls.write_all(b"GET /version HTTP/1.0\r\n\r\n")?;
        tls.read_exact(&mut [0; 1])?;
    }
    Ok(())
}

fn config(
    witness: &Arc<Witness>,
    pair: &Pair,
    minted: &Minted,
) -> std::result::Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(witness.provider.clone())
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone());
    if pair.kind != Kind::Peer {
        return Ok(builder.with_no_client_auth());
    }
    let broken = |_| rustls::Error::General("a key that was just made cannot be read".to_owned());
    let chain = pem::blocks(pem::CERTIFICATE, minted.cert.as_bytes()).map_err(broken)?;
    let chain = chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let keys = pem::blocks(pem::PRIVATE_KEY, minted.key.as_bytes()).map_err(broken)?;
    builder.with_client_auth_cert(chain, PrivatePkcs8KeyDer::from(keys[0].to_vec()).into())
}

/// Accepts every certificate, and notes the one whose key has signed the handshake.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    signed: Mutex<Option<Vec<u8>>>,
}

impl Witness {
    fn new() -> Self {
        Self { provider: Arc::new(rustls::crypto::ring::default_provider()), signed: Mutex::default() }
    }

    fn note(&self, cert: &CertificateDer<'_>) {
        *self.signed.lock().unwrap_or_else(PoisonError::into_inner) = Some(cert.to_vec());
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
            .inspect(|_| self.note(cert))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
            .inspect(|_| self.note(cert))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
