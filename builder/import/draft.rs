//! What was understood of the files, and the profile that it gives.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::guard;
use crate::values::{Domain, Invalid, steers};

/// The most members, clients, lines of units and names of units of one import: etcd's clusters have up to nine members.
pub const MAX_ENTRIES: usize = 300;

/// The most variables of ansible's, and of one environment file; kubespray's own inventory has some hundreds.
pub const MAX_VARIABLES: usize = 2000;

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: String,
    /// From 1.
    pub line: usize,
}

/// Something that the profile does not say, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    pub place: Place,
    pub text: String,
}

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    /// Of its full name, where a file says one.
    pub domain: String,
    pub address: Option<IpAddr>,
    /// Of the address, if a file says one.
    pub place: Place,
    /// Its address for peers, where these have a network of their own.
    pub peer: Option<IpAddr>,
}

/// Whom an address of a member is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Clients,
    Peers,
}

/// An address in a URL of a member's.
#[derive(Clone, Debug)]
pub struct Reach {
    pub member: String,
    pub side: Side,
    pub address: IpAddr,
    pub place: Place,
}

/// A key of a profile that has one value in all files, as `[table] key`.
pub type Path = (&'static str, &'static str);

/// A client certificate, and the names of its files where a file says them.
#[derive(Clone, Debug, Default)]
pub struct Client {
    pub name: String,
    pub cert: Option<String>,
    pub key: Option<String>,
    /// The nodes that have its files, and where.
    pub nodes: Vec<String>,
    pub directory: Option<(String, Place)>,
    /// Where a manifest has its files.
    pub place: Option<Place>,
}

/// The host of a URL that a member is reached by.
#[derive(Clone, Debug)]
pub struct Url {
    /// `client-url`, `peer-url` or `initial-cluster`.
    pub key: &'static str,
    pub member: String,
    /// `None` for an address.
    pub name: Option<String>,
    pub place: Place,
}

