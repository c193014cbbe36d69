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
use crate::leaf::Leaf;

/// For each try on each port: the connection, the handshake, and the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// etcd reads its files at each handshake, so one that still presents the old certificate after this time does not read
/// this link.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// What the ports of certificates say: each one that answers presents the new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The number of those that do.
    pub presented: usize,
    /// Those that do not answer: etcd does not run, or does not serve yet.
    pub silent: Vec<SocketAddr>,
}

impl Proof {
    /// Of the ports of both.
    pub fn and(mut self, other: Self) -> Self {
        self.silent.extend(other.silent);
        Self { presented: self.presented + other.presented, ..self }
    }
}

/// One try.
enum Seen {
    New,
    Other(String),
    Silent,
}

/// Asks until each port that answers presents the new certificate; `key` is its key, in DER.
///
/// # Errors
/// Where one does not in time, or etcd refuses the new certificate as that of a peer.
pub fn prove(pair: &Pair, leaf: &Leaf, key: &[u8]) -> Result<Proof> {
    let deadline = Deadline::after(DEADLINE);
    loop {
        let mut proof = Proof::default();
        let mut wrong = None;
        for port in &pair.ports {
            match look(*port, pair, leaf, key)? {
                Seen::New => proof.presented += 1,
                Seen::Silent => proof.silent.push(*port),
                Seen::Other(why) => wrong = Some(format!("{port} {why}")),
            }
        }
        match wrong {
            None => return Ok(proof),
            Some(why) if deadline.is_over() => return Err(Failure::new(why)),
            Some(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn look(port: SocketAddr, pair: &Pair, leaf: &Leaf, key: &[u8]) -> Result<Seen> {
    let until = Deadline::after(PATIENCE);
    let Ok(mut stream) = TcpStream::connect_timeout(&port, PATIENCE) else { return Ok(Seen::Silent) };
    let broken = |error: rustls::Error| Failure::new(format!("TLS cannot be spoken: {error}"));
    let witness = Arc::new(Witness::new());
    let config = config(&witness, pair.kind, leaf, key).map_err(broken)?;
    let name = ServerName::IpAddress(port.ip().into());
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(broken)?;
    let said = talk(&mut tls, &mut stream, pair.kind, until);
    let signed = witness.signed.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(match (signed, said) {
        (Some(der), _) if der != leaf.der() => Seen::Other("presents another certificate".to_owned()),
        // Only the peer port takes this certificate as a client's, too. One that is slow has not refused it.
        (Some(_), Err(error)) if pair.kind == Kind::Peer && !is_slow(&error) => {
            Seen::Other(format!("presents the new certificate, but refuses it from a peer: {error}"))
        }
        (Some(_), _) => Seen::New,
        (None, Err(error)) if !is_slow(&error) && !is_end(&error) => {
            Seen::Other(format!("ends the handshake: {error}"))
        }
        (None, _) => Seen::Silent,
    })
}

/// There is no answer in time.
fn is_slow(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// The connection is closed: etcd does that before it serves.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// The handshake. A peer port then answers to a request only if it accepts the certificate.
fn talk(tls: &mut ClientConnection, stream: &mut TcpStream, kind: Kind, until: Deadline) -> io::Result<()> {
    while tls.is_handshaking() {
        exchange(tls, stream, until)?;
    }
    if kind == Kind::Peer {
        tls.writer().write_all(b"GET /version HTTP/1.0\r\n\r\n")?;
        loop {
            match tls.reader().read(&mut [0; 1]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => exchange(tls, stream, until)?,
                Err(error) => return Err(error),
            }
        }
    }
    tls.send_close_notify();
    send(tls, stream)
}

fn send(tls: &mut ClientConnection, stream: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(stream)?;
    }
    Ok(())
}

/// Sends what there is, and waits for what comes: also a sender of single bytes is heard for so long only.
fn exchange(tls: &mut ClientConnection, stream: &mut TcpStream, until: Deadline) -> io::Result<()> {
    let left = until.left().ok_or(io::ErrorKind::TimedOut)?;
    stream.set_read_timeout(Some(left))?;
    stream.set_write_timeout(Some(left))?;
    send(tls, stream)?;
    if tls.read_tls(stream)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if let Err(error) = tls.process_new_packets() {
        // The other side learns why.
        let _ = send(tls, stream);
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    Ok(())
}

fn config(
    witness: &Arc<Witness>,
    kind: Kind,
    leaf: &Leaf,
    key: &[u8],
) -> std::result::Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(witness.provider.clone())
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone());
    if kind != Kind::Peer {
        return Ok(builder.with_no_client_auth());
    }
    let chain = leaf.chain().map(|der| CertificateDer::from(der.to_vec())).collect();
    builder.with_client_auth_cert(chain, PrivatePkcs8KeyDer::from(key.to_vec()).into())
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
