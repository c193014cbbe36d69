//! Kiln's own program on nodes, as the manifest describes it.

use serde::{Deserialize, Serialize};

use crate::values::{Digest, GuestPath, Version};

/// Kiln's own program on nodes that renew their certificates.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KilnNode {
    /// Of the Kiln that it belongs to.
    pub version: Version,
    /// Its path in the guest: `usr/local/bin/kiln-node`.
    pub path: GuestPath,
    /// In bytes.
    pub size: u64,
    /// Of its content. Where the build had it from is not said: the same program gives the same bundle.
    pub sha256: Digest,
}
