//! A draft as a profile's text.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::draft::{Client, Draft, Member};
use super::founders::USUAL_TOKEN;
use crate::values::{printable, toml_string as quoted};

/// Keys of `[etcd]` and of the tables below it, in the order of the README.
const ETCD: [&str; 13] = [
    "version",
    "config-style",
    "unit",
    "user",
    "client-port",
    "peer-port",
    "metrics-port",
    "client-url",
    "peer-url",
    "initial-cluster",
    "config-dir",
    "data-dir",
    "wal-dir",
];
const SERVICE: [&str; 4] = ["restart", "restart-sec", "limit-nofile", "description"];
/// The tables of `[pki]` and their keys.
const PKI: [(&str, &[&str]); 7] = [
    ("[pki]", &["directory", "certificates", "leaf-lifetime"]),
    ("[pki.server]", &["cert", "key", "cert-mode", "key-mode", "names"]),
    ("[pki.peer]", &["cert", "key", "cert-mode", "key-mode", "common-name"]),
    ("[pki.client]", &["cert", "key", "cert-mode", "key-mode", "common-name"]),
    ("[pki.node]", &["cert", "key", "cert-mode", "key-mode", "names"]),
    ("[pki.ca]", &["file"]),
    ("[pki.peer-ca]", &["file"]),
];
/// Keys that take a number.
const NUMBERS: [&str; 5] = ["client-port", "peer-port", "metrics-port", "limit-nofile", "mtu"];
/// Keys that take a list, which the draft has with commas.
const LISTS: [&str; 4] = ["dns", "dns-search", "ntp", "names"];
const NOTES: &str = "
# Nodes of this profile have these options too, or with other values than the members that run (all: kiln plan):
";
const FORMED: &str =
    "# The cluster runs already: no node with an empty disk bootstraps it again.\nformed = true\n";
const UNLIKE: &str = "\
# This is not the cluster that runs, for reasons that the import listed: its members form a new one.
";
const UNKNOWN: &str = "\
# Whether this is the cluster that runs, no file says for certain (the import listed why). Without formed, its members
# form a new one. If all IDs of kiln plan are those of etcdctl member list, write formed = true.
";
const JOINED: &str = "\
# A file says initial-cluster-state: existing, as a member has that was added later. Before the first build, compare the
# member IDs of kiln plan with etcdctl member list. If one differs, etcd would not start on nodes of this profile.
";
const IMPORTED: &str = "\
# Members and clients trust a CA that exists. Import it before the first build, which is refused until then:
# kiln keystore init, and kiln keystore import-ca.
source = \"imported\"
";

const PEERS_IMPORTED: &str = "\
# The same for the CA that peers trust: kiln keystore import-ca --as peer-ca.
source = \"imported\"
";

impl Draft {
    /// The profile as TOML. `options` are lines of `[etcd.config]`.
    pub fn toml(&self, header: &str, options: &[String]) -> String {
        let mut text = String::new();
        for line in header.lines() {
            text.push_str(&format!("# {line}\n"));
        }
        self.cluster(&mut text);
        text.push_str("\n[network]\n");
        match self.value(("[network]", "cidr")) {
            Some(cidr) => text.push_str(&format!("cidr = {}\n", quoted(cidr))),
            None => {
                if let Some(cidr) = network(&self.addresses(|member| member.address)) {
                    let guess =
                        "# The smallest network with all addresses in it; correct it if it is larger.\n";
                    text.push_str(&format!("{guess}cidr = {}\n", quoted(&cidr.to_string())));
                }
            }
        }
        text.push_str(&self.keys_of("[network]", &["gateway", "dns", "dns-search", "ntp", "mtu"]));
        let peers = self.addresses(|member| member.peer);
        if let Some(cidr) = network(&peers) {
            let guess = "# The same for the addresses in peer URLs, which are in a network of their own.\n";
            text.push_str(&format!("\n[network.peer]\n{guess}cidr = {}\n", quoted(&cidr.to_string())));
        }
        self.machines(&mut text);
        text.push_str(&table(
            "[etcd]",
            self.keys_of("[etcd]", &ETCD) + &self.keys_of("[etcd]", &["bin-dir"]),
        ));
        text.push_str(&table("[etcd.service]", self.keys_of("[etcd.service]", &SERVICE)));
        for section in ["unit", "service", "install"] {
            let lines = self.lines.iter().filter(|((of, _), _)| *of == section);
            let lines = lines.map(|((_, key), (values, _))| format!("{key} = {}\n", one_or_list(values)));
            text.push_str(&table(&format!("[etcd.service.{section}]"), lines.collect()));
        }
        text.push_str(&table("[etcd.config]", options.iter().map(|line| format!("{line}\n")).collect()));
        if !self.notes.is_empty() {
            text.push_str(NOTES);
            self.notes.iter().for_each(|note| text.push_str(&format!("#   {}\n", printable(note))));
        }
        for (name, keys) in PKI {
            let keys = self.keys_of(name, keys);
            let source = match name {
                _ if !self.has_ca => "",
                "[pki.ca]" => IMPORTED,
                "[pki.peer-ca]" if !keys.is_empty() => PEERS_IMPORTED,
                _ => "",
            };
            text.push_str(&table(name, source.to_owned() + &keys));
        }
        text
    }

