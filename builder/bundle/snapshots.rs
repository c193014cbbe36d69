//! How the nodes of a bundle take snapshots, as the manifest describes it: what the desk needs to find one, and to hold
//! it against the nodes that can have taken it.

use kiln_wire as wire;
use serde::{Deserialize, Serialize};

use crate::values::{self, Interval, Lifetime};

/// The limit on nodes that sign: etcd's own on members is far below.
const MAX_SIGNERS: usize = 256;
const MAX_RECIPIENTS: usize = 32;

/// `[backup]`, without anything secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshots {
    /// Between two snapshots of a member.
    pub interval: Interval,
    /// Whom they are encrypted for.
    #[serde(deserialize_with = "values::list::<_, _, MAX_RECIPIENTS>")]
    pub recipients: Vec<wire::Recipient>,
    /// Where they go besides a node's own disk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub s3: Option<wire::S3>,
    /// For how long they stay there; absent where no one was told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retention: Option<Lifetime>,
    /// The public halves of the keys with which nodes sign, in the order of the nodes.
    #[serde(deserialize_with = "values::list::<_, _, MAX_SIGNERS>")]
    pub signers: Vec<wire::Signer>,
    /// That of the desk's key.
    pub desk: wire::PublicKey,
}
