//! (Plan, keys, overlays) -> Tree: what one node will see.

mod carrier;
mod config;
mod logs;
mod overlay;
mod systemd;
mod template;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::failure::{Exit, Failure, Result};
use crate::pki::Issued;
use crate::plan::{self, Node, Plan};
use crate::tree::{Blob, Entry, Kind, Tree};
use crate::values::{Epoch, GuestPath, Mode};

pub use carrier::{Seed, SeedArchive, seed};
pub use overlay::{EMBEDDED, Overlay, embedded, load};
pub use template::Templates;

/// The account that etcd runs as.
pub const USER: &str = "etcd";

/// What an operator's shell takes etcdctl's endpoints and certificates from, in a bundle's `client/`.
pub const CLIENT_SCRIPT: &str = include_str!("../../overlays/client/etcdctl.sh");

/// An etcd program and its bytes.
pub type Program = (String, Arc<Blob>);

/// The keys that go into a node's files: the trust anchor and the leaves in the order of the node's
/// certificates.
pub struct NodeKeys<'a> {
    pub trust_pem: &'a str,
    pub leaves: &'a [Issued],
}

/// Everything that rendering needs besides the node itself.
pub struct Kitchen<'a> {
    pub plan: &'a Plan,
    pub overlays: &'a [Arc<Overlay>],
    pub templates: &'a Templates,
    /// The build's own time: etcd waits for a clock that is past it.
    pub epoch: Epoch,
}

