//! Values of systemd's settings in `[etcd.service]`: systemd ignores one that it cannot read, with a line in the
//! journal, and etcd does not run with some that it can.

use std::fmt;

use super::{unit_network, unit_times};
use crate::values::{Invalid, serialize_displayed};

/// Kinds of units (systemd.unit(5)).
const KINDS: [&str; 11] = [
    "automount",
    "device",
    "mount",
    "path",
    "scope",
    "service",
    "slice",
    "socket",
    "swap",
    "target",
    "timer",
];

/// Targets before etcd's unit: it cannot come before them, or stop them.
const EARLIER: [&str; 13] = [
    "basic.target",
    "cryptsetup.target",
    "local-fs-pre.target",
    "local-fs.target",
    "network-online.target",
    "network-pre.target",
    "network.target",
    "nss-lookup.target",
    "paths.target",
    "sockets.target",
    "swap.target",
    "sysinit.target",
    "slices.target",
];

/// Targets that a machine starts with.
const BOOT: [&str; 3] = ["default.target", "graphical.target", "multi-user.target"];

/// A line of the section `[Unit]`: `KEY=VALUE`.
#[derive(Clone, Debug)]
pub struct UnitLine {
    setting: String,
    value: String,
}

impl UnitLine {
    /// # Errors
    /// A sentence that says what is allowed.
    pub(super) fn new(setting: &str, value: &str) -> Result<Self, Invalid> {
        unit(setting, value)?;
        Ok(Self { setting: setting.to_owned(), value: value.to_owned() })
    }

    /// The units that this one stops while it runs.
    pub(super) fn stops(&self) -> impl Iterator<Item = &str> {
        self.units("Conflicts")
    }

    /// The units of this setting; none where the line has another one.
    pub fn units(&self, setting: &str) -> impl Iterator<Item = &str> {
        let is_it = self.setting == setting;
        self.value.split_whitespace().filter(move |_| is_it)
    }
}

impl fmt::Display for UnitLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.setting, self.value)
    }
}

serialize_displayed!(UnitLine);

fn unit(key: &str, text: &str) -> Result<(), Invalid> {
    if ["Documentation", "RequiresMountsFor", "WantsMountsFor"].contains(&key) {
        return Ok(());
    }
    for name in text.split_whitespace() {
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@%".contains(c));
        let kind = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, kind)| kind);
        if !is_name || name.len() > 255 || !kind.is_some_and(|kind| KINDS.contains(&kind)) {
            let why = format!("{name:?} is not a unit; write one as in \"chronyd.service\"");
            return Err(Invalid(why));
        }
        let is_earlier = EARLIER.contains(&name);
        if is_earlier && key == "Before" {
            return Err(Invalid(format!("etcd's unit comes after {name}, so this would be a cycle")));
        }
        if (is_earlier || BOOT.contains(&name)) && key == "Conflicts" {
            return Err(Invalid(format!("etcd cannot run without {name}, and would stop it")));
        }
    }
    Ok(())
}

/// A value of the section `[Service]`.
///
/// # Errors
/// A sentence that says what is allowed.
pub(super) fn service(key: &str, text: &str) -> Result<(), Invalid> {
    let whole = |least: i64, most: i64| {
        let number = text.parse::<i64>().ok().filter(|number| (least..=most).contains(number));
        number.map(drop).ok_or_else(|| Invalid(format!("it takes a whole number from {least} to {most}")))
    };
    match key {
        "Nice" => whole(-20, 19),
        "CPUWeight" | "StartupCPUWeight" if text == "idle" => Ok(()),
        "CPUWeight" | "StartupCPUWeight" | "IOWeight" | "StartupIOWeight" => whole(1, 10_000),
        "CPUQuota" => match text.strip_suffix('%').and_then(|number| number.parse::<u32>().ok()) {
            Some(10..) => Ok(()),
            _ => Err(Invalid("it takes a percentage of one CPU from 10%, as in 200%".into())),
        },
        // Go starts a thread for each system call that blocks.
        "TasksMax" | "LimitNPROC" => size(text, key == "TasksMax", 512),
        "MemoryMax" | "MemoryHigh" | "MemoryLimit" | "StartupMemoryMax" | "StartupMemoryHigh" => {
            size(text, true, 128 << 20)
        }
        "MemoryMin" | "MemoryLow" | "MemorySwapMax" | "MemoryZSwapMax" => size(text, true, 0),
        "LimitCORE" | "LimitMEMLOCK" | "LimitRSS" | "LimitMSGQUEUE" => size(text, false, 0),
        "OOMPolicy" => match ["continue", "stop", "kill"].contains(&text) {
            true => Ok(()),
            false => Err(Invalid("it takes continue, stop or kill".into())),
        },
        "IPAccounting" | "CPUAccounting" | "IOAccounting" | "MemoryAccounting" | "TasksAccounting"
        | "SyslogLevelPrefix" => one_of(text, &["yes", "no", "true", "false", "on", "off", "1", "0"]),
        "SyslogLevel" | "LogLevelMax" => one_of(text, &LEVELS),
        "LogRateLimitBurst" | "RestartSteps" => whole(0, i64::from(u32::MAX)),
        _ => unit_times::check(key, text).and_then(|()| unit_network::check(key, text)),
    }
}

/// Of systemd.exec(5).
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

fn one_of(text: &str, words: &[&str]) -> Result<(), Invalid> {
    match words.contains(&text) {
        true => Ok(()),
        false => Err(Invalid(format!("it takes {}", words.join(", ")))),
    }
}

/// A number with an ending of systemd's (K, M, G and T are powers of 1024), `infinity`, a percentage where there is
/// one of them, or a soft and a hard limit with a colon between them (systemd.exec(5), systemd.resource-control(5)).
fn size(text: &str, is_cgroup: bool, least: u64) -> Result<(), Invalid> {
    let one = |text: &str| -> Option<u64> {
        if text == "infinity" {
            return Some(u64::MAX);
        }
        let (number, factor) = match text.char_indices().last()? {
            (at, 'K') => (&text[..at], 1 << 10),
            (at, 'M') => (&text[..at], 1 << 20),
            (at, 'G') => (&text[..at], 1 << 30),
            (at, 'T') => (&text[..at], 1 << 40),
            _ => (text, 1),
        };
        number.parse::<u64>().ok()?.checked_mul(factor)
    };
    let percentage = text.strip_suffix('%').filter(|_| is_cgroup).map(str::parse::<u8>);
    let is_good = match percentage {
        Some(share) => share.is_ok_and(|share| (u8::from(least > 0)..=100).contains(&share)),
        None if is_cgroup => one(text).is_some_and(|value| value >= least),
        None => text.splitn(2, ':').all(|text| one(text).is_some_and(|value| value >= least)),
    };
    let least = match least {
        0 => String::new(),
        mib if mib >= 1 << 20 => format!(" from {}M", mib >> 20),
        number => format!(" from {number}"),
    };
    let or = if is_cgroup { "infinity or a percentage" } else { "infinity" };
    match is_good {
        true => Ok(()),
        false => Err(Invalid(format!("it takes a number{least}, also with K, M, G or T, or {or}"))),
    }
}
