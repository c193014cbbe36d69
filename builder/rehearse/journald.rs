//! The journal's socket of a node: messages that etcd sends there with `log-outputs: [systemd/journal]` are added to
//! its log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::mounts;
use crate::disk::{self, Datagrams};
use crate::failure::Result;
use crate::parallel;
use crate::values::Mode;

/// Enough for a thread that only has to write the pending messages.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The path on every system with systemd (sd_journal_sendv(3)), in two parts.
const DIRECTORY: &str = "/run/systemd/journal";
const NAME: &str = "socket";

/// Binds the socket in a node's directory; in a directory of its own in `spare` where another member has one there.
pub fn bind(root: &Path, spare: Option<&PathBuf>) -> Result<Datagrams> {
    let directory = mounts::directory(root, DIRECTORY, 0o755)?;
    if let Some(spare) = spare {
        let own = spare.join("journal");
        disk::make_directories(&own, Mode::DIRECTORY)?;
        mounts::permit(&own, 0o755)?;
        mounts::show(&own, &directory)?;
    }
    Datagrams::bind(&directory, NAME)
}

/// A socket that is being read.
pub struct Journal {
    socket: Arc<Datagrams>,
    flushed: Receiver<()>,
}

impl Journal {
    /// Returns once all messages sent so far are in the log.
    pub fn flush(&self) {
        // Datagrams arrive in the order in which they were sent, and only Kiln sends an empty one.
        if self.socket.send_empty().is_ok() {
            let _ = self.flushed.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

/// Reads messages as long as this process lives.
///
/// # Errors
/// `Exit::Io` when the system has no thread for it.
pub fn read(socket: Datagrams, log: &Path) -> Result<Journal> {
    let log = log.to_owned();
    let socket = Arc::new(socket);
    let (teller, flushed) = mpsc::channel();
    let reader = Arc::clone(&socket);
    parallel::detached(move || {
        while let Ok(datagram) = reader.next() {
            if datagram.is_empty() && teller.send(()).is_err() {
                return;
            }
            if let Some(message) = message(&datagram) {
                // Errors of the log are reported when it is read: a lost line is no reason to end the member.
                let _ = disk::append_line(&log, message);
            }
        }
    })?;
    Ok(Journal { socket, flushed })
}

/// MESSAGE of a datagram in the journal's protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): fields as `NAME=value` and a
/// line end, or as `NAME`, a line end, the value's length in eight bytes, little-endian, the value and a line end.
fn message(mut rest: &[u8]) -> Option<&[u8]> {
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let (name, value) = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => {
                let length = usize::try_from(u64::from_le_bytes(rest.get(..8)?.try_into().ok()?)).ok()?;
                let value = rest.get(8..8usize.checked_add(length)?)?;
                rest = rest.get(8 + length + 1..)?;
                (line, value)
            }
        };
        if name == b"MESSAGE" {
            return Some(value.trim_ascii_end());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_datagram() {
        let mut binary = b"PRIORITY=6\nMESSAGE\n".to_vec();
        binary.extend(6u64.to_le_bytes());
        binary.extend(b"a=b\nc\n\nX=y\n");
        let cases: [(&[u8], Option<&[u8]>); 6] = [
            (b"MESSAGE=hello\nPRIORITY=6\n", Some(b"hello")),
            (&binary, Some(b"a=b\nc")),
            (b"PRIORITY=6\n", None),
            (b"", None),
            (b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xffx", None),
            (b"MESSAGE\n\x01", None),
        ];
        for (datagram, want) in cases {
            assert_eq!(message(datagram), want, "{datagram:?}");
        }
    }
}
