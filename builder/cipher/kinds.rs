//! What files are encrypted to.

use std::fmt;

use zeroize::Zeroizing;

use crate::failure::Result;

/// The largest file of recipients or identities that is read, in bytes.
pub const MAX_KEYS_BYTES: u64 = 1 << 20;

/// Asks for the passphrase of something.
pub type Ask = fn(&str) -> Result<Zeroizing<String>>;

/// A public key to which files are encrypted, as text: `age1…` or `ssh-ed25519 …`, without a comment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient(pub(super) String);

impl Recipient {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who can read a file.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "age"), expect(dead_code, reason = "nothing is encrypted then"))]
pub enum To<'a> {
    Recipients(&'a [Recipient]),
    Passphrase(&'a str),
}

/// Whether this is the beginning of an encrypted file, in binary or in ASCII.
pub fn is_encrypted(bytes: &[u8]) -> bool {
    bytes.starts_with(b"age-encryption.org/") || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}
