//! Whether the profile is the cluster that runs. IDs follow from the token and the peer URLs of the first members
//! (`computeMemberID` in server/etcdserver/api/membership/member.go of etcd), and a `formed` profile with other IDs
//! would keep every member from starting: what no file says is not guessed.

use std::collections::BTreeSet;

use super::draft::{Draft, Founders, Place};
use super::guard;
use crate::plan;
use crate::profile::Profile;

const CLUSTER: &str = "initial-cluster";
pub const TOKEN: &str = "initial-cluster-token";
/// etcd's own (`NewConfig` in server/embed/config.go).
pub const USUAL_TOKEN: &str = "etcd-cluster";
const PEER_URLS: &str = "initial-advertise-peer-urls";

/// Options from which the IDs follow, or whether there are any yet.
pub fn is_identity(key: &str) -> bool {
    [CLUSTER, TOKEN, PEER_URLS, "initial-cluster-state", "force-new-cluster", "discovery", "discovery-srv"]
        .contains(&key)
}

pub fn settle(draft: &mut Draft) {
    forced(draft);
    added(draft);
    kubeadms(draft);
    without_urls(draft);
    unlike(draft);
    unknown(draft);
    joined(draft);
}

/// Members that one file's initial-cluster has, and another's has not: they were added later.
fn added(draft: &mut Draft) {
    let Some((first, others)) = draft.founders.split_first() else { return };
    let Founders { hosts: of_first, place: at, .. } = first;
    for Founders { hosts, place, .. } in others.iter().filter(|other| other.hosts != *of_first) {
        let is_other = |(name, host): &(&String, &String)| of_first.get(*name) != Some(*host);
        let differ = hosts.iter().filter(is_other).map(|(name, _)| guard::key(name));
        let missing = of_first.keys().filter(|name| !hosts.contains_key(*name)).map(|name| guard::key(name));
        let differ = differ.chain(missing).collect::<Vec<_>>().join(", ");
        let why = format!(
            "initial-cluster is another one here than in {}:{} ({differ}), and a member that was added later has an ID \
             that does not follow from its URLs",
            at.file, at.line
        );
        draft.unlike.push((place.clone(), why));
    }
}

/// Files that describe two clusters: no two members are the same.
pub fn strangers(draft: &Draft) -> Option<String> {
    let Founders { hosts: first, place: at, .. } = draft.founders.first()?;
    let is_other = |other: &&Founders| other.hosts.iter().all(|(name, host)| first.get(name) != Some(host));
    let Founders { place, .. } = draft.founders.iter().find(is_other)?;
    Some(format!(
        "initial-cluster of {}:{} has no member of that of {}:{}: these are two clusters; import the files of each by \
         themselves",
        place.file, place.line, at.file, at.line
    ))
}

/// kubeadm starts one member, and adds each other one to it (`CreateStackedEtcdStaticPodManifestFile` in
/// cmd/kubeadm/app/phases/etcd/local.go of Kubernetes).
fn kubeadms(draft: &mut Draft) {
    if let Some(place) = draft.kubeadms.clone().filter(|_| draft.members.len() > 1) {
        let why = "kubeadm starts one member and adds the others to it, and the ID of a member that was added has the time \
                   in it";
        draft.unlike.push((place, why.to_owned()));
    }
}

/// A member that is started so makes a new cluster of itself alone.
fn forced(draft: &mut Draft) {
    let forced = draft.said.iter().find(|said| said.key == "force-new-cluster" && said.value != "false");
    if let Some(said) = forced {
        let why = "force-new-cluster makes a new cluster of one member, whose ID is that of before";
        draft.unlike.push((said.place.clone(), why.to_owned()));
    }
}

fn says(draft: &Draft, key: &str) -> bool {
    draft.said.iter().any(|said| said.key == key) || draft.templates.iter().any(|(of, _)| of == key)
}

/// A member that says nothing of its peers has `http://localhost:2380` (`DefaultInitialAdvertisePeerURLs` in
/// server/embed/config.go).
fn without_urls(draft: &mut Draft) {
    let has_more = [CLUSTER, PEER_URLS, "discovery", "discovery-srv"].iter().any(|key| says(draft, key));
    let Some(place) = draft.runs_at.clone().filter(|_| !has_more && draft.members.len() == 1) else { return };
    let why = "no file says its peer URLs. etcd's own are http://localhost:2380, without TLS, and the IDs of the cluster and \
               of its members follow from these URLs";
    draft.unlike.push((place, why.to_owned()));
}

/// `formed` and the check of IDs at the start of a member are for the cluster that runs, and no other.
fn unlike(draft: &mut Draft) {
    for (place, why) in std::mem::take(&mut draft.unlike) {
        draft.is_unlike = true;
        draft.leave(&place, format!("this profile is not the cluster that runs: {why}"));
    }
}

fn unknown(draft: &mut Draft) {
    let Some(about) = draft.about.clone().filter(|_| !draft.is_unlike) else { return };
    if let Some((why, place)) = doubt(draft) {
        doubtful(draft, &place.unwrap_or(about), why);
    }
}

fn doubtful(draft: &mut Draft, place: &Place, why: &str) {
    draft.is_unknown = true;
    let text = format!(
        "whether this profile is the cluster that runs: {why}. Compare the IDs of kiln plan with etcdctl member list; if all \
         are the same, write formed = true in [cluster]"
    );
    draft.leave(place, text);
}

