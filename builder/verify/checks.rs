//! Compares the answers of the members with the manifest.

use std::collections::BTreeSet;

use super::look::Observed;
use super::members::{self, ClusterView};
use crate::bundle::Manifest;
use crate::causes::Fault;
use crate::cluster::{Alarm, Alarms, Answer, Etcdctl, Hash, HashRow, Status, StatusRow, Trouble, hex_id};
use crate::parallel;
use crate::report::Check;

/// The number of attempts to compare data when a compaction happens in between.
const HASH_TRIES: usize = 3;

/// Every check that does not write. `at_once` members are asked at a time.
pub fn all(manifest: &Manifest, seen: &[Observed<'_>], etcdctl: &Etcdctl, at_once: usize) -> Vec<Check> {
    let known = ClusterView::new(manifest, seen);
    let mut checks: Vec<Check> = Vec::new();
    checks.extend(seen.iter().map(answers));
    checks.extend(
        seen.iter()
            .map(|one| on_status(one, "identity as baked", |s| members::identity(manifest, &known, one, s))),
    );
    checks.extend(seen.iter().map(|one| on_status(one, "version as baked", |s| version(manifest, s))));
    checks.extend(seen.iter().map(|one| members::check(manifest, &known, one)));
    checks.push(members::same_lists(seen));
    checks.push(one_leader(seen));
    checks.extend(seen.iter().map(healthy));
    checks.push(no_alarm(seen, etcdctl));
    checks.push(same_data(manifest, seen, etcdctl, at_once));
    checks
}

/// The clients that must be refused, and whether they were.
pub fn refusals(seen: &[Observed<'_>]) -> Vec<Check> {
    let count = seen.iter().map(|one| one.refusals.len()).min().unwrap_or(0);
    let mut checks = Vec::new();
    for at in 0..count {
        for (one, door) in seen.iter().filter_map(|one| Some((one, one.refusals.get(at)?))) {
            let (check, node) = (door.check, Some(one.name()));
            checks.push(match &door.answer {
                _ if one.is_stranger() => Check::skipped(check, node, one.silence()),
                Ok(Answer::Refused(how)) => Check::ok(check, node, how.as_str()),
                Ok(Answer::LetIn(said)) => {
                    Check::failed(check, node, Fault::Open, format!("it was accepted and got: {said}"))
                }
                Ok(Answer::Trouble(_)) if one.status.is_err() => Check::skipped(check, node, one.silence()),
                Ok(Answer::Trouble(trouble)) => Check::skipped(check, node, trouble.said.as_str()),
                Err(why) => Check::skipped(check, node, *why),
            });
        }
    }
    checks
}

fn answers(one: &Observed<'_>) -> Check {
    match &one.status {
        Ok(_) => Check::ok("answers", Some(one.name()), "yes"),
        Err(trouble) => {
            Check::failed("answers", Some(one.name()), filtered(one, trouble), trouble.said.as_str())
        }
    }
}

/// A port that cannot be reached on a machine whose other port can is behind a firewall.
fn filtered(one: &Observed<'_>, trouble: &Trouble) -> Fault {
    match trouble.fault {
        Fault::Unreachable if one.peer.is_ok() => Fault::Filtered,
        fault => fault,
    }
}

fn on_status(
    one: &Observed<'_>,
    check: &str,
    judge: impl Fn(&Status) -> Result<String, (Fault, String)>,
) -> Check {
    let node = Some(one.name());
    match one.status.as_ref().map(judge) {
        Ok(Ok(detail)) => Check::ok(check, node, detail),
        Ok(Err((fault, detail))) => Check::failed(check, node, fault, detail),
        Err(_) => Check::skipped(check, node, one.silence()),
    }
}

fn version(manifest: &Manifest, status: &Status) -> Result<String, (Fault, String)> {
    let baked = manifest.etcd.version.to_string();
    if status.version == baked {
        Ok(baked)
    } else {
        Err((Fault::OtherVersion, format!("it runs {}; the bundle has {baked}", status.version)))
    }
}

fn one_leader(seen: &[Observed<'_>]) -> Check {
    let check = "one leader";
    let told: Vec<_> = seen.iter().filter_map(|one| Some((one, one.status.as_ref().ok()?))).collect();
    if told.is_empty() {
        return Check::skipped(check, None, "no member answers");
    }
    let leaders: BTreeSet<u64> = told.iter().map(|(_, status)| status.leader).collect();
    let terms: BTreeSet<u64> = told.iter().map(|(_, status)| status.raft_term).collect();
    let names = |leader: u64| {
        let is =
            |one: &&Observed<'_>| one.status.as_ref().is_ok_and(|status| status.header.member_id == leader);
        let node = seen.iter().find(is);
        node.or_else(|| seen.iter().find(|one| one.target.node.member_id.0 == leader))
            .map_or_else(|| hex_id(leader), |one| one.name().to_owned())
    };
    match leaders.iter().copied().collect::<Vec<_>>()[..] {
        [0] => Check::failed(check, None, Fault::NoLeader, "no member has a leader"),
        [leader] if terms.len() == 1 => {
            let term = terms.first().copied().unwrap_or_default();
            Check::ok(check, None, format!("{} in term {term}", names(leader)))
        }
        [_] => Check::failed(check, None, Fault::SeveralLeaders, format!("they are in the terms {terms:?}")),
        _ => {
            let list: Vec<_> = told
                .iter()
                .map(|(one, status)| match status.leader {
                    0 => format!("{} follows no leader", one.name()),
                    leader => format!("{} follows {}", one.name(), names(leader)),
                })
                .collect();
            let fault = if leaders.contains(&0) { Fault::NoLeader } else { Fault::SeveralLeaders };
            Check::failed(check, None, fault, list.join(", "))
        }
    }
}

fn healthy(one: &Observed<'_>) -> Check {
    let (check, node) = ("healthy", Some(one.name()));
    match (&one.health, &one.status) {
        (Ok(()), _) => Check::ok(check, node, "commits a proposal"),
        (Err(_), Err(_)) => Check::skipped(check, node, one.silence()),
        (Err(trouble), Ok(_)) => Check::failed(check, node, trouble.fault, trouble.said.as_str()),
    }
}

fn no_alarm(seen: &[Observed<'_>], etcdctl: &Etcdctl) -> Check {
    let check = "no alarm";
    // Alarms belong to the cluster: any member that is connected to its leader knows all of them.
    let able = seen.iter().filter(|one| one.list.is_ok());
    let asked =
        able.into_iter().find_map(|one| etcdctl.ask::<Alarms>(&one.endpoint, &["alarm", "list"]).ok());
    let alarms: BTreeSet<String> = match &asked {
        Some(answer) => answer.alarms.iter().map(|alarm| alarm_text(seen, alarm)).collect(),
        // Without a quorum a status still has the alarms that its member knows of.
        None => seen.iter().flat_map(|one| one.status.iter().flat_map(|s| s.errors.clone())).collect(),
    };
    let alarms: Vec<_> = alarms.into_iter().filter(|text| text.to_lowercase().contains("alarm")).collect();
    if !alarms.is_empty() {
        let text = alarms.join(", ");
        return Check::failed(check, None, Fault::named_in(&text), text);
    }
    match asked {
        Some(_) => Check::ok(check, None, "none"),
        None => Check::skipped(check, None, "no member could be asked"),
    }
}

fn alarm_text(seen: &[Observed<'_>], alarm: &Alarm) -> String {
    let node = seen.iter().find(|one| one.target.node.member_id.0 == alarm.member_id);
    let name = node.map_or_else(|| hex_id(alarm.member_id), |one| one.name().to_owned());
    match alarm.alarm {
        1 => format!("alarm NOSPACE of {name}"),
        2 => format!("alarm CORRUPT of {name}"),
        other => format!("alarm {other} of {name}"),
    }
}

fn same_data(manifest: &Manifest, seen: &[Observed<'_>], etcdctl: &Etcdctl, at_once: usize) -> Check {
    let check = "same data everywhere";
    let ours = |status: &Status| status.header.cluster_id == manifest.cluster.id.0;
    let alive: Vec<_> = seen
        .iter()
        .filter_map(|one| one.status.as_ref().ok().filter(|status| ours(status)).map(|status| (one, status)))
        .collect();
    if alive.len() < 2 && seen.len() > 1 {
        return Check::skipped(check, None, "fewer than two members of this cluster answer");
    }
    let mut revision = alive.iter().map(|(_, status)| status.header.revision).min().unwrap_or(0);
    let mut last = Check::skipped(check, None, "no member answers");
    for _ in 0..HASH_TRIES {
        let hashes = parallel::all(&alive, at_once, |(one, _)| hash_at(etcdctl, &one.endpoint, revision));
        let mut good: Vec<(&str, Hash)> = Vec::new();
        for ((one, _), hash) in alive.iter().zip(hashes) {
            match hash {
                Ok(hash) => good.push((one.name(), hash)),
                Err(trouble) if matches!(trouble.fault, Fault::NoUser | Fault::Permission) => {
                    let detail = format!("{}: {}", one.name(), trouble.said);
                    return Check::failed(check, None, trouble.fault, detail);
                }
                Err(trouble) => {
                    last = Check::skipped(check, None, format!("{}: {}", one.name(), trouble.said));
                }
            }
        }
        let compactions: BTreeSet<i64> = good.iter().map(|(_, hash)| hash.compact_revision).collect();
        if good.len() == alive.len() && compactions.len() == 1 {
            let values: BTreeSet<u32> = good.iter().map(|(_, hash)| hash.hash).collect();
            if let [hash] = values.into_iter().collect::<Vec<_>>()[..] {
                return Check::ok(check, None, format!("hash {hash} at revision {revision}"));
            }
            let list: Vec<_> = good.iter().map(|(name, hash)| format!("{name} {}", hash.hash)).collect();
            let detail = format!("at revision {revision}: {}", list.join(", "));
            return Check::failed(check, None, Fault::DataDiffers, detail);
        }
        if compactions.len() > 1 {
            last = Check::skipped(check, None, "a compaction is running; run kiln verify again");
        }
        // A compaction happened in between: at a later revision they can be compared again.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = parallel::all(&alive, at_once, |(one, _)| {
            etcdctl.ask::<Vec<StatusRow>>(&one.endpoint, &["endpoint", "status"])
        });
        let now = now.into_iter().flatten().flatten().map(|row| row.status.header.revision).min();
        revision = now.unwrap_or(revision);
    }
    last
}

fn hash_at(etcdctl: &Etcdctl, endpoint: &str, revision: u64) -> Result<Hash, Trouble> {
    let at = format!("--rev={revision}");
    let rows: Vec<HashRow> = etcdctl.ask(endpoint, &["endpoint", "hashkv", &at])?;
    let empty = || Trouble::new(Fault::Unknown, "an empty answer");
    rows.into_iter().next().map(|row| row.hash).ok_or_else(empty)
}
