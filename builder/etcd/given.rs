//! A value of an option from a profile, and its form in etcd's config file.

use crate::etcd::keys::GoType;
use crate::etcd::{Value, judge, parse_duration};
use crate::values::Invalid;

/// A value as a TOML document gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Given<'t> {
    Bool(bool),
    Int(i128),
    Text(&'t str),
    List(Vec<&'t str>),
    /// Anything else, with its article: `a table`, `a date`.
    Other(&'static str),
}

impl Given<'_> {
    fn what(&self) -> &'static str {
        match self {
            Given::Bool(_) => "true or false",
            Given::Int(_) => "a number",
            Given::Text(_) => "a string",
            Given::List(_) => "a list",
            Given::Other(what) => what,
        }
    }
}

/// Converts a value to the form that etcd's config file needs for a key of this type.
///
/// # Errors
/// A sentence that names the valid values of the key.
pub fn value(key: &str, go_type: GoType, given: &Given<'_>) -> Result<Value, Invalid> {
    let wrong = |wanted: &str| Err(Invalid(format!("it takes {wanted}, not {}", given.what())));
    match (go_type, given) {
        (GoType::Bool, Given::Bool(value)) => Ok(Value::Bool(*value)),
        (GoType::Bool, _) => wrong("true or false, without quotes"),
        (GoType::Int { min, max }, Given::Int(value)) => {
            let (min, max) = judge::bounds(key, min, max);
            match i64::try_from(*value) {
                Ok(value) if (min..=max).contains(&value) => {
                    judge::number(key, value)?;
                    Ok(Value::Int(value))
                }
                _ => Err(Invalid(format!("it takes a whole number from {min} to {max}"))),
            }
        }
        (GoType::Int { .. }, Given::Text(_)) => wrong("a whole number, without quotes or unit"),
        (GoType::Int { .. }, _) => wrong("a whole number"),
        (GoType::Text, Given::Text(text)) => text_value(key, text),
        (GoType::Text, Given::Int(_)) => wrong("a string; put the value in quotes"),
        (GoType::Text, _) => wrong("a quoted string"),
        (GoType::Strings, Given::List(items)) => {
            let items = items.iter().map(|item| list_item(item)).collect::<Result<Vec<_>, _>>()?;
            judge::list(key, &items)?;
            Ok(Value::List(items))
        }
        (GoType::Strings, _) => wrong("a list, as in [\"one\", \"two\"]"),
        (GoType::Duration, Given::Text(text)) => parse_duration(text).map(|nanos| Value::Duration { nanos }),
        // The file would accept a number, in nanoseconds, but a user who writes 5 does not mean that.
        (GoType::Duration, _) => wrong("a duration in quotes, as in \"100ms\" or \"5m\""),
        (GoType::Struct, _) => {
            Err(Invalid("Kiln cannot check this structure, so it does not write it".into()))
        }
    }
}

/// A control character would end the line of a unit or of an environment file.
fn no_control(text: &str) -> Result<(), Invalid> {
    match text.chars().find(|c| c.is_control()) {
        Some(bad) => Err(Invalid(format!("{bad:?} is a control character, which is not allowed"))),
        None => Ok(()),
    }
}

fn text_value(key: &str, text: &str) -> Result<Value, Invalid> {
    no_control(text)?;
    judge::text(key, text)?;
    Ok(Value::Text(text.into()))
}

fn list_item(item: &str) -> Result<String, Invalid> {
    no_control(item)?;
    match item.contains(',') {
        true => Err(Invalid("an item must not have a comma; write it as an item of its own".into())),
        false => Ok(item.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_of_the_type_that_the_key_takes() {
        let uint = GoType::Int { min: 0, max: i64::MAX };
        let good = [
            ("pre-vote", GoType::Bool, Given::Bool(true), Value::Bool(true)),
            ("max-wals", uint, Given::Int(5), Value::Int(5)),
            ("log-level", GoType::Text, Given::Text("warn"), Value::Text("warn".into())),
            ("log-outputs", GoType::Strings, Given::List(vec!["stderr"]), Value::List(vec!["stderr".into()])),
            ("x", GoType::Duration, Given::Text("1ms"), Value::Duration { nanos: 1_000_000 }),
        ];
        for (key, go_type, given, want) in good {
            assert_eq!(value(key, go_type, &given), Ok(want), "{key}");
        }
    }

    #[test]
    fn values_of_another_type_are_refused_with_what_the_key_takes() {
        let uint = GoType::Int { min: 0, max: i64::MAX };
        let bad = [
            (
                "pre-vote",
                GoType::Bool,
                Given::Text("true"),
                "it takes true or false, without quotes, not a string",
            ),
            ("max-wals", uint, Given::Int(-1), "it takes a whole number from 0 to 9223372036854775807"),
            (
                "max-wals",
                uint,
                Given::Text("5"),
                "it takes a whole number, without quotes or unit, not a string",
            ),
            (
                "auto-compaction-retention",
                GoType::Text,
                Given::Int(8),
                "it takes a string; put the value in quotes, not a number",
            ),
            (
                "log-level",
                GoType::Text,
                Given::Text("loud"),
                "it takes one of \"debug\", \"info\", \"warn\", \"error\", \"panic\", \"fatal\"",
            ),
            ("cors", GoType::Text, Given::Text("a\nb"), "'\\n' is a control character, which is not allowed"),
            (
                "log-outputs",
                GoType::Strings,
                Given::Text("stderr"),
                "it takes a list, as in [\"one\", \"two\"], not a string",
            ),
            (
                "log-outputs",
                GoType::Strings,
                Given::List(vec!["a,b"]),
                "an item must not have a comma; write it as an item of its own",
            ),
            (
                "x",
                GoType::Duration,
                Given::Int(5),
                "it takes a duration in quotes, as in \"100ms\" or \"5m\", not a number",
            ),
            (
                "discovery-config",
                GoType::Struct,
                Given::Other("a table"),
                "Kiln cannot check this structure, so it does not write it",
            ),
        ];
        for (key, go_type, given, want) in bad {
            assert_eq!(value(key, go_type, &given), Err(Invalid(want.into())), "{key}");
        }
    }
}
