//! Values of systemd's settings in `[etcd.service]`: systemd ignores one that it cannot read, with a line in the
//! journal, and etcd does not run with some that it can.

use std::fmt;

use super::{unit_network, unit_times, unit_words};
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

/// Services before it: what they do is there when etcd starts.
const EARLY: [&str; 24] = [
    "NetworkManager-wait-online.service",
    "NetworkManager.service",
    "cloud-init-local.service",
    "cloud-init.service",
    "dbus-broker.service",
    "dbus.service",
    "dbus.socket",
    "kmod-static-nodes.service",
    "networking.service",
    "systemd-binfmt.service",
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-modules-load.service",
    "systemd-networkd-wait-online.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-remount-fs.service",
    "systemd-random-seed.service",
    "systemd-resolved.service",
    "systemd-sysctl.service",
    "systemd-sysusers.service",
    "systemd-timesyncd.service",
    "systemd-tmpfiles-setup.service",
    "systemd-udevd.service",
];

/// Whether etcd's unit comes after this one on every machine.
pub(super) fn is_earlier(unit: &str) -> bool {
    EARLIER.contains(&unit) || EARLY.contains(&unit)
}

/// Targets that end a machine, or leave it almost nothing (systemd.special(7)).
const LAST: [&str; 12] = [
    "emergency.target",
    "exit.target",
    "final.target",
    "halt.target",
    "hibernate.target",
    "kexec.target",
    "poweroff.target",
    "reboot.target",
    "rescue.target",
    "shutdown.target",
    "sleep.target",
    "umount.target",
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
    unit_words::specifiers(text)?;
    if key == "Documentation" {
        let kinds = ["http://", "https://", "file:/", "info:", "man:"];
        let is_uri = |word: &str| kinds.iter().any(|kind| word.len() > kind.len() && word.starts_with(kind));
        return match text.split_whitespace().find(|word| !is_uri(word)) {
            None => Ok(()),
            Some(word) => {
                Err(Invalid(format!("{word:?} is not a URI, as in https://etcd.io or man:etcd(1)")))
            }
        };
    }
    if ["RequiresMountsFor", "WantsMountsFor"].contains(&key) {
        let is_plain = |path: &str| {
            path.starts_with(['/', '%']) && path.split('/').all(|part| !matches!(part, "." | ".."))
        };
        return match text.split_whitespace().find(|path| !is_plain(path)) {
            None => Ok(()),
            Some(path) => Err(Invalid(format!("{path:?} is not an absolute path without . and .."))),
        };
    }
    for name in text.split_whitespace() {
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || ":-_.\\@%".contains(c));
        let kind = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, kind)| kind);
        if !is_name || name.len() > 255 || !kind.is_some_and(|kind| KINDS.contains(&kind)) {
            let why = format!("{name:?} is not a unit; write one as in \"chronyd.service\"");
            return Err(Invalid(why));
        }
        let (is_earlier, is_boot) = (is_earlier(name), BOOT.contains(&name));
        match key {
            "Before" if is_earlier => {
                return Err(Invalid(format!("etcd's unit comes after {name}, so this would be a cycle")));
            }
            // After multi-user.target alone there is none: a target that comes before a unit does not wait for it.
            "After" if ["default.target", "graphical.target"].contains(&name) => {
                return Err(Invalid(format!("{name} comes after etcd's unit, so this would be a cycle")));
            }
            "Before" if kind == Some("slice") => {
                return Err(Invalid(format!("etcd's unit comes after {name}, so this would be a cycle")));
            }
            "Conflicts" if is_earlier || is_boot => {
                return Err(Invalid(format!("etcd cannot run without {name}, and would stop it")));
            }
            "BindsTo" | "Requires" | "Requisite" | "Wants" | "Upholds" | "PartOf" if LAST.contains(&name) => {
                return Err(Invalid(format!("{name} is there to stop everything else, etcd as well")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A value of the section `[Service]`.
///
/// # Errors
/// A sentence that says what is allowed.
pub(super) fn service(key: &str, text: &str) -> Result<(), Invalid> {
    let plain = |text: &str| text.parse::<u64>().ok();
    match key {
        "CPUQuota" => match text.strip_suffix('%').and_then(hundredths) {
            Some(1000..) => Ok(()),
            _ => Err(Invalid("it takes a percentage of one CPU from 10%, as in 200%".into())),
        },
        // Go starts a thread for each system call that blocks.
        "TasksMax" => match text.strip_suffix('%').map(str::parse::<u8>) {
            Some(Ok(1..=100)) => Ok(()),
            None if text == "infinity" || plain(text).is_some_and(|number| number >= 512) => Ok(()),
            _ => Err(Invalid("it takes a number from 512, infinity or a percentage".into())),
        },
        "LimitNPROC" => unit_words::limit(text, 512, plain),
        "LimitLOCKS" | "LimitSIGPENDING" => unit_words::limit(text, 0, plain),
        "LimitCORE" | "LimitMEMLOCK" | "LimitRSS" | "LimitMSGQUEUE" => unit_words::limit(text, 0, bytes),
        "MemoryMax" | "MemoryHigh" | "MemoryLimit" | "StartupMemoryMax" | "StartupMemoryHigh" => {
            memory(text, 128 << 20)
        }
        "IODeviceWeight" => {
            of_device(text, |weight| plain(weight).is_some_and(|weight| (1..=10_000).contains(&weight)))
        }
        "IOReadBandwidthMax" | "IOWriteBandwidthMax" | "IOReadIOPSMax" | "IOWriteIOPSMax" => {
            // Multiples of 1000 here, but that changes no verdict.
            of_device(text, |most| most == "infinity" || bytes(most).is_some_and(|most| most > 0))
        }
        "MemoryMin" | "MemoryLow" | "MemorySwapMax" | "MemoryZSwapMax" => memory(text, 0),
        _ => {
            unit_words::check(key, text)?;
            unit_times::check(key, text)?;
            unit_network::check(key, text)
        }
    }
}

/// The path of a device and a value (systemd.resource-control(5)).
fn of_device(text: &str, is_good: impl Fn(&str) -> bool) -> Result<(), Invalid> {
    match text.split_once(' ') {
        Some((device, value)) if device.starts_with('/') && is_good(value.trim()) => Ok(()),
        _ => Err(Invalid("it takes a device and a number above 0, as in \"/dev/vdb 100\"".into())),
    }
}

/// Hundredths of a number with at most two decimal places (`parse_permyriad_unbounded`).
fn hundredths(text: &str) -> Option<u32> {
    u32::try_from(unit_words::decimal(text, 2, 100)?).ok()
}

/// A number of bytes with an ending of systemd's, which are powers of 1024 (`parse_size`).
fn bytes(text: &str) -> Option<u64> {
    const ENDINGS: [(&str, u32); 7] =
        [("B", 0), ("K", 10), ("M", 20), ("G", 30), ("T", 40), ("P", 50), ("E", 60)];
    let found = ENDINGS.iter().find_map(|(ending, shift)| Some((text.strip_suffix(ending)?, *shift)));
    let (number, shift) = found.unwrap_or((text, 0));
    u64::try_from(unit_words::decimal(number, 9, 1 << shift)?).ok()
}

/// `infinity`, a percentage of the machine's memory, or a number of bytes from this one.
fn memory(text: &str, least: u64) -> Result<(), Invalid> {
    let is_good = match text.strip_suffix('%') {
        Some(share) => {
            hundredths(share).is_some_and(|share| (u32::from(least > 0) * 100..=10_000).contains(&share))
        }
        None => text == "infinity" || bytes(text).is_some_and(|value| value >= least),
    };
    let least = match least {
        0 => String::new(),
        least => format!(" from {}M", least >> 20),
    };
    match is_good {
        true => Ok(()),
        false => Err(Invalid(format!(
            "it takes a number{least}, also with K, M, G or T, infinity or a percentage"
        ))),
    }
}
