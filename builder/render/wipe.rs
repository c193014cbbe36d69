//! What is Kiln's on a node, for the program there that takes the host back.

use std::collections::BTreeSet;

use kiln_wire as wire;

use super::logs;
use super::programs::path;
use super::renderer::Renderer;
use super::told::{json, told, untold};
use crate::failure::Result;
use crate::plan::{self, Node, Plan};
use crate::tree::{Entry, Kind, Origin, Tree, known_mode};
use crate::values::{GuestPath, Mode, NODE_PROGRAM, Purpose};

const ORIGIN: &str = "wipe";
/// Kiln's overlay whose files stay: they are how the host is reached.
const NETWORK: &str = "network";
const UNITS: &str = "etc/systemd/system";

/// Where it is; `None` where the node has no program that reads it.
fn place(plan: &Plan) -> Result<Option<GuestPath>> {
    let has_program =
        plan.renewal_places().is_some() || plan.backup().is_some() || plan.cluster.restored.is_some();
    has_program.then(|| path(&format!("etc/{}/wipe.json", plan.instance.name.directory()))).transpose()
}

/// An empty file, so that no overlay has another one there unnoticed.
pub(super) fn reserve(renderer: &Renderer<'_>, tree: &mut Tree) -> Result<()> {
    let Some(place) = place(renderer.plan)? else { return Ok(()) };
    tree.insert(place, Entry::file(Vec::new(), Mode::FILE, ORIGIN))
}

/// All other files of a node.
pub(super) struct Laid<'a> {
    /// With those of overlays.
    pub tree: &'a Tree,
    /// Places of files that an overlay has replaced, and whose these were.
    pub replaced: Vec<(GuestPath, Origin)>,
}

/// The list, for its place.
pub(super) fn entry(
    renderer: &Renderer<'_>,
    laid: &Laid<'_>,
    node: &Node,
) -> Result<Option<(GuestPath, Entry)>> {
    let Some(place) = place(renderer.plan)? else { return Ok(None) };
    if laid.tree.get(place.as_str()).is_none_or(|entry| entry.origin != Origin::Part(ORIGIN)) {
        return Ok(None);
    }
    let json = json("wipe.json", &list(renderer, laid, node)?, wire::Wipe::check)?;
    Ok(Some((place, Entry::file(json, Mode::FILE, ORIGIN))))
}

fn list(renderer: &Renderer<'_>, laid: &Laid<'_>, node: &Node) -> Result<wire::Wipe> {
    let plan = renderer.plan;
    let instance = &plan.instance;
    let kiln = instance.name.directory();
    let client = plan::of_purpose(&node.certificates, Purpose::Etcdctl)
        .ok_or_else(|| untold("etcdctl", "the node has no certificate for it"))?;
    let pki = plan.pki.directory.absolute();
    let anchors = plan.authority(plan::CA).map(|authority| authority.file.as_str()).unwrap_or_default();
    let others = plan.nodes.iter().filter(|other| other.name != node.name);
    let mut programs: Vec<_> = renderer.programs.iter().filter(|name| *name != NODE_PROGRAM).collect();
    programs.sort();
    let program = |name: &str| format!("{}/{name}", plan.bin_dir.absolute());
    Ok(wire::Wipe {
        schema: wire::SCHEMA,
        cluster: told(plan.cluster.name.as_str())?,
        node: told(node.name.as_str())?,
        cluster_id: wire::Id(plan.cluster.id.0),
        etcdctl: told(&program("etcdctl"))?,
        ca: told(&format!("{pki}/{anchors}"))?,
        cert: told(&format!("{pki}/{}", client.cert_path))?,
        key: told(&format!("{pki}/{}", client.key_path))?,
        endpoint: told(&node.endpoint.to_string())?,
        peer_url: told(&node.peer_url.to_string())?,
        others: others.map(|other| told(&other.endpoint.to_string())).collect::<Result<_>>()?,
        account: told(instance.user.as_str())?,
        units: units(laid, plan, node).iter().map(|unit| told(unit)).collect::<Result<_>>()?,
        data: told(&plan.data_dir.absolute())?,
        trees: told_all(trees(plan, node))?,
        files: told_all(files(renderer, laid, node))?,
        shared: programs
            .iter()
            .map(|name| told(&program(name)))
            .chain([told(&program(NODE_PROGRAM))])
            .collect::<Result<_>>()?,
        directories: told_all(directories(renderer, laid, node))?.into_iter().rev().collect(),
        own: told(&format!("/etc/{kiln}"))?,
        state: told(&format!("/var/lib/{kiln}"))?,
        hosts: plan.cluster.domain.is_some(),
    })
}

/// In their order, so that a directory is before what is in it.
fn told_all(paths: BTreeSet<String>) -> Result<Vec<wire::FilePath>> {
    paths.iter().map(|path| told(path)).collect()
}

/// Kiln's, etcd's own first, which the others would start again.
fn units(laid: &Laid<'_>, plan: &Plan, node: &Node) -> Vec<String> {
    let is_kilns =
        |name: &&str| name.starts_with("kiln-") && (name.ends_with(".service") || name.ends_with(".timer"));
    let prefix = format!("{UNITS}/");
    let in_units = laid.tree.iter().filter_map(|(path, _)| path.as_str().strip_prefix(&prefix));
    let others = in_units.filter(|name| !name.contains('/')).filter(is_kilns).map(str::to_owned);
    let seed = plan.instance.name.owns_host().then(|| "kiln-seed.service".to_owned());
    std::iter::once(node.unit.clone()).chain(others).chain(seed).collect()
}

