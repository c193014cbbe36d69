//! What a node needs to become a member of the next generation of its cluster: its orders, and a script that has them
//! carried out.

use kiln_wire as wire;

use super::template::{Template, Templates, context};
use super::told::{json, told};
use crate::etcd::Release;
use crate::etcd::ids::member_id;
use crate::failure::{Failure, Result};
use crate::plan::{Node, Plan, Restored};
use crate::values::Digest;

const SCRIPT: (&str, &str) =
    ("overlays/restore/restore.sh.hbs", include_str!("../../overlays/restore/restore.sh.hbs"));

/// Added to the revision: more than a cluster writes before anyone notices that it has to be restored, and no more than
/// a watcher's counter of 64 bits takes a thousand million times.
const BUMP: u64 = 1_000_000_000;

/// The first release whose `snapshot restore` has --bump-revision and --mark-compacted (CHANGELOG-3.5 of etcd).
const BUMPS: Release = Release::new(3, 5, 10);

/// What is added to the revision of a snapshot where this release restores it; `None` where it cannot.
pub fn bump(release: Release) -> Option<u64> {
    (release >= BUMPS).then_some(BUMP)
}

/// The snapshot, in plain, and the program that restores it.
pub struct RestoredWith<'a> {
    /// With etcd's trailer.
    pub size: u64,
    /// Of the same.
    pub sha256: Digest,
    /// The highest revision in it.
    pub revision: u64,
    /// etcdutl, or etcdctl where there is none.
    pub program: &'a str,
    /// Of the same.
    pub program_sha256: Digest,
}

/// `restore.json` of a node.
///
/// # Errors
/// Where the program on nodes would refuse it.
pub fn restore_orders(plan: &Plan, node: &Node, with: &RestoredWith<'_>) -> Result<Vec<u8>> {
    let Some(restored) = &plan.cluster.restored else {
        return Err(Failure::io(format!("{} was not restored", plan.cluster.name)));
    };
    json("restore.json", &orders(plan, node, restored, with)?, wire::Restore::check)
}

fn orders(plan: &Plan, node: &Node, restored: &Restored, with: &RestoredWith<'_>) -> Result<wire::Restore> {
    let member = |node: &Node| {
        Ok(wire::RestoredMember {
            name: told(node.name.as_str())?,
            peer_url: told(&node.peer_url.to_string())?,
        })
    };
    let urls = [node.peer_url.to_string()];
    let earlier = (1..).zip(&restored.earlier).map(|(generation, one)| wire::Earlier {
        generation,
        cluster_id: wire::Id(one.id.0),
        member_id: wire::Id(member_id(&urls, one.token.as_str()).0),
    });
    Ok(wire::Restore {
        schema: wire::SCHEMA,
        cluster: told(plan.cluster.name.as_str())?,
        node: told(node.name.as_str())?,
        generation: restored.generation,
        restore: restored.id,
        cluster_id: wire::Id(plan.cluster.id.0),
        member_id: wire::Id(node.member_id.0),
        earlier: earlier.collect(),
        snapshot: wire::Restored {
            size: with.size,
            sha256: wire::Digest(*with.sha256.bytes()),
            revision: with.revision,
        },
        token: told(plan.cluster.token.as_str())?,
        members: plan.nodes.iter().map(member).collect::<Result<_>>()?,
        bump: bump(plan.release),
        program: told(&format!("{}/{}", plan.bin_dir.absolute(), with.program))?,
        program_sha256: wire::Digest(*with.program_sha256.bytes()),
        data: told(&plan.data_dir.absolute())?,
        wal: plan.instance.wal_directory.as_ref().map(|wal| told(&wal.absolute())).transpose()?,
        account: told(plan.instance.user.as_str())?,
        unit: told(&node.unit)?,
    })
}

/// `restore.sh` of a node.
///
/// # Errors
/// None with the built-in template.
pub fn restore_script(plan: &Plan, node: &Node) -> Result<String> {
    let (name, text) = SCRIPT;
    let values = context(serde_json::json!({
        "cluster": plan.cluster.name,
        "node": node.name,
        "generation": plan.cluster.generation(),
        "unit": node.unit,
        "suffix": plan.instance.name.suffix(),
    }))?;
    Templates::new()?.fill(&Template::new(name, text.to_owned())?, &values)
}
