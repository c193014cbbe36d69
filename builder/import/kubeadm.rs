//! A kubeadm `ClusterConfiguration` (v1beta3 or v1beta4): `etcd.external` or `etcd.local`.

use super::command::Command;
use super::draft::{Draft, Place, Said};
use super::member::{Given, key_of_flag};
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
        let text =
            format!("its apiVersion is not one that Kiln reads, {}: check the result", KUBEADM.join(" or "));
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

/// Whether a YAML document is a pod of etcd's, as kubeadm has it in /etc/kubernetes/manifests/etcd.yaml.
pub fn is_pod(document: &Node) -> bool {
    document.get("kind").and_then(Node::text) == Some("Pod") && document.get("spec").is_some()
}

/// Keys of a pod that every one has, or that say the same as its flags.
const OF_PODS: [&str; 6] = ["apiVersion", "kind", "metadata", "spec", "status", "name"];

pub fn pod(draft: &mut Draft, document: &Node, file: &str) {
    let place = |node: &Node| Place { file: file.to_owned(), line: node.line };
    for (key, node) in document.entries().iter().filter(|(key, _)| !OF_PODS.contains(&key.as_str())) {
        draft.leave(&place(node), format!("{} of the pod", guard::key(key)));
    }
    let mut is_found = false;
    for (key, node) in document.get("spec").map(Node::entries).unwrap_or_default() {
        if key != "containers" || node.items().is_empty() {
            draft.leave(&place(node), format!("{} of the pod: Kiln's member is a unit", guard::key(key)));
            continue;
        }
        for container in node.items() {
            match container.get("command").map(|command| words(draft, command, container.get("args"), file)) {
                Some(words) if !is_found && words.first().is_some_and(|(word, _)| base(word) == "etcd") => {
                    is_found = true;
                    of_container(draft, container, &words, file);
                }
                _ => draft.leave(&place(container), "a container that does not start etcd itself"),
            }
        }
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The words of a command and of its arguments, each with its line.
fn words(draft: &mut Draft, command: &Node, arguments: Option<&Node>, file: &str) -> Vec<(String, usize)> {
    let mut words = Vec::new();
    for node in command.items().iter().chain(arguments.map(Node::items).unwrap_or_default()) {
        match node.text() {
            Some(word) => words.push((word.to_owned(), node.line)),
            None => draft.leave(&Place { file: file.to_owned(), line: node.line }, "a word that is no text"),
        }
    }
    words
}

fn of_container(draft: &mut Draft, container: &Node, words: &[(String, usize)], file: &str) {
    let place = |node: &Node| Place { file: file.to_owned(), line: node.line };
    for (key, node) in container.entries() {
        match (key.as_str(), node.text()) {
            ("command" | "args" | "name", _) => {}
            ("image", Some(image)) => {
                version(draft, image.rsplit_once(':').map_or("", |(_, tag)| tag), &place(node))
            }
            (key, _) => {
                // etcd reads its variables, wherever they come from.
                if key.starts_with("env") {
                    draft.miss(&place(node));
                }
                draft.leave(
                    &place(node),
                    format!("{} of the container: Kiln's member is a unit", guard::key(key)),
                );
            }
        }
    }
    // The program's place in the image is no matter of the node's.
    let (mut command, mut flags) = (Command::default(), Given::default());
    command.read(draft, words.get(1..).unwrap_or_default(), false, file);
    let fixed = command.own(draft, &Vec::new());
    flags.0.extend(fixed.0);
    if let Some(at) = &command.config_file {
        flags.0.clear();
        draft.leave(
            at,
            "the flags are not read: beside --config-file, etcd reads neither flags nor variables",
        );
    }
    // kubeadm writes it into the manifests of members that it adds, and no others.
    let existing =
        flags.0.iter().find(|(key, value, _)| key == "initial-cluster-state" && value == "existing");
    if let Some((_, _, at)) = existing {
        let why = "kubeadm added this member to a cluster that ran, and the ID of a member that was added has the time in it";
        draft.unlike.push((at.clone(), why.to_owned()));
    }
    flags.last(draft).take(draft, "flags");
}

/// Of the tag of an image: `3.5.16-0`, `v3.5.16`.
fn version(draft: &mut Draft, tag: &str, place: &Place) {
    let version = tag.trim_start_matches('v').split('-').next().unwrap_or_default();
    match version.parse::<crate::etcd::Release>() {
        Ok(_) => draft.say(("[etcd]", "version"), version, place),
        Err(_) => draft.leave(place, "the tag of the image is no release of etcd's"),
    }
}

fn is_map(node: &Node) -> bool {
    matches!(node.kind, Kind::Map(_))
}

fn external(draft: &mut Draft, external: &Node, file: &str) {
    draft.running(&Place { file: file.to_owned(), line: external.line });
    draft.client("kube-apiserver");
    for (key, node) in external.entries() {
        let place = Place { file: file.to_owned(), line: node.line };
        match key.as_str() {
            "endpoints" if !node.items().is_empty() => {
                for node in node.items() {
                    endpoint(draft, node, &Place { line: node.line, ..place.clone() });
                }
            }
            "caFile" | "certFile" | "keyFile" => {
                draft.names_ca = true;
                let text = format!(
                    "etcd.external.{key}: kube-apiserver's place for a file that is in the bundle; put it there"
                );
                draft.leave(&place, text);
            }
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
    draft.running(&place(local));
    draft.names_ca = true;
    draft.kubeadms = Some(place(local));
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
            Some(key) => {
                let (value, place) = (value.to_owned(), place(node));
                options::take(draft, None, &key, &value, &place);
                draft.said.push(Said { member: None, key, value, place });
            }
            None => {
                let no_flag = || format!("--{} is not a flag of etcd's", guard::key(name));
                draft.leave(&place(node), options::not_written(name).unwrap_or_else(no_flag));
            }
        }
    }
    for (key, node) in local.entries() {
        if key == "imageTag" {
            version(draft, node.text().unwrap_or_default(), &place(node));
        } else if !["dataDir", "extraArgs"].contains(&key.as_str()) {
            draft.leave(&place(node), format!("etcd.local.{}", guard::key(key)));
        }
    }
}
