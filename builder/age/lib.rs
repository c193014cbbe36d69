//! Encryption to recipients of age, version 1 (https://age-encryption.org/v1, C2SP age.md): who encrypts needs no secret,
//! and cannot read what was encrypted. X25519 recipients (`age1…`) and OpenSSH's Ed25519 keys are known here.

mod bech32;
mod header;
mod recipient;
mod stream;

use std::fmt;
use std::io::{self, Read, Write};

pub use recipient::Recipient;

/// Why something cannot be encrypted, or who a text does not name.
#[derive(Debug)]
pub enum Error {
    /// A text is not a recipient; with the reason, without the text.
    Recipient(&'static str),
    /// There are none, or too many.
    Recipients,
    /// The kernel gives no random bytes.
    Chance,
    /// A key of a recipient gives no secret: it is of low order.
    Weak,
    /// What is read or written fails.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recipient(why) => f.write_str(why),
            Self::Recipients => f.write_str("there are no recipients, or more than 64"),
            Self::Chance => f.write_str("the kernel gives no random bytes"),
            Self::Weak => f.write_str("a recipient's key is not one that can keep a secret"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// More than anybody has, so that no header is endless.
const MAX_RECIPIENTS: usize = 64;

/// Encrypts all of `from`, so that any one of the recipients can decrypt it; the bytes read are returned. Of the content
/// no more than two chunks of 64 KiB are in memory.
///
/// # Errors
/// Where there is no recipient, and of reading and writing; then what was written is of no use.
pub fn encrypt(recipients: &[Recipient], from: impl Read, mut to: impl Write) -> Result<u64, Error> {
    let file_key = header::write(recipients, &mut to)?;
    stream::write(&file_key, from, to)
}
