//! Connections to members: the only door to them.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// For connecting, and for every read.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// A connection that was made within `patience`, and on which no read or write lasts longer.
///
/// # Errors
/// Those of the kernel.
pub fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}
