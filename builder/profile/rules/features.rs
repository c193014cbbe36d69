//! Options with two names, feature gates, and values that depend on the release.

use super::set::{Set, find, named, on, text};
use crate::etcd::{Release, judge};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;
use crate::values::Invalid;

/// etcd 3.6 knows both names of many options and does not start with both of them.
pub(super) fn check_pairs(diagnostics: &mut Diagnostics, set: &Set) {
    for (old, span) in set {
        let new = old.key.strip_prefix("experimental-").and_then(|key| find(set, key));
        if let Some((new, other)) = new {
            let reason = format!("{} and {} are two names of one option", old.key, new.key);
            diagnostics.mistake(
                Mistake::new(span.clone(), reason)
                    .other(other.clone(), "its other name")
                    .help(format!("keep {}", new.key)),
            );
        }
    }
}

/// `SetFeatureGatesFromExperimentalFlags` and `Validate` in server/embed/config.go.
pub(super) fn check_gates(diagnostics: &mut Diagnostics, set: &Set, release: Release) {
    let persist = "experimental-enable-lease-checkpoint-persist";
    if let Some(span) = on(set, persist)
        && on(set, "experimental-enable-lease-checkpoint").is_none()
    {
        let reason =
            format!("{persist} needs experimental-enable-lease-checkpoint; etcd does not start without it");
        diagnostics.mistake(
            Mistake::new(span.clone(), reason).help("also write experimental-enable-lease-checkpoint = true"),
        );
    }
    let Some((written, span)) = text(set, "feature-gates") else { return };
    let gates = match judge::gates(release, written) {
        Ok(gates) => gates,
        Err(Invalid(why)) => {
            diagnostics
                .mistake(Mistake::new(span.clone(), format!("{}: {why}", named(set, "feature-gates"))));
            return;
        }
    };
    let gate = |name: &str| gates.iter().rev().find(|(gate, _)| *gate == name).map(|(_, on)| *on);
    if gate("LeaseCheckpointPersist") == Some(true) && gate("LeaseCheckpoint") != Some(true) {
        let reason = "LeaseCheckpointPersist needs LeaseCheckpoint; etcd does not start without it";
        diagnostics.mistake(Mistake::new(span.clone(), reason).help("add LeaseCheckpoint=true"));
    }
    for (option, place) in set {
        if let Some(feature) = judge::feature_of(&option.key).filter(|feature| gate(feature).is_some()) {
            let reason = format!("{} and the feature {feature} are two names of one option", option.key);
            let mistake = Mistake::new(place.clone(), reason).other(span.clone(), "its other name");
            diagnostics.mistake(mistake.help("keep the one in feature-gates"));
        }
    }
    if CHECKED.into_iter().any(|name| gate(name) == Some(false)) {
        diagnostics.warn(Some(span), CHECK_OFF);
    }
}

/// The features that `Release::corruption_checks` turns on.
const CHECKED: [&str; 2] = ["InitialCorruptCheck", "CompactHashCheck"];
pub(super) const CHECK_OFF: &str = "this disables a corruption check that Kiln enables";

/// Values that only some releases accept.
pub(super) fn check_releases(diagnostics: &mut Diagnostics, set: &Set, release: Release) {
    if let Some((stage, span)) = text(set, "v2-deprecation") {
        if stage == "not-yet" && judge::has_gates(release) {
            let reason = format!("etcd {release} has no v2 store, so v2-deprecation cannot be \"not-yet\"");
            diagnostics.mistake(Mistake::new(span.clone(), reason).help("omit it"));
        } else if let Some(v2) = on(set, "enable-v2")
            && stage != "not-yet"
        {
            let reason =
                format!("enable-v2 and v2-deprecation = {stage:?} exclude each other; etcd does not start");
            diagnostics.mistake(
                Mistake::new(v2.clone(), reason)
                    .other(span.clone(), "the v2 store's end")
                    .help("omit one of the two"),
            );
        }
    }
    let [names, hosts] = ["allowed-cn", "allowed-hostname"]
        .map(|name| find(set, &format!("client-transport-security.{name}")));
    if let (Some((_, names)), Some((_, hosts))) = (names, hosts) {
        let reason = "etcd accepts only one of allowed-cn and allowed-hostname in [etcd.config.client-transport-security]";
        diagnostics.mistake(
            Mistake::new(hosts.clone(), reason)
                .other(names.clone(), "the other one")
                .help("omit one of the two"),
        );
    }
}
