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

/// The name that the node's card gets. Before 22.2, cloud-init's renderers for eni and sysconfig name the device by this
/// instead of looking it up by the card's address, so the card has to have it.
const CARD: &str = "kiln0";

/// Version 2, matched by the card's address: interface names differ between distributions.
///
/// Of what version 2 knows, this takes only what every renderer of cloud-init 20.4 to 26 renders alike: a default route is
/// written as a network, because `default` is taken for an address (22.4 to 25.1, all renderers but netplan).
fn network_config(plan: &Plan, node: &Node) -> String {
    let mut card = json!({
        "match": { "macaddress": node.mac },
        "set-name": CARD,
        "dhcp4": false,
        "dhcp6": false,
        "addresses": [format!("{}/{}", node.address, plan.network.cidr.prefix_len())],
    });
    if let Value::Object(card) = &mut card {
        if node.address.is_ipv6() {
            // An address that a router advertises would be the source of what the member sends, and peers refuse a
            // certificate that does not name it.
            card.insert("accept-ra".into(), false.into());
        }
        if let Some(gateway) = plan.network.gateway {
            let everything = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            card.insert("routes".into(), json!([{ "to": everything, "via": gateway }]));
        }
    }
    yaml::document(&json!({ "version": 2, "ethernets": { CARD: card } }))
}
