//! HTTP requests to a member's client port, and the certificates that it sends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::Stream;

use super::answer::{Answer, believed, is_timeout, reach, refusal, trouble};
use super::connect::Socket;
use super::tls::{Identity, Recorder, client};
use crate::causes::Fault;

/// The timeout for a whole reply, so that a server which sends a byte now and then does not block the run.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

/// A request over TLS: the answer, or the reason why there is none, and the certificates as in [`super::Visit`].
pub struct Asked {
    pub reply: Result<Reply, Answer>,
    pub presented: Vec<Vec<u8>>,
}

/// Sends a request without TLS, as HTTP/1.0: the server closes the connection after its answer. `None` when the answer
/// is not HTTP.
pub fn ask_plainly(socket: Socket, path: &str, limit: u64) -> Option<Reply> {
    let mut stream = reach(socket).ok()?;
    stream.write_all(request(path).as_bytes()).ok()?;
    read_reply(&mut stream, limit)
}

pub(super) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.0\r\nHost: kiln\r\n\r\n")
}

/// At most `limit` bytes of a reply, head included.
fn read_reply(stream: &mut impl Read, limit: u64) -> Option<Reply> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 16 << 10]);
    let until = Instant::now() + REPLY_TIMEOUT;
    while (bytes.len() as u64) < limit && Instant::now() < until {
        match stream.read(&mut piece) {
            // Bytes before an error are kept: not every server closes TLS correctly.
            Ok(0) | Err(_) => break,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
    }
    bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, body: bytes.split_off(end + 4) })
}

/// Sends a request as a client of this cluster. It contains no secret, and the caller checks the server's certificate.
pub fn ask(socket: Socket, identity: &Identity, path: &str, limit: u64) -> Asked {
    let recorder = Arc::new(Recorder::default());
    let reply =
        reach(socket).and_then(|stream| exchange(socket.address, stream, identity, path, limit, &recorder));
    let presented = recorder.seen();
    let reply = reply.map_err(|answer| believed(answer, socket.address, &presented));
    Asked { reply, presented }
}

fn exchange(
    address: SocketAddr,
    mut stream: TcpStream,
    identity: &Identity,
    path: &str,
    limit: u64,
    recorder: &Arc<Recorder>,
) -> Result<Reply, Answer> {
    let mut connection = client(address, Some(identity), recorder.clone())
        .map_err(|error| trouble(Fault::Unknown, format!("preparing TLS: {error}")))?;
    let mut tls = Stream::new(&mut connection, &mut stream);
    // Under TLS 1.3 a refusal may come with the first byte that is read.
    tls.write_all(request(path).as_bytes()).map_err(|error| refusal(address, &error))?;
    let mut first = [0; 1];
    match tls.read(&mut first) {
        Ok(0) => return Err(Answer::Refused("it closed the connection after the handshake".into())),
        Ok(_) => {}
        Err(error) if is_timeout(&error) => return Err(Answer::LetIn("nothing".into())),
        Err(error) => return Err(refusal(address, &error)),
    }
    read_reply(&mut first.chain(tls), limit).ok_or_else(|| Answer::LetIn("something that is not HTTP".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_up_to_its_limit() {
        let reply = |bytes: &[u8], limit| read_reply(&mut &*bytes, limit);
        let good = reply(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}\n", 1000).unwrap();
        assert_eq!((good.status, &*good.body), (200, &b"{}\n"[..]));
        assert_eq!(reply(b"HTTP/1.0 404 Not Found\r\n\r\n0123456789", 30).unwrap().body, b"0123");
        for bad in [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 \r\n\r\n", b"HTTP/1.1 200 OK\r\n"] {
            assert!(reply(bad, 1000).is_none());
        }
    }
}
