//! What options of etcd mean together, and together with the nodes: what etcd refuses at its start, and what it would take
//! although a member could not serve with it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::desk::Desk;
use super::mistake::Mistake;
use super::reader::quoted;
use super::{Algorithm, ConfigStyle, Node, OptionSet, Span};
use crate::etcd::judge::{self, Host, Listener, LogOutput, Suite};
use crate::etcd::{AllowedCn, CLIENT_PORT, PEER_PORT, Release, Value, keys};
use crate::values::{GuestPath, Invalid};

/// The checks that `Release::corruption_checks` turns on.
pub(super) const CORRUPTION_CHECKS: [&str; 2] =
    ["experimental-initial-corrupt-check", "experimental-compact-hash-check-enabled"];

/// What the options of a profile are judged by besides each other. What could not be read is `None`.
pub(super) struct Around<'a> {
    pub style: ConfigStyle,
    /// Of the members' keys.
    pub leaf: Option<Algorithm>,
    pub data_dir: Option<&'a GuestPath>,
    pub nodes: &'a [Node],
    pub cidr: Option<IpNet>,
}

type Set = [(OptionSet, Span)];

/// # Errors
/// None: mistakes and warnings are on the desk.
pub(super) fn check(desk: &mut Desk, set: &Set, release: Release, around: &Around) {
    check_timing(desk, set);
    check_compaction(desk, set, release);
    check_pairs(desk, set);
    check_http(desk, set);
    check_listeners(desk, set, around);
    check_tls(desk, set);
    check_suites(desk, set, around);
    check_logs(desk, set, release);
    check_log_files(desk, set, around);
    check_gates(desk, set, release);
    check_releases(desk, set, release);
    warn(desk, set, release);
}

fn find<'s>(set: &'s Set, key: &str) -> Option<&'s (OptionSet, Span)> {
    set.iter().find(|(option, _)| option.key == key)
}

fn text<'s>(set: &'s Set, key: &str) -> Option<(&'s str, &'s Span)> {
    match find(set, key) {
        Some((OptionSet { value: Value::Text(text), .. }, span)) => Some((text, span)),
        _ => None,
    }
}

/// Where an option is set to true.
fn on<'s>(set: &'s Set, key: &str) -> Option<&'s Span> {
    match find(set, key) {
        Some((OptionSet { value: Value::Bool(true), .. }, span)) => Some(span),
        _ => None,
    }
}

