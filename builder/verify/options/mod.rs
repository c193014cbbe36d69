//! The options of a node's etcd, from its unit and its configuration in the bundle, compared with those that the
//! member reports.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Settings;
use crate::etcd::keys;

/// `DefaultQuotaBytes` of server/storage/quota.go: the meaning of 0, or of no value.
const DEFAULT_QUOTA: f64 = 2_147_483_648.0;

/// Options that other checks cover: the member's identity and URLs by its member list, the certificates by those that
/// the ports send, and the accepted clients by probes.
const SEEN_ELSEWHERE: [&str; 17] = [
    "name",
    "listen-peer-urls",
    "listen-client-urls",
    "initial-advertise-peer-urls",
    "advertise-client-urls",
    "initial-cluster",
    "initial-cluster-token",
    // It describes how a member was created; etcd ignores it when there is data.
    "initial-cluster-state",
    "cert-file",
    "key-file",
    "trusted-ca-file",
    "client-cert-auth",
    "peer-cert-file",
    "peer-key-file",
    "peer-trusted-ca-file",
    "peer-client-cert-auth",
    "peer-cert-allowed-cn",
];

/// Options that a member reports however they were set.
const TOLD: [&str; 5] =
    ["quota-backend-bytes", "metrics", "enable-pprof", "tls-min-version", "tls-max-version"];

/// The options of one node's etcd.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The arguments, beginning with the program.
    pub command: Vec<String>,
    /// By flag, for all styles; `None` when the file with them was not written by Kiln.
    values: Option<BTreeMap<String, String>>,
}

/// The result of a comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    pub differences: Vec<String>,
    /// The options that were compared.
    pub held: Vec<&'static str>,
    /// Options of the bundle that etcd does not report to clients.
    pub untold: BTreeSet<String>,
}

impl Options {
    /// From the node's units, by path, and from the file that the command line names.
    ///
    /// `None` when no unit, or more than one, starts `program`, or when one of its lines has a meaning for systemd
    /// that Kiln's units do not use: the command line is then unknown.
    pub fn read(
        program: &str,
        units: &BTreeMap<String, String>,
        file: impl Fn(&str) -> Option<String>,
        environment: Option<String>,
    ) -> Option<Self> {
        let starts = |text: &str| exec_start(text).filter(|command| command[0] == program);
        let mut found = units.iter().filter_map(|(path, text)| Some((path, starts(text)?)));
        let (path, command) = found.next()?;
        let drop_ins = format!("{path}.d/");
        let drop_ins = units.iter().filter(|(other, _)| other.starts_with(&drop_ins));
        let changed = |(_, text): (&String, &String)| {
            let line = |line: &str| {
                let line = line.trim_start();
                line.starts_with("ExecStart=")
                    || line.starts_with("EnvironmentFile=")
                    || line.contains("ETCD_")
            };
            text.lines().any(line)
        };
        if found.next().is_some() || drop_ins.into_iter().any(changed) {
            return None;
        }
        let flags = flags(&command[1..]);
        let values = match flags.get("config-file") {
            Some(path) => file(path).as_deref().and_then(yaml_values),
            None if flags.is_empty() => environment.as_deref().and_then(environment_values),
            None => Some(flags),
        };
        Some(Self { command, values })
    }

    pub fn compare(&self, told: &Settings) -> Compared {
        let mut compared = Compared::default();
        let mut by_command = false;
        if let Some(command) = &told.command {
            compared.held.push("command line");
            compared.differences.extend(differences(&self.command, command));
            by_command = flags(&self.command[1..]).keys().any(|flag| flag != "config-file");
        }
        let Some(values) = &self.values else {
            compared
                .untold
                .insert("the options in its configuration file, which Kiln did not write".to_owned());
            return compared;
        };
        let value = |flag: &str| values.get(flag).map_or("", String::as_str);
        let mut judge = |what: &'static str, is: Option<String>, want: &str| {
            let Some(is) = is else { return };
            compared.held.push(what);
            // A difference in a flag on the command line has been reported already.
            let said = |text: &String| text.split(' ').next() == Some(what);
            if is != want && !compared.differences.iter().any(said) {
                compared.differences.push(format!("{what} is {is}, not {want}"));
            }
        };
        let quota = value("quota-backend-bytes").parse().ok().filter(|bytes| *bytes != 0.0);
        let quota: f64 = quota.unwrap_or(DEFAULT_QUOTA);
        judge("quota-backend-bytes", told.quota.map(|bytes| bytes.to_string()), &quota.to_string());
        let choice =
            |is: Option<bool>, [no, yes]: [&str; 2]| is.map(|is| if is { yes } else { no }.to_owned());
        let metrics = choice(told.extensive, ["basic", "extensive"]);
        judge("metrics", metrics, if value("metrics") == "extensive" { "extensive" } else { "basic" });
        let pprof = choice(told.pprof, ["false", "true"]);
        judge("enable-pprof", pprof, if self.serves_pprof() { "true" } else { "false" });
        let (least, most) = (value("tls-min-version"), value("tls-max-version"));
        let answers = ["refused", "accepted"];
        judge("TLS 1.2", choice(told.tls12, answers), answers[usize::from(least != "TLS1.3")]);
        judge("TLS 1.3", choice(told.tls13, answers), answers[usize::from(most != "TLS1.2")]);
        if !by_command {
            let unseen =
                |flag: &&String| !SEEN_ELSEWHERE.contains(&flag.as_str()) && !TOLD.contains(&flag.as_str());
            compared.untold = values.keys().filter(unseen).cloned().collect();
        }
        compared
    }

    /// etcd serves it with the log level `debug`, too (server/embed/etcd.go and serve.go; 3.4 also has `debug`).
    fn serves_pprof(&self) -> bool {
        let is = |flag: &str, value: &str| {
            self.values.as_ref().and_then(|values| values.get(flag)).is_some_and(|set| set == value)
        };
        is("enable-pprof", "true") || is("debug", "true") || is("log-level", "debug")
    }
}

