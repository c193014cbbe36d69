//! HTTP requests to a member's client port, and the certificates that it sends.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::Stream;

use super::answer::{Answer, believed, is_timeout, reach, refusal, trouble};
use super::connect::Socket;
use super::tls::{Identity, Recorder, client};
use crate::causes::Fault;

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
    read_reply(&mut stream, limit, Instant::now() + socket.patience.for_a_reply()).ok()
}

pub(super) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.0\r\nHost: kiln\r\n\r\n")
}

/// Why a reply is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    NotHttp,
    /// It has more bytes than its limit.
    Long,
    /// Its server ended the connection in the middle of it.
    Cut,
    /// Time ran out in the middle of it.
    Late,
}

/// A whole reply, of at most `limit` bytes, head included: as long as its `Content-Length` says, or up to the proper
/// end of the connection.
fn read_reply(stream: &mut impl Read, limit: u64, until: Instant) -> Result<Reply, Broken> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        if bytes.len() as u64 > limit {
            return Err(Broken::Long);
        }
        let start = &bytes[..bytes.len().min(HTTP.len())];
        if !HTTP.starts_with(start) {
            return Err(Broken::NotHttp);
        }
        let head = Head::of(&bytes)?;
        if let Some(Head { end, status, length: Some(length) }) = head
            && bytes.len() - end >= length
        {
            bytes.truncate(end + length);
            return Ok(Reply { status, body: bytes.split_off(end) });
        }
        if Instant::now() >= until {
            return Err(Broken::Late);
        }
        match (stream.read(&mut piece), head) {
            (Ok(0), Some(Head { end, status, length: None })) => {
                return Ok(Reply { status, body: bytes.split_off(end) });
            }
            (Ok(0), None) if bytes.len() < HTTP.len() => return Err(Broken::NotHttp),
            (Ok(0), _) => return Err(Broken::Cut),
            (Ok(count), _) => bytes.extend_from_slice(&piece[..count]),
            (Err(error), _) if error.kind() == io::ErrorKind::Interrupted => {}
            (Err(error), _) if is_timeout(&error) => return Err(Broken::Late),
            (Err(_), _) => return Err(Broken::Cut),
        }
    }
}

/// The beginning of every reply.
const HTTP: &[u8] = b"HTTP/1.";

/// The head of a reply: where its body begins, and how long that is, if it says so.
#[derive(Clone, Copy)]
struct Head {
    end: usize,
    status: u16,
    length: Option<usize>,
}

impl Head {
    /// `None` where it is not complete yet.
    fn of(bytes: &[u8]) -> Result<Option<Self>, Broken> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes[..end]);
        let status = text.lines().next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let is_length = |line: &&str| line.to_ascii_lowercase().starts_with("content-length:");
        let length = match text.lines().find(is_length) {
            Some(line) => Some(line[CONTENT_LENGTH..].trim().parse().map_err(|_| Broken::NotHttp)?),
            None => None,
        };
        Ok(Some(Self { end: end + 4, status: status.ok_or(Broken::NotHttp)?, length }))
    }
}

const CONTENT_LENGTH: usize = "content-length:".len();

/// Sends a request as a client of this cluster. It contains no secret, and the caller checks the server's certificate.
pub fn ask(socket: Socket, identity: &Identity, path: &str, limit: u64) -> Asked {
    let recorder = Arc::new(Recorder::default());
    let reply = reach(socket).and_then(|stream| exchange(socket, stream, identity, path, limit, &recorder));
    let presented = recorder.seen();
    let reply = reply.map_err(|answer| believed(answer, socket.address, &presented));
    Asked { reply, presented }
}

