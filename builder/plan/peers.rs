//! The names by which the peer port recognizes peers.

use crate::etcd::{AllowedCn, Value};
use crate::profile::{Certificates, ConfigStyle, PEER_COMMON_NAME, Profile};

/// The common names of peers' certificates for the setting of the peer port; `None` where it cannot be set: in the
/// config file of a release that would ignore the key, and where several names are needed and the release takes one.
pub fn names(profile: &Profile) -> Option<Value> {
    let allowed = profile.etcd.release.peer_allowed_cn();
    if allowed == AllowedCn::FlagOnly && profile.etcd.config_style == ConfigStyle::File {
        return None;
    }
    let names: Vec<&str> = match profile.pki.certificates {
        Certificates::PerUse => vec![PEER_COMMON_NAME],
        Certificates::OnePerNode => profile.nodes.iter().map(|node| node.name.as_str()).collect(),
    };
    allowed.value(&names)
}
