//! `kiln snapshots prune`.

use std::path::Path;

use super::output::Output;
use crate::bundle::Bundle;
use crate::failure::{Exit, Failure, Result};

#[cfg(not(feature = "s3"))]
pub fn run(_: &Bundle, _: Option<&Path>, _: bool, _: bool, _: &Output) -> Result<()> {
    Err(Failure::new(
        Exit::Usage,
        "this build of Kiln reads no buckets; build Kiln with the cargo feature s3",
    ))
}

#[cfg(feature = "s3")]
pub fn run(bundle: &Bundle, secrets: Option<&Path>, dry_run: bool, json: bool, out: &Output) -> Result<()> {
    use kiln_wire::{Held, Name, Retention, expired};

    use super::bucket::open_bucket;
    use super::output::and_said;
    use crate::backup::{self, Place};
    use crate::clock;

    let of = backup::of_bundle(&bundle.manifest)?;
    let retention = of.retention.ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            "the profile does not say how long snapshots stay; write [backup] retention = \"90d\"",
        )
    })?;
    let days = u32::try_from(retention.seconds().div_ceil(86_400)).unwrap_or(u32::MAX);
    let rule = Retention { days, interval: of.interval.seconds() };
    let place = Place::Bucket(Box::new(open_bucket(bundle, secrets)?));
    let all = backup::all(&place, &bundle.manifest)?;
    let mut held: Vec<_> =
        all.iter().map(|one| Held { name: one.name.clone(), is_sound: one.record().is_some() }).collect();
    let cluster = Name::try_from(bundle.manifest.cluster.name.to_string());
    let cluster = cluster.map_err(|why| Failure::io(why.to_string()))?;
    let now = clock::now();
    // The newest that stays is read whole before anything goes: its record says nothing of what became of its file.
    while let Some(at) = held.iter().position(|one| one.is_sound && one.name.taken() <= now.seconds()) {
        let Some(record) = all[at].record() else { break };
        if backup::is_whole(&place, record)? {
            break;
        }
        out.warn(format_args!("{} is damaged; an older one stays instead", record.name));
        held[at].is_sound = false;
    }
    let expired = expired(&held, &cluster, rule, now.seconds())
        .map_err(|why| Failure::unsafe_to(format!("nothing was removed: {why}")))?;
    let Place::Bucket(bucket) = &place else { return Ok(()) };
    let (mut removed, mut locked) = (Vec::new(), Vec::new());
    for name in &expired {
        match dry_run || bucket.remove(name)? {
            true => removed.push(name.to_string()),
            false => locked.push(name.to_string()),
        }
    }
    let what = if dry_run { "would be removed" } else { "were removed" };
    let done = format!("{} of {} snapshots {what}, {} are locked", removed.len(), all.len(), locked.len());
    let said = match json {
        true => out.json(&serde_json::json!({ "removed": removed, "locked": locked, "dry_run": dry_run })),
        false => out.print([removed, vec![done.clone()]].concat().join("\n")),
    };
    and_said(&done, said)
}
