//! A kubeadm `ClusterConfiguration` (v1beta2 to v1beta4): `etcd.external` or `etcd.local`.

use super::draft::{Draft, Place};
use super::member::key_of_flag;
use super::options;
use super::yaml::Node;

pub fn is_configuration(document: &Node) -> bool {
    document.get("kind").and_then(Node::text) == Some("ClusterConfiguration")
}

pub fn configuration(draft: &mut Draft, document: &Node, file: &str) {
    let place = |node: &Node| Place { file: file.to_owned(), line: node.line };
    if let Some(node) = document.get("clusterName")
        && let Some(name) = node.text()
    {
        draft.say(("[cluster]", "name"), name, &place(node));
    }
    let Some(etcd) = document.get("etcd") else {
        return draft
            .leave(&place(document), "it says nothing of etcd: kubeadm runs a local one with its defaults");
    };
    if let Some(external) = etcd.get("external") {
        draft.runs = true;
        draft.client("kube-apiserver");
        for endpoint in external.get("endpoints").map(Node::items).unwrap_or_default() {
            let url = endpoint.text().unwrap_or_default();
            let host = options::parts(url).0;
            match host.parse() {
                Ok(address) => draft.endpoints.push((address, place(endpoint))),
                Err(_) => drop(draft.member(host, None, &place(endpoint))),
            }
        }
    }
    if let Some(local) = etcd.get("local") {
        draft.runs = true;
        if let Some(node) = local.get("dataDir") {
            options::take(draft, None, "data-dir", node.text().unwrap_or_default(), &place(node));
        }
        let arguments = local.get("extraArgs");
        // A map in v1beta3, a list of names and values in v1beta4.
        let map = arguments.map(Node::entries).unwrap_or_default();
        let map = map.iter().map(|(name, node)| (Some(name.as_str()), node.text(), node));
        let list = arguments.map(Node::items).unwrap_or_default().iter();
        let list = list.map(|item| {
            (item.get("name").and_then(Node::text), item.get("value").and_then(Node::text), item)
        });
        for (name, value, node) in map.chain(list) {
            let (Some(name), Some(value)) = (name, value) else {
                draft.leave(&place(node), "an argument without a name or a value");
                continue;
            };
            match key_of_flag(name) {
                Some(key) => options::take(draft, None, &key, value, &place(node)),
                None => draft.leave(&place(node), format!("--{name} is not a flag of etcd's")),
            }
        }
        for (key, node) in local.entries() {
            if !["dataDir", "extraArgs"].contains(&key.as_str()) {
                draft.leave(&place(node), format!("etcd.local.{key}"));
            }
        }
    }
}
