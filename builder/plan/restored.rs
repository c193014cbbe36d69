//! The generations of a cluster: each restore from a snapshot begins another one, with members that none before had.

use serde::{Deserialize, Serialize};

use crate::etcd::ids::ClusterId;
use crate::values::Token;

/// What a cluster is that was restored from a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// From 2: the first one was not restored.
    pub generation: u32,
    /// Identifies the restore: two of an old copy of a keystore and of the present one have the same generation.
    pub id: kiln_wire::Id,
    /// The token that it has now, which follows from the profile's or the keystore's and the generation.
    pub token: Token,
    /// The generations before it, the first one first.
    pub earlier: Vec<Earlier>,
}

/// A generation of the same cluster, before this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The token that it had.
    pub token: Token,
    /// That follows from it.
    pub id: ClusterId,
}

impl Restored {
    /// Whether it is the cluster of this ID that was restored.
    pub fn comes_after(&self, id: ClusterId) -> bool {
        self.earlier.iter().any(|one| one.id == id)
    }
}
