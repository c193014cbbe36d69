//! Connections to members; no other module opens them.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The timeout for connecting, and for every read.
pub(super) const SILENCE_TIMEOUT: Duration = Duration::from_secs(2);

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
