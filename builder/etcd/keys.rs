//! The options of each etcd release: the keys of its config file, their types, and the flag of each.
//!
//! etcd silently ignores unknown keys, so a corruption check that a release has renamed would be turned off without
//! any message. Kiln refuses such a key instead.

use std::sync::LazyLock;

use crate::etcd::Release;
use crate::suggest;

/// The type of a key's Go field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoType {
    /// `true` or `false`.
    Bool,
    /// A whole number with its limits.
    Int {
        /// The smallest value, included.
        min: i64,
        /// The largest value, included.
        max: i64,
    },
    /// `string`, and types that are read from one.
    Text,
    /// `[]string`: a list in the config file, joined by commas as a flag.
    Strings,
    /// `time.Duration`: nanoseconds in the config file, text such as `300s` as a flag.
    Duration,
    /// A structure that Kiln cannot check.
    Struct,
}

struct Row {
    key: String,
    go_type: GoType,
    marks: Marks,
    /// First and last release, both included.
    ranges: Vec<(Release, Release)>,
}

/// Further marks of an option, after its type in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks {
    /// `flag`: a flag and a variable only; the config file of these releases silently ignores it.
    flag: bool,
    /// `reads`: it names files that etcd reads when it starts.
    reads: bool,
    /// `writes`: it names files that etcd writes.
    writes: bool,
}

impl Row {
    fn knows(&self, release: Release) -> bool {
        within(&self.ranges, release)
    }
}

fn within(ranges: &[(Release, Release)], release: Release) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&release))
}

struct Table {
    releases: Vec<(Release, Release)>,
    rows: Vec<Row>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| read_table(include_str!("keys.txt")));

/// An invalid line is skipped: its key is then unknown, and refused. A test reads every line.
fn read_table(text: &str) -> Table {
    let mut table = Table { releases: Vec::new(), rows: Vec::new() };
    for line in text.lines() {
        let Some(Line { key, kind, ranges }) = read_line(line) else { continue };
        match (kind, key.strip_prefix('*')) {
            (None, _) => table.releases = ranges,
            (Some((go_type, marks)), None) => {
                table.rows.push(Row { key: key.into(), go_type, marks, ranges });
            }
            (Some((go_type, marks)), Some(rest)) => {
                for side in ["client", "peer"] {
                    let key = format!("{side}{rest}");
                    table.rows.push(Row { key, go_type, marks, ranges: ranges.clone() });
                }
            }
        }
    }
    table
}

struct Line<'t> {
    key: &'t str,
    /// `None` for the line that names the releases.
    kind: Option<(GoType, Marks)>,
    ranges: Vec<(Release, Release)>,
}

fn read_line(line: &str) -> Option<Line<'_>> {
    let mut words = line.split(' ');
    let key = words.next().filter(|key| !key.starts_with('#'))?;
    let unsigned = |max| GoType::Int { min: 0, max };
    let mut kind = words.next()?.split(',');
    let go_type = match kind.next()? {
        "-" => None,
        "bool" => Some(GoType::Bool),
        "string" => Some(GoType::Text),
        "[]string" => Some(GoType::Strings),
        "duration" => Some(GoType::Duration),
        "struct" => Some(GoType::Struct),
        "int" | "int64" => Some(GoType::Int { min: i64::MIN, max: i64::MAX }),
        // Every architecture that etcd is released for has 64-bit integers; TOML's own end at i64.
        "uint" | "uint64" => Some(unsigned(i64::MAX)),
        "uint32" => Some(unsigned(i64::from(u32::MAX))),
        _ => return None,
    };
    let mut marks = Marks::default();
    for mark in kind {
        match mark {
            "flag" => marks.flag = true,
            "reads" => marks.reads = true,
            "writes" => marks.writes = true,
            _ => return None,
        }
    }
    let range = |word: &str| {
        let (first, last) = word.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let ranges = words.map(range).collect::<Option<_>>()?;
    Some(Line { key, kind: go_type.map(|go_type| (go_type, marks)), ranges })
}

/// Whether Kiln has this release's keys.
pub fn known_release(release: Release) -> bool {
    within(&TABLE.releases, release)
}

