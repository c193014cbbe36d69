//! Validates values of options with etcd's own rules, so that a member does not stop at its first start.
//!
//! Rules about one value are here; rules about two options, or an option and the nodes, are in `profile/rules/`. Each
//! function names the file of etcd's source that it follows. `tests/it/lab/etcd_values.rs` gives the same values to
//! real etcd binaries and compares. Where Kiln is stricter than etcd, the documentation of the function says so.

mod logs;
mod path;
mod tls;
mod token;
mod urls;

pub use logs::{LogOutput, log_output};
pub use tls::{HTTP2, Suite, serves_http2, suite};
pub use token::token_files;
pub use urls::{Host, Listener, listeners};

use crate::etcd::{Release, keys, parse_duration};
use crate::suggest;
use crate::values::Invalid;

/// The limits of a number, within those of its Go type.
///
/// - bcrypt: `NewAuthStore` in server/auth/store.go replaces a value out of range by its default (`bcrypt.MinCost`,
///   `MaxCost`).
/// - tracing: `validateTracingConfig` in server/embed/config_tracing.go.
/// - requests: a member puts its own name and URLs into a request (`publishV3`); `maxRequestBytes` plus 512 KiB is the
///   limit of gRPC, which overflows (server/etcdserver/api/v3rpc/grpc.go), and peers read messages of up to 512 MiB
///   (server/etcdserver/api/rafthttp/msg_codec.go).
/// - transactions: with 0 each of them has too many operations (`checkTxnRequest` in api/v3rpc/key.go).
/// - compaction and learners: etcd reads a negative number as no limit, or ignores it; Kiln is stricter.
pub fn bounds(key: &str, min: i64, max: i64) -> (i64, i64) {
    match key {
        "bcrypt-cost" => (4, 31),
        "max-request-bytes" => (1 << 10, 512 << 20),
        "max-txn-ops" => (1, max),
        "distributed-tracing-sampling-rate" | "experimental-distributed-tracing-sampling-rate" => {
            (0, 1_000_000)
        }
        "backend-batch-limit"
        | "compaction-batch-limit"
        | "experimental-compaction-batch-limit"
        | "max-learners"
        | "experimental-max-learners" => (0, max),
        _ => (min, max),
    }
}

/// The smallest `quota-backend-bytes` that is a limit: the database of a new member has 24 KiB already, and with a
/// smaller quota refuses each write (server/storage/quota.go). Kiln is stricter.
const MIN_QUOTA_BYTES: i64 = 1 << 20;

/// # Errors
/// A sentence about a number within `bounds` with which etcd does not serve.
pub fn number(key: &str, value: i64) -> Result<(), Invalid> {
    match (key, value) {
        ("quota-backend-bytes", 1..MIN_QUOTA_BYTES) => Err(Invalid(format!(
            "it takes {MIN_QUOTA_BYTES} or more, or 0 for etcd's default; with less, etcd has no space for the first key"
        ))),
        _ => Ok(()),
    }
}

/// # Errors
/// A sentence that does not quote the value.
pub fn text(key: &str, text: &str) -> Result<(), Invalid> {
    let choices = choices(key);
    if !choices.is_empty() && !choices.contains(&text) {
        let quoted: Vec<_> = choices.iter().map(|choice| format!("{choice:?}")).collect();
        let meant = suggest::nearest(text, choices.iter().copied().filter(|choice| !choice.is_empty()));
        let meant = meant.map(|word| format!("; did you mean {word:?}?")).unwrap_or_default();
        return Err(Invalid(format!("it takes one of {}{meant}", quoted.join(", "))));
    }
    match key {
        "auth-token" => token_files(text).map(drop),
        "cors" => urls::origins(text),
        "listen-metrics-urls" | "listen-client-http-urls" => listeners(text).map(drop),
        "log-rotation-config-json" => logs::rotation(text),
        "client-crl-file" | "peer-crl-file" => path::file(text).map(drop),
        "experimental-enable-v2v3" if !text.is_empty() && !text.starts_with('/') => {
            Err(Invalid("it takes the prefix of the v2 keys, which begins with /".into()))
        }
        _ => Ok(()),
    }
}

/// # Errors
/// A sentence that names the item.
pub fn list(key: &str, items: &[String]) -> Result<(), Invalid> {
    match key {
        "cipher-suites" => tls::suites(items),
        "log-outputs" | "log-output" => logs::outputs(items),
        _ => Ok(()),
    }
}

/// Checks `auto-compaction-retention` in a mode: hours or a duration, or a number of revisions. An error is one
/// sentence.
///
/// `parseCompactionRetention` in server/embed/etcd.go. Kiln is stricter: etcd reads "5m" in revision mode as a count of
/// nanoseconds.
///
/// # Errors
/// The values that are valid in this mode.
pub fn retention(mode: &str, text: &str) -> Result<(), Invalid> {
    // The largest number of hours in Go's time.Duration.
    const HOURS: i64 = 2_562_047;
    // Members of 3.5.16 ended with exit code 2 at 10ms, and served with a second.
    const SECOND: i64 = 1_000_000_000;
    let count = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>());
    match (mode, count) {
        // Like "0": no compaction.
        _ if text.is_empty() => Ok(()),
        ("revision", Some(Ok(_))) | (_, Some(Ok(0..=HOURS))) => Ok(()),
        ("revision", _) => Err(Invalid("it takes a number of revisions, as in \"1000\"".into())),
        (_, None) => match parse_duration(text) {
            Ok(0 | SECOND..) => Ok(()),
            Ok(_) => {
                Err(Invalid("etcd panics with a very short one; it takes 1s or more, as in \"30m\"".into()))
            }
            Err(_) => Err(Invalid("it takes hours or a duration, as in \"8\" or \"30m\"".into())),
        },
        _ => Err(Invalid("it takes hours or a duration, as in \"8\" or \"30m\"".into())),
    }
}

