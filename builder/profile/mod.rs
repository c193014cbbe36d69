//! TOML text -> `Profile`: what the user wants, checked, with every mistake pointed at.

mod desk;
mod directories;
mod embedded;
mod finding;
mod mistake;
mod mistakes;
mod nodes;
mod options;
mod private;
mod programs;
mod published;
mod read;
mod reader;
mod release;
mod rules;
pub mod schema;
mod sections;
mod source;
mod span;
mod syntax;
#[cfg(test)]
mod tests;
mod texts;
mod types;
mod written;

pub use desk::Warning;
pub use embedded::{embedded, names};
pub use finding::{About, Finding};
pub use mistakes::{Mistakes, failure_of_all};
pub use nodes::{check_host, check_member_name, network_range};
pub use private::Lines;
pub use published::{json_schema, markdown};
pub use read::{extends, read};
pub use source::{LIMIT, Source};
pub use span::Span;
pub use types::{
    Algorithm, Binaries, Bundle, Certificates, Cluster, Compression, ConfigStyle, Etcd, Login, Machine,
    Network, Node, OptionSet, Pki, Profile,
};
pub use written::Written;

/// The client certificate that every bundle has: its name and its common name.
pub const OPERATOR: &str = "etcdctl";

/// The common name of every peer certificate. etcd is told to let no other one onto the peer port, so that no
/// client certificate may have it.
pub const PEER_COMMON_NAME: &str = "etcd-peer";

/// The key that names the profile which has what this one leaves out.
const EXTENDS: &str = "extends";

/// The only profile schema that this Kiln reads.
pub const SCHEMA: u32 = 1;
