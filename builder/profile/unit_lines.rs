//! `[etcd.service]`: settings of etcd's unit, and further lines for it.

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::{Section, quoted, what};
use super::span::Span;
use super::types::{Restart, UnitSettings};
use super::unit_values::{self, UnitLine};
use super::{Node, unit_filters};
use crate::values::{InstallLine, Invalid, UnitName};

/// Settings that a profile may write, by section: what places the unit among others, or limits its resources in a way
/// that etcd survives (not LimitFSIZE, at which its log ends, or LimitCPU, which kills it). `*` at the end stands for
/// the rest of a name. Not a list of what is refused: each release of systemd has more settings, and old names for some
/// (systemd.directives(7)).
const ALLOWED: [(&str, &[&str]); 3] = [
    (
        "unit",
        &[
            "After",
            "Before",
            "BindsTo",
            "Conflicts",
            "Documentation",
            "OnFailure",
            "OnSuccess",
            "PartOf",
            "PropagatesReloadTo",
            "PropagatesStopTo",
            "RequiresMountsFor",
            "Requires",
            "Requisite",
            "StopPropagatedFrom",
            "Upholds",
            "Wants",
            "WantsMountsFor",
        ],
    ),
    (
        "service",
        &[
            "AllowedCPUs",
            "AllowedMemoryNodes",
            "CPU*",
            "CoredumpFilter",
            "IO*",
            "IPAccounting",
            "IPAddressAllow",
            "IPAddressDeny",
            "LimitCORE",
            "LimitLOCKS",
            "LimitMEMLOCK",
            "LimitMSGQUEUE",
            "LimitNICE",
            "LimitNPROC",
            "LimitRSS",
            "LimitRTPRIO",
            "LimitSIGPENDING",
            "LogLevelMax",
            "LogRateLimit*",
            "ManagedOOM*",
            "Memory*",
            "NUMAMask",
            "NUMAPolicy",
            "Nice",
            "OOMPolicy",
            "RestartMaxDelaySec",
            "RestartSteps",
            "SocketBind*",
            "Slice",
            "StandardError",
            "StandardOutput",
            "StartupCPU*",
            "StartupIO*",
            "StartupMemory*",
            "SyslogFacility",
            "SyslogIdentifier",
            "SyslogLevel",
            "SyslogLevelPrefix",
            "Tasks*",
            "TimeoutStopSec",
            "TimerSlackNSec",
        ],
    ),
    ("install", &["Alias", "RequiredBy", "UpheldBy", "WantedBy"]),
];

/// Names that `*` takes in but that do not limit resources.
const NO_LIMITS: [&str; 1] = ["MemoryDenyWriteExecute"];

/// The keys that have taken the place of a setting.
const OWN_KEYS: [(&str, &str); 5] = [
    ("Description", "[etcd.service] description"),
    ("Restart", "[etcd.service] restart"),
    ("RestartSec", "[etcd.service] restart-sec"),
    ("LimitNOFILE", "[etcd.service] limit-nofile"),
    ("User", "[etcd] user"),
];

fn is_allowed(section: &str, key: &str) -> bool {
    let matches = |allowed: &&str| match allowed.strip_suffix('*') {
        Some(family) => key.starts_with(family) && !NO_LIMITS.contains(&key),
        None => **allowed == *key,
    };
    ALLOWED.iter().any(|(of, allowed)| *of == section && allowed.iter().any(matches))
}

/// The parts of the service that its lines have to fit.
pub(super) struct Member<'a> {
    /// Of each node.
    pub units: &'a [UnitName],
    pub nodes: &'a [Node],
    /// The ports of its listeners.
    pub ports: &'a [u16],
}

pub(super) fn read(diagnostics: &mut Diagnostics, table: &Section, member: &Member) -> UnitSettings {
    let restart = table.choice(diagnostics, "restart", Restart::CHOICES).unwrap_or(Restart::Always);
    let restart_sec = table.value_with(diagnostics, "restart-sec", time_span).map(Spanned::into_inner);
    let limit_nofile = table.number(diagnostics, "limit-nofile").unwrap_or(65536);
    let description = table.value_with(diagnostics, "description", description).map(Spanned::into_inner);
    let below = table.table(diagnostics, "unit", "[etcd.service.unit]");
    let unit = lines(diagnostics, &below, "unit", |key, text| {
        beside(text)?;
        UnitLine::new(key, text)
    });
    let below = table.table(diagnostics, "service", "[etcd.service.service]");
    let service = lines(diagnostics, &below, "service", |key, text| {
        output(key, text)?;
        unit_values::service(key, text)?;
        Ok(format!("{key}={text}"))
    });
    unit_filters::check(diagnostics, &service, member.nodes, member.ports);
    let below = table.table(diagnostics, "install", "[etcd.service.install]");
    let install = lines(diagnostics, &below, "install", |key, text| {
        let wanting = text.split_whitespace().find(|unit| unit_values::is_earlier(unit));
        match wanting.filter(|_| key != "Alias") {
            Some(unit) => Err(Invalid(format!("etcd's unit comes after {unit}, so this would be a cycle"))),
            None => InstallLine::new(key, text),
        }
    });
    check_links(diagnostics, &install, member.units);
    UnitSettings {
        restart,
        restart_sec: restart_sec.unwrap_or_else(|| "5s".to_owned()),
        limit_nofile,
        description,
        unit: unplaced(unit),
        service: unplaced(service),
        install: unplaced(install),
    }
}

