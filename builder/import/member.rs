//! The files of a running member: etcd's configuration file, an environment file, a systemd unit with flags.

use std::collections::BTreeMap;

use super::draft::{Draft, MAX_VARIABLES, Place, Said};
use super::options;
use super::yaml::{Kind, Node};
use super::{founders, guard};
use crate::etcd::keys;

/// etcd's own nested tables.
const NESTED: [&str; 3] = ["client-transport-security", "peer-transport-security", "socket-options"];

/// Options whose files a CA has issued, or are its own.
const IS_OF_CA: [&str; 2] = [".trusted-ca-file", ".cert-file"];

/// Debian's package has flags in this variable, in /etc/default/etcd.
pub const DAEMON_ARGS: &str = "DAEMON_ARGS";

/// The variable of `--config-file`.
pub const CONFIG_FILE: &str = "ETCD_CONFIG_FILE";

/// `NAME: value` lines of one member, collected before they are read: the name may come last.
#[derive(Clone, Default)]
pub struct Given(pub Vec<(String, String, Place)>);

impl Given {
    /// Of what is there twice, the last one: systemd's files and Go's flags are read so.
    pub fn last(mut self, draft: &mut Draft) -> Self {
        let mut seen: BTreeMap<String, (String, Place)> = BTreeMap::new();
        let mut kept = Vec::new();
        while let Some((key, value, place)) = self.0.pop() {
            match seen.get(&key) {
                None => {
                    seen.insert(key.clone(), (value.clone(), place.clone()));
                    kept.push((key, value, place));
                }
                Some((there, _)) if *there == value => {}
                Some((_, last)) => {
                    let text = format!(
                        "{} is set again in line {}; the last one counts",
                        guard::key(&key),
                        last.line
                    );
                    draft.leave(&place, text);
                }
            }
        }
        kept.reverse();
        Self(kept)
    }

    pub fn take(mut self, draft: &mut Draft, style: &str) {
        self.0.retain(|(key, _, place)| !is_weaker(draft, key, place));
        let named = self.0.iter().find(|(key, value, _)| key == "name" && !is_template(value));
        let name = named.and_then(|(_, name, place)| {
            draft.short(name, place);
            draft.member(name, None, place)
        });
        if let Some((_, _, place)) = self.0.first() {
            draft.running(place);
            draft.runs_at.get_or_insert_with(|| place.clone());
            draft.say(("[etcd]", "config-style"), style, place);
        }
        for (key, value, place) in &self.0 {
            draft.names_ca |= IS_OF_CA.iter().any(|end| key.ends_with(end)) && !value.is_empty();
            if founders::is_identity(key) && value.trim() != value {
                draft.miss(place);
            }
            if is_template(value) {
                draft.templates.push((key.clone(), place.clone()));
                draft
                    .leave(place, format!("{} has a variable of the shell's or a template", guard::key(key)));
                continue;
            }
            if let Some((_, used, at)) = named.filter(|(_, used, _)| key == "name" && used != value) {
                let one = if guard::is_name(used) { used } else { "the name" };
                draft.leave(
                    place,
                    format!("the member has another name here than in line {}: {one} is used", at.line),
                );
            }
            let said =
                Said { member: name.clone(), key: key.clone(), value: value.clone(), place: place.clone() };
            draft.said.push(said);
            options::take(draft, name.as_deref(), key, value, place);
        }
    }
}

/// Whether the member has the option from another place; if so, this one is reported.
fn is_weaker(draft: &mut Draft, key: &str, place: &Place) -> bool {
    let Some(why) = draft.strength.over.get(&(place.clone(), key.to_owned())).cloned() else { return false };
    draft.leave(place, format!("{} {why}", guard::key(key)));
    true
}

/// Whether the shell or ansible would put another text in its place.
fn is_template(value: &str) -> bool {
    value.contains('$') || value.contains("{{") || value.contains("{%")
}

/// Whether a YAML document is etcd's configuration file.
pub fn is_configuration(document: &Node) -> bool {
    let known =
        ["initial-cluster", "listen-client-urls", "advertise-client-urls", "initial-advertise-peer-urls"];
    document.entries().iter().any(|(key, _)| known.contains(&key.to_ascii_lowercase().as_str()))
}

pub fn configuration(draft: &mut Draft, document: &Node, file: &str) {
    let place = |node: &Node| Place { file: file.to_owned(), line: node.line };
    let mut given = Given::default();
    for (key, node) in document.entries() {
        if NESTED.contains(&key.as_str()) && matches!(node.kind, Kind::Map(_)) {
            for (inner, node) in node.entries() {
                add(draft, &mut given, &format!("{key}.{inner}"), node, place(node));
            }
        } else {
            // The YAML reader of etcd's looks at no case (encoding/json of Go).
            let small = key.to_ascii_lowercase();
            let key = if founders::is_identity(&small) { &small } else { key };
            add(draft, &mut given, key, node, place(node));
        }
    }
    given.take(draft, "file");
}

fn add(draft: &mut Draft, given: &mut Given, key: &str, node: &Node, place: Place) {
    match (node.joined(), &node.kind) {
        (Some(value), _) => given.0.push((key.to_owned(), value, place)),
        (None, Kind::Null) => {}
        (None, _) => draft.leave(&place, format!("{} is not a value or a list of values", guard::key(key))),
    }
}