    /// The schema and `[cluster]`.
    fn cluster(&self, text: &mut String) {
        text.push_str("schema = 1\n\n[cluster]\n");
        if self.value(("[cluster]", "name")).is_none() {
            text.push_str("# No file says the cluster's name.\n");
        }
        text.push_str(&format!("name = {}\n", quoted(self.value(("[cluster]", "name")).unwrap_or("etcd"))));
        text.push_str(&self.keys_of("[cluster]", &["domain", "token"]));
        // kubeadm's external etcd may have any token, and only its members' own files say which.
        if self.runs && self.value(("[cluster]", "token")).is_none() {
            text.push_str(&format!(
                "# No file says the token; this is etcd's default.\ntoken = {}\n",
                quoted(USUAL_TOKEN)
            ));
        }
        if self.runs {
            text.push_str(match (self.is_unlike, self.is_unknown) {
                (true, _) => UNLIKE,
                (false, true) => UNKNOWN,
                (false, false) => FORMED,
            });
            if !self.joined.is_empty() {
                text.push_str(JOINED);
            }
        }
    }

    /// `[[host]]`, `[[node]]` and `[[client]]`.
    fn machines(&self, text: &mut String) {
        let mut hosts: Vec<&str> = Vec::new();
        for (_, host, _) in &self.on {
            if !hosts.contains(&host.as_str()) {
                hosts.push(host);
                text.push_str(&format!("\n[[host]]\nname = {}\n", quoted(host)));
            }
        }
        for member in &self.members {
            text.push_str(&format!("\n[[node]]\nname = {}\n", quoted(&member.name)));
            match member.address {
                Some(address) => text.push_str(&format!("address = {}\n", quoted(&address.to_string()))),
                None => text.push_str("# address = \"\"  # no file says it\n"),
            }
            if let Some(address) = member.peer {
                text.push_str(&format!("peer-address = {}\n", quoted(&address.to_string())));
            }
            if let Some((_, host, _)) = self.on.iter().find(|(node, _, _)| *node == member.name) {
                text.push_str(&format!("host = {}\n", quoted(host)));
            }
        }
        for Client { name, cert, key, nodes, .. } in &self.clients {
            text.push_str(&format!("\n[[client]]\nname = {}\n", quoted(name)));
            for (of, value) in [("cert", cert), ("key", key)] {
                if let Some(value) = value {
                    text.push_str(&format!("{of} = {}\n", quoted(value)));
                }
            }
            if self.members.iter().all(|member| nodes.contains(&member.name)) {
                text.push_str("nodes = true\n");
            } else if !nodes.is_empty() {
                text.push_str(&format!("nodes = {}\n", list(nodes.iter().map(String::as_str))));
            }
        }
    }

    fn keys_of(&self, table: &'static str, keys: &[&'static str]) -> String {
        let line = |key: &&'static str| {
            let value = self.value((table, key))?;
            let value = match key {
                key if NUMBERS.contains(key) => value.to_owned(),
                key if LISTS.contains(key) => list(value.split(',').map(str::trim)),
                _ => quoted(value),
            };
            Some(format!("{key} = {value}\n"))
        };
        keys.iter().filter_map(line).collect()
    }

    fn addresses(&self, of: impl Fn(&Member) -> Option<IpAddr>) -> Vec<IpAddr> {
        self.members.iter().filter_map(of).collect()
    }
}

/// The smallest network with all addresses: /24 or larger, for IPv6 /64. No network that people have is larger than /8,
/// or /16: addresses that are farther apart are in several.
pub fn network(addresses: &[IpAddr]) -> Option<IpNet> {
    let first = *addresses.first()?;
    let (shortest, longest) = if first.is_ipv4() { (8, 24) } else { (16, 64) };
    (shortest..=longest).rev().find_map(|prefix| {
        let network = match first {
            IpAddr::V4(first) => IpNet::V4(Ipv4Net::new(first, prefix).ok()?.trunc()),
            IpAddr::V6(first) => IpNet::V6(Ipv6Net::new(first, prefix).ok()?.trunc()),
        };
        addresses.iter().all(|address| network.contains(address)).then_some(network)
    })
}

fn table(header: &str, lines: String) -> String {
    if lines.is_empty() { String::new() } else { format!("\n{header}\n{lines}") }
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", items.map(quoted).collect::<Vec<_>>().join(", "))
}

fn one_or_list(values: &[String]) -> String {
    match values {
        [value] => quoted(value),
        values => list(values.iter().map(String::as_str)),
    }
}

/// Whether a value can be written as the number that its key takes.
pub fn is_number(value: &str) -> bool {
    !value.is_empty()
        && value.len() < 16
        && value.bytes().all(|byte| byte.is_ascii_digit())
        && !has_zero(value)
}

/// TOML has no numbers with zeros in front.
fn has_zero(value: &str) -> bool {
    value.len() > 1 && value.starts_with('0')
}
