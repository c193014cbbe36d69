//! Options about time: the heartbeat and elections, compaction.

use super::set::{Set, find, text};
use crate::etcd::{Release, Value, judge};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;
use crate::profile::reader::quoted;
use crate::profile::{OptionSet, Span};
use crate::values::Invalid;

/// etcd's own rule (`Validate` in embed/config.go), with its defaults for options that the profile does not set.
pub(super) fn check_timing(diagnostics: &mut Diagnostics, set: &Set) {
    let read = |key, default| match find(set, key) {
        Some((OptionSet { value: Value::Int(value), .. }, span)) => (*value, Some(span.clone())),
        _ => (default, None),
    };
    let (heartbeat, heartbeat_span) = read("heartbeat-interval", 100);
    let (election, election_span) = read("election-timeout", 1000);
    let defaulted = |span: &Option<Span>| if span.is_none() { " (etcd's default)" } else { "" };
    if heartbeat == 0 {
        let mistake = Mistake::new(heartbeat_span, "heartbeat-interval is 0; etcd does not start with it");
        diagnostics
            .mistake(mistake.help("write roughly the round-trip time between two members, in milliseconds"));
    } else if election > 50_000 {
        let reason = format!("election-timeout is {election} ms; etcd accepts at most 50000");
        diagnostics.mistake(Mistake::new(election_span, reason));
    } else if election < heartbeat.saturating_mul(5) {
        let reason = format!(
            "election-timeout {election} ms{} is less than five times heartbeat-interval {heartbeat} ms{}; etcd does not start with it",
            defaulted(&election_span),
            defaulted(&heartbeat_span),
        );
        let help = match heartbeat.saturating_mul(10) {
            advised @ ..=50_000 => format!("ten times is recommended: election-timeout = {advised}"),
            _ => "make heartbeat-interval 5000 or less, and election-timeout ten times that".into(),
        };
        let mistake = Mistake::new(election_span.clone().or(heartbeat_span.clone()), reason).help(help);
        diagnostics.mistake(match (election_span, heartbeat_span) {
            (Some(_), Some(heartbeat)) => mistake.other(heartbeat, "the heartbeat"),
            _ => mistake,
        });
    }
}

/// The meaning of a retention depends on the mode. The default mode is periodic in every style: it is the default of
/// etcd's flag, and Kiln writes it into the config file, which has no default of its own.
pub(super) fn check_compaction(diagnostics: &mut Diagnostics, set: &Set, release: Release) {
    if let Some((OptionSet { value: Value::Duration { nanos: 0 }, key, .. }, span)) =
        set.iter().find(|(option, _)| option.key.ends_with("compact-hash-check-time"))
    {
        let reason = format!("{key} is 0; etcd {release} does not start with it");
        diagnostics
            .mistake(Mistake::new(span.clone(), reason).help("write how often to compare, as in \"1m\""));
    }
    let Some((retention, span)) = text(set, "auto-compaction-retention") else { return };
    let mode = text(set, "auto-compaction-mode").map_or("periodic", |(mode, _)| mode);
    if let Err(Invalid(takes)) = judge::retention(mode, retention) {
        let reason = format!("auto-compaction-retention cannot be {} in {mode} mode", quoted(retention));
        diagnostics.mistake(Mistake::new(span.clone(), reason).help(takes));
    }
}
