//! `[etcd.service]`: settings of etcd's unit, and further lines for it.

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::{Section, quoted, what};
use super::types::{Restart, UnitSettings};
use crate::values::Invalid;

const OWN_KEY: &str = "it has a key of its own in [etcd.service]";
const KILN: &str = "Kiln decides when and how etcd starts";
const SANDBOX: &str = "it is a part of the unit's sandbox";
const OPTIONS: &str = "options are written in [etcd.config]";

/// Settings of the unit that no line may change, by section, and the reason.
const REFUSED: [(&str, &[&str], &str); 8] = [
    ("unit", &["Description"], OWN_KEY),
    ("unit", &["StartLimitIntervalSec", "StartLimitBurst", "StartLimitAction"], KILN),
    ("service", &["Restart", "RestartSec", "LimitNOFILE"], OWN_KEY),
    ("service", &["User", "Group", "DynamicUser"], "the account is [etcd] user"),
    (
        "service",
        &[
            "Type",
            "NotifyAccess",
            "ExecStart",
            "TimeoutStartSec",
            "TimeoutSec",
            "RestartPreventExitStatus",
            "OOMScoreAdjust",
            "UMask",
            "RootDirectory",
            "RootImage",
            "RootHash",
        ],
        KILN,
    ),
    ("service", &["Environment", "EnvironmentFile", "PassEnvironment", "UnsetEnvironment"], OPTIONS),
    (
        "service",
        &[
            "ReadWritePaths",
            "LogsDirectory",
            "ProtectSystem",
            "ProtectHome",
            "PrivateTmp",
            "PrivateDevices",
            "PrivateUsers",
            "PrivateIPC",
            "PrivateNetwork",
            "ProtectClock",
            "ProtectControlGroups",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "ProtectProc",
            "ProcSubset",
            "NoNewPrivileges",
            "CapabilityBoundingSet",
            "AmbientCapabilities",
            "LockPersonality",
            "MemoryDenyWriteExecute",
            "RemoveIPC",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "RestrictRealtime",
            "RestrictSUIDSGID",
            "SystemCallArchitectures",
            "SystemCallFilter",
            "SystemCallErrorNumber",
            "KeyringMode",
        ],
        SANDBOX,
    ),
    ("install", &["WantedBy"], KILN),
];

pub(super) fn read(diagnostics: &mut Diagnostics, table: &Section) -> UnitSettings {
    let restart = table.choice(diagnostics, "restart", Restart::CHOICES).unwrap_or(Restart::Always);
    let restart_sec = table.value_with(diagnostics, "restart-sec", time_span).map(Spanned::into_inner);
    let limit_nofile = table.number(diagnostics, "limit-nofile").unwrap_or(65536);
    let description = table.value_with(diagnostics, "description", description).map(Spanned::into_inner);
    let mut lines = |key, title| {
        let below = table.table(diagnostics, key, title);
        lines(diagnostics, &below, key)
    };
    UnitSettings {
        restart,
        restart_sec: restart_sec.unwrap_or_else(|| "5s".to_owned()),
        limit_nofile,
        description,
        unit: lines("unit", "[etcd.service.unit]"),
        service: lines("service", "[etcd.service.service]"),
        install: lines("install", "[etcd.service.install]"),
    }
}

/// A time span as systemd reads it, of one number and one unit (systemd.time(7)), from 100 ms, so that a unit that
/// cannot start does not take the whole CPU, to an hour.
fn time_span(text: &str) -> Result<String, Invalid> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(Invalid("write a number and ms, s, min or h, as in 10s".into())),
    };
    let number: u64 = number.parse().map_err(|_| Invalid("write a number and its unit, as in 10s".into()))?;
    match number.saturating_mul(milliseconds) {
        100..=3_600_000 => Ok(text.to_owned()),
        _ => Err(Invalid("it takes a time from 100ms to 1h".into())),
    }
}

/// Written with each % doubled, so that systemd reads back exactly this text.
fn description(text: &str) -> Result<String, Invalid> {
    if text.len() > 200 {
        return Err(Invalid(format!("it has {} bytes; at most 200 are allowed", text.len())));
    }
    line_value(text).map(|text| text.replace('%', "%%"))
}

/// A value on one line of a unit (systemd.syntax(7)): a backslash at its end would continue it, and an empty one resets
/// what Kiln's lines before it say.
fn line_value(text: &str) -> Result<String, Invalid> {
    let refuse = |why: &str| Err(Invalid(why.to_owned()));
    if text.is_empty() {
        refuse("it is empty, which would reset the setting")
    } else if text.chars().any(char::is_control) {
        refuse("it has a line end or another control character")
    } else if text.ends_with('\\') {
        refuse("a backslash at its end would continue it on the next line")
    } else if text.trim() != text {
        refuse("systemd removes the blanks at its beginning and its end; omit them")
    } else {
        Ok(text.to_owned())
    }
}

/// Each key of a section with a string, or with a list of strings for a line each.
fn lines(diagnostics: &mut Diagnostics, table: &Section, section: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, span, value) in table.entries() {
        let title = format!("[etcd.service.{section}]");
        let is_key = key.starts_with(|c: char| c.is_ascii_uppercase())
            && key.chars().all(|c| c.is_ascii_alphanumeric());
        if !is_key {
            let reason = format!("{title} {} is not the name of a setting of systemd", quoted(key));
            diagnostics.mistake(Mistake::new(span, reason).help("write it as in Documentation or Nice"));
            continue;
        }
        // systemd takes its keys by their exact spelling; another one must not pass here either.
        let refused = REFUSED.iter().find(|(of, keys, _)| *of == section && keys.contains(&key));
        if let Some((_, _, why)) = refused {
            let reason = format!("{title} {key} is managed by Kiln: {why}");
            diagnostics
                .mistake(Mistake::new(span, reason).help("omit it; a drop-in in an overlay can change it"));
            continue;
        }
        let items = match value.get_ref() {
            DeValue::Array(items) => items.as_ref(),
            _ => std::slice::from_ref(value),
        };
        for item in items {
            let DeValue::String(text) = item.get_ref() else {
                let reason = format!(
                    "{title} {key} takes a quoted string or a list of them, not {}",
                    what(item.get_ref())
                );
                diagnostics.mistake(Mistake::new(item.span(), reason));
                continue;
            };
            match line_value(text) {
                Ok(text) => lines.push(format!("{key}={text}")),
                Err(Invalid(why)) => {
                    let reason = format!("{title} {key} cannot be {}: {why}", quoted(text));
                    diagnostics.mistake(Mistake::new(item.span(), reason));
                }
            }
        }
    }
    lines
}
