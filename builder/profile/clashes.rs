//! What two clusters on the same nodes must not both have: a port, a unit, an account, a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::file_spec::FileSpec;
use super::files_of_both::{self as files, Clash};
use super::{Node, Profile};
use crate::etcd::Value;
use crate::etcd::judge::{self, LogOutput};
use crate::values::{GuestPath, NODE_PROGRAM};

/// The limit on the clashes that are returned: one base profile of a large fleet can cause any number.
const MAX_CLASHES: usize = 64;

/// The clashes between profiles of one run whose clusters have nodes of the same address: a sentence for each, with
/// both places. Clusters of the instance `etcd` never share a node. At most `MAX_CLASHES`, each once for two profiles.
pub fn clashes(profiles: &[Profile]) -> Vec<String> {
    let mut by_address: BTreeMap<IpAddr, Vec<(usize, usize)>> = BTreeMap::new();
    for (which, profile) in profiles.iter().enumerate() {
        for (at, node) in profile.nodes.iter().enumerate() {
            node.addresses().for_each(|address| by_address.entry(address).or_default().push((which, at)));
        }
    }
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    for there in by_address.values() {
        for (number, first) in there.iter().enumerate() {
            for second in &there[number + 1..] {
                let [one, other] =
                    [first, second].map(|&(which, at)| Member { profile: &profiles[which], at });
                // Each of them sets up its machines, so these are two: sites of their own may use the same addresses.
                if one.sets_up_the_node() && other.sets_up_the_node() {
                    continue;
                }
                for clash in of_two(&one, &other) {
                    if seen.insert((first.0, second.0, clash.what.clone())) {
                        found.push(clash.sentence(&one, &other));
                    }
                }
                if found.len() >= MAX_CLASHES {
                    found.truncate(MAX_CLASHES);
                    return found;
                }
            }
        }
    }
    found
}

/// A member of a cluster on one node.
struct Member<'a> {
    profile: &'a Profile,
    at: usize,
}

impl Clash {
    fn sentence(&self, one: &Member<'_>, other: &Member<'_>) -> String {
        let [first, second] = &self.places;
        let node = one.node();
        let clusters = format!("{} and {}", one.profile.cluster.name, other.profile.cluster.name);
        format!(
            "{first} and {second}: on {} ({}), {clusters} {}; {}",
            node.name, node.address, self.what, self.help
        )
    }
}

