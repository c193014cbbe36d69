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
use crate::plan::{self, CertificateSpec, Node, Owner, Plan, Role};
use crate::tree::{Entry, Tree};
use crate::values::{Epoch, Mode};

/// The keys and certificates in a node's files: the trusted CAs, and the leaves in the order of the node's
/// certificates.
pub struct NodeKeys<'a> {
    /// Of each authority of the plan, in its order, in PEM.
    pub trust: &'a [String],
    /// Of each authority, the certificate that clients trust, in PEM.
    pub roots: &'a [String],
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

impl Renderer<'_> {
    pub(super) fn program(&self) -> String {
        format!("{}/etcd", self.plan.bin_dir.absolute())
    }

    /// Without keys, puts empty files at their paths.
    pub(super) fn insert_keys<'a>(
        &self,
        tree: &mut Tree,
        node: &Node,
        keys: Option<&NodeKeys<'a>>,
    ) -> Result<()> {
        let origin = "the certificates";
        let directory = &self.plan.pki.directory;
        let file = |name: &str| path(&format!("{directory}/{name}"));
        tree.insert(directory.clone(), Entry::directory(Mode::DIRECTORY, origin))?;
        for (at, authority) in self.plan.authorities.iter().enumerate() {
            let text = |all: fn(&NodeKeys<'a>) -> &'a [String]| {
                keys.and_then(|keys| all(keys).get(at)).cloned().unwrap_or_default().into_bytes()
            };
            tree.insert(file(&authority.file)?, Entry::file(text(|keys| keys.trust), Mode::FILE, origin))?;
            if let Some(name) = &authority.root_file {
                tree.insert(file(name)?, Entry::file(text(|keys| keys.roots), Mode::FILE, origin))?;
            }
        }
        for (at, spec) in node.certificates.iter().enumerate() {
            let leaf = keys.and_then(|keys| keys.leaves.get(at));
            for (cert, key) in spec.pairs() {
                let bytes = leaf.map(|leaf| leaf.cert_pem.clone().into_bytes()).unwrap_or_default();
                tree.insert(file(cert)?, Entry::file(bytes, spec.cert_mode, origin))?;
                let bytes = leaf.map(|leaf| leaf.key_pem.as_bytes().to_vec()).unwrap_or_default();
                tree.insert(file(key)?, Entry::file(bytes, spec.key_mode, origin))?;
            }
        }
        for (name, target) in &node.links {
            tree.insert(file(name)?, Entry::link(target.as_str(), origin))?;
        }
        Ok(())
    }

    /// The paths of the keys of this account, each with its certificate.
    fn keys<'n>(&self, node: &'n Node, owner: Owner) -> Vec<(String, &'n CertificateSpec)> {
        let pki = self.plan.pki.directory.absolute();
        let wanted = node.certificates.iter().filter(|spec| spec.owner == owner);
        let pairs = wanted.flat_map(|spec| spec.pairs().map(move |(_, key)| (key, spec)));
        pairs.map(|(key, spec)| (format!("{pki}/{key}"), spec)).collect()
    }

    /// All keys with modes and owners.
    fn owned(&self, node: &Node) -> Vec<Value> {
        let of = |(owner, user): (Owner, &str)| {
            let row = |(path, spec): (String, &CertificateSpec)| json!({ "path": path, "mode": spec.key_mode, "user": user });
            self.keys(node, owner).into_iter().map(row).collect::<Vec<_>>()
        };
        [(Owner::Etcd, self.plan.instance.user), (Owner::Root, "root")].map(of).concat()
    }

    /// The variables of a template: those of `VARIABLES`.
    // long: a line for each variable
    pub(super) fn values(&self, node: &Node, config: &config::Config) -> Value {
        let plan = self.plan;
        let pki = plan.pki.directory.absolute();
        let logs = logs::of_node(node);
        let of_role = |role| plan::of_role(&node.certificates, role);
        let cert = |role| of_role(role).map(|spec| spec.cert_path.as_str());
        let key = |role| of_role(role).map(|spec| spec.key_path.as_str());
        let ca = |role| {
            let authority = of_role(role).and_then(|spec| plan.authority(spec.authority));
            authority.map(|authority| authority.file.as_str())
        };
        let keys = |owner| self.keys(node, owner).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
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
            "nodes": plan.nodes.iter().map(|node| json!({
                "name": node.name, "fqdn": node.fqdn, "address": node.address,
                "client_url": node.client_url, "peer_url": node.peer_url,
            })).collect::<Vec<_>>(),
            "peers": plan.nodes.iter().filter(|peer| peer.name != node.name).map(|peer| json!({
                "name": peer.name, "peer_url": peer.peer_url,
                "member_id": peer.member_id.to_string(),
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
            "unit": plan.instance.unit,
            "user": plan.instance.user,
            "data_dir": plan.data_dir.absolute(),
            "pki_dir": &pki,
            "client_cert": cert(Role::Client),
            "client_key": key(Role::Client),
            "client_ca": ca(Role::Server),
            "peer_cert": cert(Role::Peer),
            "peer_key": key(Role::Peer),
            "peer_ca": ca(Role::Peer),
            "exec_start": config.exec_start,
            "environment_files": config.environment_files,
            "unset": systemd::UNSET.join(" "),
            "log_directories": logs.directories,
            "log_files": logs.files,
            "etcd_keys": keys(Owner::Etcd),
            "root_keys": keys(Owner::Root),
            "keys": self.owned(node),
        });
        debug_assert!(
            values.as_object().is_some_and(|values| values.keys().eq(VARIABLES.iter().map(|(name, _)| name))),
            "the table of variables has others, or in another order"
        );
        values
    }
}
