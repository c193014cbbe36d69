//! Connections to members; no other module opens them.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
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
        // The kernel accepts a connection, however busy the programs of its machine are.
        let stream = connect(self.address, Patience::USUAL.for_an_answer())?;
        stream.set_read_timeout(Some(self.patience.for_an_answer()))?;
        Ok(stream)
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}
