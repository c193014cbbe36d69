//! The cluster as a whole.

use serde::Serialize;

use crate::etcd::ids::ClusterId;
use crate::values::{ClusterName, Domain, Token};

#[derive(Clone, Debug, Serialize)]
pub struct Cluster {
    pub name: ClusterName,
    pub domain: Option<Domain>,
    pub token: Token,
    pub id: ClusterId,
    /// Whether it has served before, so that an empty disk founds nothing any more.
    pub formed: bool,
}
