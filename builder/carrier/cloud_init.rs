//! `cloud-init`: its NoCloud data source, a disk with user-data, meta-data and network-config.

use serde_json::{Map, Value, json};

use super::row::{NodeParts, Row, Texts};
use super::scripts::Scripts;
use super::seed;
use crate::failure::Result;
use crate::plan::{Node, Plan};
use crate::values::{At, Bond, BondCard, By, Card, CarrierFacts, CarrierFile, Digest, Mode, Route, Start};
use crate::yaml;

const USER_DATA: &str = "user-data";
const META_DATA: &str = "meta-data";
const NETWORK_CONFIG: &str = "network-config";

const FACTS: CarrierFacts = CarrierFacts {
    name: "cloud-init",
    about: "a disk that cloud-init reads",
    start: Start::Disk { base: "cloud", firmware: None },
    makes_accounts: true,
    sets_up_host: true,
    has_read_only_usr: false,
    files: &[
        CarrierFile::new(At::Node, &[USER_DATA], Mode::FILE),
        CarrierFile::new(At::Node, &[META_DATA], Mode::FILE),
        CarrierFile::new(At::Node, &[NETWORK_CONFIG], Mode::FILE),
        seed::SEED,
        seed::LAYER,
    ],
};

pub const ROW: Row = Row::new(&FACTS).seed(no_cloud).layer(&seed::PROGRAMS);

/// A node's three files. The script that unpacks the seed contains the digest of its payload, so a changed payload
/// changes the script.
fn no_cloud(parts: &NodeParts<'_>, scripts: &Scripts) -> Result<Texts> {
    let (plan, node) = (parts.plan, parts.node);
    let user_data = user_data(plan, node, &scripts.script);
    let network_config = network_config(plan, node);
    // cloud-init runs again only for a new instance-id: it is derived from all files that the node gets.
    let payload = Digest::of(format!("{user_data}\0{network_config}").as_bytes()).to_string();
    let meta_data = yaml::document(&json!({
        "instance-id": format!("{}-{}-{}", plan.cluster.name, node.name, &payload[..16]),
        "local-hostname": node.name,
    }));
    let named = [(USER_DATA, user_data), (META_DATA, meta_data), (NETWORK_CONFIG, network_config)];
    Ok(Texts { named: named.map(|(name, text)| (name, text.into_bytes())).to_vec(), on_disk: true })
}

