//! The files of a bundle's `client/` for programs that use the cluster. Each is text with a comment that says where its
//! certificates have to be; none contains a key.

mod kubernetes;
mod prometheus;

use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::plan::{CertificateSpec, Node, Plan};
use crate::yaml;

/// The names of the files, and what each contains.
pub const CLIENT_FILES: [(&str, Make); 9] = [
    ("facts.json", facts),
    ("hosts", |plan| Ok(hosts(plan))),
    ("kube-apiserver.args", |plan| Ok(kubernetes::arguments(plan))),
    ("kube-apiserver.yaml", |plan| Ok(kubernetes::static_pod(plan))),
    ("kubeadm.yaml", |plan| Ok(kubernetes::kubeadm(plan, kubernetes::KUBEADM[0]))),
    ("kubeadm-v1beta3.yaml", |plan| Ok(kubernetes::kubeadm(plan, kubernetes::KUBEADM[1]))),
    ("patroni.yaml", |plan| Ok(patroni(plan))),
    ("prometheus-alerts.yaml", |plan| Ok(prometheus::alerts(plan))),
    ("prometheus-scrape.yaml", |plan| Ok(prometheus::scrape(plan))),
];

type Make = fn(&Plan) -> Result<String>;

/// Where a program expects its certificates: the files of `client/`, and the paths that the user copies them to.
struct Paths {
    /// In `client/`.
    from: [String; 3],
    /// The CA, the certificate, the key.
    to: [String; 3],
}

impl Paths {
    /// `program` is the conventional name of its `[[client]]`; without one the operator's certificate is used.
    fn new(plan: &Plan, program: &str, to: [String; 3]) -> Self {
        let of_program = plan.clients.iter().find(|spec| spec.file == program);
        let (certificate, key) = of_program.or(plan.clients.first()).map(files).unwrap_or_default();
        Self { from: [trusted(plan), certificate, key], to }
    }

    /// The same names as in `client/`, in one directory.
    fn within(plan: &Plan, program: &str, directory: &str) -> Self {
        let Self { from, .. } = Self::new(plan, program, Default::default());
        let to = from.clone().map(|file| format!("{directory}/{file}"));
        Self { from, to }
    }

    /// A comment of several lines.
    fn comment(&self, plan: &Plan, what: &str) -> String {
        let copies = self.from.iter().zip(&self.to);
        let copies: String = copies.map(|(from, to)| format!("#   {from} to {to}\n")).collect();
        format!(
            "# Made by Kiln for {}: {what}\n# Copy from this directory, the key readable by that program alone:\n{copies}",
            plan.cluster.name
        )
    }
}

/// The files of a client certificate and of its key.
fn files(spec: &CertificateSpec) -> (String, String) {
    (format!("{}.pem", spec.file), format!("{}-key.pem", spec.file))
}

/// The file of the CA that clients trust.
fn trusted(plan: &Plan) -> String {
    plan.authorities.first().map(|first| first.file()).unwrap_or_default()
}

fn endpoints(plan: &Plan) -> Vec<&str> {
    plan.nodes.iter().map(|node| node.client_url.as_str()).collect()
}

/// `10.240.16.10:2379` for `https://10.240.16.10:2379`.
fn authority(node: &Node) -> &str {
    node.client_url.split_once("://").map_or(node.client_url.as_str(), |(_, authority)| authority)
}

/// For scripts and templates: what a program needs to know of the cluster.
fn facts(plan: &Plan) -> Result<String> {
    let member = |node: &Node| {
        json!({
            "name": node.name, "id": node.member_id, "address": node.address, "fqdn": node.fqdn,
            "client_url": node.client_url, "peer_url": node.peer_url,
        })
    };
    let clients = plan.clients.iter().map(|spec| {
        let (certificate, key) = files(spec);
        (spec.common_name.clone(), json!({ "cert": certificate, "key": key }))
    });
    let facts = json!({
        "cluster": plan.cluster.name,
        "cluster_id": plan.cluster.id,
        "etcd": plan.release,
        "endpoints": endpoints(plan),
        "ca": trusted(plan),
        "clients": clients.collect::<serde_json::Map<_, _>>(),
        "members": plan.nodes.iter().map(member).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&facts);
    text.map(|text| text + "\n").map_err(|error| Failure::io(format!("writing facts.json: {error}")))
}

/// Lines for /etc/hosts.
fn hosts(plan: &Plan) -> String {
    let line = |node: &Node| match node.fqdn == node.name.as_str() {
        true => format!("{} {}\n", node.address, node.name),
        false => format!("{} {} {}\n", node.address, node.fqdn, node.name),
    };
    plan.nodes.iter().map(line).collect()
}

/// The `etcd3` section of Patroni's configuration (Patroni's documentation, "Etcdv3").
fn patroni(plan: &Plan) -> String {
    let paths = Paths::within(plan, "patroni", "/etc/patroni/etcd");
    let [ca, certificate, key] = &paths.to;
    let hosts: Vec<Value> = plan.nodes.iter().map(|node| authority(node).into()).collect();
    let section = json!({
        "etcd3": { "protocol": "https", "hosts": hosts, "cacert": ca, "cert": certificate, "key": key },
    });
    paths.comment(plan, "a section of Patroni's configuration.") + &yaml::document(&section)
}
