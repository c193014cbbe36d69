//! What is older than the policy wants goes from the bucket: only where the policy asks the node for it.

use kiln_s3::Deleted;
use kiln_wire::{BODY, Backup, Held, NoPrune, RECORD, Retention, SnapshotName, expired};

use super::bucket::Bucket;
use crate::failure::{Failure, Result};
use crate::steps::reached;

/// Newest ones that are looked at until one is sound.
const MOST_LOOKS: usize = 50;

/// What has come of it.
#[derive(Default)]
pub struct Pruned {
    /// What is gone.
    pub gone: usize,
    /// A lock holds the next one, or the account may not remove anything: that is as it should be, too.
    pub is_held: bool,
}

/// Removes what has expired. Only what is proven by its signed record, and has its size, counts or goes.
///
/// # Errors
/// Of the service, and where nothing may go.
pub fn prune(policy: &Backup, bucket: &Bucket<'_>, rule: Retention, now: u64) -> Result<Pruned> {
    let sizes = sizes(bucket)?;
    let by_name: Vec<Held> =
        sizes.iter().map(|(name, _)| Held { name: name.clone(), is_sound: true }).collect();
    let refuse = |why: NoPrune| Failure::new(format!("removes nothing from the bucket: {why}"));
    let candidates = expired(&by_name, &policy.cluster, rule, now).map_err(refuse)?;
    if candidates.is_empty() {
        return Ok(Pruned::default());
    }
    let is_sound = |name: &SnapshotName| -> Result<bool> {
        Ok(match bucket.record(name) {
            Ok(Some(record)) => sizes.binary_search(&(name.clone(), record.size)).is_ok(),
            Ok(None) => {
                return Err(Failure::new("removes nothing from the bucket: it may not read the records"));
            }
            Err(_) => false,
        })
    };
    let mut held = Vec::new();
    for (name, _) in sizes.iter().rev().filter(|(name, _)| name.taken() <= now).take(MOST_LOOKS) {
        let found = is_sound(name)?;
        held.push(Held { name: name.clone(), is_sound: found });
        if found {
            break;
        }
    }
    for name in &candidates {
        held.push(Held { name: name.clone(), is_sound: is_sound(name)? });
    }
    let mut pruned = Pruned::default();
    for name in expired(&held, &policy.cluster, rule, now).map_err(refuse)? {
        // Without its record a file is no snapshot, so the record goes first.
        for ending in [RECORD, BODY] {
            let deleted = bucket.client.delete(&bucket.key(&name, ending));
            if deleted.map_err(|why| Failure::new(why.to_string()))? == Deleted::Kept {
                pruned.is_held = true;
                return Ok(pruned);
            }
            reached("pruned-remote");
        }
        pruned.gone += 1;
    }
    Ok(pruned)
}

/// The encrypted files that have a record, with their bytes, oldest first.
fn sizes(bucket: &Bucket<'_>) -> Result<Vec<(SnapshotName, u64)>> {
    let listed = bucket.client.list(&bucket.all(), "").map_err(|why| Failure::new(why.to_string()))?;
    let mut recorded: Vec<_> = listed.iter().filter_map(|object| bucket.name(&object.key, RECORD)).collect();
    recorded.sort();
    let bodies = listed.iter().filter_map(|object| Some((bucket.name(&object.key, BODY)?, object.size)));
    let mut sizes: Vec<_> = bodies.filter(|(name, _)| recorded.binary_search(name).is_ok()).collect();
    sizes.sort();
    Ok(sizes)
}
