//! Probes a member's ports as a client that it must refuse, and evaluates the answers.
//!
//! A refusal counts only with evidence: a TLS alert about the certificate, etcd's message for plain HTTP, or a
//! connection closed right after the handshake. A port that does not answer has refused nothing.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::Stream;

use super::answer::{Answer, believed, is_timeout, reach, refusal, trouble};
use super::connect::Socket;
use super::http::request;
use super::tls::{Identity, Recorder, client};
use crate::causes::Fault;

/// A member that accepts a client sends nothing until it gets a request; one that refuses does so at once.
const REFUSAL_WAIT: Duration = Duration::from_millis(1200);

/// A probe over TLS: the answer, and the certificates that the port has sent, leaf first, in DER. None where the
/// handshake did not get that far.
pub struct Visit {
    pub answer: Answer,
    pub presented: Vec<Vec<u8>>,
}

/// Speaks HTTP without TLS.
pub fn plain(socket: Socket) -> Answer {
    let mut stream = match reach(socket) {
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
        Err(error) => trouble(Fault::Waiting, format!("plain HTTP to {socket}: {error}")),
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
pub fn tls(socket: Socket, identity: Option<&Identity>) -> Visit {
    let recorder = Arc::new(Recorder::default());
    let answer = match reach(socket) {
        Ok(stream) => visit(socket, stream, identity, recorder.clone()),
        Err(answer) => answer,
    };
    let presented = recorder.seen();
    Visit { answer: believed(answer, socket.address, &presented), presented }
}

fn visit(
    socket: Socket,
    mut stream: TcpStream,
    identity: Option<&Identity>,
    recorder: Arc<Recorder>,
) -> Answer {
    let address = socket.address;
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
    // Under TLS 1.3 the client finishes its handshake before the server has checked its certificate.
    let _ = stream.set_read_timeout(Some(REFUSAL_WAIT));
    match Stream::new(&mut connection, &mut stream).read(&mut reply) {
        Ok(0) => return Answer::Refused("it closed the connection after the handshake".into()),
        Ok(_) => return Answer::LetIn("unsolicited data".into()),
        Err(error) if is_timeout(&error) => {}
        Err(error) => return refusal(address, &error),
    }
    let _ = stream.set_read_timeout(Some(socket.patience.for_an_answer()));
    let mut tls = Stream::new(&mut connection, &mut stream);
    match tls.write_all(request("/version").as_bytes()).and_then(|()| tls.read(&mut reply)) {
        Ok(0) => Answer::Refused("it closed the connection after the handshake".into()),
        Ok(length) => Answer::LetIn(
            String::from_utf8_lossy(&reply[..length]).lines().next().unwrap_or_default().to_owned(),
        ),
        Err(error) => refusal(address, &error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustls::crypto::ring::default_provider;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection};

    use super::*;
    use crate::cluster::{Patience, http};
    use crate::process::{self, Program};

    /// Answers one connection with these bytes, or keeps silent, and gives its address.
    fn server(reply: Option<&'static [u8]>) -> Socket {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        crate::parallel::detached(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request);
            match reply {
                Some(bytes) => stream.write_all(bytes).unwrap(),
                None => std::thread::sleep(Patience::USUAL.for_an_answer() * 3),
            }
        })
        .unwrap();
        Socket::new(address, Patience::USUAL)
    }

    /// A key with its certificate, PEM.
    fn pair() -> Vec<u8> {
        let openssl = process::find("openssl").unwrap();
        let line =
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout - -out -";
        Program::new(&openssl).args(line.split(' ')).must().unwrap().stdout
    }

    /// Ends a TLS handshake, reads a request, sends these bytes, and is silent from then on.
    fn busy(pair: &[u8], reply: &'static [u8]) -> Socket {
        let chain = CertificateDer::pem_slice_iter(pair).collect::<Result<_, _>>().unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_slice(pair).unwrap())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        crate::parallel::detached(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
            let mut tls = Stream::new(&mut connection, &mut stream);
            let _ = tls.read(&mut [0; 512]);
            let _ = tls.write_all(reply);
            std::thread::sleep(Patience::USUAL.for_an_answer() * 4);
        })
        .unwrap();
        Socket::new(address, Patience::USUAL)
    }

    /// Under TLS 1.3 the handshake has ended for the client before a member that is busy has looked at its certificate.
    /// The silence was taken for an open door, and the half of a reply for the whole.
    #[test]
    fn a_server_that_is_silent_after_the_handshake_has_let_nobody_in() {
        let pair = pair();
        let identity = Identity::from_pem(&pair, &pair).unwrap();
        for identity in [None, Some(&identity)] {
            let visit = tls(busy(&pair, b""), identity);
            let waits = matches!(&visit.answer, Answer::Trouble(trouble) if trouble.fault == Fault::Waiting);
            assert!(waits && visit.presented.len() == 1, "{:?}", visit.answer);
        }
        let whole: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        for (reply, want) in [(&whole[..0], None), (&whole[..39], None), (whole, Some(200))] {
            let asked = http::ask(busy(&pair, reply), &identity, "/version", 1000);
            let got = match &asked.reply {
                Ok(reply) => Some(reply.status),
                Err(Answer::Trouble(trouble)) if trouble.is_late && trouble.fault == Fault::Waiting => None,
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(got, want);
        }
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
        let closed = Socket::new(closed, Patience::USUAL);
        let fault = |answer| match answer {
            Answer::Trouble(trouble) => trouble.fault,
            other => panic!("{other:?}"),
        };
        assert_eq!(fault(plain(closed)), Fault::Stopped);
        assert_eq!(fault(tls(closed, None).answer), Fault::Stopped);
        assert_eq!(fault(plain(server(None))), Fault::Waiting);
        assert_eq!(fault(tls(server(None), None).answer), Fault::Waiting);
        // A server without TLS closes the connection before it sends a certificate.
        assert_eq!(fault(tls(server(Some(b"")), None).answer), Fault::Unknown);
    }
}
