//! `[etcd.config]` and `[node.config]`: any option of exactly this release, by etcd's own name.

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::{Section, given, place_of, quoted};
use super::rules::CORRUPTION_CHECKS;
use super::schema;
use super::{ConfigStyle, OptionSet, Span};
use crate::etcd::{self, Release, Value, judge, keys};
use crate::values::Invalid;

/// etcd's own nested tables; everything else is flat.
const NESTED: [&str; 3] = ["client-transport-security", "peer-transport-security", "socket-options"];

/// Options that Kiln sets itself, and where a profile influences them.
const OWNED: [(&str, &str); 28] = [
    ("name", "give the node its name in [[node]]"),
    ("data-dir", "write it as data-dir in [etcd]"),
    ("wal-dir", "write it as wal-dir in [etcd]"),
    ("listen-peer-urls", "give the node its address in [[node]]"),
    ("listen-client-urls", "give the node its address in [[node]]"),
    ("advertise-client-urls", "give the node its address in [[node]]"),
    ("initial-advertise-peer-urls", "give the node its address in [[node]]"),
    ("initial-cluster", "list the members as [[node]]"),
    ("initial-cluster-state", "the nodes of a profile form a new cluster; omit it"),
    ("initial-cluster-token", "write it as token in [cluster]"),
    ("client-transport-security.cert-file", CERTIFICATES),
    ("client-transport-security.key-file", CERTIFICATES),
    ("client-transport-security.trusted-ca-file", CERTIFICATES),
    ("client-transport-security.client-cert-file", CERTIFICATES),
    ("client-transport-security.client-key-file", CERTIFICATES),
    ("client-transport-security.client-cert-auth", ALWAYS_ON),
    ("client-transport-security.auto-tls", NO_AUTO_TLS),
    ("peer-transport-security.cert-file", CERTIFICATES),
    ("peer-transport-security.key-file", CERTIFICATES),
    ("peer-transport-security.trusted-ca-file", CERTIFICATES),
    ("peer-transport-security.client-cert-file", CERTIFICATES),
    ("peer-transport-security.client-key-file", CERTIFICATES),
    ("peer-transport-security.client-cert-auth", ALWAYS_ON),
    ("peer-transport-security.auto-tls", NO_AUTO_TLS),
    ("peer-transport-security.allowed-cn", ALLOWED_CN),
    ("peer-cert-allowed-cn", ALLOWED_CN),
    ("peer-transport-security.allowed-hostname", ALLOWED_HOSTNAME),
    ("peer-cert-allowed-hostname", ALLOWED_HOSTNAME),
];
const ALLOWED_CN: &str = "only the members' own certificates pass the peer port; omit it";
const ALLOWED_HOSTNAME: &str = "Kiln sets by which names peers know each other; omit it";
const CERTIFICATES: &str = "Kiln issues the certificates; [pki] directory sets their place";
const ALWAYS_ON: &str = "clients and members always show a certificate; omit it";
const NO_AUTO_TLS: &str = "Kiln issues the certificates, so etcd must not create its own; omit it";

/// Options that no cluster built by Kiln may use, and why.
const REFUSED: [(&str, &str); 8] = [
    ("unsafe-no-fsync", "it loses acknowledged writes in a power cut"),
    ("force-new-cluster", "it removes every other member; recover a cluster by hand"),
    ("discovery", DISCOVERY),
    ("discovery-config", DISCOVERY),
    ("discovery-proxy", DISCOVERY),
    ("discovery-srv", DISCOVERY),
    ("discovery-srv-name", DISCOVERY),
    ("proxy", "a node is a member, and etcd's proxy for the v2 API is gone"),
];
const DISCOVERY: &str =
    "the members find each other through the profile, and etcd accepts only one of the two ways";

/// One entry, with its nesting flattened.
struct Entry<'t> {
    key: String,
    span: Span,
    value: &'t Spanned<DeValue<'t>>,
}

