//! Connections to members; no other module opens them.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::patience::Patience;

/// A connection made within `patience`, on which no read or write takes longer than that.
///
/// # Errors
/// Those of the kernel.
pub fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

/// A port of a member, and the time that it has for each answer.
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    pub address: SocketAddr,
    pub patience: Patience,
}

impl Socket {
    pub fn new(address: SocketAddr, patience: Patience) -> Self {
        Self { address, patience }
    }

    /// # Errors
    /// Those of the kernel.
    pub(super) fn connect(self) -> io::Result<TcpStream> {
        // A kernel accepts a connection however busy its programs are, but not where it has no processor itself, as in
        // an emulated machine, or where its queue of connections is full.
        connect(self.address, self.patience.for_an_answer())
    }
}

impl Socket {
    /// The address of this machine from which the port is reached. Nothing is sent: the kernel's routes say it.
    ///
    /// # Errors
    /// Those of the kernel, such as that there is no route.
    pub fn source(self) -> io::Result<IpAddr> {
        let any = match self.address {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(self.address)?;
        Ok(socket.local_addr()?.ip())
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_source_of_a_loopback_address_is_itself() {
        for address in ["127.0.0.1:1", "127.9.9.9:1"] {
            let socket = Socket::new(address.parse().unwrap(), Patience::USUAL);
            assert!(socket.source().unwrap().is_loopback());
        }
    }

    /// A connection to a member that was too slow had the usual two seconds, and so had what was written to it.
    #[test]
    fn everything_on_a_connection_has_its_patience() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for patience in [Patience::USUAL, Patience::LONG] {
            let stream = Socket::new(listener.local_addr().unwrap(), patience).connect().unwrap();
            let times = (stream.read_timeout().unwrap(), stream.write_timeout().unwrap());
            assert_eq!(times, (Some(patience.for_an_answer()), Some(patience.for_an_answer())));
        }
    }
}
