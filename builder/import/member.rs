//! The files of a running member: etcd's configuration file, an environment file, a systemd unit with flags.

use std::collections::BTreeMap;

use super::draft::{Draft, Place};
use super::guard;
use super::options;
use super::yaml::{Kind, Node};
use crate::etcd::keys;

/// etcd's own nested tables.
const NESTED: [&str; 3] = ["client-transport-security", "peer-transport-security", "socket-options"];

/// `NAME: value` lines of one member, collected before they are read: the name may come last.
#[derive(Default)]
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
                    let text =
                        format!("{} is there again in line {}, which is used", guard::key(&key), last.line);
                    draft.leave(&place, text);
                }
            }
        }
        kept.reverse();
        Self(kept)
    }

    pub fn take(self, draft: &mut Draft, style: &str) {
        let named = self.0.iter().find(|(key, value, _)| key == "name" && !is_template(value));
        let name = named.and_then(|(_, name, place)| {
            draft.short(name, place);
            draft.member(name, None, place)
        });
        if let Some((_, _, place)) = self.0.first() {
            draft.runs = true;
            draft.runs_at.get_or_insert_with(|| place.clone());
            draft.say(("[etcd]", "config-style"), style, place);
        }
        for (key, value, place) in &self.0 {
            if is_template(value) {
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
            options::take(draft, name.as_deref(), key, value, place);
        }
    }
}

/// Whether the shell or ansible would put another text in its place.
fn is_template(value: &str) -> bool {
    value.contains('$') || value.contains("{{") || value.contains("{%")
}

/// Whether a YAML document is etcd's configuration file.
pub fn is_configuration(document: &Node) -> bool {
    ["initial-cluster", "listen-client-urls", "advertise-client-urls", "initial-advertise-peer-urls"]
        .iter()
        .any(|key| document.get(key).is_some())
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
        assignment(line).is_some_and(|(name, _)| name.starts_with("ETCD_") || name.starts_with("ETCDCTL_"))
    })
}

pub fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some((name, unquoted(value.trim())))
}

fn unquoted(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

pub fn environment(draft: &mut Draft, text: &str, file: &str) {
    let mut given = Given::default();
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
            Some((name, value)) => variable(draft, &mut given, name, value, place),
            None => draft.leave(&place, "not NAME=VALUE"),
        }
    }
    given.last(draft).take(draft, "env");
}

pub fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', ';'])
}

pub fn variable(draft: &mut Draft, given: &mut Given, name: &str, value: &str, place: Place) {
    match name
        .strip_prefix("ETCD_")
        .and_then(|rest| key_of_flag(&rest.to_ascii_lowercase().replace('_', "-")))
    {
        Some(key) => given.0.push((key, value.to_owned(), place)),
        None if name == "ETCDCTL_CERT" => draft.operator.push(("cert", value.to_owned(), place)),
        None if name == "ETCDCTL_KEY" => draft.operator.push(("key", value.to_owned(), place)),
        None if name.starts_with("ETCDCTL_") => {}
        None => draft.leave(&place, format!("the variable {name} is not one of etcd's")),
    }
}

/// The configuration file's key of a flag of any release.
pub fn key_of_flag(flag: &str) -> Option<String> {
    keys::of_flag(flag).map(str::to_owned)
}