/// Each member's own file has a token, be it etcd's own.
fn doubt_of_token(draft: &Draft) -> Option<(&'static str, Option<Place>)> {
    let said: Vec<_> = draft.said.iter().filter(|said| said.key == TOKEN && !said.value.is_empty()).collect();
    let written = draft.value(("[cluster]", "token"));
    if let Some(token) = said.first().filter(|_| written.is_none()) {
        return Some(("its token is not one that the profile can have", Some(token.place.clone())));
    }
    let written = written.unwrap_or(USUAL_TOKEN);
    let differs = "the token is not the same in all files, and a file of a member that says none has etcd's own, etcd-cluster";
    for Founders { place, .. } in draft.founders.iter().filter(|founders| founders.by.is_some()) {
        let own = said.iter().rfind(|said| said.place.file == place.file);
        // A unit and its file of variables are one member's.
        let is_of_another = own.is_none() && draft.founders.len() == 1 && said.len() == 1;
        if own.map_or(USUAL_TOKEN, |said| said.value.as_str()) != written && !is_of_another {
            return Some((differs, Some(place.clone())));
        }
    }
    let other = said.iter().find(|said| said.value != written)?;
    Some((differs, Some(other.place.clone())))
}

/// Why the first members or the token are not known, and where.
fn doubt(draft: &Draft) -> Option<(&'static str, Option<Place>)> {
    let of_template = draft.templates.iter().find(|(key, _)| [CLUSTER, TOKEN].contains(&key.as_str()));
    if let Some((_, place)) = of_template {
        let why = "its first members or its token are in a template or a variable";
        return Some((why, Some(place.clone())));
    }
    if let Some(place) = &draft.unread {
        let why = "a file, a variable or a line that may say its first members or its token was not read";
        return Some((why, Some(place.clone())));
    }
    if let Some(doubt) = doubt_of_token(draft) {
        return Some(doubt);
    }
    let existing = draft.joined.first();
    if draft.founders.is_empty() {
        let is_one = draft.members.len() == 1 && draft.said.iter().any(|said| said.key == PEER_URLS);
        let is_found = says(draft, "discovery") || says(draft, "discovery-srv");
        let why = "no file says initial-cluster, as a member's own does";
        return (!is_one || is_found || existing.is_some()).then_some((why, None));
    }
    let members: BTreeSet<&String> =
        draft.founders.iter().filter_map(|founders| founders.by.as_ref()).collect();
    let is_new = |founders: &&Founders| {
        let is_it = |by: &Option<String>| by.is_none() || *by == founders.by;
        founders.by.is_some() && !draft.joined.iter().any(|(by, _)| is_it(by))
    };
    let (_, place) =
        existing.filter(|_| members.len() < 2 && !draft.founders.iter().any(|one| is_new(&one)))?;
    let why = "initial-cluster-state is existing in the only member's file: the member may have been added later, its ID has \
               the time in it then, and the cluster's ID follows from its first members alone";
    Some((why, Some(place.clone())))
}

/// `existing` is what a member that was added later starts with, but also what some programs write into all members'
/// files when the cluster has formed. `NewMember` in server/etcdserver/api/membership/member.go hashes the time into
/// the ID of an added member.
fn joined(draft: &mut Draft) {
    if draft.is_unlike || draft.is_unknown {
        draft.joined.clear();
    }
    for (_, place) in draft.joined.clone() {
        let text = "initial-cluster-state is existing: this member may have been added later, and then its ID has the time in \
                    it, and the cluster's ID follows from its first members alone. Before the first build, compare the \
                    member IDs of kiln plan with etcdctl member list; if one differs, do not put a build on these nodes: \
                    etcd would not start there";
        draft.leave(&place, text);
    }
}

/// Whether a `formed` profile has the peer URLs of the files, whatever was left out of it. If not, it is so no longer;
/// `None` is a profile with mistakes.
pub fn compare(draft: &mut Draft, profile: Option<&Profile>) -> bool {
    let Some(about) = draft.about.clone().filter(|_| !draft.is_unlike && !draft.is_unknown) else {
        return true;
    };
    let token = profile.and_then(|profile| Some((profile, profile.cluster.token.as_ref()?)));
    let Some((profile, token)) = token else {
        doubtful(draft, &about, "the profile has mistakes, so that its IDs are not known");
        return false;
    };
    let plan = plan::resolve(profile, &crate::plan::Named::by(token));
    let settings = plan.nodes.iter().flat_map(|node| &node.settings);
    let of_plan =
        settings.filter(|setting| setting.key == CLUSTER).map(|setting| urls(&setting.value.to_flag()));
    let Some(of_plan) = of_plan.into_iter().next() else { return true };
    let alone = draft.said.iter().filter(|said| said.key == PEER_URLS && draft.founders.is_empty());
    let alone = alone.map(|said| (urls(&said.value), &said.place));
    let all = draft.founders.iter().map(|founders| (founders.urls.clone(), &founders.place)).chain(alone);
    let Some((_, place)) = all.into_iter().find(|(urls, _)| *urls != of_plan) else { return true };
    let why = "its peer URLs are others than those of kiln plan, and the IDs of the cluster and of its members follow from \
               these URLs";
    let place = place.clone();
    draft.unlike.push((place, why.to_owned()));
    unlike(draft);
    false
}

/// The URLs of `NAME=URL,…` or `URL,…`.
pub fn urls(value: &str) -> BTreeSet<String> {
    let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| item.split_once('=').map_or(item, |(_, url)| url).trim_end_matches('/').to_owned())
        .collect()
}
