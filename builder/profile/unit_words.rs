//! Values of `[Service]` that are words, numbers or lists of them, as systemd reads them (systemd.exec(5),
//! systemd.resource-control(5), and their parsers in systemd's src/core/load-fragment.c).

use crate::values::Invalid;

/// Of systemd.unit(5); systemd drops a line with any other one.
const SPECIFIERS: &str = "aAbBCdDEfgGhHiIjJlLmMnNopPqsStTuUvVwWyY%";

/// Settings that take one of these words.
const CHOICES: [(&str, &[&str]); 11] = [
    ("CPUSchedulingPolicy", &["other", "batch", "idle", "fifo", "rr"]),
    ("IOSchedulingClass", &["none", "realtime", "best-effort", "idle", "0", "1", "2", "3"]),
    ("LogLevelMax", &LEVELS),
    ("ManagedOOMMemoryPressure", &["auto", "kill"]),
    ("ManagedOOMPreference", &["none", "avoid", "omit"]),
    ("ManagedOOMSwap", &["auto", "kill"]),
    ("MemoryPressureWatch", &["auto", "on", "off", "skip"]),
    ("NUMAPolicy", &["default", "preferred", "bind", "interleave", "local"]),
    ("OOMPolicy", &["continue", "stop", "kill"]),
    (
        "SyslogFacility",
        &[
            "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
            "ftp", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
        ],
    ),
    ("SyslogLevel", &LEVELS),
];

/// Of syslog(3).
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// Settings that take a whole number: the least and the largest that serve.
const NUMBERS: [(&str, i64, i64); 11] = [
    ("CPUSchedulingPriority", 1, 99),
    ("CPUWeight", 1, 10_000),
    ("IOSchedulingPriority", 0, 7),
    ("IOWeight", 1, 10_000),
    ("LimitNICE", -20, 19),
    ("LimitRTPRIO", 0, 99),
    ("LogRateLimitBurst", 0, u32::MAX as i64),
    ("Nice", -20, 19),
    ("RestartSteps", 0, u32::MAX as i64),
    ("StartupCPUWeight", 1, 10_000),
    ("StartupIOWeight", 1, 10_000),
];

/// Lists of CPUs or memory nodes (`parse_cpu_set_full`).
const SETS: [&str; 4] = ["AllowedCPUs", "AllowedMemoryNodes", "CPUAffinity", "NUMAMask"];

const FLAGS: [&str; 7] = [
    "CPUAccounting",
    "CPUSchedulingResetOnFork",
    "IOAccounting",
    "IPAccounting",
    "MemoryAccounting",
    "SyslogLevelPrefix",
    "TasksAccounting",
];

/// A value of one of these settings; any value of another one.
///
/// # Errors
/// A sentence that says what is allowed.
pub(super) fn check(key: &str, text: &str) -> Result<(), Invalid> {
    if let Some((_, words)) = CHOICES.iter().find(|(setting, _)| *setting == key) {
        return one_of(text, words);
    }
    if FLAGS.contains(&key) {
        return one_of(text, &["yes", "no", "true", "false", "on", "off", "1", "0"]);
    }
    if let Some((_, least, most)) = NUMBERS.iter().find(|(setting, ..)| *setting == key) {
        let number = text.parse::<i64>().ok().filter(|number| (*least..=*most).contains(number));
        let is_idle = key.ends_with("CPUWeight") && text == "idle";
        return match number.is_some() || is_idle {
            true => Ok(()),
            false => Err(Invalid(format!("it takes a whole number from {least} to {most}"))),
        };
    }
    // The others of `[Service]` that may be written have none (systemd.unit(5), "Specifiers").
    if ["Slice", "SyslogIdentifier"].contains(&key) {
        specifiers(text)?;
    }
    match key {
        "Slice" => match text.strip_suffix(".slice").is_some_and(is_slice) {
            true => Ok(()),
            false => Err(Invalid("it takes a slice, as in etcd.slice".into())),
        },
        "CPUAffinity" if text == "numa" => Ok(()),
        _ if SETS.contains(&key) => set(text),
        "SyslogIdentifier" => match text.len() <= 64 && text.chars().all(|c| c.is_ascii_graphic()) {
            true => Ok(()),
            false => Err(Invalid("it takes at most 64 characters of ASCII, without blanks".into())),
        },
        "CoredumpFilter" => filter(text),
        _ => Ok(()),
    }
}

/// `Ok` where systemd knows each specifier of the text.
///
/// # Errors
/// The one that it does not know.
pub(super) fn specifiers(text: &str) -> Result<(), Invalid> {
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once('%') {
        let letter = behind.chars().next();
        match letter.filter(|letter| SPECIFIERS.contains(*letter)) {
            Some(letter) => rest = &behind[letter.len_utf8()..],
            None => {
                let found = letter.map_or("%".to_owned(), |letter| format!("%{letter}"));
                return Err(Invalid(format!(
                    "{found} is not one of systemd's specifiers; for a percent sign write %%"
                )));
            }
        }
    }
    Ok(())
}

