//! `--set KEY=VALUE` as a line of a profile, by the table of keys.

use toml::de::DeTable;

use super::key::{Key, ValueKind};
use super::mistake::Mistake;
use super::schema;
use crate::etcd::keys;
use crate::suggest;
use crate::values::{Setting, toml_string as quoted};

/// The setting in the syntax of a profile, and the reason why a profile cannot have it.
pub(super) fn line(setting: &Setting) -> (String, Option<Mistake>) {
    let (key, value) = (setting.key(), setting.value());
    match find(key) {
        Ok(found) => (format!("{} = {}", dotted(found, key), written(found, below(found, key), value)), None),
        Err((reason, help)) => {
            let text = format!("{key} = {}", if is_toml(value) { value.to_owned() } else { quoted(value) });
            (text, Some(Mistake::new(0..key.len(), reason).help(help)))
        }
    }
}

/// The key in the syntax of TOML. The names of links have dots, which do not separate tables.
fn dotted(row: &Key, key: &str) -> String {
    match below(row, key) {
        name if !name.is_empty() && row.name == "links" => {
            format!("{}.{}", path(row), quoted(name))
        }
        _ => key.to_owned(),
    }
}

/// The row of a dotted key: its own, or that of the table of options that it is in.
fn find(key: &str) -> Result<&'static Key, (String, String)> {
    let (first, rest) = key.split_once('.').unwrap_or((key, ""));
    let refuse = |reason: String, help: &str| Err((reason, help.to_owned()));
    let list = |path: &str| {
        let header = format!("[[{path}]]");
        schema::all().any(|row| row.table == header).then(|| {
            let reason = format!("--set cannot change a list of tables such as {header}");
            (reason, "write it in the profile, or in a profile that extends this one".to_owned())
        })
    };
    if let Some(refusal) = list(first) {
        return Err(refusal);
    }
    if schema::find("", first).is_some() {
        let help = "write it in the profile; --set sets the keys of its tables, as in etcd.version=3.5.16";
        return refuse(format!("--set cannot change {first}"), help);
    }
    let mut table = format!("[{first}]");
    let mut rest = rest;
    while schema::all().any(|row| row.table == table) {
        let (name, deeper) = rest.split_once('.').unwrap_or((rest, ""));
        let inner = format!("{}.{name}]", table.trim_end_matches(']'));
        if let Some(refusal) = list(inner.trim_matches(['[', ']'])) {
            return Err(refusal);
        }
        match schema::find(&table, name) {
            None if schema::all().any(|row| row.table == inner) => {
                table = inner;
                rest = deeper;
            }
            _ if name.is_empty() => {
                let names = schema::names(&table);
                let path = table.trim_matches(['[', ']']);
                let help = format!("set one of its keys: {}", listed(path, &names));
                return Err((format!("{path} is a table"), help));
            }
            Some(row @ Key { kind: ValueKind::Table, .. }) => {
                table = row.below();
                rest = deeper;
            }
            Some(row) if deeper.is_empty() || is_open(row) => return Ok(row),
            Some(row) => {
                let reason = format!("{} is not a table, so {key} does not exist", row.path());
                return refuse(reason, &format!("write --set {}=…", path(row)));
            }
            None => break,
        }
    }
    let paths: Vec<String> = schema::all().filter(|row| is_settable(row)).map(path).collect();
    let last = key.rsplit('.').next().unwrap_or(key);
    let of_name = || paths.iter().map(String::as_str).find(|path| path.rsplit('.').next() == Some(last));
    let meant = suggest::nearest(key, paths.iter().map(String::as_str)).or_else(of_name);
    let help = match meant {
        Some(meant) => format!("did you mean {meant}?"),
        None => "kiln profile schema prints every key".to_owned(),
    };
    Err((format!("a profile has no key {key}"), help))
}

/// Whether its own keys are not in the table of keys.
fn is_open(row: &Key) -> bool {
    matches!(row.kind, ValueKind::Options | ValueKind::Lines)
}

fn is_settable(row: &Key) -> bool {
    !row.table.is_empty() && !row.table.starts_with("[[") && !matches!(row.kind, ValueKind::Table)
}

/// `etcd.version`.
fn path(row: &Key) -> String {
    format!("{}.{}", row.table.trim_matches(['[', ']']), row.name)
}

fn listed(table: &str, names: &[&str]) -> String {
    names.iter().map(|name| format!("{table}.{name}")).collect::<Vec<_>>().join(", ")
}

