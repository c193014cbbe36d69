//! Time spans as systemd reads them (systemd.time(7)).

use super::unit_words;
use crate::values::Invalid;

const NANOSECOND: u128 = 1;
const MICROSECOND: u128 = 1000;
const MILLISECOND: u128 = 1_000_000;
pub(super) const SECOND: u128 = 1_000_000_000;

/// Units with their nanoseconds: a month is 30.44 days, and a year 365.25.
const UNITS: [(&[&str], u128); 9] = [
    (&["nsec", "ns"], NANOSECOND),
    (&["usec", "us", "µs", "μs"], MICROSECOND),
    (&["msec", "ms"], MILLISECOND),
    (&["seconds", "second", "sec", "s"], SECOND),
    (&["minutes", "minute", "min", "m"], 60 * SECOND),
    (&["hours", "hour", "hr", "h"], 3600 * SECOND),
    (&["days", "day", "d"], 86_400 * SECOND),
    (&["weeks", "week", "w"], 7 * 86_400 * SECOND),
    (&["months", "month", "M", "years", "year", "y"], 2_629_800 * SECOND),
];

/// Settings that take a time span, with the nanoseconds of a number without a unit, and the least and the largest that
/// serve. `None` is without a limit: `infinity`.
const SETTINGS: [(&str, u128, u128, Option<u128>); 6] = [
    // Longer than 1 s and less than 1 ms are not a period of the kernel's (systemd.resource-control(5)).
    ("CPUQuotaPeriodSec", SECOND, MILLISECOND, Some(SECOND)),
    ("LogRateLimitIntervalSec", SECOND, 0, None),
    ("ManagedOOMMemoryPressureDurationSec", SECOND, SECOND, None),
    ("RestartMaxDelaySec", SECOND, 100 * MILLISECOND, None),
    // After it, systemd kills etcd in the middle of what it does.
    ("TimeoutStopSec", SECOND, SECOND, None),
    ("TimerSlackNSec", NANOSECOND, 0, Some(SECOND)),
];

/// The nanoseconds of a time span; `None` for `infinity`. `usual` are those of a number without a unit.
///
/// # Errors
/// A sentence that says how one is written.
pub(super) fn span(text: &str, usual: u128) -> Result<Option<u128>, Invalid> {
    let wrong = || Invalid("write a time as in 90s, 5min or \"1h 30min\", or infinity".into());
    if text.trim() == "infinity" {
        return Ok(None);
    }
    let (mut rest, mut sum) = (text.trim_start(), 0_u128);
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, more) = rest.split_at(end);
        let more = more.trim_start();
        let end = more.find(|c: char| c.is_ascii_digit() || c == ' ' || c == '\t').unwrap_or(more.len());
        let (unit, more) = more.split_at(end);
        let of = |(names, _): &&(&[&str], u128)| names.contains(&unit);
        let factor = match UNITS.iter().find(of) {
            Some((_, factor)) if unit.starts_with('y') => factor * 12,
            Some((_, factor)) => *factor,
            None if unit.is_empty() => usual,
            None => return Err(wrong()),
        };
        sum = nanoseconds(number, factor).and_then(|more| sum.checked_add(more)).ok_or_else(wrong)?;
        rest = more.trim_start();
    }
    Ok(Some(sum))
}

/// A decimal number of units; `None` for anything else, and for more than systemd's 64 bits of microseconds.
fn nanoseconds(number: &str, factor: u128) -> Option<u128> {
    // systemd takes .5, too.
    let whole = if number.starts_with('.') { "0" } else { "" };
    let sum = unit_words::decimal(&format!("{whole}{number}"), 9, factor)?;
    (sum < u128::from(u64::MAX) * MICROSECOND).then_some(sum)
}

/// A value of a setting that takes a time span; any value of another one.
///
/// # Errors
/// A sentence that says what is allowed.
pub(super) fn check(key: &str, text: &str) -> Result<(), Invalid> {
    let text = match (key, text.split_once(' ')) {
        // After the path of a device.
        ("IODeviceLatencyTargetSec", Some((device, time))) if device.starts_with('/') => {
            return span(time, SECOND).map(drop);
        }
        ("IODeviceLatencyTargetSec", _) => {
            return Err(Invalid("it takes a device and a time, as in \"/dev/vdb 25ms\"".into()));
        }
        ("MemoryPressureThresholdSec", _) => return span(text, SECOND).map(drop),
        _ => text,
    };
    let Some((_, usual, least, most)) = SETTINGS.iter().find(|(setting, ..)| *setting == key) else {
        return Ok(());
    };
    let value = match (key, span(text, *usual)?) {
        // To systemd the same as infinity.
        ("TimeoutStopSec", Some(0)) => None,
        (_, value) => value,
    };
    let is_good = match (value, most) {
        (Some(value), Some(most)) => (*least..=*most).contains(&value),
        (Some(value), None) => value >= *least,
        (None, most) => most.is_none(),
    };
    let shown = |nanoseconds: u128| match nanoseconds {
        value if value % SECOND == 0 => format!("{}s", value / SECOND),
        value => format!("{}ms", value / MILLISECOND),
    };
    match (is_good, most) {
        (true, _) => Ok(()),
        (false, Some(most)) => {
            Err(Invalid(format!("it takes a time from {} to {}", shown(*least), shown(*most))))
        }
        (false, None) => Err(Invalid(format!("it takes a time from {}, or infinity", shown(*least)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_systemd_reads_them() {
        let seconds = |text: &str| span(text, SECOND).map(|span| span.map(|span| span / SECOND));
        for (text, want) in [
            ("90", Some(90)),
            ("1min 30s", Some(90)),
            ("1min30s", Some(90)),
            (" 1.5 min", Some(90)),
            ("2 h", Some(7200)),
            ("1y 12month", Some(63_115_200)),
            ("1w 1days", Some(691_200)),
            ("0", Some(0)),
            (".5min 60", Some(90)),
            ("infinity", None),
        ] {
            assert_eq!(seconds(text).unwrap_or_else(|why| panic!("{text}: {why}")), want, "{text}");
        }
        assert_eq!(span("50us", NANOSECOND), Ok(Some(50_000)));
        assert_eq!(span("50", NANOSECOND), Ok(Some(50)));
        for bad in [
            "",
            " ",
            "soon",
            "10parsecs",
            "-1",
            "1.s",
            ".",
            "1..2",
            "s",
            "1s s",
            "90s,",
            "1e3",
            "99999999999y",
        ] {
            assert!(seconds(bad).is_err(), "{bad:?}");
        }
    }
}
