//! TOML text -> `Profile`: checked, with the place of every mistake.

mod addresses;
mod backup;
mod cards;
mod clashes;
mod diagnostics;
mod directories;
mod embedded;
mod file_spec;
mod files;
mod files_of_both;
mod finding;
mod hosts;
mod instance;
mod key;
mod link;
mod machine_keys;
mod members;
mod mistake;
mod mistakes;
mod network;
mod network_keys;
mod node_options;
mod nodes;
mod options;
mod pki;
mod private;
mod programs;
mod published;
mod ranges;
mod read;
mod reader;
mod release;
mod rules;
mod same_card;
pub(crate) mod schema;
mod sections;
mod service;
mod setting;
mod source;
mod span;
mod syntax;
#[cfg(test)]
mod tests;
mod texts;
mod topology;
mod types;
mod unique;
mod unit_filters;
mod unit_lines;
mod unit_network;
mod unit_times;
mod unit_values;
mod unit_words;
mod whole;
mod written;

use crate::values::OPERATOR_FILES;

pub(crate) use addresses::{check_host, is_router, network_range};
pub(crate) use backup::{BUCKET_CA, Backup, Bucket, DESK_KEY, NamedFile};
pub(crate) use clashes::clashes;
pub(crate) use diagnostics::Warning;
pub use embedded::{embedded, names};
pub(crate) use file_spec::{FileBody, FileSpec};
pub(crate) use finding::{About, Finding};
pub(crate) use mistakes::{Mistakes, failure_of_all};
pub(crate) use nodes::check_member_name;
pub(crate) use options::refused;
pub use pki::Subject;
pub(crate) use pki::{AltName, Ca, CaKeys, Client, Filling, Leaf, OnNodes, Pki, Renewal, alternative};
pub(crate) use private::Lines;
pub use published::{json_schema, markdown};
pub use read::{extends, read};
pub(crate) use schema::usual;
pub(crate) use source::MAX_PROFILE_BYTES;
pub use source::Source;
pub(crate) use span::Span;
pub(crate) use topology::{Ipv6Network, Network, Node, PeerNetwork, Subnet};
pub use types::Algorithm;
pub(crate) use types::{
    Binaries, Bundle, Certificates, Cluster, Compression, ConfigStyle, Etcd, Host, Login, Machine,
    NodeCaConstraints, OptionSet, PrunedBy, RenewedBy, Restart, Service, UnitSettings, UrlHost,
};
pub(crate) use unit_values::UnitLine;
pub use whole::Profile;
pub(crate) use written::Written;

/// The client certificate that every bundle has: its name and its common name.
pub const OPERATOR: &str = "etcdctl";

/// The file with its certificate in the bundle's `client/`, and the usual one on a node.
pub(crate) const OPERATOR_CERT: &str = OPERATOR_FILES.cert;

/// The file with its key.
pub(crate) const OPERATOR_KEY: &str = OPERATOR_FILES.key;

/// The common name of every peer certificate. etcd's peer port accepts only this one, so no client certificate may
/// have it.
pub const PEER_COMMON_NAME: &str = "etcd-peer";

/// The key that names the base profile, which has the values that this one omits.
const EXTENDS: &str = "extends";

/// The only profile schema that this version of Kiln reads.
pub const SCHEMA: u32 = 1;