/// Further lines of etcd's unit, by section and setting.
pub type Lines = BTreeMap<(&'static str, String), (Vec<String>, Place)>;

/// Which of several places a member takes an option from; made before any file is read into the profile.
#[derive(Default)]
pub struct Strength {
    /// A place that says an option -> what is stronger, and why.
    pub over: BTreeMap<(Place, String), String>,
    /// Flags of units, filled in from a file of variables: by that file.
    pub flags: BTreeMap<String, Vec<(String, String, Place)>>,
    /// Variables that these are filled in from.
    pub used: BTreeSet<String>,
}

impl Strength {
    pub fn is_used(&self, variable: &str) -> bool {
        self.used.contains(variable)
    }
}

/// An option as a member that runs has it.
pub struct Said {
    /// The member, if the file says which.
    pub member: Option<String>,
    pub key: String,
    pub value: String,
    pub place: Place,
}

/// An `initial-cluster`.
pub struct Founders {
    /// Each member with its host.
    pub hosts: BTreeMap<String, String>,
    pub urls: BTreeSet<String>,
    /// The member whose file it is, if the file says it.
    pub by: Option<String>,
    pub place: Place,
}

/// A profile in the making.
#[derive(Default)]
pub struct Draft {
    pub keys: BTreeMap<Path, (String, Place)>,
    pub members: Vec<Member>,
    pub clients: Vec<Client>,
    /// Hosts that a list names, each with the full name: members, if no other file names any.
    pub listed: Vec<(String, IpAddr, Place)>,
    /// Addresses by any name of a host.
    pub names: BTreeMap<String, IpAddr>,
    /// Names that members' URLs have instead of addresses: member, host.
    pub hosts: Vec<(String, String)>,
    /// Addresses of clients' URLs whose members no line names.
    pub endpoints: Vec<(IpAddr, Place)>,
    pub urls: Vec<Url>,
    /// The nodes' hosts: node, host.
    pub on: Vec<(String, String, Place)>,
    /// Names of units without `.service`, each with the member that it is of, if a file says one.
    pub units: Vec<(Option<String>, String, Place)>,
    pub lines: Lines,
    /// Of an operator's etcdctl: `cert` or `key`, and the path.
    pub operator: Vec<(&'static str, String, Place)>,
    /// ansible's, of groups and of all hosts.
    pub variables: Vec<(String, String, Place)>,
    /// `[etcd.config]`, as texts.
    pub options: BTreeMap<String, (String, Place)>,
    /// A file of a running member was read.
    pub runs: bool,
    /// The first place in files of a running cluster.
    pub about: Option<Place>,
    /// The first such file that has a member's options.
    pub runs_at: Option<Place>,
    /// The CA exists: a running member trusts it, or a manifest copies it.
    pub has_ca: bool,
    pub left: BTreeSet<Left>,
    pub strength: Strength,
    pub reach: Vec<Reach>,
    /// Addresses that were not used: the member, and what was told of it.
    pub spare: Vec<(String, IpAddr, Left)>,
    pub said: Vec<Said>,
    /// What the members of the profile have, and those that run have not.
    pub notes: Vec<String>,
    /// Why the files are not those of one cluster, or of one that a profile can be made of.
    pub unsuitable: Option<String>,
    /// Values of options that have their member's name in them: option, member.
    pub own: Vec<(String, String, Place)>,
    /// Addresses of listeners for metrics: the member, if the file says it.
    pub metrics: Vec<(Option<String>, IpAddr, Place)>,
    /// Names that an inventory gives its hosts as members: host, member.
    pub named: Vec<(String, String, Place)>,
    /// Values of initial-cluster.
    pub founders: Vec<Founders>,
    /// Where a member's initial-cluster-state is `existing`: the member, if the file says it.
    pub joined: Vec<(Option<String>, Place)>,
    /// Options that a shell or ansible fills in.
    pub templates: Vec<(String, Place)>,
    /// Where something stands that was not read, and that may say who the first members are, or their token.
    pub unread: Option<Place>,
    /// Where kubeadm's configuration has a member on each of its nodes.
    pub kubeadms: Option<Place>,
    /// A member that runs, or kubeadm's configuration, names the files of a CA, or has URLs with TLS.
    pub names_ca: bool,
    pub is_unlike: bool,
    /// Whether it is the cluster that runs, no file says.
    pub is_unknown: bool,
    /// Why the profile is not the cluster that runs.
    pub unlike: Vec<(Place, String)>,
    /// What the files have too much of to be those of a cluster.
    pub too_many: Option<&'static str>,
}

impl Draft {
    /// Something here was not read that may say who the first members are, or their token.
    pub fn miss(&mut self, place: &Place) {
        self.unread.get_or_insert_with(|| place.clone());
    }

    /// Says a key. A second file that says something else is reported.
    pub fn say(&mut self, path: Path, value: &str, place: &Place) {
        if value.is_empty() {
            return;
        }
        // Nothing else follows from a domain that a profile cannot say.
        let domain = (path == ("[cluster]", "domain")).then(|| value.parse::<Domain>().err()).flatten();
        let why = match guard::secret(value) {
            Some(what) => Some(format!("{} {} is {what}, which is not read", path.0, path.1)),
            None if value.contains(steers) => Some(format!("{} {} has a control character", path.0, path.1)),
            None if path == ("[cluster]", "name") && !guard::is_name(value) => {
                Some(format!("{} {} is not a name of letters, digits and -", path.0, path.1))
            }
            None => domain.map(|Invalid(why)| format!("[cluster] domain cannot be this value: {why}")),
        };
        if let Some(why) = why {
            return self.leave(place, why);
        }
        match self.keys.get(&path) {
            Some((there, _)) if there == value => {}
            // Neither value is shown: a token is a secret.
            Some((_, first)) => {
                let text = format!(
                    "{} {} differs from {}:{}, which was read first",
                    path.0, path.1, first.file, first.line
                );
                self.leave(place, text);
            }
            None => {
                self.keys.insert(path, (value.to_owned(), place.clone()));
            }
        }
    }

    /// A file of a running cluster was read.
    pub fn running(&mut self, place: &Place) {
        self.runs = true;
        self.about.get_or_insert_with(|| place.clone());
    }

    pub fn option(&mut self, key: &str, value: &str, place: &Place) {
        match self.options.get(key) {
            Some((there, _)) if there == value => {}
            Some((_, first)) => {
                let text = format!("{key} differs from {}:{}, which was read first", first.file, first.line);
                self.leave(place, text);
            }
            None => {
                self.options.insert(key.to_owned(), (value.to_owned(), place.clone()));
            }
        }
    }

    /// Adds a member, or the address of one that is known by name. A fully qualified name says the domain, too.
    /// Returns its name without the domain; `None` for what cannot be the name of a host, and may be a secret.
    pub fn member(&mut self, name: &str, address: Option<IpAddr>, place: &Place) -> Option<String> {
        if !guard::is_name(name) {
            self.leave(place, "a member whose name is not that of a host is not read");
            return None;
        }
        let (short, domain) = guard::short(name);
        self.say(("[cluster]", "domain"), domain, place);
        let known = self.members.iter_mut().find(|member| member.name == short);
        let Some(member) = known else {
            if self.members.len() >= MAX_ENTRIES {
                self.too_many = Some("members");
                return None;
            }
            let (name, domain) = (short.to_owned(), domain.to_owned());
            self.members.push(Member { name, domain, address, place: place.clone(), peer: None });
            return Some(short.to_owned());
        };
        if member.domain.is_empty() {
            domain.clone_into(&mut member.domain);
        } else if !domain.is_empty() && member.domain != domain {
            let other = format!("{short}.{}", member.domain);
            self.unsuitable.get_or_insert_with(|| {
                format!(
                    "{other} and {name} are both {short} without their domains, and a node's name has none; give each \
                     host a first part of its own in the files that are imported"
                )
            });
            return None;
        }
        match (member.address, address) {
            (None, Some(_)) => (member.address, member.place) = (address, place.clone()),
            (Some(there), Some(here)) if there != here => {
                let text = format!(
                    "{short} has the address {here} here, and {there} in {}:{}, which is used",
                    member.place.file, member.place.line
                );
                self.leave(place, text.clone());
                self.spare.push((short.to_owned(), here, Left { place: place.clone(), text }));
            }
            _ => {}
        }
        Some(short.to_owned())
    }

    /// Adds a member with an address of its URLs. Another one than that for the other side is told of when all files
    /// are read: these may be two networks.
    pub fn member_at(
        &mut self,
        name: &str,
        side: Side,
        address: Option<IpAddr>,
        place: &Place,
    ) -> Option<String> {
        let member = self.member(name, None, place)?;
        let Some(address) = address else { return Some(member) };
        let is_other =
            |reach: &Reach| reach.member == member && reach.side != side && reach.address != address;
        if !self.reach.iter().any(is_other) {
            self.member(name, Some(address), place);
        }
        self.reach.push(Reach { member: member.clone(), side, address, place: place.clone() });
        Some(member)
    }

    /// Reports that a running member's own name has a domain, which a node's has not.
    pub fn short(&mut self, name: &str, place: &Place) {
        let (short, domain) = guard::short(name);
        if !domain.is_empty() && guard::is_name(name) {
            let text =
                format!("the member's name is {name}; Kiln's would be {short}, which etcd takes for another");
            self.leave(place, text);
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

    pub fn client(&mut self, name: &str) -> &mut Client {
        let at = self.clients.iter().position(|there| there.name == name).unwrap_or_else(|| {
            if self.clients.len() >= MAX_ENTRIES {
                self.too_many = Some("clients");
                return 0;
            }
            self.clients.push(Client { name: name.to_owned(), ..Client::default() });
            self.clients.len() - 1
        });
        &mut self.clients[at]
    }

    pub fn leave(&mut self, place: &Place, text: impl Into<String>) {
        self.left.insert(Left { place: place.clone(), text: text.into() });
    }

    pub fn value(&self, path: Path) -> Option<&str> {
        self.keys.get(&path).map(|(value, _)| value.as_str())
    }
}
