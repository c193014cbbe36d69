//! What was understood of the files, and the profile that it gives.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Where something was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub file: String,
    /// From 1.
    pub line: usize,
}

/// Something that the profile does not say, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    pub place: Place,
    pub text: String,
}

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    pub address: Option<IpAddr>,
    pub place: Place,
}

/// A key of a profile that has one value in all files, as `[table] key`.
type Path = (&'static str, &'static str);

/// A profile in the making.
#[derive(Default)]
pub struct Draft {
    pub keys: BTreeMap<Path, (String, Place)>,
    pub members: Vec<Member>,
    pub clients: Vec<String>,
    /// Hosts that a list names, each with the full name: members, if no other file names any.
    pub listed: Vec<(String, IpAddr, Place)>,
    /// Addresses by any name of a host.
    pub names: BTreeMap<String, IpAddr>,
    /// Names that members' URLs have instead of addresses: member, host.
    pub hosts: Vec<(String, String)>,
    /// Addresses of clients' URLs whose members no line names.
    pub endpoints: Vec<(IpAddr, Place)>,
    /// `[etcd.config]`, as texts.
    pub options: BTreeMap<String, (String, Place)>,
    /// A file of a running member was read.
    pub runs: bool,
    pub left: Vec<Left>,
}

impl Draft {
    /// Says a key. A second file that says something else is reported.
    pub fn say(&mut self, path: Path, value: &str, place: &Place) {
        if value.is_empty() {
            return;
        }
        match self.keys.get(&path) {
            Some((there, _)) if there == value => {}
            Some((there, first)) => {
                let text = format!(
                    "{} {} is {value:?} here, and {there:?} in {}:{}, which is used",
                    path.0, path.1, first.file, first.line
                );
                self.leave(place, text);
            }
            None => {
                self.keys.insert(path, (value.to_owned(), place.clone()));
            }
        }
    }

    pub fn option(&mut self, key: &str, value: &str, place: &Place) {
        match self.options.get(key) {
            Some((there, _)) if there == value => {}
            Some((there, first)) => {
                let text = format!(
                    "{key} is {value:?} here, and {there:?} in {}:{}, which is used",
                    first.file, first.line
                );
                self.leave(place, text);
            }
            None => {
                self.options.insert(key.to_owned(), (value.to_owned(), place.clone()));
            }
        }
    }

    /// Adds a member, or the address of one that is known by name. A fully qualified name says the domain, too.
    pub fn member(&mut self, name: &str, address: Option<IpAddr>, place: &Place) {
        let (short, domain) = name.split_once('.').map_or((name, ""), |(short, domain)| (short, domain));
        // An address as a name is none.
        let (short, domain) = if name.parse::<IpAddr>().is_ok() { (name, "") } else { (short, domain) };
        self.say(("[cluster]", "domain"), domain, place);
        let known = self.members.iter_mut().find(|member| member.name == short);
        let Some(member) = known else {
            self.members.push(Member { name: short.to_owned(), address, place: place.clone() });
            return;
        };
        match (member.address, address) {
            (None, Some(_)) => member.address = address,
            (Some(there), Some(here)) if there != here => {
                let text = format!(
                    "{short} has the address {here} here, and {there} in {}:{}, which is used",
                    member.place.file, member.place.line
                );
                self.leave(place, text);
            }
            _ => {}
        }
    }

    /// When all files are read: addresses by name, and lists of hosts.
    pub fn resolve(&mut self) {
        if self.members.is_empty() {
            for (name, address, place) in std::mem::take(&mut self.listed) {
                self.member(&name, Some(address), &place);
            }
        }
        for member in self.members.iter_mut().filter(|member| member.address.is_none()) {
            let hosts = self.hosts.iter().filter(|(name, _)| *name == member.name).map(|(_, host)| host);
            let mut names = hosts.chain([&member.name]);
            member.address = names.find_map(|name| self.names.get(name).copied());
        }
        for (address, place) in std::mem::take(&mut self.endpoints) {
            if self.members.iter().all(|member| member.address != Some(address)) {
                self.leave(
                    &place,
                    format!("no file says the name of the member at {address}; add the file of a member"),
                );
            }
        }
    }

