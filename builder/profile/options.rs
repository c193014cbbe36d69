//! `[etcd.config]`: any option of exactly this release, by etcd's own name.

use toml::Spanned;
use toml::de::DeValue;

use super::mistake::{Desk, Mistake};
use super::reader::{Section, given, quoted};
use super::{ConfigStyle, OptionSet, Span};
use crate::etcd::{AllowedCn, Release, Value, keys, parse_duration};
use crate::values::Invalid;

/// etcd's own nesting; everything else is flat.
const NESTED: [&str; 3] = ["client-transport-security", "peer-transport-security", "socket-options"];

/// Options that Kiln sets itself, and where a profile says what they become.
const OWNED: [(&str, &str); 26] = [
    ("name", "give the node its name in [[node]]"),
    ("data-dir", "write it as data-dir in [etcd]"),
    ("wal-dir", "kiln makes one directory for etcd's data, data-dir in [etcd]; leave it out"),
    ("listen-peer-urls", "give the node its address in [[node]]"),
    ("listen-client-urls", "give the node its address in [[node]]"),
    ("advertise-client-urls", "give the node its address in [[node]]"),
    ("initial-advertise-peer-urls", "give the node its address in [[node]]"),
    ("initial-cluster", "list the members as [[node]]"),
    ("initial-cluster-state", "the nodes of a profile form a new cluster; leave it out"),
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
    (
        "peer-transport-security.allowed-cn",
        "only the members' own certificates pass the peer port; leave it out",
    ),
    (
        "peer-transport-security.allowed-hostname",
        "kiln sets allowed-cn, and etcd takes only one of the two; leave it out",
    ),
];
const CERTIFICATES: &str = "kiln issues the certificates; [pki] says where they lie";
const ALWAYS_ON: &str = "clients and members always show a certificate; leave it out";
const NO_AUTO_TLS: &str = "kiln issues the certificates, so etcd must not make its own; leave it out";

/// Options that no cluster of Kiln's runs with, and why.
const REFUSED: [(&str, &str); 7] = [
    ("unsafe-no-fsync", "it loses acknowledged writes in a power cut"),
    ("force-new-cluster", "it throws away every other member; recovering a cluster is done by hand"),
    ("discovery", DISCOVERY),
    ("discovery-config", DISCOVERY),
    ("discovery-proxy", DISCOVERY),
    ("discovery-srv", DISCOVERY),
    ("discovery-srv-name", DISCOVERY),
];
const DISCOVERY: &str = "the members know each other from the profile, and etcd refuses to be told both ways";

/// The checks that `Release::corruption_checks` turns on.
const CORRUPTION_CHECKS: [&str; 2] =
    ["experimental-initial-corrupt-check", "experimental-compact-hash-check-enabled"];

/// One entry, its nesting undone.
struct Entry<'t> {
    key: String,
    span: Span,
    value: &'t Spanned<DeValue<'t>>,
}

/// Without a release only what no release may have is found.
pub(super) fn options(
    desk: &mut Desk,
    config: &Section,
    release: Option<Release>,
    style: ConfigStyle,
) -> Vec<OptionSet> {
    let mut set: Vec<(OptionSet, Span)> = Vec::new();
    for entry in entries(desk, config) {
        let shown = quoted(&entry.key);
        if let Some((_, help)) = OWNED.into_iter().find(|(key, _)| *key == entry.key) {
            let reason = format!("kiln sets {shown} itself");
            desk.mistake(Mistake::new(entry.span, reason).help(help));
        } else if let Some((_, why)) = REFUSED.into_iter().find(|(key, _)| *key == entry.key) {
            let reason = format!("kiln does not write {shown}: {why}");
            desk.mistake(Mistake::new(entry.span, reason).help("leave it out"));
        } else if entry.key == "strict-reconfig-check" && entry.value.get_ref().as_bool() == Some(false) {
            let reason =
                "kiln does not turn strict-reconfig-check off: changing members could then cost the quorum";
            desk.mistake(Mistake::new(entry.value.span(), reason).help("leave it out; it is on by default"));
        } else if let Some(release) = release {
            if let Some(value) = checked(desk, &entry, release, style) {
                let line = desk.line(&entry.span);
                set.push((OptionSet { key: entry.key, value, line }, entry.value.span()));
            }
        } else if keys::releases_with(&entry.key).is_empty()
            && let Some((_, newest)) = keys::known_releases().last()
        {
            // Of which release it should be is not known; that none has it is.
            desk.mistake(unknown(&entry, *newest, "etcd"));
        }
    }
    if let Some(release) = release {
        check_timing(desk, &set);
        check_compaction(desk, &set);
        check_pairs(desk, &set);
        check_http(desk, &set);
        warn(desk, &set, release);
    }
    set.into_iter().map(|(option, _)| option).collect()
}

