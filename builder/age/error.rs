//! What goes wrong.

use std::fmt;
use std::io;

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
