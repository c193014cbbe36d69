//! The cluster as a whole.

use serde::Serialize;

use super::restored::Restored;
use crate::etcd::ids::ClusterId;
use crate::values::{ClusterName, Domain, Token};

/// The settings that all members of a cluster share.
#[derive(Clone, Debug, Serialize)]
pub struct Cluster {
    /// Unique among the clusters of a fleet.
    pub name: ClusterName,
    /// Appended to node names; `None` where nodes have only their short names.
    pub domain: Option<Domain>,
    /// `initial-cluster-token`.
    pub token: Token,
    /// As etcd computes it from the members' IDs.
    pub id: ClusterId,
    /// Whether the cluster already exists, so that a node with an empty disk never bootstraps a new one.
    pub formed: bool,
    /// Absent in its first generation, which no snapshot was restored for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
}

impl Cluster {
    /// From 1; one more with each restore.
    pub fn generation(&self) -> u32 {
        self.restored.as_ref().map_or(1, |restored| restored.generation)
    }
}
