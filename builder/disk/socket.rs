//! Sockets in the file system.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use crate::failure::{Doing, Result};

/// A socket that accepts datagrams from every user (unix(7)).
pub struct Datagrams {
    socket: UnixDatagram,
    /// Its own path, by the number of the open directory.
    path: String,
    _directory: fs::File,
    buffer: usize,
}

impl Datagrams {
    /// # Errors
    /// `Exit::Io`, also when something with that name exists.
    pub fn bind(directory: &Path, name: &str) -> Result<Self> {
        let binding = || format!("creating the socket {}", directory.join(name).display());
        // A socket's path has at most 108 bytes, and TMPDIR may be longer: so the path uses the open directory's
        // number.
        let open = fs::File::open(directory).doing(binding)?;
        let path = format!("/proc/self/fd/{}/{name}", open.as_raw_fd());
        let socket = UnixDatagram::bind(&path).doing(binding)?;
        fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o666)).doing(binding)?;
        // The largest datagram that the kernel allows by default (net.core.wmem_max).
        Ok(Self { socket, path, _directory: open, buffer: 256 << 10 })
    }

    /// Sends an empty datagram, which arrives after all that were sent before.
    pub fn send_empty(&self) -> io::Result<()> {
        self.socket.send_to(&[], &self.path).map(|_| ())
    }

    /// The next datagram, if one comes in this time.
    pub fn next_within(&self, time: Duration) -> Result<Option<Vec<u8>>> {
        let reading = || "waiting for a message at a socket".to_owned();
        self.socket.set_read_timeout(Some(time)).doing(reading)?;
        match self.next() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&error.kind()) => {
                Ok(None)
            }
            Err(error) => Err(error).doing(reading),
        }
    }

    /// Waits for the next datagram.
    pub fn next(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.buffer];
        let length = self.socket.recv(&mut bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// Appends a line to a file to which other processes append as well.
pub fn append_line(path: &Path, line: &[u8]) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let mut file = fs::File::options().append(true).create(true).open(path).doing(writing)?;
    file.write_all(&[line, b"\n"].concat()).doing(writing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_before_comes_before_and_the_path_may_be_long() {
        let scratch = crate::disk::Scratch::new("test").unwrap();
        let directory = scratch.path().join("d".repeat(200));
        fs::create_dir(&directory).unwrap();
        let socket = Datagrams::bind(&directory, "socket").unwrap();
        socket.socket.send_to(b"one", &socket.path).unwrap();
        socket.send_empty().unwrap();
        assert_eq!(socket.next().unwrap(), b"one");
        assert!(socket.next().unwrap().is_empty());
        assert!(Datagrams::bind(&directory, "socket").is_err());
    }
}
