//! Clusters that are rehearsed at the same time: their nodes, and files that two of them bring to one node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::snapshot::Snapshot;
use crate::bundle::{MANIFEST, Manifest, manifest};
use crate::digest;
use crate::disk::{self, Kind};
use crate::failure::{Failure, Result};
use crate::values::{NodeName, Url};
use crate::verify;

/// A bundle as the outer half names it.
#[derive(Serialize, Deserialize)]
pub struct Ordered {
    pub bundle: PathBuf,
    /// A certificate of an unknown CA and its key, in PEM.
    pub stranger: Option<(String, String)>,
    /// What its members begin with; nothing without one.
    pub snapshot: Option<Snapshot>,
    /// Its nodes are to renew, with certificates that live for so many seconds.
    pub leaf_life: Option<u64>,
}

/// A bundle of the rehearsal.
pub struct Cluster {
    pub bundle: PathBuf,
    pub manifest: Manifest,
    pub stranger: Option<(String, String)>,
    pub snapshot: Option<Snapshot>,
    pub leaf_life: Option<u64>,
}

/// The limit on a manifest, in bytes.
const MAX_BYTES: u64 = 96 << 20;

/// # Errors
/// `Exit::Unsafe` when they cannot be together.
pub fn read(ordered: Vec<Ordered>) -> Result<Vec<Cluster>> {
    let mut all: Vec<Cluster> = Vec::new();
    for Ordered { bundle, stranger, snapshot, leaf_life } in ordered {
        let manifest = Manifest::from_json(&disk::read(&bundle.join(MANIFEST), MAX_BYTES)?)?;
        let cluster = Cluster { bundle, manifest, stranger, snapshot, leaf_life };
        for other in &all {
            check(&other.manifest, &cluster.manifest)?;
            check_members(other, &cluster)?;
        }
        all.push(cluster);
    }
    Ok(all)
}

fn check(one: &Manifest, other: &Manifest) -> Result<()> {
    let (name, instance) = (&other.cluster.name, &other.cluster.instance);
    if one.cluster.name == *name {
        return Err(Failure::unsafe_to(format!(
            "two of the bundles are of the cluster {name}; name each cluster once"
        )));
    }
    if one.cluster.token == other.cluster.token {
        return Err(Failure::unsafe_to(format!(
            "{} and {name} both have the token {}; omit [cluster] token in the profile of one of them, or give it a keystore \
             of its own, and build it again",
            one.cluster.name, other.cluster.token
        )));
    }
    for (node, theirs) in
        pairs(one, other, |node, theirs| node.name == theirs.name || node.address == theirs.address)
    {
        if (&node.name, node.address) != (&theirs.name, theirs.address) {
            return Err(Failure::unsafe_to(format!(
                "{} has the node {} with {}, and {name} has {} with {}; a machine needs the same name and address in both",
                one.cluster.name, node.name, node.address, theirs.name, theirs.address
            )));
        }
        if one.cluster.instance == *instance {
            return Err(Failure::unsafe_to(format!(
                "{} and {name} are both the instance {instance} on {}; set another [etcd] instance in the profile of one of \
                 them, and build it again",
                one.cluster.name, node.name
            )));
        }
    }
    Ok(())
}

/// Ports and directories that two members on one machine must not both have. A build refuses them where it sees both
/// profiles; these may have been built apart.
fn check_members(one: &Cluster, other: &Cluster) -> Result<()> {
    for (node, theirs) in pairs(&one.manifest, &other.manifest, |node, theirs| node.name == theirs.name) {
        let (mine, theirs) = (Occupied::of(one, node)?, Occupied::of(other, theirs)?);
        let port = mine.ports.intersection(&theirs.ports).next().map(|port| format!("listen on port {port}"));
        let directory = mine.directories.iter().find_map(|mine| {
            let clash =
                theirs.directories.iter().find(|one| one.starts_with(mine) || mine.starts_with(one))?;
            Some(match mine == clash {
                true => format!("use the directory {}", mine.display()),
                false => format!("use {} and {}, one in the other", mine.display(), clash.display()),
            })
        });
        if let Some(what) = port.or(directory) {
            return Err(Failure::unsafe_to(format!(
                "{} and {} both {what} on {}; change it in the profile of one of them, and build it again",
                one.manifest.cluster.name, other.manifest.cluster.name, node.name
            )));
        }
    }
    Ok(())
}

