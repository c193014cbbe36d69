//! The names by which the peer port recognizes peers.

use super::certificate::{CertificateSpec, Role, of_role};
use crate::etcd::{PeerNames, Value};
use crate::profile::{ConfigStyle, Profile, UrlHost};
use crate::values::PeerTag;

/// Whether peers dial each other by their host names, and not by address.
pub fn are_dialed_by_name(profile: &Profile) -> bool {
    profile.etcd.service.initial_cluster == UrlHost::Fqdn
}

/// The key of the peer port, with the names of peers' certificates: common names, or the host name that they all have.
/// `None` where it cannot be set: in the config file of a release that would ignore the key, and where several names
/// are needed and the release takes one. `issued` are the certificates of each node.
pub fn names(
    profile: &Profile,
    issued: &[Vec<CertificateSpec>],
    tag: &PeerTag,
) -> Option<(&'static str, Value)> {
    let allowed = profile.etcd.release.peer_names();
    if allowed == PeerNames::FlagOnly && profile.etcd.config_style == ConfigStyle::File {
        return None;
    }
    // etcd takes one of the two only, and a node writes any common name into what it makes.
    if profile.pki.renewal.is_some() {
        return Some(("peer-transport-security.allowed-hostname", allowed.value(&[tag.as_str()])?));
    }
    let mut names: Vec<&str> = Vec::new();
    for name in issued.iter().filter_map(|issued| of_role(issued, Role::Peer)).map(|spec| &spec.common_name) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    Some(("peer-transport-security.allowed-cn", allowed.value(&names)?))
}