/// A decimal number with at most so many places, times a factor, rounded down; `None` for anything else.
pub(super) fn decimal(text: &str, places: usize, factor: u128) -> Option<u128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(part) || part.len() > places {
        return None;
    }
    let part = u128::from(part.parse::<u64>().ok()?) * factor / 10_u128.pow(u32::try_from(part.len()).ok()?);
    u128::from(whole.parse::<u64>().ok()?).checked_mul(factor)?.checked_add(part)
}

fn one_of(text: &str, words: &[&str]) -> Result<(), Invalid> {
    match words.contains(&text) {
        true => Ok(()),
        false => Err(Invalid(format!("it takes {}", words.join(", ")))),
    }
}

/// The name of a slice without its ending: parts with `-` between them (systemd.slice(5)).
fn is_slice(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || ":_.\\".contains(c))
    };
    name == "-" || name.len() < 248 && name.split('-').all(is_part)
}

fn set(text: &str) -> Result<(), Invalid> {
    // More CPUs than a kernel has (CPU_SETSIZE and systemd's own limit).
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number < 8192);
    let is_range = |word: &str| match word.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        None => number(word).is_some(),
    };
    let mut words = text.split([',', ' ', '\t']).filter(|word| !word.is_empty()).peekable();
    match words.peek().is_some() && words.all(is_range) {
        true => Ok(()),
        false => Err(Invalid("it takes numbers and ranges, as in 0-3 or \"0 2\"".into())),
    }
}

/// Of core(5).
fn filter(text: &str) -> Result<(), Invalid> {
    const NAMES: [&str; 9] = [
        "private-anonymous",
        "shared-anonymous",
        "private-file-backed",
        "shared-file-backed",
        "elf-headers",
        "private-huge",
        "shared-huge",
        "private-dax",
        "shared-dax",
    ];
    let is_mask = |word: &str| {
        let digits = word.strip_prefix("0x").unwrap_or(word);
        u64::from_str_radix(digits, 16).is_ok()
    };
    let is_good = |word: &str| ["default", "all"].contains(&word) || NAMES.contains(&word) || is_mask(word);
    match text.split_whitespace().all(is_good) {
        true => Ok(()),
        false => Err(Invalid(format!("it takes default, all, {}, or a mask in hex", NAMES.join(", ")))),
    }
}

/// A limit of the kernel's that is a number: `infinity`, or a soft and a hard one with a colon between them.
///
/// # Errors
/// A sentence that says what is allowed.
pub(super) fn limit(text: &str, least: u64, one: impl Fn(&str) -> Option<u64>) -> Result<(), Invalid> {
    let one = |text: &str| if text == "infinity" { Some(u64::MAX) } else { one(text) };
    let (soft, hard) = match text.split_once(':') {
        Some((soft, hard)) => (one(soft), one(hard)),
        None => (one(text), one(text)),
    };
    match soft.zip(hard) {
        Some((soft, hard)) if soft > hard => {
            Err(Invalid("the soft limit, before the colon, is above the hard one".into()))
        }
        Some((soft, _)) if soft >= least => Ok(()),
        _ => Err(Invalid(match least {
            0 => "it takes a number or infinity".to_owned(),
            _ => format!("it takes a number from {least}, or infinity"),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_systemd() {
        for (key, good, bad) in [
            (
                "Slice",
                &["etcd.slice", "a-b.slice", "-.slice"][..],
                &["etcd", ".slice", "a b.slice", "a--b.slice"][..],
            ),
            ("CPUAffinity", &["0", "0-3,5", "1 2", "numa"], &["a", "3-1", "", "9999", "-1"]),
            ("AllowedCPUs", &["0-3"], &["numa", "0-"]),
            ("SyslogFacility", &["daemon", "local7"], &["local8", "DAEMON"]),
            ("LogLevelMax", &["debug"], &["verbose", "7"]),
            ("LimitNICE", &["5", "-20"], &["99", "x"]),
            ("CoredumpFilter", &["default private-dax", "0x33"], &["x-y", "zz"]),
            ("CPUWeight", &["idle", "100"], &["0", "10001"]),
        ] {
            good.iter().for_each(|text| assert!(check(key, text).is_ok(), "{key}={text}"));
            bad.iter().for_each(|text| assert!(check(key, text).is_err(), "{key}={text}"));
        }
        assert!(specifiers("%n-100%%").is_ok());
        for bad in ["%z", "100%", "% ", "%é"] {
            assert!(specifiers(bad).is_err(), "{bad}");
        }
    }
}