/// The part of a dotted key that is below its row: `heartbeat-interval` of `etcd.config.heartbeat-interval`.
fn below<'k>(row: &Key, key: &'k str) -> &'k str {
    key.strip_prefix(&path(row)).unwrap_or_default().trim_start_matches('.')
}

/// The value in the syntax of TOML: a text may be given without quotes.
fn written(row: &Key, below: &str, value: &str) -> String {
    let is_list = value.starts_with('[');
    let is_text = match row.kind {
        ValueKind::Text | ValueKind::Choice(_) => true,
        ValueKind::Texts | ValueKind::Carriers => !is_list,
        ValueKind::Options if !below.is_empty() => keys::is_text(below),
        ValueKind::Lines if !below.is_empty() => !is_list,
        _ => false,
    };
    let has_quotes = value.starts_with(['"', '\'']);
    // A list or a quoted text that is broken is shown as it was given.
    let is_given = has_quotes || is_list && !is_text || !is_text && is_toml(value);
    if is_given { value.to_owned() } else { quoted(value) }
}

fn is_toml(value: &str) -> bool {
    DeTable::parse(&format!("x = {value}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_by_the_kind_of_its_key() {
        for (given, want) in [
            ("etcd.version=3.5.16", "etcd.version = \"3.5.16\""),
            ("etcd.version=\"3.5.16\"", "etcd.version = \"3.5.16\""),
            ("machine.memory-mib=1024", "machine.memory-mib = 1024"),
            ("machine.memory-mib=much", "machine.memory-mib = \"much\""),
            ("cluster.formed=true", "cluster.formed = true"),
            ("cluster.domain=", "cluster.domain = \"\""),
            ("bundle.carriers=[\"tar\"]", "bundle.carriers = [\"tar\"]"),
            ("bundle.carriers=tar", "bundle.carriers = \"tar\""),
            ("bundle.carriers=[tar", "bundle.carriers = [tar"),
            ("bundle.overlays=a\\b\"c", "bundle.overlays = \"a\\\\b\\\"c\""),
            ("etcd.config.heartbeat-interval=250", "etcd.config.heartbeat-interval = 250"),
            ("etcd.config.auto-compaction-retention=8", "etcd.config.auto-compaction-retention = \"8\""),
            ("etcd.config.socket-options.reuse-port=true", "etcd.config.socket-options.reuse-port = true"),
            ("pki.server.names=[\"a.b\"]", "pki.server.names = [\"a.b\"]"),
            ("pki.server.names=a.b", "pki.server.names = \"a.b\""),
            ("pki.ca.subject.country=CA", "pki.ca.subject.country = \"CA\""),
            ("pki.subject.country=CA", "pki.subject.country = \"CA\""),
            ("pki.links.client-ca.crt=ca", "pki.links.\"client-ca.crt\" = \"ca\""),
            ("pki.links.\"client-ca.crt\"=ca", "pki.links.\"client-ca.crt\" = \"ca\""),
            ("etcd.config={ pre-vote = true }", "etcd.config = { pre-vote = true }"),
        ] {
            let (text, wrong) = line(&given.parse().unwrap());
            assert!(wrong.is_none(), "{given}: {wrong:?}");
            assert_eq!(text, want);
        }
    }

    #[test]
    fn a_key_that_does_not_exist_is_named() {
        for (given, reason, help) in [
            ("etcd.versoin=1", "no key etcd.versoin", "did you mean etcd.version?"),
            ("version=1", "no key version", "did you mean etcd.version?"),
            ("wibble=1", "no key wibble", "kiln profile schema"),
            ("etcd=1", "etcd is a table", "etcd.version"),
            ("etcd.version.x=1", "[etcd] version is not a table", "--set etcd.version="),
            ("node.0.name=x", "list of tables such as [[node]]", "extends"),
            ("client=x", "list of tables such as [[client]]", "extends"),
            ("network.subnet.cidr=x", "list of tables such as [[network.subnet]]", "extends"),
            ("network.subnet=x", "list of tables such as [[network.subnet]]", "extends"),
            ("schema=2", "cannot change schema", "in the profile"),
            ("extends=x", "cannot change extends", "in the profile"),
        ] {
            let (_, wrong) = line(&given.parse().unwrap());
            let wrong = wrong.unwrap_or_else(|| panic!("{given}"));
            assert!(wrong.reason.contains(reason), "{given}: {}", wrong.reason);
            assert!(wrong.help.as_ref().is_some_and(|text| text.contains(help)), "{given}: {:?}", wrong.help);
        }
    }
}