/// The features of `feature-gates` in this release, each with whether it is on.
///
/// `Set` in pkg/featuregate/feature_gate.go, the names in server/features/etcd_features.go. Kiln is stricter: Go also
/// accepts 1, t and TRUE.
///
/// # Errors
/// A sentence that names the feature.
pub fn gates(release: Release, text: &str) -> Result<Vec<(&str, bool)>, Invalid> {
    const NAMES: [&str; 9] = [
        "AllAlpha",
        "AllBeta",
        "CompactHashCheck",
        "InitialCorruptCheck",
        "LeaseCheckpoint",
        "LeaseCheckpointPersist",
        "SetMemberLocalAddr",
        "StopGRPCServiceOnDefrag",
        "TxnModeWriteWithSharedBuffer",
    ];
    let new: &[&str] = if release >= Release::new(3, 7, 0) { &["FastLeaseKeepAlive"] } else { &[] };
    let names = || NAMES.iter().chain(new).copied();
    let mut gates = Vec::new();
    for gate in text.split(',').map(str::trim).filter(|gate| !gate.is_empty()) {
        let (name, value) = gate.split_once('=').unwrap_or((gate, ""));
        let name = name.trim();
        if !names().any(|known| known == name) {
            let meant = match suggest::nearest(name, names()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("it has {}", names().collect::<Vec<_>>().join(", ")),
            };
            return Err(Invalid(format!("etcd {release} has no feature {name:?}; {meant}")));
        }
        match value.trim() {
            "true" => gates.push((name, true)),
            "false" => gates.push((name, false)),
            _ => return Err(Invalid(format!("{name} takes true or false, as in \"{name}=true\""))),
        }
    }
    Ok(gates)
}

/// The feature that has replaced an option of 3.5; 3.6 does not start with both.
///
/// `ExperimentalFlagToFeatureMap` in server/features/etcd_features.go.
pub fn feature_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "experimental-stop-grpc-service-on-defrag" => "StopGRPCServiceOnDefrag",
        "experimental-initial-corrupt-check" => "InitialCorruptCheck",
        "experimental-compact-hash-check-enabled" => "CompactHashCheck",
        "experimental-txn-mode-write-with-shared-buffer" => "TxnModeWriteWithSharedBuffer",
        "experimental-enable-lease-checkpoint" => "LeaseCheckpoint",
        "experimental-enable-lease-checkpoint-persist" => "LeaseCheckpointPersist",
        _ => return None,
    })
}

/// Whether a release has feature gates, which came with 3.6 together with the end of the v2 store.
pub fn has_gates(release: Release) -> bool {
    keys::lookup(release, "feature-gates").is_some()
}

/// The values of a key that accepts only a few; with any other one etcd does not start, or uses its default.
fn choices(key: &str) -> &'static [&'static str] {
    match key {
        "auto-compaction-mode" => &["periodic", "revision"],
        "backend-bbolt-freelist-type" | "experimental-backend-bbolt-freelist-type" => &["array", "map"],
        "log-format" => &["json", "console"],
        "log-level" => &["debug", "info", "warn", "error", "panic", "fatal"],
        "logger" => &["zap", "capnslog"],
        "metrics" => &["basic", "extensive"],
        // Without a minimum version Go decides, and Debian's builds accept TLS 1.0.
        "tls-min-version" => &["TLS1.2", "TLS1.3"],
        "tls-max-version" => &["", "TLS1.2", "TLS1.3"],
        // The fourth one, write-only-drop-data, deletes data.
        "v2-deprecation" => &["not-yet", "write-only", "gone"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_follows_the_mode() {
        let cases = [
            ("periodic", "8", true),
            ("periodic", "", true),
            ("periodic", "0", true),
            ("periodic", "1.5h", true),
            ("periodic", "3000000", false),
            ("periodic", "99999999999999999999", false),
            ("periodic", "0s", true),
            ("periodic", "1s", true),
            ("periodic", "999ms", false),
            ("periodic", "10ms", false),
            ("periodic", "1ns", false),
            ("periodic", "-5m", false),
            ("periodic", "often", false),
            ("revision", "1000", true),
            ("revision", "3000000", true),
            ("revision", "5m", false),
            ("revision", "99999999999999999999", false),
        ];
        for (mode, text, good) in cases {
            assert_eq!(retention(mode, text).is_ok(), good, "{text} in {mode}");
        }
    }

    #[test]
    fn gates_are_those_of_the_release() {
        let gates = |release: &str, text| gates(release.parse().unwrap(), text).map_err(|error| error.0);
        assert_eq!(
            gates("3.6.0", " LeaseCheckpoint = true,CompactHashCheck=false, "),
            Ok(vec![("LeaseCheckpoint", true), ("CompactHashCheck", false)])
        );
        assert!(gates("3.7.0", "FastLeaseKeepAlive=true").is_ok());
        assert!(gates("3.6.0", "FastLeaseKeepAlive=true").is_err());
        let near = gates("3.6.0", "CompactHashChek=true").unwrap_err();
        assert_eq!(near, "etcd 3.6.0 has no feature \"CompactHashChek\"; did you mean CompactHashCheck?");
        assert!(gates("3.6.0", "CompactHashCheck").unwrap_err().contains("true or false"));
    }
}
