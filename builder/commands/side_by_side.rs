//! Files that overlays bring to nodes which two clusters of one run share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::overlays;
use crate::build::Session;
use crate::failure::{Exit, Failure, Result};
use crate::profile::Profile;
use crate::render::Laid;
use crate::tree::{Entry, Kind, Origin};

/// The limit on the sentences of one refusal.
const MAX_CLASHES: usize = 64;

/// A node of a profile, both by their places.
type Member = (usize, usize);

/// A machine has one file at a path: what the overlays of one cluster bring to it is the same as the other's, or at
/// another path. Clusters of the instance `etcd` never share a machine.
///
/// # Errors
/// `Exit::Profile` with a sentence for each path; those of reading the overlays.
pub fn check(profiles: &[&Profile], session: &Session<'_>) -> Result<()> {
    let mut laid: BTreeMap<Member, Laid> = BTreeMap::new();
    let mut clashes = BTreeSet::new();
    for pair in shared(profiles) {
        let own = own_of(profiles, session, pair)?;
        if own.is_empty() {
            continue;
        }
        for (which, at) in pair {
            if !laid.contains_key(&(which, at)) {
                let name = &profiles[which].nodes[at].name;
                let tree = overlays::lay(profiles[which], session, |node| node.name == *name)?.pop();
                laid.extend(tree.map(|tree| ((which, at), tree)));
            }
        }
        let [Some(one), Some(other)] = pair.map(|member| laid.get(&member)) else { continue };
        for (path, mine) in one.tree.iter() {
            let Some(theirs) = other.tree.get(path.as_str()) else { continue };
            let is_own = [mine, theirs].iter().any(|entry| own.contains(&entry.origin));
            let Some(how) = difference(mine, theirs).filter(|_| is_own) else { continue };
            let [(first, at), (second, _)] = pair;
            let (one, other) = (profiles[first], profiles[second]);
            clashes.insert(format!(
                "{} and {} both bring /{path} to {} ({}), from {} and {}, and differ {how}; bring the same in both, or in one \
                 of them only",
                one.cluster.name, other.cluster.name, one.nodes[at].name, one.nodes[at].address, mine.origin, theirs.origin
            ));
        }
    }
    match clashes.is_empty() {
        true => Ok(()),
        false => {
            let all: Vec<_> = clashes.into_iter().take(MAX_CLASHES).collect();
            Err(Failure::new(Exit::Profile, all.join("\n       ")))
        }
    }
}

/// Members of two clusters with an address in common, where not both set up the machine.
fn shared(profiles: &[&Profile]) -> BTreeSet<[Member; 2]> {
    let mut by_address: BTreeMap<IpAddr, Vec<Member>> = BTreeMap::new();
    for (which, profile) in profiles.iter().enumerate() {
        for (at, node) in profile.nodes.iter().enumerate() {
            node.addresses().for_each(|address| by_address.entry(address).or_default().push((which, at)));
        }
    }
    let owns_host = |member: &Member| profiles[member.0].etcd.service.instance.owns_host();
    let pairs = by_address.values().flat_map(|there| {
        let each = there.iter().enumerate();
        each.flat_map(|(number, one)| there[number + 1..].iter().map(move |other| [*one, *other]))
    });
    pairs.filter(|[one, other]| one.0 != other.0 && !(owns_host(one) && owns_host(other))).collect()
}

/// The users' own overlays of both.
fn own_of(profiles: &[&Profile], session: &Session<'_>, pair: [Member; 2]) -> Result<BTreeSet<Origin>> {
    let mut own = BTreeSet::new();
    for (which, _) in pair {
        let overlays = session.overlays(profiles[which])?;
        own.extend(
            overlays.list.iter().filter(|overlay| overlay.is_own()).map(|overlay| overlay.origin.clone()),
        );
    }
    Ok(own)
}

fn difference(one: &Entry, other: &Entry) -> Option<&'static str> {
    let is_same = match (&one.kind, &other.kind) {
        (Kind::Directory, Kind::Directory) => true,
        (Kind::File(one), Kind::File(other)) => one.digest() == other.digest(),
        (Kind::Link(one), Kind::Link(other)) => return (one != other).then_some("in what is there"),
        _ => false,
    };
    match is_same {
        false => Some("in what is there"),
        true => (one.mode != other.mode).then_some("in its mode"),
    }
}
