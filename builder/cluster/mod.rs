//! Talking to a running cluster: by the bundle's etcdctl, and by TLS and HTTP with the members' ports. What the answers
//! mean for a bundle is for `verify` to say.

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
mod probe;
mod settings;
mod target;
mod tls;
mod trouble;

pub use answer::Answer;
pub use authorities::{Authorities, MAX_VERSION_BYTES, identify};
pub use bundled::bundled_etcdctl;
pub use client_authorities::{Names as CaNames, asked_for};
pub use connect::connect;
pub use etcdctl::Etcdctl;
pub use http::ask;
pub use json::{
    Alarm, Alarms, Hash, HashRow, Header, Lease, ListedMember, MemberList, Range, Status, StatusRow, Written,
    hex_id,
};
pub use member::MemberAnswers;
pub use probe::{Visit, plain as probe_plainly, tls as probe_tls};
pub use settings::{Settings, settings};
pub use target::{Target, endpoints, targets};
pub use tls::Identity;
pub use trouble::{Answered, Trouble};