fn unplaced<T>(lines: Vec<(T, Span)>) -> Vec<T> {
    lines.into_iter().map(|(line, _)| line).collect()
}

/// Each link of systemctl(1) enable has a name of its own, and none is that of the unit itself.
fn check_links(diagnostics: &mut Diagnostics, lines: &[(InstallLine, Span)], units: &[UnitName]) {
    let mut seen: Vec<(String, &Span)> = Vec::new();
    for (line, place) in lines {
        let own = line.aliases().iter().find(|alias| units.iter().any(|unit| unit.file() == **alias));
        if let Some(own) = own {
            let reason =
                format!("[etcd.service.install] Alias cannot be {}: it is etcd's own unit", quoted(own));
            diagnostics.mistake(Mistake::new(place.clone(), reason).help("omit it, or write another name"));
        }
        for link in line.links("") {
            match seen.iter().find(|(other, _)| *other == link) {
                Some((_, other)) => {
                    let reason = format!("[etcd.service.install] {line} names a unit twice");
                    let mistake = Mistake::new(place.clone(), reason).help("keep one of the two");
                    diagnostics.mistake(mistake.other((*other).clone(), "the other one"));
                    break;
                }
                None => seen.push((link, place)),
            }
        }
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
    } else if text.chars().any(crate::values::steers) {
        refuse("it has a line end, or another control or invisible character")
    } else if text.ends_with('\\') {
        refuse("a backslash at its end would continue it on the next line")
    } else if text.trim() != text {
        refuse("systemd removes the blanks at its beginning and its end; omit them")
    } else {
        Ok(text.to_owned())
    }
}

/// The order of etcd and Kiln's own units is fixed: another one can be a cycle, with which etcd never starts.
fn beside(text: &str) -> Result<(), Invalid> {
    match text.split_whitespace().find(|name| name.starts_with("kiln-")) {
        Some(own) => Err(Invalid(format!("{own} is a unit of Kiln's, which is in its place already"))),
        None => Ok(()),
    }
}

/// systemd opens files as root.
fn output(key: &str, text: &str) -> Result<(), Invalid> {
    let streams = ["inherit", "null", "journal", "kmsg", "journal+console", "kmsg+console"];
    match key {
        "StandardOutput" | "StandardError" if !streams.contains(&text) => Err(Invalid(format!(
            "it takes {}; for a file write log-outputs in [etcd.config]",
            streams.join(", ")
        ))),
        _ => Ok(()),
    }
}

/// Each key of a section with a string, or with a list of strings for a line each; with their places.
fn lines<T>(
    diagnostics: &mut Diagnostics,
    table: &Section,
    section: &str,
    read: impl Fn(&str, &str) -> Result<T, Invalid>,
) -> Vec<(T, Span)> {
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
        if !is_allowed(section, key) {
            let help = match OWN_KEYS.iter().find(|(setting, _)| *setting == key) {
                Some((_, own)) => format!("write {own} instead"),
                None if key == "TimeoutStartSec" => {
                    "omit it: etcd is ready only with a quorum, for which it may wait for hours, so Kiln sets infinity"
                        .to_owned()
                }
                None if key == "Environment" => {
                    "write an option of etcd in [etcd.config]; a drop-in in an overlay can set other variables".to_owned()
                }
                None => "omit it; a drop-in in an overlay can change it".to_owned(),
            };
            let reason =
                format!("{title} {key} is managed by Kiln: a profile adds order, limits and logging only");
            diagnostics.mistake(Mistake::new(span, reason).help(help));
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
            match line_value(text).and_then(|text| read(key, &text)) {
                Ok(line) => lines.push((line, item.span())),
                Err(Invalid(why)) => {
                    let reason = format!("{title} {key} cannot be {}: {why}", quoted(text));
                    diagnostics.mistake(Mistake::new(item.span(), reason));
                }
            }
        }
    }
    lines
}
