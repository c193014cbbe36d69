//! What is said of the peer port.

use super::output::Output;
use crate::etcd::Release;

/// That the peer port of this release lets in more than peers.
pub fn warn(release: Release, out: &Output) {
    out.warn(format_args!(
        "etcd {release} cannot be told the peers' names this way: any certificate of the CA gets onto the peer port; \
         use config-style = \"flags\" with certificates = \"per-use\", or a release from 3.5.15 on"
    ));
}
