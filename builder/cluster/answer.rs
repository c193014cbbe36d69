//! The answer of a port to a probe, and the meaning of its silence.

use std::io;
use std::net::{SocketAddr, TcpStream};

use rustls::AlertDescription;

use super::connect::Socket;
use super::trouble::Trouble;
use crate::causes::Fault;

/// The answer of a port.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It accepted the client; the status line of its answer, or a description of what else it sent.
    LetIn(String),
    /// It refused, and how.
    Refused(String),
    Trouble(Trouble),
}

pub(super) fn trouble(fault: Fault, said: impl Into<String>) -> Answer {
    Answer::Trouble(Trouble { fault, said: said.into() })
}

/// # Errors
/// [`Answer::Trouble`].
pub(super) fn reach(socket: Socket) -> Result<TcpStream, Answer> {
    socket.connect().map_err(|error| {
        let fault = match error.kind() {
            io::ErrorKind::ConnectionRefused => Fault::Stopped,
            _ => Fault::Unreachable,
        };
        trouble(fault, format!("connecting to {socket}: {error}"))
    })
}

/// A closed connection counts as a refusal only from a server that has sent a certificate.
pub(super) fn believed(answer: Answer, address: SocketAddr, presented: &[Vec<u8>]) -> Answer {
    match answer {
        Answer::Refused(how) if presented.is_empty() => trouble(
            Fault::Unknown,
            format!("{address} ended the handshake before it sent a certificate: {how}"),
        ),
        other => other,
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
        (Some(other), _) => trouble(Fault::Unknown, format!("{address} violates TLS: {other}")),
        (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            Answer::Refused("it closed the connection".into())
        }
        (None, _) if is_timeout(error) => {
            trouble(Fault::Waiting, format!("{address} accepts the connection but does not answer TLS"))
        }
        (None, _) => trouble(Fault::Unreachable, format!("TLS with {address}: {error}")),
    }
}

/// The alerts with which Go's crypto/tls refuses a client because of its certificate, or for having none.
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
