//! The files of a bundle's `client/` for programs that use the cluster. Each is text with a comment that says where its
//! certificates have to be; none contains a key.

mod kubernetes;
mod paths;
mod prometheus;

use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::plan::{Node, Plan};
use crate::yaml;

use paths::{Paths, endpoints, files, trusted};

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
        (spec.file.clone(), json!({ "common_name": spec.common_name, "cert": certificate, "key": key }))
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
    let hosts: Vec<Value> = plan.nodes.iter().map(|node| node.client_url.authority().into()).collect();
    let section = json!({
        "etcd3": { "protocol": "https", "hosts": hosts, "cacert": ca, "cert": certificate, "key": key },
    });
    paths.comment(plan, "a section of Patroni's configuration.") + &yaml::document(&section)
}
