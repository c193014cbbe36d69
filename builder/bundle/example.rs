//! A manifest for tests, as a build writes it.

use serde_json::{Value, json};

use super::manifest::Manifest;

pub fn manifest() -> Manifest {
    Manifest::from_json(json().to_string().as_bytes()).unwrap()
}

/// Two nodes, `a` and `b`, carrier tar.
pub fn json() -> Value {
    let digest = "7f".repeat(32);
    let file = |mode: &str| json!({ "size": 1, "mode": mode, "sha256": digest });
    let program =
        |name: &str| json!({ "path": format!("usr/local/bin/{name}"), "size": 1, "sha256": digest });
    let node = |name: &str, last: u8| {
        json!({
            "name": name, "address": format!("10.0.0.{last}"), "mac": format!("52:54:00:00:00:{last}"),
            "member_id": format!("a{last}"), "peer_urls": [format!("https://10.0.0.{last}:2380")],
            "client_urls": [format!("https://10.0.0.{last}:2379")], "files": ["overlay.tar.gz"],
        })
    };
    let certificate = |file: &str, node: Option<&str>| {
        let mut value = json!({
            "file": file, "subject": "CN=x", "sans": ["DNS:x", "IP:10.0.0.11"], "serial": "40", "not_before": 1,
            "not_after": 2,
        });
        if let Some(node) = node {
            value["node"] = json!(node);
        }
        value
    };
    json!({
        "schema": 1, "builder": "kiln 0.1.0", "epoch": 1_767_225_600,
        "cluster": { "name": "ha3", "token": "ha3-01234567", "id": "c1", "formed": false },
        "etcd": {
            "version": "3.5.16", "arch": "amd64",
            "binaries": { "etcd": program("etcd"), "etcdctl": program("etcdctl"), "etcdutl": program("etcdutl") },
            "peers_by_name": true,
            "sources": [{ "file": "etcd.tar.gz", "sha256": digest, "trust": "catalogue" }],
        },
        "kiln_node": {
            "version": "0.1.0", "path": "usr/local/bin/kiln-node", "size": 1, "sha256": digest,
        },
        "network": { "cidr": "10.0.0.0/24", "gateway": "10.0.0.1" },
        "machine": { "memory_mib": 1024, "vcpus": 2, "data_disk_mib": 8192, "base": "live" },
        "nodes": [node("a", 11), node("b", 12)],
        "carriers": ["tar"],
        "binaries": "embedded",
        "certificates": [
            certificate("client/ca.pem", None), certificate("etc/etcd/pki/etcd.pem", Some("a")),
            certificate("etc/etcd/pki/etcd.pem", Some("b")), certificate("client/etcdctl.pem", None),
        ],
        "files": {
            "client/ca.pem": file("0644"), "client/etcdctl-key.pem": file("0600"), "client/etcdctl.env": file("0644"),
            "client/etcdctl.pem": file("0644"), "network.xml": file("0644"), "nodes/a/overlay.tar.gz": file("0600"),
            "nodes/b/overlay.tar.gz": file("0600"),
        },
    })
}
