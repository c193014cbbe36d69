//! Further information in a report: the remaining quorum, and what was not, or could not be, compared.

use std::collections::BTreeSet;

use super::look::{Observed, RefusalProbe};
use super::pace::Pace;
use crate::bundle::Manifest;
use crate::causes::Fault;
use crate::cluster::Answer;
use crate::report::Check;
use crate::values::{Members, counted, printable};

/// The number of rounds of requests, and the reason for them.
pub fn asked_again(times: usize, pace: Pace) -> String {
    let why = match pace {
        Pace::Usual => "because they were electing a leader",
        Pace::Slow => "the last time one by one, because some did not answer in time",
    };
    format!("the members were asked {times} times, {why}")
}

/// How many failures the cluster still tolerates, when not every member is healthy. `None` when all are, or none
/// answers.
pub fn quorum(seen: &[Observed<'_>]) -> Option<String> {
    // The members are those in the cluster's own list; a learner has no vote.
    let list = seen.iter().find_map(|one| one.list.as_ref().ok());
    let voters =
        list.map_or(seen.len(), |list| list.members.iter().filter(|member| !member.is_learner).count());
    let healthy = seen.iter().filter(|one| one.health.is_ok()).count();
    let answering = seen.iter().filter(|one| one.status.is_ok()).count();
    if healthy == voters || answering == 0 {
        return None;
    }
    let quorum = Members::new(voters).quorum();
    let verb = if healthy == 1 { "is" } else { "are" };
    let what = format!(
        "{healthy} of {} {verb} healthy as seen from here; the quorum is {quorum}",
        counted(voters, "member")
    );
    let is_asked = |name: &str| seen.iter().any(|one| one.name() == name);
    let listed = list.map(|list| list.members.as_slice()).unwrap_or_default();
    let others = listed.iter().filter(|member| !member.is_learner && !is_asked(&member.name));
    let others: Vec<_> = others.map(|member| member_name(&member.name)).collect();
    if !others.is_empty() {
        let (verb, them) = if others.len() == 1 { ("was", "it") } else { ("were", "them") };
        return Some(format!(
            "{what}; {} {verb} not asked, because the bundle does not have {them}",
            others.join(", ")
        ));
    }
    Some(match healthy.checked_sub(quorum) {
        None => format!("{what}: the cluster rejects writes"),
        Some(0) => format!("{what}: the cluster tolerates no further failure"),
        Some(spare) => format!("{what}: the cluster tolerates {}", counted(spare, "more failure")),
    })
}

/// A member that was added and never started has no name yet.
fn member_name(name: &str) -> String {
    if name.is_empty() { "a member without a name".to_owned() } else { printable(name).into_owned() }
}

/// A cluster whose peer ports cannot tell peers from clients.
pub fn any_peer(manifest: &Manifest) -> Option<String> {
    (!manifest.etcd.peers_by_name).then(|| {
        "the peer port accepts every certificate of this CA: this release and configuration cannot check the names of \
         peers"
            .to_owned()
    })
}

/// Members whose client port answers and whose peer port cannot be reached from here, which is not necessarily a
/// fault.
pub fn closed_peer_ports(seen: &[Observed<'_>]) -> Option<String> {
    let is_closed = |one: &&Observed<'_>| {
        let unreachable = |door: &RefusalProbe| matches!(&door.answer, Ok(Answer::Trouble(trouble)) if trouble.fault == Fault::Unreachable);
        one.status.is_ok() && one.peer.is_err() && one.refusals.iter().any(unreachable)
    };
    let names: Vec<_> = seen.iter().filter(is_closed).map(Observed::name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "the peer port of {} is closed to this machine, as by a firewall: to check it, run kiln verify where both \
             ports are open",
            names.join(", ")
        )
    })
}

/// Whether each member runs with the options of the bundle; and notes about options that could not be compared.
pub fn options(seen: &[Observed<'_>]) -> (Vec<Check>, Vec<String>) {
    let check = "options as baked";
    let mut checks = Vec::new();
    let mut untold = BTreeSet::new();
    for one in seen {
        let node = Some(one.name());
        let Some(baked) = &one.baked.options else {
            checks.push(Check::skipped(check, node, "etcd is not started there as Kiln's unit starts it"));
            continue;
        };
        if one.status.is_err() && one.settings.command.is_none() {
            checks.push(Check::skipped(check, node, one.silence()));
            continue;
        }
        let compared = baked.compare(&one.settings);
        untold.extend(compared.untold);
        checks.push(if !compared.differences.is_empty() {
            Check::failed(check, node, Fault::OtherOptions, compared.differences.join("; "))
        } else if compared.held.is_empty() {
            Check::skipped(check, node, "it reports none of its options")
        } else {
            Check::ok(check, node, compared.held.join(", "))
        });
    }
    let mut notes = Vec::new();
    if !untold.is_empty() {
        let list: Vec<_> = untold.into_iter().collect();
        notes.push(format!("not checked, because etcd does not report it: {}", list.join(", ")));
    }
    (checks, notes)
}

/// Members whose etcd was started before the bundle was built: the configuration and the CA, which it reads only at
/// its start, are those of an earlier bundle. That is not a fault as long as they are the same.
pub fn started_before(manifest: &Manifest, seen: &[Observed<'_>]) -> Option<String> {
    let is_before =
        |one: &&Observed<'_>| one.settings.started.is_some_and(|started| started < manifest.epoch.seconds());
    let names: Vec<_> = seen.iter().filter(is_before).map(Observed::name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "etcd on {} was started before this bundle's date; it still runs with the options that it read then",
            names.join(", ")
        )
    })
}
