//! Encryption to recipients of age, version 1 (<https://age-encryption.org/v1>, C2SP age.md): who encrypts needs no
//! secret, and cannot read what was encrypted. X25519 recipients (`age1…`) and OpenSSH's Ed25519 keys are known here.

mod bech32;
mod error;
mod header;
mod recipient;
mod secret;
mod stream;

use std::io::{Read, Write};

pub use error::Error;
pub use recipient::Recipient;

/// Encrypts all of `from`, so that any one of the recipients can decrypt it; the bytes read are returned. No more than
/// two chunks of 64 KiB of the content are in memory.
///
/// # Errors
/// Where there is no recipient, and of reading and writing; then what was written is of no use.
pub fn encrypt(recipients: &[Recipient], from: impl Read, mut to: impl Write) -> Result<u64, Error> {
    let file_key = header::write(recipients, &mut to)?;
    stream::write(&file_key, from, to)
}