/// What is all Kiln's and etcd's, whatever is in it.
fn trees(plan: &Plan, node: &Node) -> BTreeSet<String> {
    let mut trees = BTreeSet::from([plan.data_dir.absolute()]);
    trees.extend(plan.instance.wal_parent().map(|parent| parent.absolute()));
    trees.extend(plan.renewal_places().map(|places| places.generations()));
    if let Some((_, places)) = plan.backup() {
        // Other files may be in a directory of the profile's.
        let names = [plan.cluster.name.as_str(), "queue", "work"];
        trees.extend(names.map(|name| format!("{}/{name}", places.directory())));
    }
    trees.extend(logs::of_node(node).directories.iter().map(|directory| format!("/var/log/{directory}")));
    trees
}

/// Those of the bundle that are Kiln's, and those that its programs make.
fn files(renderer: &Renderer<'_>, laid: &Laid<'_>, node: &Node) -> BTreeSet<String> {
    let plan = renderer.plan;
    let kiln = plan.instance.name.directory();
    let is_file = |entry: &Entry| !matches!(entry.kind, Kind::Directory);
    let delivered = laid
        .tree
        .iter()
        .filter(|(path, entry)| is_file(entry) && is_kilns(renderer, laid, node, path, entry));
    let mut files: BTreeSet<_> = delivered.map(|(path, _)| path.absolute()).collect();
    files.extend(["unpacked", "has-data-disk"].map(|name| format!("/etc/{kiln}/{name}")));
    let of_runs = ["formed", "renew.json", "renew.prom", "renew.lock"].into_iter();
    let of_snapshots = ["backup-status.json", "backup-status.lock", "kiln-snapshot.prom"];
    files.extend(of_runs.chain(of_snapshots).map(|name| format!("/run/{kiln}/{name}")));
    files.extend(logs::of_node(node).files);
    if let Some((_, places)) = plan.backup() {
        files.extend([places.secrets(), places.ca()].map(|file| format!("/{file}")));
        files.insert(format!("{}/lock", places.directory()));
    }
    if plan.instance.name.owns_host() {
        files.extend(
            [
                "etc/kiln/unpack-seed.sh",
                "etc/systemd/system/kiln-seed.service",
                "etc/systemd/system/multi-user.target.wants/kiln-seed.service",
            ]
            .map(|file| format!("/{file}")),
        );
    }
    files
}

/// Directories of Kiln's, which hold the site's own files at most.
fn directories(renderer: &Renderer<'_>, laid: &Laid<'_>, node: &Node) -> BTreeSet<String> {
    let plan = renderer.plan;
    // An archive has the files that are in a directory, and not always the directory.
    let delivered = laid.tree.iter().filter(|(path, entry)| is_kilns(renderer, laid, node, path, entry));
    let above = delivered.flat_map(|(path, entry)| {
        let own = matches!(entry.kind, Kind::Directory).then(|| path.clone());
        path.parents().filter(|parent| is_in_places(plan, parent)).chain(own).collect::<Vec<_>>()
    });
    let mut all: BTreeSet<_> = above.collect();
    all.extend(drop_ins(laid, plan, node));
    all.extend([plan.instance.config_directory.clone(), plan.pki.directory.clone()]);
    let kiln = plan.instance.name.directory();
    for top in ["etc", "var/lib", "run"] {
        // That of an instance is in Kiln's, which goes with the last one.
        all.extend(["kiln", kiln.as_str()].iter().filter_map(|name| format!("{top}/{name}").parse().ok()));
    }
    let snapshots = plan.backup().map(|(_, places)| places.directory().trim_start_matches('/').to_owned());
    all.extend(snapshots.and_then(|directory| directory.parse().ok()));
    all.into_iter().filter(|path| known_mode(path).is_none()).map(|path| path.absolute()).collect()
}

/// Directories with lines for Kiln's units.
fn drop_ins(laid: &Laid<'_>, plan: &Plan, node: &Node) -> Vec<GuestPath> {
    let all = units(laid, plan, node).into_iter().filter_map(|unit| format!("{UNITS}/{unit}.d").parse().ok());
    all.filter(|path| laid.tree.has(path)).collect()
}

/// Whether it goes with Kiln's etcd: not what the site's overlays put elsewhere, and not the network.
fn is_kilns(renderer: &Renderer<'_>, laid: &Laid<'_>, node: &Node, path: &GuestPath, entry: &Entry) -> bool {
    let plan = renderer.plan;
    let of_overlay = renderer.overlays.iter().find(|overlay| overlay.origin == entry.origin);
    let by_origin = match (&entry.origin, of_overlay) {
        (_, Some(overlay)) => !overlay.is_own() && overlay.origin.name() != NETWORK,
        (origin, None) => origin.name() != NETWORK,
    };
    let is_in_place = || {
        path.is_within(&format!("etc/{}", plan.instance.name.directory()))
            || drop_ins(laid, plan, node).iter().any(|place| path.is_within(place.as_str()))
            || laid.replaced.iter().any(|(place, of)| place == path && of.name() != NETWORK)
    };
    by_origin || is_in_place()
}

/// Whether it is in a directory that Kiln alone has, or is one.
fn is_in_places(plan: &Plan, path: &GuestPath) -> bool {
    let kiln = format!("etc/{}", plan.instance.name.directory());
    let places = [kiln.as_str(), plan.instance.config_directory.as_str(), plan.pki.directory.as_str()];
    places.iter().any(|place| path.is_within(place))
}
