//! cloud-init's NoCloud data source: user-data, meta-data and network-config.

use serde_json::{Value, json};

use crate::plan::{Node, Plan};
use crate::values::Digest;
use crate::yaml;

/// The label by which cloud-init finds its seed (cloud-init, DataSourceNoCloud).
pub const SEED_LABEL: &str = "CIDATA";

/// A node's three files.
pub struct NoCloud {
    pub user_data: String,
    pub meta_data: String,
    pub network_config: String,
}

/// `script` unpacks the seed; it names the digest of what it unpacks, so a changed payload changes the text.
pub fn no_cloud(plan: &Plan, node: &Node, script: &str) -> NoCloud {
    let user_data = user_data(plan, node, script);
    let network_config = network_config(plan, node);
    // cloud-init acts again only on a new instance-id: it follows from everything that the node is given.
    let payload = Digest::of(format!("{user_data}\0{network_config}").as_bytes()).to_string();
    let meta_data = yaml::document(&json!({
        "instance-id": format!("{}-{}-{}", plan.cluster.name, node.name, &payload[..16]),
        "local-hostname": node.name,
    }));
    NoCloud { user_data, meta_data, network_config }
}

fn user_data(plan: &Plan, node: &Node, script: &str) -> String {
    let mut document = json!({
        "hostname": node.name,
        "fqdn": node.fqdn,
        "prefer_fqdn_over_hostname": false,
        "runcmd": [["/bin/sh", "-c", script]],
    });
    if let (Some(login), Value::Object(document)) = (&plan.machine.login, &mut document) {
        // Without "default" in the list the image's own user is not made.
        let user = json!({
            "name": login.user,
            "lock_passwd": true,
            "shell": "/bin/bash",
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "ssh_authorized_keys": login.keys,
        });
        document.insert("users".into(), json!([user]));
    }
    format!("#cloud-config\n{}", yaml::document(&document))
}

/// Version 2, matched by the card's address: interface names differ between distributions.
fn network_config(plan: &Plan, node: &Node) -> String {
    let mut card = json!({
        "match": { "macaddress": node.mac },
        "dhcp4": false,
        "dhcp6": false,
        "addresses": [format!("{}/{}", node.address, plan.network.cidr.prefix_len())],
    });
    if let (Some(gateway), Value::Object(card)) = (plan.network.gateway, &mut card) {
        card.insert("routes".into(), json!([{ "to": "default", "via": gateway }]));
    }
    yaml::document(&json!({ "version": 2, "ethernets": { "kiln0": card } }))
}
