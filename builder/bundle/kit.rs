//! What `kiln restore` makes beside a bundle: for each node its orders, and the cluster's data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_wire::Restore;

use super::Bundle;
use crate::digest::of_input;
use crate::disk::{self, Input};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::{Digest, NodeName};

/// The bundle, and a directory for each node.
pub const KIT_BUNDLE: &str = "bundle";
pub const KIT_NODES: &str = "nodes";
/// The files of a node that machines are restored with.
pub const KIT_ORDERS: &str = "restore.json";
pub const KIT_SNAPSHOT: &str = "snapshot.db";

/// Orders name a cluster's members, of which there are few.
const MAX_ORDERS_BYTES: u64 = kiln_wire::ATTACHED_ORDERS as u64;

/// The orders of each node of a bundle, and the snapshots.
pub struct Kit {
    nodes: BTreeMap<NodeName, NodeKit>,
}

/// What one node is restored with.
pub struct NodeKit {
    /// As they were written.
    pub orders: Vec<u8>,
    /// Decrypted: as secret as the cluster's data.
    pub snapshot: PathBuf,
    /// Bytes of it.
    pub size: u64,
    /// The highest revision in it.
    pub revision: u64,
}

impl Kit {
    /// Those in a directory, which are for this bundle.
    ///
    /// # Errors
    /// `Exit::Usage` where they are missing, or of another restore; `Exit::Wrong` where a snapshot is damaged.
    pub fn open(directory: &Path, bundle: &Bundle) -> Result<Self> {
        let cluster = &bundle.manifest.cluster;
        if cluster.restored.is_none() {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "{} is of generation 1 of {}, which is not restored from a snapshot",
                    bundle.path.display(),
                    cluster.name
                ),
            ));
        }
        let mut sound = BTreeMap::new();
        let mut nodes = BTreeMap::new();
        for node in &bundle.manifest.nodes {
            let place = directory.join(KIT_NODES).join(node.name.as_str());
            let file = place.join(KIT_ORDERS);
            let snapshot = place.join(KIT_SNAPSHOT);
            for part in [&file, &snapshot] {
                if disk::look(part)?.is_none() {
                    return Err(Failure::new(
                        Exit::Usage,
                        format!(
                            "{} does not exist; name the directory that kiln restore has made (--out), or make it again",
                            part.display()
                        ),
                    ));
                }
            }
            let orders = disk::read(&file, MAX_ORDERS_BYTES)?;
            let restore = parse(&orders).doing(|| format!("reading {}", file.display()))?;
            if (restore.member_id.0, restore.cluster_id.0) != (node.member_id.0, cluster.id.0) {
                return Err(Failure::new(
                    Exit::Usage,
                    format!(
                        "{} is for the member {:x} of the cluster {:x}, and in {} {} is {} of {}; name the directory of the \
                         restore that made this bundle",
                        file.display(),
                        restore.member_id,
                        restore.cluster_id,
                        bundle.path.display(),
                        node.name,
                        node.member_id,
                        cluster.id
                    ),
                ));
            }
            check(&snapshot, &restore, &mut sound)?;
            nodes.insert(
                node.name.clone(),
                NodeKit {
                    orders,
                    snapshot,
                    size: restore.snapshot.size,
                    revision: restore.snapshot.revision,
                },
            );
        }
        Ok(Self { nodes })
    }

    /// That of a node of the bundle.
    pub fn node(&self, name: &NodeName) -> Option<&NodeKit> {
        self.nodes.get(name)
    }
}

fn parse(text: &[u8]) -> Result<Restore> {
    let restore: Restore =
        serde_json::from_slice(text).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    restore.check().map_err(|why| Failure::new(Exit::Usage, why))?;
    Ok(restore)
}

/// Whether the file is the snapshot of the orders. `sound`: the digests of those that were read already, which several
/// nodes have under names of their own.
fn check(path: &Path, restore: &Restore, sound: &mut BTreeMap<(u64, u64), Digest>) -> Result<()> {
    let mut input = Input::open(path)?;
    let known = input.shared_identity().and_then(|identity| sound.get(&identity).copied());
    let digest = match known {
        Some(digest) => digest,
        None => {
            let (_, digest) = of_input(&mut input)?;
            sound.extend(input.shared_identity().map(|identity| (identity, digest)));
            digest
        }
    };
    match (input.size(), digest.bytes()) == (restore.snapshot.size, &restore.snapshot.sha256.0) {
        true => Ok(()),
        false => Err(Failure::wrong(format!(
            "{} is not the snapshot that {KIT_ORDERS} beside it is for, or is damaged; make both again with kiln restore",
            path.display()
        ))),
    }
}