/// The differences of two command lines, flag by flag.
fn differences(baked: &[String], running: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    if baked.first() != running.first() {
        let name = |line: &[String]| line.first().cloned().unwrap_or_default();
        all.push(format!("it runs {}, not {}", name(running), name(baked)));
    }
    let [want, have] = [baked, running].map(|line| flags(line.get(1..).unwrap_or_default()));
    let shown = |flag: &str, value: &str| match flag.contains("password") {
        true => "another".to_owned(),
        false => value.to_owned(),
    };
    for flag in want.keys().chain(have.keys()).collect::<BTreeSet<_>>() {
        match (have.get(flag), want.get(flag)) {
            (Some(is), Some(want)) if is != want => {
                all.push(format!("{flag} is {}, not {}", shown(flag, is), shown(flag, want)));
            }
            (Some(is), None) => {
                all.push(format!("{flag} is {}, and the bundle does not set it", shown(flag, is)))
            }
            (None, Some(want)) => {
                all.push(format!("{flag} is not set; the bundle sets {}", shown(flag, want)))
            }
            _ => {}
        }
    }
    all
}

/// Flags as Go's package flag parses them: one or two dashes, the value after `=` or in the next argument.
fn flags(arguments: &[String]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        let name = argument.trim_start_matches('-');
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            // A boolean flag has none.
            None if rest.peek().is_none_or(|next| next.starts_with('-')) => (name, "true".to_owned()),
            None => (name, rest.next().cloned().unwrap_or_default()),
        };
        all.insert(name.to_owned(), value);
    }
    all
}

/// The command line of a unit as `render` writes it: words bare or in double quotes, `%%` and `$$` as escapes. `None`
/// for anything else that systemd would interpret.
fn exec_start(unit: &str) -> Option<Vec<String>> {
    let mut lines = unit.lines().skip_while(|line| !line.starts_with("ExecStart="));
    let mut text = String::new();
    for line in lines.by_ref() {
        text.push_str(line.trim_end_matches('\\'));
        text.push(' ');
        if !line.ends_with('\\') {
            break;
        }
    }
    // A second line would replace the first or add to it.
    if lines.any(|line| line.starts_with("ExecStart=")) {
        return None;
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut rest = text.strip_prefix("ExecStart=")?.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                word.get_or_insert_default();
                quoted = !quoted;
            }
            '\\' if quoted => word.get_or_insert_default().push(rest.next()?),
            '%' | '$' => match rest.next() {
                Some(twin) if twin == c => word.get_or_insert_default().push(c),
                _ => return None,
            },
            '\\' | '\'' => return None,
            c if c.is_ascii_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    (!quoted && !words.is_empty()).then_some(words)
}

/// etcd's configuration file as `render` writes it, by flag: a map of JSON scalars and lists, with one level of
/// sections.
fn yaml_values(text: &str) -> Option<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (key, value) = line.split_once(':')?;
        let key = match key.strip_prefix("  ") {
            Some(inner) if !section.is_empty() => format!("{section}.{inner}"),
            Some(_) => return None,
            None => key.to_owned(),
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        if !key.chars().all(plain) {
            return None;
        }
        if value.is_empty() {
            section = key;
            continue;
        }
        if !line.starts_with(' ') {
            section.clear();
        }
        let value: serde_json::Value = serde_json::from_str(value).ok()?;
        // An option of the file only has no flag; its own name is used instead.
        values.insert(keys::flag_name(&key).unwrap_or(key), scalar(&value)?);
    }
    Some(values)
}

fn scalar(value: &serde_json::Value) -> Option<String> {
    Some(match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
        serde_json::Value::Array(list) => list.iter().map(scalar).collect::<Option<Vec<_>>>()?.join(","),
        serde_json::Value::Null | serde_json::Value::Object(_) => return None,
    })
}

/// An environment file as `render` writes it, by flag: `ETCD_HEARTBEAT_INTERVAL="100"`.
fn environment_values(text: &str) -> Option<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, value) = line.split_once('=')?;
        let flag = name.strip_prefix("ETCD_")?.to_ascii_lowercase().replace('_', "-");
        // JSON has the two escapes of systemd's that `render` writes.
        values.insert(flag, serde_json::from_str(value).ok()?);
    }
    Some(values)
}

#[cfg(test)]
mod tests;