impl Kitchen<'_> {
    /// A node's files, without the programs.
    ///
    /// # Errors
    /// `Exit::Unsafe` when two sources bring the same path and the profile does not say which one wins;
    /// `Exit::Profile` when a template is wrong.
    pub fn node_tree(&self, node: &Node, keys: &NodeKeys<'_>) -> Result<Tree> {
        let plan = self.plan;
        let mut tree = Tree::default();
        let config = config::of_node(plan.config_style, node, &self.program())?;
        let origin = "etcd's configuration";
        tree.insert(path("etc/etcd")?, Entry::directory(Mode::DIRECTORY, origin))?;
        if let Some((file, text)) = &config.file {
            tree.insert(path(file)?, Entry::file(text.clone().into_bytes(), Mode::FILE, origin))?;
        }
        self.insert_keys(&mut tree, node, keys)?;
        let enabled = "etc/systemd/system/multi-user.target.wants/etcd.service";
        tree.insert(path(enabled)?, Entry::link("/etc/systemd/system/etcd.service", "the enabled unit"))?;
        let values = template::context(self.values(node, &config))?;
        let mut unused = plan.bundle.replace.clone();
        for overlay in self.overlays {
            for (path, mut entry) in overlay.fill(self.templates, &values)? {
                match tree.get(path.as_str()) {
                    Some(there) if plan.bundle.replace.contains(&path) => {
                        unused.remove(&path);
                        // A key that is replaced stays as secret as it was.
                        if there.mode == Mode::SECRET {
                            entry.mode = Mode::SECRET;
                        }
                        tree.replace(path, entry)?;
                    }
                    Some(there) if !both_directories(there, &entry) => {
                        return Err(collision(&path, there, &entry));
                    }
                    _ => tree.insert(path, entry)?,
                }
            }
        }
        match unused.first() {
            None => Ok(tree),
            Some(path) => Err(Failure::new(
                Exit::Profile,
                format!(
                    "[bundle] replace names /{path}, but no overlay puts anything in the place of another there"
                ),
            )),
        }
    }

    fn program(&self) -> String {
        format!("{}/etcd", self.plan.bin_dir.absolute())
    }

    fn insert_keys(&self, tree: &mut Tree, node: &Node, keys: &NodeKeys<'_>) -> Result<()> {
        let origin = "the certificates";
        let directory = &self.plan.pki.directory;
        let file = |name: String| path(&format!("{directory}/{name}"));
        tree.insert(directory.clone(), Entry::directory(Mode::DIRECTORY, origin))?;
        tree.insert(file("ca.pem".into())?, Entry::file(keys.trust_pem.into(), Mode::FILE, origin))?;
        for (spec, leaf) in node.certificates.iter().zip(keys.leaves) {
            let certificate = Entry::file(leaf.cert_pem.clone().into_bytes(), Mode::FILE, origin);
            tree.insert(file(format!("{}.pem", spec.file))?, certificate)?;
            let key = Entry::file(leaf.key_pem.as_bytes().to_vec(), Mode::SECRET, origin);
            tree.insert(file(format!("{}-key.pem", spec.file))?, key)?;
        }
        Ok(())
    }

    /// The variables of a template, as the README lists them.
    fn values(&self, node: &Node, config: &config::Config) -> Value {
        let plan = self.plan;
        let pki = plan.pki.directory.absolute();
        let logs = logs::of_node(node);
        let keys = |by_etcd: bool| -> Vec<String> {
            let wanted = node.certificates.iter().filter(|spec| spec.read_by_etcd == by_etcd);
            wanted.map(|spec| format!("{pki}/{}-key.pem", spec.file)).collect()
        };
        json!({
            "cluster": plan.cluster.name,
            "domain": plan.cluster.domain.as_ref().map_or("", |domain| domain.as_str()),
            "token": plan.cluster.token,
            "version": plan.release,
            "node": node.name,
            "fqdn": node.fqdn,
            "address": node.address,
            "ipv4": node.address.is_ipv4(),
            "mac": node.mac,
            "prefix": plan.network.cidr.prefix_len(),
            "gateways": plan.network.gateway.iter().collect::<Vec<_>>(),
            "client_url": node.client_url,
            "peer_url": node.peer_url,
            "nodes": plan.nodes.iter().map(|node| json!({
                "name": node.name, "fqdn": node.fqdn, "address": node.address,
                "client_url": node.client_url, "peer_url": node.peer_url,
            })).collect::<Vec<_>>(),
            "peers": plan.nodes.iter().filter(|peer| peer.name != node.name).map(|peer| json!({
                "name": peer.name, "peer_url": peer.peer_url,
                "record": peer.member_id.in_log(plan.cluster.id),
            })).collect::<Vec<_>>(),
            "program": self.program(),
            "bin_dir": plan.bin_dir.absolute(),
            "member_id": node.member_id.to_string(),
            "cluster_id": plan.cluster.id.to_string(),
            "cluster_record": plan.cluster.id.in_log(),
            "formed": plan.cluster.formed,
            "epoch": self.epoch.seconds(),
            "data_serial": node.disk_serial,
            "user": USER,
            "data_dir": plan.data_dir.absolute(),
            "pki_dir": pki,
            "client_file": plan::uses(plan.pki.certificates).client,
            "peer_file": plan::uses(plan.pki.certificates).peer,
            "exec_start": config.exec_start,
            "environment_files": config.environment_files,
            "unset": systemd::UNSET.join(" "),
            "log_directories": logs.directories,
            "log_files": logs.files,
            "etcd_keys": keys(true),
            "root_keys": keys(false),
        })
    }
}

fn both_directories(one: &Entry, other: &Entry) -> bool {
    matches!((&one.kind, &other.kind), (Kind::Directory, Kind::Directory))
}

fn collision(path: &GuestPath, there: &Entry, entry: &Entry) -> Failure {
    Failure::unsafe_to(format!(
        "{path} comes from {} and again from {}; if the latter is to win, add \"/{path}\" to [bundle] replace",
        there.origin, entry.origin
    ))
}

/// The programs as a tree of their own: the layer that is the same for every host.
pub fn programs_tree(programs: &[Program], bin_dir: &GuestPath) -> Result<Tree> {
    let mut tree = Tree::default();
    insert_programs(&mut tree, programs, bin_dir)?;
    Ok(tree)
}

/// Puts the programs into a node's own files.
pub fn insert_programs(tree: &mut Tree, programs: &[Program], bin_dir: &GuestPath) -> Result<()> {
    for (name, blob) in programs {
        let entry = Entry::shared(blob.clone(), Mode::PROGRAM, "the etcd release");
        tree.insert(path(&format!("{bin_dir}/{name}"))?, entry)?;
    }
    Ok(())
}

fn path(text: &str) -> Result<GuestPath> {
    text.parse().map_err(|error| Failure::io(format!("{text} as a path in the guest: {error}")))
}
