//! The keystore, and the certificates that come out of it.
//!
//! Everything here is derived: the same keystore, profile and program give the same keys, serial numbers,
//! dates and signatures. Today's date is the caller's to say, and only when a keystore is made or renewed.

mod authority;
mod certificate;
mod chain;
mod import;
mod key;
mod keyfile;
mod keystore;
mod list;
mod names;
mod pem;
mod place;
mod secret;
mod signature;

pub use authority::{Authority, Issued, Root};
pub use key::{KeyPem, warm_up};
pub use keystore::Keystore;
pub use list::SCHEMA;