fn exchange(
    socket: Socket,
    mut stream: TcpStream,
    identity: &Identity,
    path: &str,
    limit: u64,
    recorder: &Arc<Recorder>,
) -> Result<Reply, Answer> {
    let address = socket.address;
    let mut connection = client(address, Some(identity), recorder.clone())
        .map_err(|error| trouble(Fault::Unknown, format!("preparing TLS: {error}")))?;
    let mut tls = Stream::new(&mut connection, &mut stream);
    // Under TLS 1.3 a refusal may come with the first byte that is read.
    tls.write_all(request(path).as_bytes()).map_err(|error| refusal(address, &error))?;
    let mut first = [0; 1];
    match tls.read(&mut first) {
        Ok(0) => return Err(Answer::Refused("it closed the connection after the handshake".into())),
        Ok(_) => {}
        Err(error) => return Err(refusal(address, &error)),
    }
    let until = Instant::now() + socket.patience.for_a_reply();
    read_reply(&mut first.chain(tls), limit, until).map_err(|broken| match broken {
        Broken::NotHttp => Answer::LetIn("something that is not HTTP".into()),
        Broken::Long => Answer::LetIn(format!("more than {limit} bytes")),
        Broken::Cut => {
            trouble(Fault::Unknown, format!("{address} ended the connection in the middle of its answer"))
        }
        Broken::Late => trouble(Fault::Waiting, format!("{address} did not send its whole answer in time")),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The pieces of a reply; after the last, the connection ends properly, breaks, or stays silent.
    struct Pieces(Vec<&'static [u8]>, Option<io::ErrorKind>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match (self.0.is_empty(), self.1) {
                (true, None) => Ok(0),
                (true, Some(kind)) => Err(kind.into()),
                (false, _) => self.0.remove(0).read(buffer),
            }
        }
    }

    fn reply(pieces: &[&'static [u8]], end: Option<io::ErrorKind>) -> Result<(u16, Vec<u8>), Broken> {
        let until = Instant::now() + Duration::from_secs(60);
        let read = read_reply(&mut Pieces(pieces.to_vec(), end), 60, until);
        read.map(|reply| (reply.status, reply.body))
    }

    /// What was cut off by time, by the limit or by the end of the connection was taken for the whole.
    #[test]
    fn a_reply_is_whole_or_none() {
        use io::ErrorKind::{ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
        let good = Ok((200, b"{}\n".to_vec()));
        let open: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nA: b\r\n", b"\r\n{}", b"\n"];
        let closed: &[&[u8]] = &[b"HTTP/1.0 200 OK\r\ncontent-LENGTH: 3\r\n\r\n{", b"}\n"];
        let longer: &[&[u8]] = &[b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n{}\n"];
        for (pieces, end, want) in [
            (open, None, good.clone()),
            (open, Some(TimedOut), Err(Broken::Late)),
            (open, Some(WouldBlock), Err(Broken::Late)),
            (open, Some(ConnectionReset), Err(Broken::Cut)),
            (open, Some(UnexpectedEof), Err(Broken::Cut)),
            // Not every server closes TLS correctly.
            (closed, Some(UnexpectedEof), good.clone()),
            (closed, Some(TimedOut), good),
            (longer, None, Err(Broken::Cut)),
            (longer, Some(TimedOut), Err(Broken::Late)),
            (&open[..1], None, Err(Broken::Cut)),
            (&[b"HTTP/1.1 404 Not Found\r\n\r\n"], None, Ok((404, Vec::new()))),
            (&[], None, Err(Broken::NotHttp)),
            (&[], Some(TimedOut), Err(Broken::Late)),
            (&[b"SSH-2.0-OpenSSH_9.2\r\n"], Some(TimedOut), Err(Broken::NotHttp)),
            (&[b"HTTP/1.1 \r\n\r\n"], None, Err(Broken::NotHttp)),
            (&[b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"], None, Err(Broken::NotHttp)),
            (&[b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 60]], None, Err(Broken::Long)),
        ] {
            assert_eq!(reply(pieces, end), want, "{pieces:?} {end:?}");
        }
        let late = read_reply(&mut Pieces(open.to_vec(), None), 60, Instant::now());
        assert_eq!(late.err(), Some(Broken::Late));
    }
}
