//! Holding what the members showed against what the manifest promises.

use std::collections::BTreeSet;

use super::causes::Fault;
use super::etcdctl::{Alarm, Alarms, Etcdctl, Hash, HashRow, ListedMember, MemberList, Status, StatusRow};
use super::look::{Seen, hex};
use super::probe::Answer;
use super::report::Check;
use crate::bundle::Manifest;
use crate::values::Url;

/// For checks of a member that does not answer: its first failed check says why.
pub const SILENT: &str = "it does not answer";

/// How often data is compared again when a compaction came in between.
const HASH_TRIES: usize = 3;

/// Every check that needs no writing.
pub fn all(manifest: &Manifest, seen: &[Seen<'_>], etcdctl: &Etcdctl) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    checks.extend(seen.iter().map(answers));
    checks.extend(
        seen.iter().map(|one| on_status(one, "identity as promised", |s| identity(manifest, one, s))),
    );
    checks.extend(seen.iter().map(|one| on_status(one, "version as baked", |s| version(manifest, one, s))));
    checks.extend(seen.iter().map(|one| member_list(manifest, one)));
    checks.push(same_lists(seen));
    checks.push(one_leader(seen));
    checks.extend(seen.iter().map(healthy));
    checks.push(no_alarm(seen, etcdctl));
    checks.push(same_data(seen, etcdctl));
    checks
}

/// Who had to be kept out, and was.
pub fn doors(seen: &[Seen<'_>]) -> Vec<Check> {
    let count = seen.iter().map(|one| one.doors.len()).min().unwrap_or(0);
    let mut checks = Vec::new();
    for at in 0..count {
        for (one, door) in seen.iter().filter_map(|one| Some((one, one.doors.get(at)?))) {
            let (check, node) = (door.check, Some(one.name()));
            checks.push(match &door.answer {
                Ok(Answer::Refused(how)) => Check::ok(check, node, how.as_str()),
                Ok(Answer::LetIn(said)) => {
                    Check::failed(check, node, Fault::Open, format!("it was let in and got: {said}"))
                }
                Ok(Answer::Trouble(_)) if one.status.is_err() => Check::skipped(check, node, SILENT),
                Ok(Answer::Trouble(trouble)) => Check::skipped(check, node, trouble.said.as_str()),
                Err(why) => Check::skipped(check, node, *why),
            });
        }
    }
    checks
}

fn answers(one: &Seen<'_>) -> Check {
    match &one.status {
        Ok(_) => Check::ok("answers", Some(one.name()), "yes"),
        Err(trouble) => Check::failed("answers", Some(one.name()), trouble.fault, trouble.said.as_str()),
    }
}

fn on_status(
    one: &Seen<'_>,
    check: &str,
    judge: impl Fn(&Status) -> Result<String, (Fault, String)>,
) -> Check {
    let node = Some(one.name());
    match one.status.as_ref().map(judge) {
        Ok(Ok(detail)) => Check::ok(check, node, detail),
        Ok(Err((fault, detail))) => Check::failed(check, node, fault, detail),
        Err(_) => Check::skipped(check, node, SILENT),
    }
}

fn identity(manifest: &Manifest, one: &Seen<'_>, status: &Status) -> Result<String, (Fault, String)> {
    let (cluster, member) = (hex(status.header.cluster_id), hex(status.header.member_id));
    if status.header.cluster_id != manifest.cluster.id.0 {
        let detail = format!("its cluster ID is {cluster}; the bundle's is {}", manifest.cluster.id);
        return Err((Fault::OtherCluster, detail));
    }
    let promised = one.target.node.member_id;
    if status.header.member_id != promised.0 {
        return Err((
            Fault::OtherMember,
            format!("its member ID is {member}; the bundle promises {promised}"),
        ));
    }
    Ok(member)
}

fn version(manifest: &Manifest, _: &Seen<'_>, status: &Status) -> Result<String, (Fault, String)> {
    let baked = manifest.etcd.version.to_string();
    if status.version == baked {
        Ok(baked)
    } else {
        Err((Fault::OtherVersion, format!("it runs {}; the bundle has {baked}", status.version)))
    }
}

fn member_list(manifest: &Manifest, one: &Seen<'_>) -> Check {
    let (check, node) = ("member list as promised", Some(one.name()));
    let list = match (&one.list, &one.status) {
        (Ok(list), _) => list,
        (Err(_), Err(_)) => return Check::skipped(check, node, SILENT),
        (Err(trouble), Ok(_)) if trouble.fault == Fault::NoLeader => {
            return Check::skipped(check, node, "there is no leader to vouch for it");
        }
        (Err(trouble), Ok(_)) => return Check::failed(check, node, trouble.fault, trouble.said.as_str()),
    };
    let differences = compare(manifest, list);
    match differences.first() {
        None => Check::ok(check, node, format!("{} members, all started, all voting", list.members.len())),
        Some((fault, _)) => {
            let details: Vec<_> = differences.iter().map(|(_, detail)| detail.as_str()).collect();
            Check::failed(check, node, *fault, details.join("; "))
        }
    }
}

fn compare(manifest: &Manifest, list: &MemberList) -> Vec<(Fault, String)> {
    let cluster = hex(list.header.cluster_id);
    if list.header.cluster_id != manifest.cluster.id.0 {
        // Every member differs then; one sentence is enough.
        return vec![(Fault::OtherCluster, format!("it is the list of the cluster {cluster}"))];
    }
    let mut differences = Vec::new();
    for promised in &manifest.nodes {
        match list.members.iter().find(|member| member.id == promised.member_id.0) {
            Some(member) => differences.extend(compare_member(promised, member)),
            None => {
                let detail = format!("{} ({}) is not in it", promised.name, promised.member_id);
                differences.push((Fault::Missing, detail));
            }
        }
    }
    for member in &list.members {
        if manifest.nodes.iter().all(|promised| promised.member_id.0 != member.id) {
            let name = if member.name.is_empty() { "a member without a name" } else { &member.name };
            let learner = if member.is_learner { ", a learner" } else { "" };
            differences.push((Fault::Extra, format!("it has {name} ({}{learner}) besides", hex(member.id))));
        }
    }
    differences
}

fn compare_member(
    promised: &crate::bundle::manifest::Node,
    member: &ListedMember,
) -> Option<(Fault, String)> {
    let texts = |urls: &[Url]| urls.iter().map(ToString::to_string).collect::<Vec<_>>();
    let set = |urls: &[String]| urls.iter().cloned().collect::<BTreeSet<_>>();
    let name = &promised.name;
    // A founding member has its name from the start, and its client URLs only once it has come up.
    if member.name.is_empty() || member.client_urls.is_empty() {
        return Some((Fault::Unstarted, format!("{name} is not started")));
    }
    if member.name != name.as_str() {
        return Some((Fault::NameDiffers, format!("{name} is called {}", member.name)));
    }
    let urls = [
        ("peer", texts(&promised.peer_urls), member.peer_urls.as_slice()),
        ("client", texts(&promised.client_urls), member.client_urls.as_slice()),
    ];
    for (what, want, have) in urls {
        if set(&want) != set(have) {
            let detail = format!("{name} has the {what} URLs {}, not {}", have.join(" "), want.join(" "));
            return Some((Fault::UrlDiffers, detail));
        }
    }
    member.is_learner.then(|| (Fault::Learner, format!("{name} is a learner")))
}

fn same_lists(seen: &[Seen<'_>]) -> Check {
    let check = "same member list everywhere";
    let lists: Vec<_> = seen
        .iter()
        .filter_map(|one| {
            let mut members = one.list.as_ref().ok()?.members.clone();
            members.sort();
            Some((one.name(), members))
        })
        .collect();
    let Some(((first, list), rest)) = lists.split_first() else {
        return Check::skipped(check, None, "no member gave its list");
    };
    match rest.iter().find(|(_, other)| other != list) {
        Some((other, _)) => Check::failed(
            check,
            None,
            Fault::ListsDiffer,
            format!("{first} and {other} list different members"),
        ),
        None if rest.is_empty() && seen.len() > 1 => {
            Check::skipped(check, None, "only one member gave its list")
        }
        None => Check::ok(check, None, format!("seen from {} members", lists.len())),
    }
}

fn one_leader(seen: &[Seen<'_>]) -> Check {
    let check = "one leader";
    let told: Vec<_> = seen.iter().filter_map(|one| Some((one, one.status.as_ref().ok()?))).collect();
    if told.is_empty() {
        return Check::skipped(check, None, "no member answers");
    }
    let leaders: BTreeSet<u64> = told.iter().map(|(_, status)| status.leader).collect();
    let terms: BTreeSet<u64> = told.iter().map(|(_, status)| status.raft_term).collect();
    let names = |leader: u64| {
        let node = seen.iter().find(|one| one.target.node.member_id.0 == leader);
        node.map_or_else(|| hex(leader), |one| one.name().to_owned())
    };
    match leaders.iter().copied().collect::<Vec<_>>()[..] {
        [0] => Check::failed(check, None, Fault::NoLeader, "no member knows of a leader"),
        [leader] if terms.len() == 1 => {
            let term = terms.first().copied().unwrap_or_default();
            Check::ok(check, None, format!("{} in term {term}", names(leader)))
        }
        [_] => Check::failed(check, None, Fault::SeveralLeaders, format!("they are in the terms {terms:?}")),
        _ => {
            let list: Vec<_> = told
                .iter()
                .map(|(one, status)| match status.leader {
                    0 => format!("{} follows nobody", one.name()),
                    leader => format!("{} follows {}", one.name(), names(leader)),
                })
                .collect();
            let fault = if leaders.contains(&0) { Fault::NoLeader } else { Fault::SeveralLeaders };
            Check::failed(check, None, fault, list.join(", "))
        }
    }
}

fn healthy(one: &Seen<'_>) -> Check {
    let (check, node) = ("healthy", Some(one.name()));
    match (&one.health, &one.status) {
        (Ok(()), _) => Check::ok(check, node, "commits a proposal"),
        (Err(_), Err(_)) => Check::skipped(check, node, SILENT),
        (Err(trouble), Ok(_)) => Check::failed(check, node, trouble.fault, trouble.said.as_str()),
    }
}

fn no_alarm(seen: &[Seen<'_>], etcdctl: &Etcdctl) -> Check {
    let check = "no alarm";
    // Alarms are the cluster's: any member that has its leader's ear knows them all.
    let able = seen.iter().filter(|one| one.list.is_ok());
    let asked =
        able.into_iter().find_map(|one| etcdctl.ask::<Alarms>(&one.endpoint, &["alarm", "list"]).ok());
    let alarms: BTreeSet<String> = match &asked {
        Some(answer) => answer.alarms.iter().map(|alarm| alarm_text(seen, alarm)).collect(),
        // Without a quorum a status still names the alarms that its member knows of.
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

fn alarm_text(seen: &[Seen<'_>], alarm: &Alarm) -> String {
    let node = seen.iter().find(|one| one.target.node.member_id.0 == alarm.member_id);
    let name = node.map_or_else(|| hex(alarm.member_id), |one| one.name().to_owned());
    match alarm.alarm {
        1 => format!("alarm NOSPACE of {name}"),
        2 => format!("alarm CORRUPT of {name}"),
        other => format!("alarm {other} of {name}"),
    }
}

fn same_data(seen: &[Seen<'_>], etcdctl: &Etcdctl) -> Check {
    let check = "same data everywhere";
    let ours = |status: &Status, one: &Seen<'_>| status.header.member_id == one.target.node.member_id.0;
    let alive: Vec<_> = seen
        .iter()
        .filter_map(|one| {
            one.status.as_ref().ok().filter(|status| ours(status, one)).map(|status| (one, status))
        })
        .collect();
    if alive.len() < 2 && seen.len() > 1 {
        return Check::skipped(check, None, "fewer than two members of this cluster answer");
    }
    let mut revision = alive.iter().map(|(_, status)| status.header.revision).min().unwrap_or(0);
    let mut last = Check::skipped(check, None, "no member answers");
    for _ in 0..HASH_TRIES {
        let hashes = super::each(&alive, |(one, _)| hash_at(etcdctl, &one.endpoint, revision));
        let mut good: Vec<(&str, Hash)> = Vec::new();
        for ((one, _), hash) in alive.iter().zip(hashes) {
            match hash {
                Ok(hash) => good.push((one.name(), hash)),
                Err(said) => last = Check::skipped(check, None, format!("{}: {said}", one.name())),
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
            last = Check::skipped(check, None, "a compaction is going on; ask again");
        }
        // A compaction came in between: at a later revision they can be compared again.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = super::each(&alive, |(one, _)| {
            etcdctl.ask::<Vec<StatusRow>>(&one.endpoint, &["endpoint", "status"])
        });
        let now = now.into_iter().flatten().flatten().map(|row| row.status.header.revision).min();
        revision = now.unwrap_or(revision);
    }
    last
}

fn hash_at(etcdctl: &Etcdctl, endpoint: &str, revision: u64) -> Result<Hash, String> {
    let at = format!("--rev={revision}");
    let rows: Vec<HashRow> =
        etcdctl.ask(endpoint, &["endpoint", "hashkv", &at]).map_err(|trouble| trouble.said)?;
    rows.into_iter().next().map(|row| row.hash).ok_or_else(|| "an empty answer".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::manifest::{Binaries, Cluster, Etcd, Network, Node};
    use crate::etcd::Release;
    use crate::etcd::ids::{ClusterId, MemberId};
    use crate::values::{Arch, Epoch, Line};
    use crate::verify::etcdctl::Header;

    fn manifest() -> Manifest {
        let node = |name: &str, last: u8| Node {
            name: name.parse().unwrap(),
            address: [10, 0, 0, last].into(),
            mac: "52:54:00:00:00:01".parse().unwrap(),
            member_id: MemberId(last.into()),
            peer_urls: vec![format!("https://10.0.0.{last}:2380").parse().unwrap()],
            client_urls: [2379, 12379]
                .map(|port| format!("https://10.0.0.{last}:{port}").parse().unwrap())
                .into(),
            files: Vec::new(),
        };
        Manifest {
            schema: 1,
            builder: Line::of("kiln"),
            epoch: Epoch::START,
            cluster: Cluster {
                name: "ha3".parse().unwrap(),
                token: "t".parse().unwrap(),
                id: ClusterId(7),
                formed: false,
            },
            etcd: Etcd {
                peers_by_name: true,
                version: Release::new(3, 5, 16),
                arch: Arch::Amd64,
                binaries: Default::default(),
                sources: Vec::new(),
            },
            network: Network { cidr: "10.0.0.0/24".parse().unwrap(), gateway: None },
            machine: None,
            base: None,
            nodes: vec![node("cp-a", 1), node("cp-b", 2)],
            carriers: Default::default(),
            binaries: Binaries::Embedded,
            certificates: Vec::new(),
            files: Default::default(),
        }
    }

    fn promised() -> MemberList {
        let member = |node: &Node| ListedMember {
            id: node.member_id.0,
            name: node.name.to_string(),
            peer_urls: node.peer_urls.iter().map(ToString::to_string).collect(),
            // In another order than the manifest has them.
            client_urls: node.client_urls.iter().rev().map(ToString::to_string).collect(),
            is_learner: false,
        };
        let header = Header { cluster_id: 7, ..Header::default() };
        MemberList { header, members: manifest().nodes.iter().map(member).collect() }
    }

    #[test]
    fn a_list_as_promised_has_no_differences() {
        assert_eq!(compare(&manifest(), &promised()), []);
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        type Change = fn(&mut MemberList);
        let cases: &[(Change, Fault, &str)] = &[
            (|list| list.header.cluster_id = 8, Fault::OtherCluster, "8"),
            (|list| _ = list.members.pop(), Fault::Missing, "cp-b (2) is not in it"),
            (|list| list.members[1].name = String::new(), Fault::Unstarted, "cp-b is not started"),
            (|list| list.members[1].client_urls.clear(), Fault::Unstarted, "cp-b is not started"),
            (|list| list.members[1].name = "x".into(), Fault::NameDiffers, "cp-b is called x"),
            (|list| list.members[1].is_learner = true, Fault::Learner, "cp-b is a learner"),
            (|list| _ = list.members[0].client_urls.pop(), Fault::UrlDiffers, "cp-a has the client URLs"),
            (|list| list.members[0].peer_urls[0].push('1'), Fault::UrlDiffers, "cp-a has the peer URLs"),
            (
                |list| {
                    let id = 3;
                    list.members.push(ListedMember { id, is_learner: true, ..ListedMember::default() });
                },
                Fault::Extra,
                "a member without a name (3, a learner)",
            ),
        ];
        for (change, fault, text) in cases {
            let mut list = promised();
            change(&mut list);
            let differences = compare(&manifest(), &list);
            assert_eq!(differences.len(), 1, "{differences:?}");
            assert!(differences[0].0 == *fault && differences[0].1.contains(text), "{differences:?}");
        }
    }
}