fn entries<'t>(desk: &mut Desk, config: &Section<'t>) -> Vec<Entry<'t>> {
    let mut all = Vec::new();
    for (key, span, value) in config.entries() {
        if !NESTED.contains(&key) {
            all.push(Entry { key: key.into(), span, value });
            continue;
        }
        let DeValue::Table(table) = value.get_ref() else {
            let reason = format!("{key} is a table of options, not {}", super::reader::what(value.get_ref()));
            let help = format!("write it as [etcd.config.{key}]");
            desk.mistake(Mistake::new(value.span(), reason).help(help));
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

/// Whether this release knows the option, in this type, in this style.
fn checked(desk: &mut Desk, entry: &Entry, release: Release, style: ConfigStyle) -> Option<Value> {
    let shown = quoted(&entry.key);
    // A nested key in quotes, "socket-options.reuse-port", is a flat one for etcd, which knows none such.
    let flat_in_quotes = entry.key.contains('.') && !NESTED.iter().any(|table| is_below(entry, table));
    let Some(go_type) = keys::lookup(release, &entry.key).filter(|_| !flat_in_quotes) else {
        desk.mistake(unknown(entry, release, &format!("etcd {release}")));
        return None;
    };
    if keys::lookup(release, "feature-gates").is_some() && CORRUPTION_CHECKS.contains(&entry.key.as_str()) {
        let reason = format!("etcd {release} refuses {shown} beside feature-gates, which kiln sets");
        let help = "the check is on; to turn it off, write feature-gates = \"InitialCorruptCheck=false\" or \"CompactHashCheck=false\"";
        desk.mistake(Mistake::new(entry.span.clone(), reason).help(help));
        return None;
    }
    if style != ConfigStyle::File && keys::flag_name(&entry.key).is_none() {
        let reason = format!("etcd has no flag for {shown}");
        let help =
            "only its config file takes it: write config-style = \"file\" in [etcd], or leave the option out";
        desk.mistake(Mistake::new(entry.span.clone(), reason).help(help));
        return None;
    }
    match keys::value(&entry.key, go_type, &given(entry.value.get_ref())) {
        Ok(value) => Some(value),
        Err(Invalid(why)) => {
            let reason = format!("[etcd.config] {}: {why}", entry.key);
            desk.mistake(Mistake::new(entry.value.span(), reason));
            None
        }
    }
}

/// Whether the entry really stands in this table.
fn is_below(entry: &Entry, table: &str) -> bool {
    let name = entry.key.strip_prefix(table).and_then(|rest| rest.strip_prefix('.'));
    // The span of a nested entry is that of its last part, quotes included.
    name.is_some_and(|name| entry.span.len() <= name.len() + 2)
}

fn unknown(entry: &Entry, release: Release, who: &str) -> Mistake {
    let mistake = Mistake::new(entry.span.clone(), format!("{who} knows no option {}", quoted(&entry.key)));
    let meant = match keys::suggest(release, &entry.key) {
        Some("feature-gates") => {
            "this release has feature-gates for it, and kiln turns the check on; leave it out".into()
        }
        Some(meant) => match OWNED.into_iter().find(|(key, _)| *key == meant) {
            Some((_, help)) => format!("etcd's config file calls it {meant}, which kiln sets itself: {help}"),
            None => format!("did you mean {}?", written(meant)),
        },
        None => "etcd would ignore it without a word; leave it out".into(),
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

/// A key as it is written in a profile.
fn written(key: &str) -> String {
    match key.split_once('.') {
        Some((table, name)) => format!("{name} in [etcd.config.{table}]"),
        None => key.into(),
    }
}

type Set = [(OptionSet, Span)];

fn find<'s>(set: &'s Set, key: &str) -> Option<&'s (OptionSet, Span)> {
    set.iter().find(|(option, _)| option.key == key)
}

/// etcd's own rule (`Validate` in embed/config.go), with its defaults for what the profile does not say.
fn check_timing(desk: &mut Desk, set: &Set) {
    let read = |key, default| match find(set, key) {
        Some((OptionSet { value: Value::Int(value), .. }, span)) => (*value, Some(span.clone())),
        _ => (default, None),
    };
    let (heartbeat, heartbeat_span) = read("heartbeat-interval", 100);
    let (election, election_span) = read("election-timeout", 1000);
    let defaulted = |span: &Option<Span>| if span.is_none() { " (etcd's default)" } else { "" };
    if heartbeat == 0 {
        let mistake = Mistake::new(heartbeat_span, "heartbeat-interval is 0, with which etcd does not start");
        desk.mistake(mistake.help("write about the round trip between two members, in milliseconds"));
    } else if election > 50_000 {
        let reason = format!("election-timeout is {election} ms; etcd takes 50000 at the most");
        desk.mistake(Mistake::new(election_span, reason));
    } else if election < heartbeat.saturating_mul(5) {
        let reason = format!(
            "election-timeout {election} ms{} is less than five times heartbeat-interval {heartbeat} ms{}, with which etcd does not start",
            defaulted(&election_span),
            defaulted(&heartbeat_span),
        );
        let help = match heartbeat.saturating_mul(10) {
            advised @ ..=50_000 => format!("ten times is advised: election-timeout = {advised}"),
            _ => "make heartbeat-interval 5000 or less, and election-timeout ten times that".into(),
        };
        let mistake = Mistake::new(election_span.clone().or(heartbeat_span.clone()), reason).help(help);
        desk.mistake(match (election_span, heartbeat_span) {
            (Some(_), Some(heartbeat)) => mistake.other(heartbeat, "the heartbeat"),
            _ => mistake,
        });
    }
}

/// What a retention is depends on the mode: hours or a duration, or a count of revisions.
fn check_compaction(desk: &mut Desk, set: &Set) {
    let text = |key| match find(set, key) {
        Some((OptionSet { value: Value::Text(text), .. }, span)) => Some((text.as_str(), span.clone())),
        _ => None,
    };
    let Some((retention, span)) = text("auto-compaction-retention") else { return };
    let mode = text("auto-compaction-mode").map_or("periodic", |(mode, _)| mode);
    let is_count = !retention.is_empty() && retention.bytes().all(|b| b.is_ascii_digit());
    let (right, takes) = match mode {
        "revision" => (is_count, "a number of revisions, as in \"1000\""),
        _ => (is_count || parse_duration(retention).is_ok(), "hours or a duration, as in \"8\" or \"30m\""),
    };
    if !right {
        let reason = format!("auto-compaction-retention cannot be {} in {mode} mode", quoted(retention));
        desk.mistake(Mistake::new(span, reason).help(format!("it takes {takes}")));
    }
}

/// This listener asks nobody for a certificate when it speaks plain HTTP, and it serves every key (etcd's gRPC gateway).
fn check_http(desk: &mut Desk, set: &Set) {
    if let Some((option, span)) = find(set, "listen-client-http-urls")
        && let Value::Text(urls) = &option.value
        && urls.split(',').any(|url| !url.trim_start().starts_with("https://"))
    {
        let reason = "[etcd.config] listen-client-http-urls would serve every key without TLS to anyone";
        desk.mistake(
            Mistake::new(span.clone(), reason).help("write https:// in each of its URLs, or leave it out"),
        );
    }
}

/// etcd 3.6 knows both names of many an option and does not start with both of them.
fn check_pairs(desk: &mut Desk, set: &Set) {
    for (old, span) in set {
        let new = old.key.strip_prefix("experimental-").and_then(|key| find(set, key));
        if let Some((new, other)) = new {
            let reason = format!("{} and {} are two names of one option", old.key, new.key);
            desk.mistake(
                Mistake::new(span.clone(), reason)
                    .other(other.clone(), "its other name")
                    .help(format!("keep {}", new.key)),
            );
        }
    }
}

fn warn(desk: &mut Desk, set: &Set, release: Release) {
    for (option, span) in set {
        let text = match (option.key.as_str(), &option.value) {
            ("quota-backend-bytes", Value::Int(bytes)) if *bytes > 8 << 30 => {
                "quota-backend-bytes is more than 8 GiB, the most that etcd advises: starting and snapshots take long"
            }
            ("quota-backend-bytes", Value::Int(..0)) => {
                "quota-backend-bytes is negative: there is no limit, and a full disk ends the member"
            }
            ("pre-vote", Value::Bool(false)) => {
                "pre-vote is off: a member that comes back from a cut-off network unseats the leader"
            }
            (key, Value::Bool(false)) if CORRUPTION_CHECKS.contains(&key) => {
                "this turns a check for damaged data off that kiln turns on"
            }
            ("feature-gates", Value::Text(gates))
                if gates.contains("InitialCorruptCheck=false")
                    || gates.contains("CompactHashCheck=false") =>
            {
                "this turns a check for damaged data off that kiln turns on"
            }
            (key, Value::Bool(true)) if key.ends_with("skip-client-san-verification") => {
                "members no longer check that a peer's certificate belongs to its address"
            }
            ("client-transport-security.allowed-cn", _)
                if release.peer_allowed_cn() != AllowedCn::FlagOnly =>
            {
                "only clients with this common name are served: kiln verify and etcdctl use the name etcdctl"
            }
            _ => continue,
        };
        desk.warn(Some(span), text);
    }
}
