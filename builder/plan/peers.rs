//! The names by which the peer port recognizes peers.

use super::certificate::{CertificateSpec, Role, of_role};
use crate::etcd::{PeerNames, Value};
use crate::profile::{ConfigStyle, Profile};

/// The common names of peers' certificates for the setting of the peer port; `None` where it cannot be set: in the
/// config file of a release that would ignore the key, and where several names are needed and the release takes one.
/// `issued` are the certificates of each node.
pub fn names(profile: &Profile, issued: &[Vec<CertificateSpec>]) -> Option<Value> {
    let allowed = profile.etcd.release.peer_names();
    if allowed == PeerNames::FlagOnly && profile.etcd.config_style == ConfigStyle::File {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    for name in issued.iter().filter_map(|issued| of_role(issued, Role::Peer)).map(|spec| &spec.common_name) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    allowed.value(&names)
}