/// What a member has for itself on its machine.
struct Occupied {
    ports: BTreeSet<u16>,
    directories: Vec<PathBuf>,
}

impl Occupied {
    fn of(cluster: &Cluster, node: &manifest::Node) -> Result<Self> {
        const LISTENERS: [&str; 4] =
            ["listen-client-urls", "listen-peer-urls", "listen-metrics-urls", "listen-client-http-urls"];
        let options = verify::baked_options(&cluster.bundle, &cluster.manifest, node)?.unwrap_or_default();
        let urls = LISTENERS.iter().filter_map(|flag| options.get(*flag)).flat_map(|urls| urls.split(','));
        let port = |url: &str| url.trim_end_matches('/').rsplit_once(':')?.1.parse().ok();
        let advertised = node.client_urls.iter().chain(&node.peer_urls).map(Url::port);
        let data = options.get("data-dir").map(PathBuf::from);
        // The directory that the log's is in belongs to etcd's account, too.
        let wal = options.get("wal-dir").and_then(|wal| Some(Path::new(wal).parent()?.to_owned()));
        Ok(Self {
            ports: urls.filter_map(port).chain(advertised).collect(),
            directories: data.into_iter().chain(wal).collect(),
        })
    }
}

fn pairs<'m>(
    one: &'m Manifest,
    other: &'m Manifest,
    is_pair: impl Fn(&manifest::Node, &manifest::Node) -> bool,
) -> Vec<(&'m manifest::Node, &'m manifest::Node)> {
    let all = one.nodes.iter().flat_map(|node| other.nodes.iter().map(move |theirs| (node, theirs)));
    all.filter(|(node, theirs)| is_pair(node, theirs)).collect()
}

/// A machine of the rehearsal: a node of one cluster or of several.
pub struct Machine<'a> {
    pub node: &'a manifest::Node,
    /// The clusters that have a member on it.
    pub clusters: Vec<usize>,
}

/// Every machine once, in the order of the bundles.
pub fn machines(clusters: &[Cluster]) -> Vec<Machine<'_>> {
    let mut all: Vec<Machine<'_>> = Vec::new();
    for (at, cluster) in clusters.iter().enumerate() {
        for node in &cluster.manifest.nodes {
            match all.iter_mut().find(|machine| machine.node.name == node.name) {
                Some(machine) => machine.clusters.push(at),
                None => all.push(Machine { node, clusters: vec![at] }),
            }
        }
    }
    all
}

/// Checks that what a second cluster brings to a node is what is there already, where it has the same path.
///
/// # Errors
/// `Exit::Unsafe` with the path, and the names of the clusters.
pub fn check_files(there: &Path, more: &Path, node: &NodeName, [one, other]: [&str; 2]) -> Result<()> {
    let found: BTreeMap<_, _> =
        disk::walk(there)?.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    for entry in disk::walk(more)? {
        let Some(found) = found.get(&entry.path) else { continue };
        let (first, second) = (there.join(&entry.path), more.join(&entry.path));
        let is_same = match (found.kind, entry.kind) {
            (Kind::Directory, Kind::Directory) => found.mode == entry.mode,
            (Kind::File, Kind::File) => {
                found.mode == entry.mode && digest::of_file(&first)? == digest::of_file(&second)?
            }
            (Kind::Link, Kind::Link) => found.target == entry.target,
            _ => false,
        };
        if !is_same {
            return Err(Failure::unsafe_to(format!(
                "both {one} and {other} bring /{} to {node}, and it is not the same; build them with the same files, or with \
                 paths of their own",
                entry.path.display()
            )));
        }
    }
    Ok(())
}