impl Member<'_> {
    fn sets_up_the_node(&self) -> bool {
        self.profile.etcd.service.instance.owns_host()
    }

    fn node(&self) -> &Node {
        &self.profile.nodes[self.at]
    }

    /// The place of the first of these keys.
    fn place(&self, keys: &[&str]) -> String {
        self.profile.written.place(keys)
    }

    /// Each with its place.
    fn ports(&self) -> Vec<(String, u16)> {
        let service = &self.profile.etcd.service;
        let own = [
            ("client-port", Some(service.client_port)),
            ("peer-port", Some(service.peer_port)),
            ("metrics-port", service.metrics_port),
        ];
        let own = own.into_iter().filter_map(|(key, port)| Some((self.place(&[key]), port?)));
        let more =
            self.texts(["listen-metrics-urls", "listen-client-http-urls"]).flat_map(|(place, urls)| {
                let listeners = judge::listeners(urls).unwrap_or_default();
                listeners.into_iter().map(move |listener| (place.to_owned(), listener.port))
            });
        own.chain(more).collect()
    }

    /// Files of its log, each with its place.
    fn logs(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_file = |text: &str| matches!(judge::log_output(text), Ok(LogOutput::File(_)));
        self.texts(["log-outputs", "log-output"]).filter(move |(_, text)| is_file(text))
    }

    /// Directories of its logs, each with its place.
    fn log_directories(&self) -> impl Iterator<Item = (&str, GuestPath)> {
        self.logs().filter_map(|(place, log)| {
            let Ok(LogOutput::File(path)) = judge::log_output(log) else { return None };
            let (directory, _) = path.strip_prefix("/var/log/")?.rsplit_once('/')?;
            Some((place, format!("var/log/{directory}").parse().ok()?))
        })
    }

    /// The profile's own files on the node, each with its place.
    fn files(&self) -> Vec<(String, &FileSpec)> {
        let here = self.profile.files.iter().filter(|file| file.nodes.has(&self.node().name));
        here.map(|file| (self.profile.written.line(file.at), file)).collect()
    }

    /// Paths at which the other cluster has no files, each with its place.
    fn places(&self) -> Vec<(String, GuestPath)> {
        let service = &self.profile.etcd.service;
        let by_key = |key: &'static str, path: GuestPath| (self.place(&[key, "instance"]), path);
        let instance = service.instance.directory();
        let own = self.profile.pki.renewal.as_ref().map(|_| NODE_PROGRAM);
        let programs = ["etcd", "etcdctl", "etcdutl"].into_iter().chain(own);
        let programs = programs.map(|name| format!("{}/{name}", self.profile.etcd.bin_dir));
        let units = self
            .units()
            .into_iter()
            .flat_map(|(key, unit)| ["", ".d"].map(|end| (key, format!("etc/systemd/system/{unit}{end}"))));
        let made = [format!("etc/{instance}"), format!("var/lib/{instance}")].map(|path| ("instance", path));
        let named = programs.map(|path| ("bin-dir", path)).chain(units).chain(made);
        let named = named.filter_map(|(key, path)| Some(by_key(key, path.parse().ok()?)));
        let known = self.own().chain(self.shared().map(|(key, path)| (key, path.clone())));
        let logs = self.log_directories().map(|(place, path)| (place.to_owned(), path));
        known.map(|(key, path)| by_key(key, path)).chain(named).chain(logs).collect()
    }

    /// One of these units that its own unit has in this setting.
    fn names(&self, setting: &str, units: &[(&'static str, String)]) -> Option<String> {
        let mut named = self.profile.etcd.service.unit.unit.iter().flat_map(|line| line.units(setting));
        named.find(|name| units.iter().any(|(_, unit)| unit == name)).map(str::to_owned)
    }

    /// The values that its node has for these options, each with its place.
    fn texts(&self, keys: [&'static str; 2]) -> impl Iterator<Item = (&str, &str)> {
        let options = self.profile.options(self.node()).into_iter();
        options.filter(move |option| keys.contains(&option.key.as_str())).flat_map(|option| {
            let texts = match &option.value {
                Value::Text(text) => std::slice::from_ref(text),
                Value::List(texts) => texts,
                _ => &[],
            };
            texts.iter().map(|text| (option.place.as_str(), text.as_str()))
        })
    }

    /// The names of its unit, each with the key that it follows from.
    fn units(&self) -> Vec<(&'static str, String)> {
        let service = &self.profile.etcd.service;
        let own = service.units.get(self.at).map(|unit| ("unit", unit.file()));
        let aliases = service.unit.install.iter().flat_map(|line| line.aliases());
        own.into_iter().chain(aliases.map(|alias| ("service", alias.clone()))).collect()
    }

    /// Directories that belong to etcd's account.
    fn own(&self) -> impl Iterator<Item = (&'static str, GuestPath)> {
        let etcd = &self.profile.etcd;
        let wal = etcd.service.wal_dir.as_ref().and_then(|wal| wal.parents().last());
        [("data-dir", etcd.data_dir.clone())].into_iter().chain(wal.map(|wal| ("wal-dir", wal)))
    }

    /// Directories with files of this cluster's own names.
    fn shared(&self) -> [(&'static str, &GuestPath); 2] {
        [("config-dir", &self.profile.etcd.service.config_dir), ("directory", &self.profile.pki.directory)]
    }
}

/// A clash that follows from the same key in both.
fn same(members: [&Member<'_>; 2], what: String, key: &str, help: &'static str) -> Clash {
    // What a profile does not name follows from its instance.
    Clash { what, places: members.map(|member| member.place(&[key, "instance"])), help }
}

fn of_two(one: &Member<'_>, other: &Member<'_>) -> Vec<Clash> {
    let [first, second] = [one, other].map(|member| &member.profile.etcd);
    let (mine, theirs) = (&first.service, &second.service);
    let same = |what, key, help| same([one, other], what, key, help);
    let mut all = Vec::new();
    if mine.instance == theirs.instance {
        let help = "write another one in one of them, as in [etcd] instance = \"events\"";
        let what = format!("are both the instance {}, which names Kiln's files there", mine.instance);
        all.push(same(what, "instance", help));
    }
    let their_ports = other.ports();
    for (place, port) in one.ports() {
        for (their_place, _) in their_ports.iter().filter(|(_, theirs)| *theirs == port) {
            let what = format!("both listen on port {port}");
            let places = [place.clone(), their_place.clone()];
            all.push(Clash { what, places, help: "change the port in one of them" });
        }
    }
    for (place, log) in one.logs() {
        for (their_place, _) in other.logs().filter(|(_, theirs)| *theirs == log) {
            let what = format!("both write the log {log}");
            let places = [place, their_place].map(str::to_owned);
            all.push(Clash { what, places, help: "choose another file in one of them" });
        }
    }
    let tokens = [one, other].map(|member| member.profile.cluster.token.as_ref());
    if let [Some(token), Some(same_token)] = tokens
        && token == same_token
    {
        let what = format!("both have the token {token}");
        all.push(same(what, "token", "omit it in one of them: Kiln makes one that is unique"));
    }
    all.extend(names(one, other));
    if mine.user == theirs.user {
        let what = format!("both run as {}, which has one home directory", mine.user);
        all.push(same(what, "user", "change [etcd] user in one of them"));
    }
    if first.bin_dir == second.bin_dir && first.release != second.release {
        let what =
            format!("have etcd {} and {} in {}", first.release, second.release, first.bin_dir.absolute());
        all.push(same(what, "version", "write the same version in both, or another bin-dir in one of them"));
    }
    all.extend(cards(one, other));
    all.extend(directories(one, other));
    all.extend(logs(one, other));
    all.extend(files::of_both(one.files(), other.files()));
    for [mine, theirs] in [[one, other], [other, one]] {
        let found = files::in_places(mine.files(), &theirs.places());
        let ordered = |mut clash: Clash| {
            if !std::ptr::eq(mine, one) {
                clash.places.reverse();
            }
            clash
        };
        all.extend(found.into_iter().map(ordered));
    }
    all
}

/// systemd gives a directory of logs, with everything in it, to one account (`LogsDirectory=`).
fn logs(one: &Member<'_>, other: &Member<'_>) -> Vec<Clash> {
    let mut all = Vec::new();
    for (place, mine) in one.log_directories() {
        for (their_place, theirs) in other.log_directories().filter(|(_, theirs)| mine.overlaps(theirs)) {
            let what = match mine == theirs {
                true => format!("both write logs in {}", mine.absolute()),
                false => format!("write logs in {} and {}", mine.absolute(), theirs.absolute()),
            };
            let places = [place, their_place].map(str::to_owned);
            all.push(Clash { what, places, help: "choose another directory in one of them" });
        }
    }
    all
}

/// Addresses at which a cluster listens, and which the one that sets up the node does not give it.
fn cards(one: &Member<'_>, other: &Member<'_>) -> Option<Clash> {
    let (owner, guest) = match (one.sets_up_the_node(), other.sets_up_the_node()) {
        (true, false) => (one, other),
        (false, true) => (other, one),
        _ => return None,
    };
    let missing = guest.node().addresses().find(|address| !owner.node().has(*address))?;
    let (key, what) = match guest.node().peer {
        Some((peer, _)) if peer == missing => ("peer", "peer-address"),
        _ if guest.node().ipv6 == Some(missing) => ("ipv6-cidr", "ipv6-address"),
        _ => ("cidr", "address"),
    };
    let what = format!(
        "do not have the same {what}, and {}, which sets up the node, gives it its own ones only",
        owner.profile.cluster.name
    );
    Some(same([one, other], what, key, "write the same networks and the same addresses of the node in both"))
}

/// A machine has one name, and a unit's name belongs to one unit there.
fn names(one: &Member<'_>, other: &Member<'_>) -> Vec<Clash> {
    let mut all = Vec::new();
    let [node, their_node] = [one, other].map(|member| &member.profile.nodes[member.at].name);
    if node != their_node {
        let what = format!("call the machine {node} and {their_node}");
        let help = "give the node the same name in both, or its own address";
        all.push(same([one, other], what, "name", help));
    }
    for (mine, theirs) in [(one, other), (other, one)] {
        if let Some(unit) = mine.names("Conflicts", &theirs.units()) {
            let what =
                format!("cannot run together: Conflicts= of {} names {unit}", mine.profile.cluster.name);
            let places = [one.place(&["service", "instance"]), other.place(&["service", "instance"])];
            all.push(Clash { what, places, help: "omit it from [etcd.service.unit] Conflicts" });
        }
    }
    for setting in ["Before", "After"] {
        let each = [(one, other), (other, one)];
        if each.iter().all(|(mine, theirs)| mine.names(setting, &theirs.units()).is_some()) {
            let what = format!("each have the other's unit in {setting}=, which is a cycle");
            let places = [one.place(&["service", "instance"]), other.place(&["service", "instance"])];
            all.push(Clash { what, places, help: "omit one of the two from [etcd.service.unit]" });
        }
    }
    for (key, unit) in one.units() {
        for (their_key, _) in other.units().iter().filter(|(_, theirs)| *theirs == unit) {
            let places = [one.place(&[key, "instance"]), other.place(&[their_key, "instance"])];
            let (what, help) = match (key, *their_key) {
                ("unit", "unit") => {
                    (format!("are both the unit {unit}"), "change [etcd] unit in one of them")
                }
                _ => (
                    format!("both have a unit {unit}, by its name or by an Alias"),
                    "change [etcd] unit or the Alias of [etcd.service.install] in one of them",
                ),
            };
            all.push(Clash { what, places, help });
        }
    }
    all
}

fn directories(one: &Member<'_>, other: &Member<'_>) -> Vec<Clash> {
    let mut all = Vec::new();
    let help = "choose another directory in one of them";
    let mut refuse = |mine: &GuestPath, theirs: &GuestPath, keys: [&'static str; 2]| {
        let what = match mine == theirs {
            true => format!("both use the directory {}", mine.absolute()),
            false => format!("use {} and {}, one in the other", mine.absolute(), theirs.absolute()),
        };
        let [mine, theirs] = keys;
        let places = [one.place(&[mine, "instance"]), other.place(&[theirs, "instance"])];
        all.push(Clash { what, places, help });
    };
    for (key, mine) in one.own() {
        let others = other.own().chain(other.shared().map(|(key, path)| (key, path.clone())));
        for (their_key, theirs) in others.filter(|(_, theirs)| mine.overlaps(theirs)) {
            refuse(&mine, &theirs, [key, their_key]);
        }
    }
    for (key, mine) in one.shared() {
        for (their_key, theirs) in other.own().filter(|(_, theirs)| mine.overlaps(theirs)) {
            refuse(mine, &theirs, [key, their_key]);
        }
        // Files of the same names would be in it.
        for (their_key, theirs) in other.shared().into_iter().filter(|(_, theirs)| mine == *theirs) {
            refuse(mine, theirs, [key, their_key]);
        }
    }
    all
}
