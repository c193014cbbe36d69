//! What a node needs to take snapshots: what its program is told, and the key that it signs with.

use kiln_wire as wire;

use super::programs::path;
use super::renderer::{NodeKeys, Renderer};
use super::told::{json, told, untold};
use crate::failure::Result;
use crate::pki::SnapshotKey;
use crate::plan::{self, BackupPlaces, Node};
use crate::profile::{Backup, Bucket, PrunedBy};
use crate::tree::{Entry, Origin, Tree};
use crate::values::{Mode, NodeName, Purpose};

const ORIGIN: &str = "snapshots";

const DAY: u64 = 86_400;

/// All of it; without keys, with empty files.
pub(super) fn insert(
    renderer: &Renderer<'_>,
    tree: &mut Tree,
    node: &Node,
    keys: Option<&NodeKeys<'_>>,
) -> Result<()> {
    let plan = renderer.plan;
    let Some((backup, places)) = plan.backup() else { return Ok(()) };
    let signer = keys.and_then(|keys| keys.signer);
    let pem = signer.map(|signer| signer.pem.as_bytes().to_vec()).unwrap_or_default();
    tree.insert(path(&places.signer())?, Entry::file(pem, Mode::SECRET, ORIGIN))?;
    let json = match keys {
        Some(keys) => {
            let policy = policy(renderer, node, (backup, &places), keys.signers)?;
            json("backup.json", &policy, wire::Backup::check)?
        }
        None => Vec::new(),
    };
    tree.insert(path(&places.policy())?, Entry::file(json, Mode::FILE, ORIGIN))?;
    let timer = format!("kiln-snapshot{}.timer", plan.instance.name.suffix());
    let link = path(&format!("etc/systemd/system/timers.target.wants/{timer}"))?;
    tree.insert(link, Entry::link(format!("/etc/systemd/system/{timer}"), Origin::Part(ORIGIN)))
}

fn policy(
    renderer: &Renderer<'_>,
    node: &Node,
    (backup, places): (&Backup, &BackupPlaces),
    signers: &[wire::Signer],
) -> Result<wire::Backup> {
    let plan = renderer.plan;
    let absolute = |file: String| told(&format!("/{file}"));
    let program = |name: &str| told(&format!("{}/{name}", plan.bin_dir.absolute()));
    let client = plan::of_purpose(&node.certificates, Purpose::Snapshot)
        .ok_or_else(|| untold("kiln-snapshot", "the node has no certificate for it"))?;
    let pki = plan.pki.directory.absolute();
    let anchors = plan.authority(plan::CA).map(|authority| authority.file.as_str()).unwrap_or_default();
    let has_etcdutl = renderer.programs.iter().any(|name| name == "etcdutl");
    Ok(wire::Backup {
        schema: wire::SCHEMA,
        cluster: told(plan.cluster.name.as_str())?,
        node: told(node.name.as_str())?,
        cluster_id: wire::Id(plan.cluster.id.0),
        generation: plan.cluster.generation(),
        built: renderer.epoch.seconds(),
        interval: backup.interval.seconds(),
        directory: told(places.directory())?,
        keep: backup.keep,
        status: told(places.status())?,
        etcdctl: program("etcdctl")?,
        etcdutl: has_etcdutl.then(|| program("etcdutl")).transpose()?,
        endpoint: told(&node.endpoint.to_string())?,
        ca: told(&format!("{pki}/{anchors}"))?,
        cert: told(&format!("{pki}/{}", client.cert_path))?,
        key: told(&format!("{pki}/{}", client.key_path))?,
        signer: absolute(places.signer())?,
        signers: signers.to_vec(),
        recipients: backup.recipients.clone(),
        secrets: absolute(places.secrets())?,
        s3: backup.bucket.as_ref().map(|own| bucket(own, places)).transpose()?,
        prune: backup
            .retention
            .filter(|_| backup.prune == PrunedBy::Node && backup.bucket.is_some())
            .map(|retention| wire::Prune { days: days(retention.seconds()) }),
    })
}

/// A node's key, as the others are told.
///
/// # Errors
/// Where the program on nodes cannot have the node's name.
pub fn signer(node: &NodeName, key: &SnapshotKey) -> Result<wire::Signer> {
    Ok(wire::Signer { node: told(node.as_str())?, key: wire::PublicKey(key.public) })
}

/// # Errors
/// None in practice.
pub fn bucket(bucket: &Bucket, places: &BackupPlaces) -> Result<wire::S3> {
    Ok(wire::S3 {
        endpoint: bucket.endpoint.clone(),
        bucket: bucket.name.clone(),
        prefix: bucket.prefix.clone(),
        region: bucket.region.clone(),
        ca: bucket.ca_file.as_ref().map(|_| told(&format!("/{}", places.ca()))).transpose()?,
        lock_days: bucket.lock.map(|lock| days(lock.seconds())),
    })
}

/// Whole days: the profile has no others.
fn days(seconds: u64) -> u32 {
    u32::try_from(seconds / DAY).unwrap_or(u32::MAX)
}
