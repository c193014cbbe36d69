//! The files of a running member: etcd's configuration file, an environment file, a systemd unit with flags.

use super::draft::{Draft, Place};
use super::options;
use super::yaml::{Kind, Node};
use crate::etcd::keys;

/// etcd's own nested tables.
const NESTED: [&str; 3] = ["client-transport-security", "peer-transport-security", "socket-options"];

/// `NAME: value` lines of one member, collected before they are read: the name may come last.
#[derive(Default)]
struct Given(Vec<(String, String, Place)>);

impl Given {
    fn take(self, draft: &mut Draft, style: &str) {
        draft.runs = true;
        let name = self.0.iter().find(|(key, _, _)| key == "name");
        if let Some((_, name, place)) = name {
            draft.member(name, None, place);
        }
        let name = name.map(|(_, name, _)| name.clone());
        if let Some((_, _, place)) = self.0.first().filter(|_| style != "file") {
            draft.say(("[etcd]", "config-style"), style, place);
        }
        for (key, value, place) in &self.0 {
            options::take(draft, name.as_deref(), key, value, place);
        }
    }
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
        if NESTED.contains(&key.as_str()) {
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
        (None, _) => draft.leave(&place, format!("{key} is not a value or a list of values")),
    }
}

/// Whether a text is an environment file of etcd.
pub fn is_environment(text: &str) -> bool {
    text.lines().any(|line| assignment(line).is_some_and(|(name, _)| name.starts_with("ETCD_")))
}

fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some((name, unquoted(value.trim())))
}

fn unquoted(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

pub fn environment(draft: &mut Draft, text: &str, file: &str) {
    let mut given = Given::default();
    for (index, line) in text.lines().enumerate() {
        let place = Place { file: file.to_owned(), line: index + 1 };
        if let Some((name, value)) = assignment(line) {
            variable(draft, &mut given, name, value, place);
        } else if !is_blank(line) {
            draft.leave(&place, "not NAME=VALUE");
        }
    }
    given.take(draft, "env");
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with(['#', ';'])
}

fn variable(draft: &mut Draft, given: &mut Given, name: &str, value: &str, place: Place) {
    match name
        .strip_prefix("ETCD_")
        .and_then(|rest| key_of_flag(&rest.to_ascii_lowercase().replace('_', "-")))
    {
        Some(key) => given.0.push((key, value.to_owned(), place)),
        None if name.starts_with("ETCDCTL_") => {}
        None => draft.leave(&place, format!("the variable {name} is not one of etcd's")),
    }
}

/// The configuration file's key of a flag of any release.
pub fn key_of_flag(flag: &str) -> Option<String> {
    keys::of_flag(flag).map(str::to_owned)
}

/// Whether a text is a systemd unit.
pub fn is_unit(text: &str) -> bool {
    text.lines().any(|line| line.trim() == "[Service]")
}

/// Settings of a unit that Kiln's own unit has as well, or that do not change the member.
const USUAL: [&str; 14] = [
    "Description",
    "Documentation",
    "After",
    "Wants",
    "Requires",
    "Before",
    "Conflicts",
    "Type",
    "WantedBy",
    "Alias",
    "User",
    "Group",
    "EnvironmentFile",
    "WorkingDirectory",
];

pub fn unit(draft: &mut Draft, text: &str, file: &str) {
    let mut given = Given::default();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let place = Place { file: file.to_owned(), line: index + 1 };
        if is_blank(line) || line.trim_start().starts_with('[') {
            continue;
        }
        let Some((name, value)) = line.trim().split_once('=') else {
            draft.leave(&place, "not NAME=VALUE");
            continue;
        };
        if name == "ExecStart" {
            let mut words = Vec::new();
            let mut rest = value;
            let mut line = index + 1;
            loop {
                let (part, more) = rest.strip_suffix('\\').map_or((rest, false), |part| (part, true));
                words.extend(split(part).into_iter().map(|word| (word, line)));
                match lines.next_if_more(more) {
                    Some((index, next)) => (line, rest) = (index + 1, next.trim()),
                    None => break,
                }
            }
            command(draft, &mut given, &words, file);
        } else if name == "Environment" {
            for word in split(value) {
                if let Some((name, value)) = assignment(&word) {
                    variable(draft, &mut given, name, value, place.clone());
                }
            }
        } else if !USUAL.contains(&name) {
            match name {
                "Restart" | "RestartSec" | "LimitNOFILE" => {
                    options::later(draft, &place, &format!("{name}={value}"), "[etcd.service]");
                }
                // Its value may contain a password.
                _ => draft.leave(&place, format!("{name} of the unit")),
            }
        }
    }
    given.take(draft, "flags");
}

/// Continuation lines of a unit.
trait More<'t> {
    fn next_if_more(&mut self, more: bool) -> Option<(usize, &'t str)>;
}

impl<'t, I: Iterator<Item = (usize, &'t str)>> More<'t> for I {
    fn next_if_more(&mut self, more: bool) -> Option<(usize, &'t str)> {
        if more { self.next() } else { None }
    }
}

/// Words of a command line, with quotes as systemd has them.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut is_open) = (String::new(), None, false);
    for c in text.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => word.push(c),
            None if c == '"' || c == '\'' => (quote, is_open) = (Some(c), true),
            None if c.is_whitespace() => {
                if is_open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                is_open = false;
            }
            None => word.push(c),
        }
    }
    if is_open || !word.is_empty() {
        words.push(word);
    }
    words
}

fn command(draft: &mut Draft, given: &mut Given, words: &[(String, usize)], file: &str) {
    let place = |line: usize| Place { file: file.to_owned(), line };
    let mut words = words.iter().peekable();
    if let Some((program, line)) = words.peek()
        && program.rsplit('/').next() != Some("etcd")
    {
        return draft.leave(&place(*line), "ExecStart does not start etcd itself; its flags are not read");
    }
    if let Some((program, line)) = words.next_if(|(word, _)| !word.starts_with("--"))
        && let Some((directory, name)) = program.trim_start_matches(['-', '@', '+']).rsplit_once('/')
        && name == "etcd"
        && directory != "/usr/local/bin"
    {
        draft.say(("[etcd]", "bin-dir"), directory, &place(*line));
    }
    while let Some((word, line)) = words.next() {
        let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
            draft.leave(&place(*line), format!("{word:?} is not a flag"));
            continue;
        };
        let (flag, value) = match flag.split_once('=') {
            Some((flag, value)) => (flag, value.to_owned()),
            None => {
                let value = words.next_if(|(word, _)| !word.starts_with("--")).map(|(word, _)| word.clone());
                (flag, value.unwrap_or_else(|| "true".to_owned()))
            }
        };
        if value.contains('$') || value.contains('%') {
            draft.leave(&place(*line), format!("--{flag} has a variable of systemd's or the shell's"));
            continue;
        }
        match key_of_flag(flag) {
            Some(key) => given.0.push((key, value, place(*line))),
            // Its file is to be imported, too.
            None if flag == "config-file" => {}
            None => draft.leave(&place(*line), format!("--{flag} is not a flag of etcd's")),
        }
    }
}