/// Whether a text is an environment file of etcd.
pub fn is_environment(text: &str) -> bool {
    text.lines().any(|line| {
        let is_etcds = |name: &str| name.starts_with("ETCD_") || name.starts_with("ETCDCTL_");
        assignment(line).is_some_and(|(name, _)| is_etcds(name) || name == DAEMON_ARGS)
    })
}

pub fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // systemd takes blanks around the = (`parse_env_file` in src/basic/env-file.c).
    let name = name.trim_end();
    (!name.is_empty() && name.chars().all(plain)).then_some((name, unquoted(value.trim())))
}

fn unquoted(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

/// Variables, each with its place.
pub type Variables = Vec<(String, String, Place)>;

/// The value of a variable: of two, the last one.
pub fn value<'v>(all: &'v Variables, name: &str) -> Option<(&'v str, &'v Place)> {
    let last = all.iter().rev().find(|(there, _, _)| there == name);
    last.map(|(_, value, place)| (value.as_str(), place))
}

pub fn environment(draft: &mut Draft, text: &str, file: &str) {
    let all = variables(draft, text, file);
    if all.len() > MAX_VARIABLES {
        draft.too_many = Some("variables");
        return;
    }
    others(draft, &all);
    let mut given = of_etcd(&all).last(draft);
    // Flags that a unit fills in from this file.
    let flags = draft.strength.flags.get(file).cloned().unwrap_or_default();
    given.0.append(&mut Given(flags).last(draft).0);
    given.take(draft, "env");
}

/// All lines of a file of variables.
pub fn variables(draft: &mut Draft, text: &str, file: &str) -> Variables {
    let mut all = Variables::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let place = Place { file: file.to_owned(), line: index + 1 };
        if is_blank(line) {
            continue;
        }
        // A backslash continues a line (systemd.exec(5), EnvironmentFile=).
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            let Some((_, next)) = lines.next() else { break };
            whole.push_str(next);
        }
        match assignment(&whole) {
            Some((name, value)) => all.push((name.to_owned(), value.to_owned(), place)),
            None => draft.leave(&place, "not NAME=VALUE"),
        }
    }
    all
}

pub fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', ';'])
}

/// etcd's own variables, by the options that they are. An empty one is none to etcd (`SetFlagsFromEnv` in
/// pkg/flags/flag.go).
pub fn of_etcd(all: &Variables) -> Given {
    let option =
        |(name, value, place): &(String, String, Place)| Some((option(name)?, value.clone(), place.clone()));
    Given(all.iter().filter(|(_, value, _)| !value.is_empty()).filter_map(option).collect())
}

fn option(variable: &str) -> Option<String> {
    key_of_flag(&variable.strip_prefix("ETCD_")?.to_ascii_lowercase().replace('_', "-"))
}

/// Whether a variable can say who the first members are: itself, or as a part of flags.
pub fn may_say_identity(variable: &str) -> bool {
    option(variable).is_none_or(|key| founders::is_identity(&key))
}

/// The variables that are no options: those of etcdctl, and others, which are reported.
pub fn others(draft: &mut Draft, all: &Variables) {
    for (index, (name, value, place)) in
        all.iter().enumerate().filter(|(_, (name, _, _))| option(name).is_none())
    {
        match name.as_str() {
            "ETCDCTL_CERT" => draft.operator.push(("cert", value.clone(), place.clone())),
            "ETCDCTL_KEY" => draft.operator.push(("key", value.clone(), place.clone())),
            CONFIG_FILE => settings_file(draft, value, place),
            _ if name.starts_with("ETCDCTL_") => {}
            _ if draft.strength.is_used(name) => {
                let again = all[index + 1..].iter().find(|(other, _, _)| other == name);
                if let Some((_, _, last)) = again.filter(|(_, other, _)| other != value) {
                    draft.leave(
                        place,
                        format!("{name} is set again in line {}; the last one counts", last.line),
                    );
                }
            }
            _ => {
                let flag = name.strip_prefix("ETCD_").map(|rest| rest.to_ascii_lowercase().replace('_', "-"));
                let why = flag.and_then(|flag| options::not_written(&flag));
                let text = why.map_or_else(
                    || format!("the variable {name} is not one of etcd's"),
                    |why| format!("the variable {name}: {why}"),
                );
                draft.leave(place, text);
            }
        }
    }
}

/// The configuration file's key of a flag of any release.
pub fn key_of_flag(flag: &str) -> Option<String> {
    keys::of_flag(flag).map(str::to_owned)
}

/// The file with etcd's options: its directory can be chosen, and its name is Kiln's.
pub fn settings_file(draft: &mut Draft, path: &str, place: &Place) {
    match path.rsplit_once('/') {
        Some((directory, "etcd.conf" | "etcd.env")) => draft.say(("[etcd]", "config-dir"), directory, place),
        _ => {
            let text = "a file of settings: Kiln's members read etcd.conf or etcd.env in [etcd] config-dir";
            draft.leave(place, text);
        }
    }
}
