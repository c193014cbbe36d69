//! A name and a password, as HTTP needs them.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// It has no `Debug`: no message may show a password.
pub struct Login {
    pub(super) user: String,
    pub(super) password: Zeroizing<String>,
}

impl Login {
    /// `None` where they cannot be written into a header (RFC 7617): the name must not contain a colon.
    pub(super) fn new(user: String, password: Zeroizing<String>) -> Option<Self> {
        let is_fine = !user.is_empty()
            && !user.contains(|c: char| c == ':' || c.is_control())
            && !password.chars().any(char::is_control);
        is_fine.then_some(Self { user, password })
    }

    /// The value of an `Authorization` header (RFC 7617).
    pub(super) fn basic(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new(format!("{}:{}", self.user, *self.password));
        let encoded = Zeroizing::new(Base64::encode_string(pair.as_bytes()));
        Zeroizing::new(format!("Basic {}", *encoded))
    }
}