    pub fn client(&mut self, name: &str) {
        if !self.clients.iter().any(|there| there == name) {
            self.clients.push(name.to_owned());
        }
    }

    pub fn leave(&mut self, place: &Place, text: impl Into<String>) {
        let left = Left { place: place.clone(), text: text.into() };
        if !self.left.contains(&left) {
            self.left.push(left);
        }
    }

    fn value(&self, path: Path) -> Option<&str> {
        self.keys.get(&path).map(|(value, _)| value.as_str())
    }

    /// The profile as TOML. `options` are lines of `[etcd.config]`.
    pub fn toml(&self, header: &str, options: &[String]) -> String {
        let mut text = String::new();
        for line in header.lines() {
            text.push_str(&format!("# {line}\n"));
        }
        text.push_str("schema = 1\n\n[cluster]\n");
        text.push_str(&format!("name = {}\n", quoted(self.value(("[cluster]", "name")).unwrap_or("etcd"))));
        text.push_str(&self.lines("[cluster]", &["domain", "token"]));
        // kubeadm's external etcd may have any token, and only its members' own files say which.
        if self.runs && self.value(("[cluster]", "token")).is_none() {
            text.push_str("# No file says the token; this is etcd's default.\ntoken = \"etcd-cluster\"\n");
        }
        if self.runs {
            text.push_str(
                "# The cluster runs already: no node with an empty disk bootstraps it again. Its CA has to be imported\n\
                 # before the first build: kiln keystore import-ca. Until then a build is refused.\nformed = true\n\
                 adopted = true\n",
            );
        }
        text.push_str("\n[network]\n");
        match self.value(("[network]", "cidr")) {
            Some(cidr) => text.push_str(&format!("cidr = {}\n", quoted(cidr))),
            None => {
                if let Some(cidr) = self.network() {
                    let guess =
                        "# The smallest network with all addresses in it; correct it if it is larger.\n";
                    text.push_str(&format!("{guess}cidr = {}\n", quoted(&cidr.to_string())));
                }
            }
        }
        text.push_str(&self.lines("[network]", &["gateway"]));
        for member in &self.members {
            text.push_str(&format!("\n[[node]]\nname = {}\n", quoted(&member.name)));
            match member.address {
                Some(address) => text.push_str(&format!("address = {}\n", quoted(&address.to_string()))),
                None => text.push_str("# address = \"\"  # no file says it\n"),
            }
        }
        for client in &self.clients {
            text.push_str(&format!("\n[[client]]\nname = {}\n", quoted(client)));
        }
        text.push_str(&table(
            "[etcd]",
            self.lines("[etcd]", &["version", "arch", "config-style", "data-dir", "bin-dir"]),
        ));
        text.push_str(&table("[etcd.config]", options.iter().map(|line| format!("{line}\n")).collect()));
        text.push_str(&table("[pki]", self.lines("[pki]", &["directory", "certificates"])));
        text
    }

    fn lines(&self, table: &'static str, keys: &[&'static str]) -> String {
        let line =
            |key: &&'static str| self.value((table, key)).map(|value| format!("{key} = {}\n", quoted(value)));
        keys.iter().filter_map(line).collect()
    }

    /// The smallest network with all addresses: /24 or larger, for IPv6 /64.
    fn network(&self) -> Option<IpNet> {
        let addresses: Vec<IpAddr> = self.members.iter().filter_map(|member| member.address).collect();
        let first = *addresses.first()?;
        let longest = if first.is_ipv4() { 24 } else { 64 };
        (0..=longest).rev().find_map(|prefix| {
            let network = match first {
                IpAddr::V4(first) => IpNet::V4(Ipv4Net::new(first, prefix).ok()?.trunc()),
                IpAddr::V6(first) => IpNet::V6(Ipv6Net::new(first, prefix).ok()?.trunc()),
            };
            addresses.iter().all(|address| network.contains(address)).then_some(network)
        })
    }
}

fn table(header: &str, lines: String) -> String {
    if lines.is_empty() { String::new() } else { format!("\n{header}\n{lines}") }
}

/// A TOML string: JSON's escapes are TOML's, too, and DEL has to be escaped.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
