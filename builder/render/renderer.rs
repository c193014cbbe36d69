//! The inputs of rendering, and the parts of a node's files that do not depend on overlays.

use std::sync::Arc;

use serde_json::{Value, json};

use super::overlay::Overlay;
use super::programs::path;
use super::template::Templates;
use super::variables::VARIABLES;
use super::{config, logs, systemd};
use crate::failure::Result;
use crate::pki::Issued;
use crate::plan::{self, Instance, Node, Owner, Plan, Role};
use crate::tree::{Entry, Tree};
use crate::values::{Epoch, Mode};

/// The keys and certificates in a node's files: the trusted CAs, and the leaves in the order of the node's
/// certificates.
pub struct NodeKeys<'a> {
    /// Of each authority of the plan, in its order, in PEM.
    pub trust: &'a [String],
    /// Issued by `pki`; as many as the node has certificates.
    pub leaves: &'a [Issued],
}

/// The inputs of rendering besides the node itself.
pub struct Renderer<'a> {
    /// The cluster's decisions.
    pub plan: &'a Plan,
    /// Kiln's own and then the user's, in the order of the profile.
    pub overlays: &'a [Arc<Overlay>],
    /// Fills in overlay files that end in `.hbs`.
    pub templates: &'a Templates,
    /// The names of the release's programs, whose paths no overlay may use.
    pub programs: Vec<String>,
    /// The time of the build: etcd waits for a clock that is past it.
    pub epoch: Epoch,
}

/// What a node's files say about all nodes.
fn nodes(plan: &Plan) -> Vec<Value> {
    let told = |node: &Node| {
        json!({
            "name": node.name, "fqdn": node.fqdn, "address": node.address,
            "client_url": node.client_url, "peer_url": node.peer_url,
        })
    };
    plan.nodes.iter().map(told).collect()
}

/// What they say about the other members.
fn peers(plan: &Plan, node: &Node) -> Vec<Value> {
    let told = |peer: &Node| {
        json!({
            "name": peer.name, "peer_url": peer.peer_url,
            "member_id": peer.member_id.to_string(),
            "record": peer.member_id.in_log(plan.cluster.id),
        })
    };
    plan.nodes.iter().filter(|peer| peer.name != node.name).map(told).collect()
}

/// The settings of etcd's unit.
fn service(instance: &Instance) -> Value {
    json!({
        "description": instance.description.as_deref().unwrap_or_default(),
        "restart": instance.restart,
        "restart_sec": instance.restart_sec,
        "limit_nofile": instance.limit_nofile,
        "unit": instance.unit_lines,
        "service": instance.service_lines,
        "install": instance.install_lines,
    })
}

/// The directory of etcd's log, and the one that it is in; null where it is in the data directory.
fn wal(instance: &Instance) -> Value {
    match (&instance.wal_directory, instance.wal_parent()) {
        (Some(wal), Some(parent)) => json!({ "dir": wal.absolute(), "parent": parent.absolute() }),
        _ => Value::Null,
    }
}

impl Renderer<'_> {
    pub(super) fn program(&self) -> String {
        format!("{}/etcd", self.plan.bin_dir.absolute())
    }

    /// Without keys, puts empty files at their paths.
    pub(super) fn insert_keys(
        &self,
        tree: &mut Tree,
        node: &Node,
        keys: Option<&NodeKeys<'_>>,
    ) -> Result<()> {
        let origin = "the certificates";
        let directory = &self.plan.pki.directory;
        let file = |name: String| path(&format!("{directory}/{name}"));
        tree.insert(directory.clone(), Entry::directory(Mode::DIRECTORY, origin))?;
        for (at, authority) in self.plan.authorities.iter().enumerate() {
            let trust = keys.and_then(|keys| keys.trust.get(at)).cloned().unwrap_or_default();
            tree.insert(file(authority.file())?, Entry::file(trust.into(), Mode::FILE, origin))?;
        }
        for (at, spec) in node.certificates.iter().enumerate() {
            let leaf = keys.and_then(|keys| keys.leaves.get(at));
            let certificate = leaf.map(|leaf| leaf.cert_pem.clone().into_bytes()).unwrap_or_default();
            let certificate = Entry::file(certificate, Mode::FILE, origin);
            tree.insert(file(format!("{}.pem", spec.file))?, certificate)?;
            let key = leaf.map(|leaf| leaf.key_pem.as_bytes().to_vec()).unwrap_or_default();
            tree.insert(file(format!("{}-key.pem", spec.file))?, Entry::file(key, Mode::SECRET, origin))?;
        }
        Ok(())
    }

    /// The variables of a template: those of `VARIABLES`.
    pub(super) fn values(&self, node: &Node, config: &config::Config) -> Value {
        let plan = self.plan;
        let pki = plan.pki.directory.absolute();
        let logs = logs::of_node(node);
        let stem = |role| plan::of_role(&node.certificates, role).map(|spec| spec.file.as_str());
        let keys = |owner: Owner| -> Vec<String> {
            let wanted = node.certificates.iter().filter(|spec| spec.owner == owner);
            wanted.map(|spec| format!("{pki}/{}-key.pem", spec.file)).collect()
        };
        let values = json!({
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
            "nodes": nodes(plan),
            "peers": peers(plan, node),
            "program": self.program(),
            "bin_dir": plan.bin_dir.absolute(),
            "member_id": node.member_id.to_string(),
            "cluster_id": plan.cluster.id.to_string(),
            "cluster_record": plan.cluster.id.in_log(),
            "formed": plan.cluster.formed,
            "epoch": self.epoch.seconds(),
            "data_serial": node.disk_serial,
            "unit": node.unit,
            "user": plan.instance.user,
            "data_dir": plan.data_dir.absolute(),
            "wal": wal(&plan.instance),
            "config_dir": plan.instance.config_directory.absolute(),
            "endpoint": node.endpoint,
            "pki_dir": pki,
            "client_file": stem(Role::Client),
            "peer_file": stem(Role::Peer),
            "exec_start": config.exec_start,
            "environment_files": config.environment_files,
            "unset": systemd::UNSET.join(" "),
            "etcd_unset": systemd::unset(plan.instance.wal_directory.is_some()),
            "service": service(&plan.instance),
            "log_directories": logs.directories,
            "log_files": logs.files,
            "etcd_keys": keys(Owner::Etcd),
            "root_keys": keys(Owner::Root),
        });
        debug_assert!(
            values.as_object().is_some_and(|values| values.keys().eq(VARIABLES.iter().map(|(name, _)| name))),
            "the table of variables has others, or in another order"
        );
        values
    }
}
