//! What Kiln knows of etcd itself: its releases, the options of each, and how it computes identities.

pub mod gates;
pub mod ids;
pub mod keys;
mod release;
mod value;

pub use release::{AllowedCn, Release};
pub use value::{Value, parse_duration};