fn list<'s>(set: &'s Set, key: &str) -> Option<(&'s [String], &'s Span)> {
    match find(set, key) {
        Some((OptionSet { value: Value::List(items), .. }, span)) => Some((items, span)),
        _ => None,
    }
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

/// What a retention is depends on the mode. A mode that is not written is periodic in every style: etcd's flag says so, and
/// for the config file, which has no default of its own, Kiln writes it.
fn check_compaction(desk: &mut Desk, set: &Set, release: Release) {
    if let Some((OptionSet { value: Value::Duration { nanos: 0 }, key, .. }, span)) =
        set.iter().find(|(option, _)| option.key.ends_with("compact-hash-check-time"))
    {
        let reason = format!("{key} is 0, with which etcd {release} does not start");
        desk.mistake(Mistake::new(span.clone(), reason).help("write how often to compare, as in \"1m\""));
    }
    let Some((retention, span)) = text(set, "auto-compaction-retention") else { return };
    let mode = text(set, "auto-compaction-mode").map_or("periodic", |(mode, _)| mode);
    if let Err(Invalid(takes)) = judge::retention(mode, retention) {
        let reason = format!("auto-compaction-retention cannot be {} in {mode} mode", quoted(retention));
        desk.mistake(Mistake::new(span.clone(), reason).help(takes));
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

/// etcd's own listeners are in the way of others, and so are others of one another (bind(2), EADDRINUSE); an address that a
/// node does not have cannot be bound at all (EADDRNOTAVAIL).
fn check_listeners(desk: &mut Desk, set: &Set, around: &Around) {
    let mut taken: Vec<(Listener, &str)> = Vec::new();
    for node in around.nodes {
        let own = |address, port| Listener { tls: true, host: Host::Address(address), port };
        taken.push((own(node.address, CLIENT_PORT), "etcd's own port for clients"));
        taken.push((own(node.address, PEER_PORT), "etcd's own port for peers"));
        taken.push((
            Listener { host: Host::Localhost, ..own(node.address, CLIENT_PORT) },
            "etcd's own port for clients",
        ));
    }
    for key in ["listen-metrics-urls", "listen-client-http-urls"] {
        let Some((urls, span)) = text(set, key) else { continue };
        for listener in judge::listeners(urls).unwrap_or_default() {
            if let Some((_, whose)) = taken.iter().find(|(other, _)| listener.is_in_the_way_of(other)) {
                let reason = format!("[etcd.config] {key} wants port {}, which is {whose}", listener.port);
                desk.mistake(Mistake::new(span.clone(), reason).help("choose another port, such as 2381"));
            } else if let Host::Address(address) = listener.host
                && let Some(why) = is_foreign(address, around)
            {
                let reason = format!("[etcd.config] {key} cannot listen on {address}: {why}");
                let any = match address {
                    IpAddr::V4(_) => "0.0.0.0",
                    IpAddr::V6(_) => "[::]",
                };
                let help = format!("{any}:{} is every address of each node", listener.port);
                desk.mistake(Mistake::new(span.clone(), reason).help(help));
            } else if listener.port < 1024 {
                let reason =
                    format!("[etcd.config] {key} wants port {}, which only root may use", listener.port);
                desk.mistake(
                    Mistake::new(span.clone(), reason).help("choose a port from 1024 on, such as 2381"),
                );
            }
            taken.push((listener, "in use by these options already"));
        }
    }
}

/// Why not every node has this address.
fn is_foreign(address: IpAddr, around: &Around) -> Option<&'static str> {
    if address.is_unspecified() || address.is_loopback() {
        return None;
    }
    let others = around.nodes.iter().any(|node| node.address != address);
    let owners = around.nodes.iter().any(|node| node.address == address);
    if owners && others {
        Some("the options are those of every node, and only one has this address")
    } else if !owners && around.cidr.is_some_and(|cidr| cidr.contains(&address)) {
        Some("no node has this address")
    } else {
        None
    }
}

/// `Validate` in server/embed/config.go.
fn check_tls(desk: &mut Desk, set: &Set) {
    let Some(("TLS1.3", min)) = text(set, "tls-min-version") else { return };
    if let Some(("TLS1.2", max)) = text(set, "tls-max-version") {
        let reason = "tls-min-version is higher than tls-max-version, with which etcd does not start";
        desk.mistake(
            Mistake::new(min.clone(), reason)
                .other(max.clone(), "the maximum")
                .help("leave one of the two out"),
        );
    }
    if let Some((items, span)) = list(set, "cipher-suites")
        && !items.is_empty()
    {
        let reason = "etcd takes no cipher-suites when TLS 1.3 is its least version: Go chooses those of TLS 1.3 itself";
        desk.mistake(
            Mistake::new(span.clone(), reason)
                .other(min.clone(), "the least version")
                .help("leave cipher-suites out"),
        );
    }
}

/// Which suites a handshake of TLS 1.2 can use follows from the key in the certificate (RFC 8422 section 5.10): all of Kiln's
/// are for ECDSA's suites, and HTTP/2 takes no CBC (RFC 7540 appendix A).
fn check_suites(desk: &mut Desk, set: &Set, around: &Around) {
    let Some((items, span)) = list(set, "cipher-suites") else { return };
    if text(set, "tls-min-version").is_some_and(|(min, _)| min == "TLS1.3") {
        return;
    }
    if !judge::serves_http2(items) {
        let reason = "etcd does not start without one of the cipher-suites that HTTP/2 requires";
        desk.mistake(Mistake::new(span.clone(), reason).help(format!("add {}", judge::HTTP2[0])));
        return;
    }
    let serves = |item: &String| {
        judge::suite(item) == Some(Suite::Ecdsa) && (item.contains("_GCM_") || item.contains("CHACHA20"))
    };
    let (Some(leaf), false) = (around.leaf, items.is_empty() || items.iter().any(serves)) else { return };
    let why = format!("none of these cipher-suites works with TLS 1.2 and the members' {leaf} keys");
    match text(set, "tls-max-version") {
        Some(("TLS1.2", max)) => {
            let help = "add TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, or leave tls-max-version out";
            let reason = format!("{why}: no client and no peer could connect");
            desk.mistake(
                Mistake::new(span.clone(), reason).other(max.clone(), "the highest version").help(help),
            );
        }
        _ => desk.warn(Some(span), format!("{why}: clients without TLS 1.3 cannot connect")),
    }
}

/// `setupLogging` and `setupLogRotation` in server/embed/config_logging.go; in 3.4 embed/config_logging.go, whose logger is
/// capnslog unless it is told otherwise.
fn check_logs(desk: &mut Desk, set: &Set, release: Release) {
    let has_capnslog = keys::lookup(release, "log-package-levels").is_some();
    let logger = text(set, "logger");
    if let Some(("capnslog", span)) = logger
        && !has_capnslog
    {
        let reason = format!("etcd {release} has no logger but zap");
        desk.mistake(Mistake::new(span.clone(), reason).help("leave it out"));
        return;
    }
    let old = list(set, "log-output").filter(|(items, _)| !items.is_empty());
    let new = list(set, "log-outputs").filter(|(items, _)| !items.is_empty());
    if let (Some((_, old)), Some((_, new))) = (old, new) {
        let mistake = Mistake::new(old.clone(), "log-output and log-outputs are two names of one option");
        desk.mistake(mistake.other(new.clone(), "its other name").help("keep log-outputs"));
        return;
    }
    let outputs = new.or(old);
    let is_stream = |item: &String| judge::log_output(item) == Ok(LogOutput::Stream);
    if let Some((items, span)) = outputs
        && has_capnslog
        && logger.is_none_or(|(logger, _)| logger == "capnslog")
        && (items.len() > 1 || !items.iter().all(is_stream))
    {
        let reason =
            format!("etcd {release} logs to one of stderr, stdout and default, unless its logger is zap");
        desk.mistake(Mistake::new(span.clone(), reason).help("write logger = \"zap\" beside it"));
    }
    let Some(rotation) = on(set, "enable-log-rotation") else { return };
    let is_file = |item: &&String| matches!(judge::log_output(item), Ok(LogOutput::File(_)));
    match outputs {
        Some((items, span)) => {
            if items.iter().filter(is_file).count() != 1 {
                let reason = "enable-log-rotation needs exactly one file in log-outputs";
                let mistake = Mistake::new(rotation.clone(), reason).other(span.clone(), "the outputs");
                desk.mistake(mistake.help("name one file, as in log-outputs = [\"/var/log/etcd/etcd.log\"]"));
            }
        }
        None => {
            let reason = "enable-log-rotation needs a file, and the log goes to stderr without log-outputs";
            let help = "leave it out, as the journal rotates itself, or write log-outputs = [\"/var/log/etcd/etcd.log\"]";
            desk.mistake(Mistake::new(rotation.clone(), reason).help(help));
        }
    }
}

/// What etcd writes must be where its unit lets it write, and where there is a directory of its own.
fn check_log_files(desk: &mut Desk, set: &Set, around: &Around) {
    let Some(data) = around.data_dir.map(GuestPath::absolute) else { return };
    let rotates = on(set, "enable-log-rotation").is_some();
    let written = set.iter().filter(|(option, _)| keys::writes(&option.key));
    for (option, span) in written {
        let Value::List(items) = &option.value else { continue };
        for item in items {
            let Ok(LogOutput::File(path)) = judge::log_output(item) else { continue };
            let in_data = path.strip_prefix(&data).and_then(|rest| rest.strip_prefix('/'));
            let why = match (path.strip_prefix("/var/log/"), in_data) {
                (Some(rest), _) if rest.contains('/') || !rotates => continue,
                (Some(_), _) => "/var/log itself is root's, so that etcd cannot rotate files in it",
                (_, Some("member")) => "etcd keeps its data there",
                (_, Some(file)) if file.contains('/') => "etcd makes no directories in its data directory",
                (_, Some(file)) if file.starts_with("kiln") => "names that begin with kiln are Kiln's there",
                (_, Some(_)) => continue,
                _ => "etcd's unit may write to its data directory and below /var/log only",
            };
            let reason = format!("[etcd.config] {} cannot be {}: {why}", option.key, quoted(path));
            desk.mistake(
                Mistake::new(span.clone(), reason).help("write it as in \"/var/log/etcd/etcd.log\""),
            );
        }
    }
}

/// `SetFeatureGatesFromExperimentalFlags` and `Validate` in server/embed/config.go.
fn check_gates(desk: &mut Desk, set: &Set, release: Release) {
    let persist = "experimental-enable-lease-checkpoint-persist";
    if let Some(span) = on(set, persist)
        && on(set, "experimental-enable-lease-checkpoint").is_none()
    {
        let reason = format!(
            "{persist} needs experimental-enable-lease-checkpoint, without which etcd does not start"
        );
        desk.mistake(
            Mistake::new(span.clone(), reason)
                .help("write experimental-enable-lease-checkpoint = true beside it"),
        );
    }
    let Some((written, span)) = text(set, "feature-gates") else { return };
    let gates = match judge::gates(release, written) {
        Ok(gates) => gates,
        Err(Invalid(why)) => {
            desk.mistake(Mistake::new(span.clone(), format!("[etcd.config] feature-gates: {why}")));
            return;
        }
    };
    let gate = |name: &str| gates.iter().rev().find(|(gate, _)| *gate == name).map(|(_, on)| *on);
    if gate("LeaseCheckpointPersist") == Some(true) && gate("LeaseCheckpoint") != Some(true) {
        let reason = "LeaseCheckpointPersist needs LeaseCheckpoint, without which etcd does not start";
        desk.mistake(Mistake::new(span.clone(), reason).help("add LeaseCheckpoint=true"));
    }
    for (option, place) in set {
        if let Some(feature) = judge::feature_of(&option.key).filter(|feature| gate(feature).is_some()) {
            let reason = format!("{} and the feature {feature} are two names of one option", option.key);
            let mistake = Mistake::new(place.clone(), reason).other(span.clone(), "its other name");
            desk.mistake(mistake.help("keep the one in feature-gates"));
        }
    }
    if CHECKED.into_iter().any(|name| gate(name) == Some(false)) {
        desk.warn(Some(span), CHECK_OFF);
    }
}

/// The features that `Release::corruption_checks` turns on.
const CHECKED: [&str; 2] = ["InitialCorruptCheck", "CompactHashCheck"];
const CHECK_OFF: &str = "this disables a corruption check that kiln enables";

/// Values that some releases take and others do not.
fn check_releases(desk: &mut Desk, set: &Set, release: Release) {
    if let Some((stage, span)) = text(set, "v2-deprecation") {
        if stage == "not-yet" && judge::has_gates(release) {
            let reason =
                format!("etcd {release} has no v2 store, so that v2-deprecation cannot be \"not-yet\"");
            desk.mistake(Mistake::new(span.clone(), reason).help("leave it out"));
        } else if let Some(v2) = on(set, "enable-v2")
            && stage != "not-yet"
        {
            let reason = format!(
                "enable-v2 and v2-deprecation = {stage:?} exclude each other, so that etcd does not start"
            );
            desk.mistake(
                Mistake::new(v2.clone(), reason)
                    .other(span.clone(), "the v2 store's end")
                    .help("leave one of the two out"),
            );
        }
    }
    let [names, hosts] = ["allowed-cn", "allowed-hostname"]
        .map(|name| find(set, &format!("client-transport-security.{name}")));
    if let (Some((_, names)), Some((_, hosts))) = (names, hosts) {
        let reason = "etcd takes only one of allowed-cn and allowed-hostname in [etcd.config.client-transport-security]";
        desk.mistake(
            Mistake::new(hosts.clone(), reason)
                .other(names.clone(), "the other one")
                .help("leave one of the two out"),
        );
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
            (key, Value::Bool(false)) if CORRUPTION_CHECKS.contains(&key) => CHECK_OFF,
            ("client-transport-security.allowed-hostname" | "client-cert-allowed-hostname", _) => {
                "only clients whose certificate has this name are served: those that kiln issues to clients have none, \
                 so kiln verify and etcdctl are refused"
            }
            ("experimental-memory-mlock" | "memory-mlock", Value::Bool(true)) => {
                "etcd locks its database in memory, for which its unit needs LimitMEMLOCK=infinity in a drop-in"
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