/// The options of one table, each with its place. Without a release only options that no release may have are refused.
pub(super) fn read(
    diagnostics: &mut Diagnostics,
    config: &Section,
    release: Option<Release>,
    style: ConfigStyle,
) -> Vec<(OptionSet, Span)> {
    let table = config.title();
    let mut set: Vec<(OptionSet, Span)> = Vec::new();
    for entry in entries(diagnostics, config) {
        let shown = quoted(&entry.key);
        if let Some((_, help)) = OWNED.into_iter().find(|(key, _)| *key == entry.key) {
            let reason = format!("{shown} is managed by Kiln");
            diagnostics.mistake(Mistake::new(entry.span, reason).help(help));
        } else if let Some(why) = refused(&entry.key) {
            let reason = format!("Kiln does not write {shown}: {why}");
            diagnostics.mistake(Mistake::new(entry.span, reason).help("omit it"));
        } else if entry.key == "strict-reconfig-check" && entry.value.get_ref().as_bool() == Some(false) {
            let reason = "Kiln does not disable strict-reconfig-check: without it, a change of members can lose the quorum";
            diagnostics
                .mistake(Mistake::new(entry.value.span(), reason).help("omit it; it is on by default"));
        } else if let Some(release) = release {
            if let Some(value) = checked(diagnostics, &entry, table, release, style) {
                let (line, place) = (diagnostics.line(&entry.span), diagnostics.place(&entry.value.span()));
                let at = entry.value.span().start;
                diagnostics.marks.options.push(entry.value.span());
                set.push((OptionSet { key: entry.key, value, table, line, place, at }, entry.value.span()));
            }
        } else if keys::releases_with(&entry.key).is_empty()
            && let Some((_, newest)) = keys::known_releases().last()
        {
            // The release is unknown, but no release has this option.
            diagnostics.mistake(unknown(&entry, *newest, "etcd"));
        }
    }
    set
}

/// Whether a refused name covers this key: itself, or a key with this prefix (`discovery-token`,
/// `proxy-read-timeout`).
/// Why no cluster built by Kiln may have this option, if that is so.
pub fn refused(key: &str) -> Option<&'static str> {
    REFUSED.into_iter().find(|(refused, _)| is_of(refused, key)).map(|(_, why)| why)
}

fn is_of(refused: &str, key: &str) -> bool {
    let family = matches!(refused, "discovery" | "proxy");
    key.strip_prefix(refused).is_some_and(|rest| rest.is_empty() || family && rest.starts_with('-'))
}

fn entries<'t>(diagnostics: &mut Diagnostics, config: &Section<'t>) -> Vec<Entry<'t>> {
    let mut all = Vec::new();
    for (key, span, value) in config.entries() {
        if !NESTED.contains(&key) {
            all.push(Entry { key: key.into(), span, value });
            continue;
        }
        let DeValue::Table(table) = value.get_ref() else {
            let reason = format!("{key} is a table of options, not {}", super::reader::what(value.get_ref()));
            let help = format!("write it as {}", below(config.title(), key));
            diagnostics.mistake(Mistake::new(value.span(), reason).help(help));
            continue;
        };
        let below = table.iter().map(|(name, value)| Entry {
            key: format!("{key}.{}", name.get_ref()),
            span: name.span(),
            value,
        });
        all.extend(below);
    }
    all.sort_by_key(|entry| entry.span.start);
    all
}

