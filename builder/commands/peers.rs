//! The warning about the peer port.

use super::output::Output;
use crate::etcd::Release;

/// Warns that the peer port of this release accepts more than peers.
pub fn warn(release: Release, out: &Output) {
    out.warn(format_args!(
        "etcd {release} cannot check the peers' names with this configuration: the peer port accepts every certificate \
         of the CA; use config-style = \"flags\" with certificates = \"per-use\", or a release from 3.5.15 on"
    ));
}
