//! The keystore, and the certificates that come out of it.
//!
//! Everything here is derived: the same keystore, profile and program give the same keys, serial numbers,
//! dates and signatures. Today's date is the caller's to say, and only when a keystore is made or renewed.

mod authorities;
mod authority;
mod certificate;
mod chain;
mod damage;
mod import;
mod imported;
mod judge;
mod key;
mod keyfile;
mod keystore;
mod list;
mod names;
mod pem;
mod place;
mod presented;
mod record;
mod seal;
mod secret;
mod show;
mod signature;

pub use authorities::Authorities;
pub use authority::{Authority, Issued, Root};
pub use judge::Remark;
pub use key::{KeyPem, warm_up};
pub use keystore::{Keystore, resealed};
pub use list::SCHEMA;
pub use presented::Presented;
pub use record::{Formed, Member, Series};
pub use seal::{Sealed, Witness};
pub use show::Ca;