/// Checks that this release knows the option, with this type, in this style.
fn checked(
    diagnostics: &mut Diagnostics,
    entry: &Entry,
    table: &str,
    release: Release,
    style: ConfigStyle,
) -> Option<Value> {
    let shown = quoted(&entry.key);
    // A quoted nested key, "socket-options.reuse-port", is a flat one for etcd, which knows no such key.
    let flat_in_quotes = entry.key.contains('.') && !NESTED.iter().any(|table| is_below(entry, table));
    let flag = keys::flag_only(release, &entry.key);
    let Some(go_type) = keys::lookup(release, &entry.key).or(flag).filter(|_| !flat_in_quotes) else {
        let as_flag = (style != ConfigStyle::File).then(|| flag_of_option(entry)).flatten();
        let who = format!("etcd {release}");
        diagnostics.mistake(as_flag.unwrap_or_else(|| unknown(entry, release, &who)));
        return None;
    };
    if flag.is_some() && style == ConfigStyle::File {
        let reason =
            format!("etcd {release} supports {shown} only as a flag; its config file ignores it silently");
        let help = "write config-style = \"flags\" or \"env\" in [etcd], or omit the option";
        diagnostics.mistake(Mistake::new(entry.span.clone(), reason).help(help));
        return None;
    }
    if judge::has_gates(release) && CORRUPTION_CHECKS.contains(&entry.key.as_str()) {
        let reason = format!("etcd {release} refuses {shown} together with feature-gates, which Kiln sets");
        let help = "the check is on; to disable it, write feature-gates = \"InitialCorruptCheck=false\" or \"CompactHashCheck=false\"";
        diagnostics.mistake(Mistake::new(entry.span.clone(), reason).help(help));
        return None;
    }
    if style != ConfigStyle::File && keys::flag_name(&entry.key).is_none() {
        let reason = format!("etcd has no flag for {shown}");
        let help =
            "only its config file takes it: write config-style = \"file\" in [etcd], or omit the option";
        diagnostics.mistake(Mistake::new(entry.span.clone(), reason).help(help));
        return None;
    }
    match etcd::value(&entry.key, go_type, &given(entry.value.get_ref())) {
        Ok(value) => Some(value),
        Err(Invalid(why)) => {
            let reason = format!("{table} {}: {why}", entry.key);
            diagnostics.mistake(Mistake::new(entry.value.span(), reason));
            None
        }
    }
}

/// Whether the entry is really in this table.
fn is_below(entry: &Entry, table: &str) -> bool {
    let name = entry.key.strip_prefix(table).and_then(|rest| rest.strip_prefix('.'));
    // The span of a nested entry is that of its last part, quotes included.
    name.is_some_and(|name| entry.span.len() <= name.len() + 2)
}

/// A flag of etcd's, whose option has another name in its config file and so in a profile.
fn flag_of_option(entry: &Entry) -> Option<Mistake> {
    let key = keys::of_flag(&entry.key).filter(|key| *key != entry.key)?;
    let shown = quoted(&entry.key);
    let owned = OWNED.into_iter().find(|(owned, _)| *owned == key);
    let (reason, help) = match owned {
        Some((_, help)) => (format!("{shown} is managed by Kiln"), help.to_owned()),
        None => (
            format!(
                "{shown} is etcd's flag; a profile names the option as etcd's config file does, in every style"
            ),
            format!("write {}", written(key)),
        ),
    };
    Some(Mistake::new(entry.span.clone(), reason).help(help))
}

fn unknown(entry: &Entry, release: Release, who: &str) -> Mistake {
    let mistake = Mistake::new(entry.span.clone(), format!("{who} knows no option {}", quoted(&entry.key)));
    let meant = match keys::suggest(release, &entry.key) {
        Some("feature-gates") => {
            "this release has feature-gates for it, and Kiln enables the check; omit it".into()
        }
        Some(meant) => match OWNED.into_iter().find(|(key, _)| *key == meant) {
            Some((_, help)) => {
                format!("etcd's config file calls it {meant}, which is managed by Kiln: {help}")
            }
            None => format!("did you mean {}?", written(meant)),
        },
        None => "etcd would ignore it silently; omit it".into(),
    };
    let meant = match schema::elsewhere("[etcd.config]", &entry.key).is_empty() {
        true => meant,
        false => place_of("[etcd.config]", &entry.key).unwrap_or(meant),
    };
    let elsewhere: Vec<String> = keys::releases_with(&entry.key)
        .iter()
        .filter(|_| keys::lookup(release, &entry.key).is_none())
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first} to {last}") })
        .collect();
    match elsewhere.is_empty() {
        true => mistake.help(meant),
        false => mistake.notes([format!("it is an option of etcd {}", elsewhere.join(", "))]).help(meant),
    }
}

/// The header of a table in the one with this header: `[etcd.config.socket-options]`.
fn below(table: &str, key: &str) -> String {
    format!("{}.{key}]", table.trim_end_matches(']'))
}

/// A key in the syntax of a profile.
fn written(key: &str) -> String {
    match key.split_once('.') {
        Some((table, name)) => format!("{name} in [etcd.config.{table}]"),
        None => key.into(),
    }
}