fn user_data(plan: &Plan, node: &Node, script: &str) -> String {
    let mut document = json!({
        "hostname": node.name,
        "fqdn": node.fqdn,
        "prefer_fqdn_over_hostname": false,
        "runcmd": [["/bin/sh", "-c", script]],
    });
    if let (Some(login), Value::Object(document)) = (&plan.machine.login, &mut document) {
        // Without "default" in the list the image's own user is not created.
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

/// Version 2. A card is matched by MAC address: interface names differ between distributions. Before 22.2, cloud-init's
/// renderers for eni and sysconfig name the device by its key instead of looking it up by MAC address, so the card is
/// renamed to that. One that the profile names has its name as the key, which all renderers take for the device.
///
/// This uses only the parts of version 2 that every renderer of cloud-init 20.4 to 26 renders alike: a default route
/// is written as a network, because `default` is parsed as an address (22.4 to 25.1, all renderers but netplan).
fn network_config(plan: &Plan, node: &Node) -> String {
    let mut all = Devices::default();
    for (at, card) in node.cards.iter().enumerate() {
        let mut described = layer3(card);
        let network = &plan.network;
        if at == 0 && (!network.dns.is_empty() || !network.dns_search.is_empty()) {
            described["nameservers"] = json!({ "addresses": network.dns, "search": network.dns_search });
        }
        let name = card.interface(at);
        if let Some(tagged) = card.vlan_name(at) {
            described["id"] = card.vlan.into();
            described["link"] = name.clone().into();
            all.vlans.insert(tagged, described);
            if card.shared {
                continue;
            }
            described = untagged(&node.cards, at);
        }
        all.add(name, card, described);
    }
    yaml::document(&all.document())
}

/// The devices of a node by kind, each with its key.
#[derive(Default)]
struct Devices {
    ethernets: Map<String, Value>,
    bonds: Map<String, Value>,
    vlans: Map<String, Value>,
}

impl Devices {
    /// A card of this name, with its addresses.
    fn add(&mut self, name: String, card: &Card, described: Value) {
        let with = |mut first: Value| {
            for (key, value) in described.as_object().into_iter().flatten() {
                first[key] = value.clone();
            }
            first
        };
        match &card.by {
            By::Mac => {
                let first = json!({ "match": { "macaddress": card.mac }, "set-name": name });
                self.ethernets.insert(name, with(first));
            }
            By::Name(_) => _ = self.ethernets.insert(name, described),
            By::Bond(bond) => {
                let cards: Vec<_> =
                    (0..).zip(&bond.cards).map(|(at, card)| self.bonded(&name, at, card)).collect();
                let first = json!({ "interfaces": cards, "parameters": parameters(bond) });
                self.bonds.insert(name, with(first));
            }
        }
    }

    /// A card of a bond; returns its name: `kiln0a`, or its own.
    fn bonded(&mut self, bond: &str, at: u8, card: &BondCard) -> String {
        let plain = json!({ "dhcp4": false, "dhcp6": false });
        match card {
            BondCard::Name(name) => {
                self.ethernets.insert(name.to_string(), plain);
                name.to_string()
            }
            BondCard::Mac(mac) => {
                let name = format!("{bond}{}", char::from(b'a' + at));
                let matched = json!({
                    "match": { "macaddress": mac }, "set-name": name, "dhcp4": false, "dhcp6": false,
                });
                self.ethernets.insert(name.clone(), matched);
                name
            }
        }
    }

    fn document(self) -> Value {
        let mut document = json!({ "version": 2, "ethernets": self.ethernets });
        for (kind, devices) in [("bonds", self.bonds), ("vlans", self.vlans)] {
            if !devices.is_empty() {
                document[kind] = devices.into();
            }
        }
        document
    }
}

fn parameters(bond: &Bond) -> Value {
    let mut parameters = json!({ "mode": bond.mode, "mii-monitor-interval": Bond::MONITOR_MS });
    if let Some(rate) = bond.lacp_rate {
        parameters["lacp-rate"] = json!(rate);
    }
    if let Some(policy) = bond.hash_policy {
        parameters["transmit-hash-policy"] = json!(policy);
    }
    parameters
}

/// The card at this place, which carries VLANs and has no address itself.
fn untagged(cards: &[Card], at: usize) -> Value {
    let mut ethernet = json!({ "dhcp4": false, "dhcp6": false });
    if cards[at].has_ipv6() {
        ethernet["accept-ra"] = false.into();
    }
    if let Some(mtu) = Card::carried(cards, at).and_then(|carried| carried.mtu) {
        ethernet["mtu"] = mtu.into();
    }
    ethernet
}

/// A default route of IPv6 is written as its two halves: up to 22.4, some of cloud-init's renderers (eni, networkd,
/// NetworkManager, sysconfig) make `::/64` of `::/0`; `gateway6`, which they render, is to go with 27.4.
fn routes(route: &Route) -> Vec<Value> {
    let is_default_of_ipv6 = route.to.prefix_len() == 0 && route.via.is_ipv6();
    let to =
        if is_default_of_ipv6 { vec!["::/1".into(), "8000::/1".into()] } else { vec![route.to.to_string()] };
    let written = |to: String| {
        let mut value = json!({ "to": to, "via": route.via });
        if route.on_link {
            value["on-link"] = true.into();
        }
        value
    };
    to.into_iter().map(written).collect()
}

/// The addresses and routes of a card, or of the VLAN on it.
fn layer3(card: &Card) -> Value {
    let mut ethernet = json!({
        "dhcp4": card.asks(true),
        "dhcp6": card.asks(false),
        "addresses": card.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    if card.has_ipv6() && !card.asks(false) {
        // The member would use an address that a router advertises as its source address, and peers refuse a
        // certificate that does not name it. DHCPv6 begins with an advertisement; then no peer is on this card.
        ethernet["accept-ra"] = false.into();
    }
    if !card.routes.is_empty() {
        ethernet["routes"] = card.routes.iter().flat_map(routes).collect();
    }
    if let Some(mtu) = card.mtu {
        ethernet["mtu"] = mtu.into();
    }
    ethernet
}
