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
    Answer::Trouble(Trouble::new(fault, said))
}

/// # Errors
/// [`Answer::Trouble`].
pub(super) fn reach(socket: Socket) -> Result<TcpStream, Answer> {
    socket.connect().map_err(|error| {
        let said = format!("connecting to {socket}: {error}");
        match error.kind() {
            io::ErrorKind::ConnectionRefused => trouble(Fault::Stopped, said),
            _ if is_timeout(&error) => Answer::Trouble(Trouble::late(Fault::Unreachable, said)),
            _ => trouble(Fault::Unreachable, said),
        }
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

/// The meaning of an error on a connection on which nothing has been read but TLS. A server that is silent has neither
/// refused nor accepted anything, before the end of the handshake and after it: under TLS 1.3 it ends for the client
/// before a busy server has looked at its certificate.
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
            trouble(Fault::Waiting, format!("{address} accepts the connection, but does not answer in time"))
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
