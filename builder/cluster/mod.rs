//! Access to a running cluster: with the bundle's etcdctl, and over TLS and HTTP to the members' ports. `verify`
//! compares the answers with the bundle.

mod answer;
mod authorities;
mod bundled;
mod client_authorities;
mod connect;
mod etcdctl;
mod http;
mod json;
mod member;
mod p521;
mod path;
mod patience;
mod probe;
mod settings;
mod target;
mod tls;
mod trouble;

pub use answer::Answer;
pub use authorities::{Authorities, MAX_VERSION_BYTES, identify};
pub use bundled::{bundled_program, refuse_foreign};
pub use client_authorities::{Names as CaNames, asked_for};
pub use connect::{Socket, connect};
pub use etcdctl::Etcdctl;
pub use http::ask;
#[cfg(test)]
pub use json::Header;
pub use json::{
    Alarm, Alarms, Hash, HashRow, Lease, ListedMember, MemberList, Range, Status, StatusRow, Written, hex_id,
};
pub use member::MemberAnswers;
pub use path::PathUse;
pub use patience::Patience;
pub use probe::{Visit, plain as probe_plainly, tls as probe_tls};
pub use settings::{Settings, settings};
pub use target::{Target, endpoints, targets};
pub use tls::Identity;
pub use trouble::{Answered, Trouble};
