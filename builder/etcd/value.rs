//! A value of an etcd option, in the two forms in which etcd reads it.

use serde::Serialize;

use crate::values::Invalid;

/// A value of an etcd option, with its type in etcd's config file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`, in both forms.
    Bool(bool),
    /// Decimal in both forms.
    Int(i64),
    /// Unquoted as a flag.
    Text(String),
    /// Joined by commas as a flag, where an item cannot contain one.
    List(Vec<String>),
    /// Go's `time.Duration`: nanoseconds in the YAML file, `300s`-like text as a flag.
    Duration {
        /// As Go counts them; it may be negative.
        nanos: i64,
    },
}

impl Value {
    /// The value in the config file. etcd converts its YAML to JSON and that to Go values, where a `time.Duration` is
    /// a plain number of nanoseconds (sigs.k8s.io/yaml, encoding/json).
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.as_slice().into(),
            Value::Duration { nanos } => (*nanos).into(),
        }
    }

    /// The text after `--flag=` or `ETCD_FLAG=`. The equals sign is required: Go reads `--pre-vote false` as
    /// `--pre-vote` and a stray word.
    pub fn to_flag(&self) -> String {
        match self {
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Text(text) => text.clone(),
            Value::List(items) => items.join(","),
            Value::Duration { nanos } => duration_text(*nanos),
        }
    }
}

/// Unit and nanoseconds, from the largest down (Go's time.ParseDuration).
const UNITS: [(&str, i64); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ns", 1),
];

/// A multiple of the largest unit that divides it, so that Go reads back exactly the same value.
fn duration_text(nanos: i64) -> String {
    match UNITS.into_iter().find(|(_, scale)| nanos % scale == 0) {
        Some((unit, scale)) if nanos != 0 => format!("{}{unit}", nanos / scale),
        _ => "0s".into(),
    }
}

/// Go's duration syntax without signs: `5m`, `1h30m`, `1.5s`, `100ms`, `0`. In nanoseconds.
///
/// # Errors
/// A sentence, also for a value that does not fit into Go's 64 bits (292 years).
pub fn parse_duration(text: &str) -> Result<i64, Invalid> {
    let wrong = || Invalid("write a duration as etcd's flags take it: 100ms, 5m or 1h30m".into());
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let nanos = scaled(number, scale).ok_or_else(wrong)?;
        total = total.checked_add(nanos).ok_or_else(|| Invalid("it must be 292 years or less".into()))?;
        rest = after;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// A decimal number times a scale; fractions below a nanosecond are cut off, as Go does.
fn scaled(number: &str, scale: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()? };
    let mut nanos = whole.checked_mul(scale)?;
    let mut place = scale;
    for digit in fraction.bytes() {
        place /= 10;
        nanos = nanos.checked_add(place.checked_mul(i64::from(digit - b'0'))?)?;
    }
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let cases = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("5m", Some(300_000_000_000)),
            ("5m0s", Some(300_000_000_000)),
            ("100ms", Some(100_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            (".5s", Some(500_000_000)),
            ("1.0000000001s", Some(1_000_000_000)),
            ("7µs", Some(7_000)),
            ("", None),
            ("5", None),
            ("5 m", None),
            ("-5m", None),
            ("5d", None),
            (".s", None),
            ("1.2.3s", None),
            ("m5", None),
            ("9999999999h", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_duration(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn durations_survive_the_way_to_a_flag_and_back() {
        for nanos in
            [0, 1, 999, 1_000, 1_500_000_000, 60_000_000_000, 90_000_000_000, 3_600_000_000_000, i64::MAX]
        {
            let text = Value::Duration { nanos }.to_flag();
            assert_eq!(parse_duration(&text).unwrap(), nanos, "{text}");
        }
        assert_eq!(Value::Duration { nanos: 300_000_000_000 }.to_flag(), "5m");
    }

    #[test]
    fn values_have_a_form_for_the_file_and_one_for_the_flag() {
        let list = Value::List(vec!["a".into(), "b".into()]);
        assert_eq!((list.to_json(), list.to_flag()), (serde_json::json!(["a", "b"]), "a,b".into()));
        let duration = Value::Duration { nanos: 5_000_000 };
        assert_eq!((duration.to_json(), duration.to_flag()), (serde_json::json!(5_000_000), "5ms".into()));
    }
}