/// The first and the last release of each minor whose keys Kiln has.
pub fn known_releases() -> &'static [(Release, Release)] {
    &TABLE.releases
}

/// The releases that know a key, from the first to the last; empty for an unknown key.
pub fn releases_with(key: &str) -> Vec<(Release, Release)> {
    TABLE.rows.iter().filter(|row| row.key == key).flat_map(|row| row.ranges.iter().copied()).collect()
}

/// The type of a key in this release's config file; `None` when the release does not know it. Nested keys are
/// written with a dot: `peer-transport-security.allowed-hostname`, `socket-options.reuse-port`.
pub fn lookup(release: Release, key: &str) -> Option<GoType> {
    find(release, key, false).map(|row| row.go_type)
}

/// The type of an option that is only a flag and a variable in this release: its config file ignores the key.
pub fn flag_only(release: Release, key: &str) -> Option<GoType> {
    find(release, key, true).map(|row| row.go_type)
}

fn find(release: Release, key: &str, flag: bool) -> Option<&'static Row> {
    TABLE.rows.iter().find(|row| row.key == key && row.marks.flag == flag && row.knows(release))
}

/// Whether an option takes a text, or a duration, which a profile writes as one.
pub fn is_text(key: &str) -> bool {
    let is_text = |go_type| matches!(go_type, GoType::Text | GoType::Duration);
    TABLE.rows.iter().any(|row| row.key == key && is_text(row.go_type))
}

/// Whether an option is a switch: its flag takes no next word.
pub fn is_switch(key: &str) -> bool {
    TABLE.rows.iter().any(|row| row.key == key && matches!(row.go_type, GoType::Bool))
}

/// Whether an option names files that etcd reads when it starts.
pub fn reads(key: &str) -> bool {
    TABLE.rows.iter().any(|row| row.key == key && row.marks.reads)
}

/// Whether an option names files that etcd writes.
pub fn writes(key: &str) -> bool {
    TABLE.rows.iter().any(|row| row.key == key && row.marks.writes)
}

/// The option that an unknown key probably means, by its name in this release: the name after or before etcd dropped
/// `experimental-`, the config file's name of a flag, or the nearest name.
pub fn suggest(release: Release, key: &str) -> Option<&'static str> {
    let known = || {
        let rows = TABLE.rows.iter().filter(|row| row.knows(release) && !row.marks.flag);
        rows.map(|row| row.key.as_str())
    };
    let find = |wanted: &str| known().find(|name| *name == wanted);
    // etcd 3.6 turned these two into feature gates (CHANGELOG-3.6).
    let became_gates = ["experimental-initial-corrupt-check", "experimental-compact-hash-check-enabled"];
    key.strip_prefix("experimental-")
        .and_then(find)
        .or_else(|| find(&format!("experimental-{key}")))
        .or_else(|| became_gates.contains(&key).then(|| find("feature-gates")).flatten())
        .or_else(|| known().find(|name| flag_name(name).is_some_and(|flag| flag == key)))
        .or_else(|| suggest::nearest(key, known()))
}

/// The flag of a key, without its dashes; `None` for the few that only the config file knows.
///
/// Source: `newConfig` in server/etcdmain/config.go, `AddFlags` in server/embed/config.go from 3.6 on.
pub fn flag_name(key: &str) -> Option<String> {
    let flag = match key {
        "discovery-config"
        | "client-transport-security.allowed-cn"
        | "client-transport-security.skip-client-san-verification" => return None,
        "client-transport-security.allowed-hostname" => "client-cert-allowed-hostname".into(),
        "peer-transport-security.allowed-cn" => "peer-cert-allowed-cn".into(),
        "peer-transport-security.allowed-hostname" => "peer-cert-allowed-hostname".into(),
        // One word in the flag, two in the file: etcd#15033.
        "experimental-snapshot-catch-up-entries" => "experimental-snapshot-catchup-entries".into(),
        _ => match key.split_once('.') {
            Some(("client-transport-security", rest)) => rest.into(),
            Some(("peer-transport-security", rest)) => format!("peer-{rest}"),
            Some(("socket-options", rest)) => format!("socket-{rest}"),
            _ => key.into(),
        },
    };
    Some(flag)
}

