//! The cluster in a bundle's manifest.

use serde::{Deserialize, Serialize};

use crate::etcd::ids::ClusterId;
use crate::values::{self, ClusterName, InstanceName, Token};

/// The name and the identity of the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// `[cluster] name` of the profile; keys derive from it.
    pub name: ClusterName,
    /// `initial-cluster-token`.
    pub token: Token,
    /// As etcd computes it from the members' IDs; 16 hex digits in JSON.
    pub id: ClusterId,
    /// Whether its nodes were told that the cluster already exists, so that a node with an empty disk never bootstraps
    /// a new one. Absent in bundles of early versions of Kiln 0.1, whose nodes were not told.
    #[serde(default)]
    pub formed: bool,
    /// Absent in its first generation, which no snapshot was restored for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub restored: Option<Restored>,
    /// Its part of its nodes; absent for the one that sets them up.
    #[serde(skip_serializing_if = "InstanceName::owns_host", default)]
    pub instance: InstanceName,
}

/// The restore that a cluster is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// From 2; one more with each restore.
    pub generation: u32,
    /// Tells it from another restore of the same number, from an old copy of the keystore.
    pub id: kiln_wire::Id,
    /// The cluster's IDs in the generations before it, the first one first.
    #[serde(deserialize_with = "values::list::<_, _, 256>")]
    pub earlier: Vec<ClusterId>,
}

impl Cluster {
    /// From 1; one more with each restore.
    pub fn generation(&self) -> u32 {
        self.restored.as_ref().map_or(1, |restored| restored.generation)
    }
}
