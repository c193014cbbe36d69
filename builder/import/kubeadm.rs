//! A kubeadm `ClusterConfiguration` (v1beta3 or v1beta4): `etcd.external` or `etcd.local`.

use super::draft::{Draft, Place};
use super::member::key_of_flag;
use super::yaml::{Kind, Node};
use super::{guard, options};
use crate::values::KUBEADM;

pub fn is_configuration(document: &Node) -> bool {
    document.get("kind").and_then(Node::text) == Some("ClusterConfiguration")
}

pub fn configuration(draft: &mut Draft, document: &Node, file: &str) {
    let place = |node: &Node| Place { file: file.to_owned(), line: node.line };
    let version = document.get("apiVersion").and_then(Node::text).unwrap_or_default();
    if !KUBEADM.contains(&version) {
        let text = format!(
            "its apiVersion is not one that Kiln reads, {}: check what it made of it",
            KUBEADM.join(" or ")
        );
        draft.leave(&place(document.get("apiVersion").unwrap_or(document)), text);
    }
    if let Some(node) = document.get("clusterName")
        && let Some(name) = node.text()
    {
        draft.say(("[cluster]", "name"), name, &place(node));
    }
    let Some(etcd) = document.get("etcd") else {
        return draft
            .leave(&place(document), "it says nothing of etcd: kubeadm runs a local one with its defaults");
    };
    for (key, node) in etcd.entries() {
        match key.as_str() {
            "external" if is_map(node) => external(draft, node, file),
            "local" if is_map(node) => local(draft, node, file),
            key => draft.leave(&place(node), format!("etcd.{}", guard::key(key))),
        }
    }
}

fn is_map(node: &Node) -> bool {
    matches!(node.kind, Kind::Map(_))
}

fn external(draft: &mut Draft, external: &Node, file: &str) {
    draft.runs = true;
    draft.client("kube-apiserver");
    for (key, node) in external.entries() {
        let place = Place { file: file.to_owned(), line: node.line };
        match key.as_str() {
            "endpoints" if !node.items().is_empty() => {
                for node in node.items() {
                    endpoint(draft, node, &Place { line: node.line, ..place.clone() });
                }
            }
            "caFile" | "certFile" | "keyFile" => draft.leave(
                &place,
                format!("etcd.external.{key}: kube-apiserver's place for a file that is in the bundle; put it there"),
            ),
            key => draft.leave(&place, format!("etcd.external.{}", guard::key(key))),
        }
    }
}

fn endpoint(draft: &mut Draft, node: &Node, place: &Place) {
    let url = node.text().unwrap_or_default();
    if let Some(what) = guard::secret(url) {
        return draft.leave(place, format!("an endpoint is {what}, which is not read"));
    }
    let (host, port, secure) = options::parts(url);
    if !secure {
        draft.leave(place, "an endpoint has no TLS; Kiln's members always use it");
    }
    options::say_port(draft, "client-port", port, place);
    match host.parse() {
        Ok(address) => draft.endpoints.push((address, place.clone())),
        Err(_) => {
            let name = draft.member(host, None, place);
            draft.hosts.extend(name.map(|name| (name, host.to_owned())));
        }
    }
}

fn local(draft: &mut Draft, local: &Node, file: &str) {
    let place = |node: &Node| Place { file: file.to_owned(), line: node.line };
    draft.runs = true;
    if let Some(node) = local.get("dataDir") {
        options::take(draft, None, "data-dir", node.text().unwrap_or_default(), &place(node));
    }
    let arguments = local.get("extraArgs");
    // A map in v1beta3, a list of names and values in v1beta4.
    let map = arguments.map(Node::entries).unwrap_or_default();
    let map = map.iter().map(|(name, node)| (Some(name.as_str()), node.text(), node));
    let list = arguments.map(Node::items).unwrap_or_default().iter();
    let list = list
        .map(|item| (item.get("name").and_then(Node::text), item.get("value").and_then(Node::text), item));
    for (name, value, node) in map.chain(list) {
        let (Some(name), Some(value)) = (name, value) else {
            draft.leave(&place(node), "an argument without a name or a value");
            continue;
        };
        match key_of_flag(name) {
            Some(key) => options::take(draft, None, &key, value, &place(node)),
            None => draft.leave(&place(node), format!("--{} is not a flag of etcd's", guard::key(name))),
        }
    }
    for (key, node) in local.entries() {
        if !["dataDir", "extraArgs"].contains(&key.as_str()) {
            draft.leave(&place(node), format!("etcd.local.{}", guard::key(key)));
        }
    }
}