/// The key of a flag, without its dashes, in any release.
pub fn of_flag(flag: &str) -> Option<&'static str> {
    let mut keys = TABLE.rows.iter().map(|row| row.key.as_str());
    keys.find(|key| flag_name(key).as_deref() == Some(flag))
}

/// The environment variable of a key: `ETCD_` and its flag in capitals (`FlagToEnv` in pkg/flags).
pub fn variable_name(key: &str) -> Option<String> {
    flag_name(key).map(|flag| format!("ETCD_{}", flag.to_ascii_uppercase().replace('-', "_")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> Release {
        text.parse().unwrap()
    }

    #[test]
    fn every_line_of_the_table_is_read() {
        let text = include_str!("keys.txt");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Line { key, ranges, .. } = read_line(line).unwrap_or_else(|| panic!("{line}"));
            assert!(!ranges.is_empty(), "{line}");
            assert!(ranges.iter().all(|(first, last)| first <= last), "{key}");
            assert!(
                ranges.iter().all(|(first, last)| known_release(*first) && known_release(*last)),
                "{key}"
            );
        }
        assert!(TABLE.rows.len() > 120, "{} rows", TABLE.rows.len());
    }

    #[test]
    fn keys_come_and_go_with_the_releases() {
        let cases = [
            ("3.5.4", "experimental-compact-hash-check-enabled", false),
            ("3.5.5", "experimental-compact-hash-check-enabled", true),
            ("3.7.0", "experimental-compact-hash-check-enabled", false),
            ("3.5.7", "tls-min-version", false),
            ("3.5.8", "tls-min-version", true),
            ("3.6.0", "feature-gates", true),
            ("3.5.33", "feature-gates", false),
            ("3.5.16", "peer-transport-security.allowed-cn", true),
            ("3.5.9", "socket-options.reuse-port", false),
            ("3.5.10", "socket-options.reuse-port", true),
            ("3.5.16", "heartbeat-intervall", false),
            ("3.5.99", "name", false),
        ];
        for (number, key, known) in cases {
            assert_eq!(lookup(release(number), key).is_some(), known, "{key} in {number}");
        }
        assert!(known_release(release("3.7.1")) && !known_release(release("3.3.27")));
    }

    #[test]
    fn a_misspelt_or_renamed_key_is_recognised() {
        let cases = [
            ("3.5.16", "heartbeet-interval", Some("heartbeat-interval")),
            ("3.5.16", "compact-hash-check-time", Some("experimental-compact-hash-check-time")),
            ("3.7.0", "experimental-compaction-batch-limit", Some("compaction-batch-limit")),
            ("3.7.0", "experimental-initial-corrupt-check", Some("feature-gates")),
            ("3.5.16", "peer-cert-allowed-hostname", Some("peer-transport-security.allowed-hostname")),
            ("3.5.16", "socket-reuse-port", Some("socket-options.reuse-port")),
            ("3.5.16", "quota_backend_bytes", Some("quota-backend-bytes")),
            ("3.5.16", "wibble", None),
        ];
        for (number, key, want) in cases {
            assert_eq!(suggest(release(number), key), want, "{key} in {number}");
        }
    }

    #[test]
    fn flags_and_variables_have_their_own_names() {
        let cases = [
            ("heartbeat-interval", Some("heartbeat-interval")),
            ("client-transport-security.cert-file", Some("cert-file")),
            ("client-transport-security.client-cert-auth", Some("client-cert-auth")),
            ("client-transport-security.allowed-hostname", Some("client-cert-allowed-hostname")),
            ("client-transport-security.allowed-cn", None),
            ("peer-transport-security.cert-file", Some("peer-cert-file")),
            ("peer-transport-security.trusted-ca-file", Some("peer-trusted-ca-file")),
            ("peer-transport-security.client-cert-auth", Some("peer-client-cert-auth")),
            ("peer-transport-security.allowed-cn", Some("peer-cert-allowed-cn")),
            ("socket-options.reuse-address", Some("socket-reuse-address")),
        ];
        for (key, want) in cases {
            assert_eq!(flag_name(key).as_deref(), want, "{key}");
        }
        let variable = variable_name("peer-transport-security.cert-file");
        assert_eq!(variable.as_deref(), Some("ETCD_PEER_CERT_FILE"));
    }
}
