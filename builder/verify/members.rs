//! The cluster's list of members against the nodes of the bundle.

use std::collections::{BTreeMap, BTreeSet};

use super::look::Observed;
use crate::bundle::Manifest;
use crate::bundle::manifest::Node;
use crate::causes::Fault;
use crate::cluster::{ListedMember, MemberList, Status, hex_id};
use crate::etcd::ids::MemberId;
use crate::report::Check;
use crate::values::{Url, counted};

/// Facts that only the answers of all members together show.
pub struct ClusterView {
    /// Members of the bundle that the cluster has under another ID, by the ID in the bundle.
    replaced: BTreeMap<MemberId, u64>,
    /// All members that answer are of one cluster, which is not the bundle's.
    is_other_bundle: bool,
}

impl ClusterView {
    pub fn new(manifest: &Manifest, seen: &[Observed<'_>]) -> Self {
        let lists = seen.iter().filter_map(|one| one.list.as_ref().ok());
        let ours = lists.filter(|list| list.header.cluster_id == manifest.cluster.id.0).max_by_key(|list| {
            // Of two lists the one with more names is the later one.
            list.members.iter().filter(|member| !member.name.is_empty()).count()
        });
        let clusters: BTreeSet<u64> =
            seen.iter().filter_map(|one| Some(one.status.as_ref().ok()?.header.cluster_id)).collect();
        let is_other_bundle =
            matches!(clusters.first(), Some(id) if clusters.len() == 1 && *id != manifest.cluster.id.0);
        Self { replaced: ours.map(|list| replaced(manifest, list)).unwrap_or_default(), is_other_bundle }
    }

    fn other_cluster(&self) -> Fault {
        if self.is_other_bundle { Fault::OtherBundle } else { Fault::OtherCluster }
    }
}

/// A member that was removed and added again has the peer URLs of the bundle, its name or none yet, and a new ID.
fn replaced(manifest: &Manifest, list: &MemberList) -> BTreeMap<MemberId, u64> {
    let has = |id: MemberId| list.members.iter().any(|member| member.id == id.0);
    let heir = |node: &Node| {
        let urls: BTreeSet<_> = node.peer_urls.iter().map(ToString::to_string).collect();
        let is = |member: &&ListedMember| {
            member.peer_urls.iter().cloned().collect::<BTreeSet<_>>() == urls
                && (member.name.is_empty() || member.name == node.name.as_str())
        };
        Some((node.member_id, list.members.iter().find(is)?.id))
    };
    manifest.nodes.iter().filter(|node| !has(node.member_id)).filter_map(heir).collect()
}

/// # Errors
/// The trouble with its identity, and the evidence.
pub fn identity(
    manifest: &Manifest,
    known: &ClusterView,
    one: &Observed<'_>,
    status: &Status,
) -> Result<String, (Fault, String)> {
    let (cluster, member) = (hex_id(status.header.cluster_id), hex_id(status.header.member_id));
    if status.header.cluster_id != manifest.cluster.id.0 {
        let detail = format!("its cluster ID is {cluster}; the bundle's is {}", manifest.cluster.id);
        return Err((known.other_cluster(), detail));
    }
    let baked = one.target.node.member_id;
    if status.header.member_id == baked.0 {
        return Ok(member);
    }
    let heir = known.replaced.get(&baked);
    let fault = if heir == Some(&status.header.member_id) { Fault::Replaced } else { Fault::OtherMember };
    Err((fault, format!("its member ID is {member}; the bundle has {baked}")))
}

/// Whether a member's list matches the bundle.
pub fn check(manifest: &Manifest, known: &ClusterView, one: &Observed<'_>) -> Check {
    let (check, node) = ("member list as baked", Some(one.name()));
    let list = match (&one.list, &one.status) {
        (Ok(list), _) => list,
        (Err(_), Err(_)) => return Check::skipped(check, node, one.silence()),
        (Err(trouble), Ok(_)) if trouble.fault == Fault::NoLeader => {
            return Check::skipped(check, node, "there is no leader to confirm it");
        }
        (Err(trouble), Ok(_)) => return Check::failed(check, node, trouble.fault, trouble.said.as_str()),
    };
    let differences = compare(manifest, known, list);
    match differences.first() {
        None => {
            let members = counted(list.members.len(), "member");
            let replaced = match known.replaced.len() {
                0 => String::new(),
                replaced => format!(", {replaced} of them replaced"),
            };
            Check::ok(check, node, format!("{members}, all started, all voting{replaced}"))
        }
        Some((fault, _)) => {
            let details: Vec<_> = differences.iter().map(|(_, detail)| detail.as_str()).collect();
            Check::failed(check, node, *fault, details.join("; "))
        }
    }
}

fn compare(manifest: &Manifest, known: &ClusterView, list: &MemberList) -> Vec<(Fault, String)> {
    let cluster = hex_id(list.header.cluster_id);
    if list.header.cluster_id != manifest.cluster.id.0 {
        // Every member differs then; one sentence is enough.
        return vec![(known.other_cluster(), format!("it is the list of the cluster {cluster}"))];
    }
    let mut differences = Vec::new();
    // The row of a replaced member says that its ID differs; here it counts as the one in the bundle.
    let is = |node: &Node, member: &ListedMember| {
        member.id == node.member_id.0 || known.replaced.get(&node.member_id) == Some(&member.id)
    };
    for node in &manifest.nodes {
        match list.members.iter().find(|member| is(node, member)) {
            Some(member) => differences.extend(compare_member(node, member)),
            None => {
                let detail = format!("{} ({}) is not in it", node.name, node.member_id);
                differences.push((Fault::Missing, detail));
            }
        }
    }
    for member in &list.members {
        if manifest.nodes.iter().all(|node| !is(node, member)) {
            let name = if member.name.is_empty() { "a member without a name" } else { &member.name };
            let learner = if member.is_learner { ", a learner" } else { "" };
            differences.push((Fault::Extra, format!("it also has {name} ({}{learner})", hex_id(member.id))));
        }
    }
    differences
}

fn compare_member(node: &Node, member: &ListedMember) -> Option<(Fault, String)> {
    let texts = |urls: &[Url]| urls.iter().map(ToString::to_string).collect::<Vec<_>>();
    let set = |urls: &[String]| urls.iter().cloned().collect::<BTreeSet<_>>();
    let name = &node.name;
    // An initial member has its name from the start, and its client URLs only once it has come up.
    if member.name.is_empty() || member.client_urls.is_empty() {
        return Some((Fault::Unstarted, format!("{name} is not started")));
    }
    if member.name != name.as_str() {
        return Some((Fault::NameDiffers, format!("{name} has the name {}", member.name)));
    }
    let urls = [
        ("peer", texts(&node.peer_urls), member.peer_urls.as_slice()),
        ("client", texts(&node.client_urls), member.client_urls.as_slice()),
    ];
    for (what, want, have) in urls {
        if set(&want) != set(have) {
            let detail = format!("{name} has the {what} URLs {}, not {}", have.join(" "), want.join(" "));
            return Some((Fault::UrlDiffers, detail));
        }
    }
    member.is_learner.then(|| (Fault::Learner, format!("{name} is a learner")))
}

pub fn same_lists(seen: &[Observed<'_>]) -> Check {
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
        None => Check::ok(check, None, format!("seen from {}", counted(lists.len(), "member"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::manifest::{Binaries, Cluster, Etcd, Network};
    use crate::cluster::Header;
    use crate::etcd::Release;
    use crate::etcd::ids::{ClusterId, MemberId};
    use crate::values::{Arch, Epoch, Line};

    fn manifest() -> Manifest {
        let node = |name: &str, last: u8| Node {
            name: name.parse().unwrap(),
            address: [10, 0, 0, last].into(),
            mac: "52:54:00:00:00:01".parse().unwrap(),
            public_address: None,
            cards: Vec::new(),
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
                restored: None,
                instance: Default::default(),
            },
            etcd: Etcd {
                trusts_own_roots: Default::default(),
                peers_by_name: true,
                version: Release::new(3, 5, 16),
                arch: Arch::Amd64,
                binaries: Default::default(),
                sources: Vec::new(),
            },
            kiln_node: None,
            snapshots: None,
            network: Network { cidr: "10.0.0.0/24".parse().unwrap(), gateway: None },
            machine: None,
            base: None,
            nodes: vec![node("cp-a", 1), node("cp-b", 2)],
            hosts: Vec::new(),
            carriers: Default::default(),
            binaries: Binaries::Embedded,
            certificates: Vec::new(),
            files: Default::default(),
        }
    }

    fn known(replaced: BTreeMap<MemberId, u64>) -> ClusterView {
        ClusterView { replaced, is_other_bundle: false }
    }

    fn as_baked() -> MemberList {
        let member = |node: &Node| ListedMember {
            id: node.member_id.0,
            name: node.name.to_string(),
            peer_urls: node.peer_urls.iter().map(ToString::to_string).collect(),
            // In another order than in the manifest.
            client_urls: node.client_urls.iter().rev().map(ToString::to_string).collect(),
            is_learner: false,
        };
        let header = Header { cluster_id: 7, ..Header::default() };
        MemberList { header, members: manifest().nodes.iter().map(member).collect() }
    }

    #[test]
    fn a_list_as_baked_has_no_differences() {
        assert_eq!(compare(&manifest(), &known(BTreeMap::new()), &as_baked()), []);
    }

    #[test]
    fn a_replaced_member_is_known_by_its_peer_urls() {
        let manifest = manifest();
        let mut list = as_baked();
        assert!(replaced(&manifest, &list).is_empty());
        list.members[1].id = 9;
        let heirs = replaced(&manifest, &list);
        assert_eq!(heirs, BTreeMap::from([(MemberId(2), 9)]));
        assert_eq!(compare(&manifest, &known(heirs), &list), []);
        // Added, and not yet started.
        list.members[1].name.clear();
        let differences = compare(&manifest, &known(replaced(&manifest, &list)), &list);
        assert_eq!(differences, [(Fault::Unstarted, "cp-b is not started".to_owned())]);
        // A member at another address is not a replacement.
        list.members[1].name = "cp-b".into();
        list.members[1].peer_urls = vec!["https://10.0.0.9:2380".into()];
        assert!(replaced(&manifest, &list).is_empty());
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        type Change = fn(&mut MemberList);
        let cases: &[(Change, Fault, &str)] = &[
            (|list| list.header.cluster_id = 8, Fault::OtherCluster, "8"),
            (|list| _ = list.members.pop(), Fault::Missing, "cp-b (2) is not in it"),
            (|list| list.members[1].name = String::new(), Fault::Unstarted, "cp-b is not started"),
            (|list| list.members[1].client_urls.clear(), Fault::Unstarted, "cp-b is not started"),
            (|list| list.members[1].name = "x".into(), Fault::NameDiffers, "cp-b has the name x"),
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
            let mut list = as_baked();
            change(&mut list);
            let differences = compare(&manifest(), &known(BTreeMap::new()), &list);
            assert_eq!(differences.len(), 1, "{differences:?}");
            assert!(differences[0].0 == *fault && differences[0].1.contains(text), "{differences:?}");
        }
    }
}
