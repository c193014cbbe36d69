//! Where etcd writes its log, and how its files are rotated.

use serde_json::Value;

use super::path::file;
use crate::suggest;
use crate::values::Invalid;

/// One target of `log-outputs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOutput<'t> {
    /// The unit's own streams.
    Stream,
    Journal,
    /// An absolute path.
    File(&'t str),
}

/// # Errors
/// A sentence without the text itself.
pub fn log_output(text: &str) -> Result<LogOutput<'_>, Invalid> {
    match text {
        "default" | "stderr" | "stdout" => Ok(LogOutput::Stream),
        "systemd/journal" => Ok(LogOutput::Journal),
        path => plain(path).map(LogOutput::File).map_err(|Invalid(why)| match path.starts_with('/') {
            true => Invalid(why),
            false => Invalid(
                "it is stderr, stdout, systemd/journal, default or the absolute path of a file".into(),
            ),
        }),
    }
}

/// A path in letters that mean the same in a unit and in a URL, because zap parses it as a URL.
fn plain(path: &str) -> Result<&str, Invalid> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let path = file(path)?;
    match path.chars().find(|c| !plain(*c)) {
        Some(bad) => {
            Err(Invalid(format!("{bad:?} is not allowed; use letters, digits, '.', '_', '-' and '/'")))
        }
        None => Ok(path),
    }
}

/// `setupLogging` in server/embed/config_logging.go (embed/config_logging.go in 3.4).
///
/// # Errors
/// The first invalid item, or the two that conflict.
pub(super) fn outputs(items: &[String]) -> Result<(), Invalid> {
    for item in items {
        let output = log_output(item).map_err(|Invalid(why)| Invalid(format!("{item:?}: {why}")))?;
        let alone = output == LogOutput::Journal || item == "default";
        if alone && items.len() > 1 {
            return Err(Invalid(format!("etcd accepts {item:?} only alone; remove it or the others")));
        }
    }
    Ok(())
}

/// The JSON of a lumberjack.Logger, whose keys are case-insensitive (`setupLogRotation` in
/// server/embed/config_logging.go). etcd panics when it has none of these keys. Kiln is stricter: etcd ignores unknown
/// keys.
///
/// # Errors
/// The mistake in it.
pub(super) fn rotation(text: &str) -> Result<(), Invalid> {
    const KEYS: [&str; 5] = ["maxsize", "maxage", "maxbackups", "localtime", "compress"];
    let example = "write it as in '{\"maxsize\": 100, \"maxage\": 7}'";
    let fields = match serde_json::from_str(text) {
        Ok(Value::Object(fields)) if fields.is_empty() => {
            return Err(Invalid(format!("etcd panics at an empty object; {example}")));
        }
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(Invalid(format!("it is not a JSON object; {example}"))),
        Err(_) => return Err(Invalid(format!("it is not JSON; {example}"))),
    };
    for (name, value) in fields {
        let plain = name.to_ascii_lowercase();
        match (plain.as_str(), value) {
            ("maxsize" | "maxage" | "maxbackups", Value::Number(number)) if number.as_u64().is_some() => {}
            ("maxsize" | "maxage" | "maxbackups", _) => {
                return Err(Invalid(format!("{name} takes a whole number, without quotes")));
            }
            ("localtime" | "compress", Value::Bool(_)) => {}
            ("localtime" | "compress", _) => return Err(Invalid(format!("{name} takes true or false"))),
            ("filename", _) => return Err(Invalid("log-outputs names the file; omit filename".into())),
            _ => {
                let meant = match suggest::nearest(&plain, KEYS) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => format!("it has {}", KEYS.join(", ")),
                };
                return Err(Invalid(format!("log rotation has no {name:?}; {meant}")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_go_to_streams_the_journal_or_files() {
        let list = |items: &[&str]| outputs(&items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>());
        for good in [
            &[][..],
            &["stderr", "stdout"],
            &["default"],
            &["systemd/journal"],
            &["/var/log/etcd/x.log", "stderr"],
        ] {
            assert!(list(good).is_ok(), "{good:?}");
        }
        for bad in [
            &["default", "stderr"][..],
            &["systemd/journal", "stderr"],
            &[""],
            &["log"],
            &["/a/../b"],
            &["/a/"],
            &["/a b"],
        ] {
            assert!(list(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rotation_is_json_with_numbers() {
        for good in ["{\"maxSize\": 1, \"compress\": true}", "{\"maxage\": 7, \"localtime\": false}"] {
            assert!(rotation(good).is_ok(), "{good}");
        }
        let cases = [
            ("", "not JSON"),
            ("{maxsize: 100}", "not JSON"),
            ("{}", "empty object"),
            ("[]", "not a JSON object"),
            ("null", "not a JSON object"),
            ("{\"maxsize\": \"1\"}", "whole number"),
            ("{\"maxsize\": 1.5}", "whole number"),
            ("{\"compress\": 1}", "true or false"),
            ("{\"max-size\": 1}", "did you mean maxsize?"),
            ("{\"filename\": \"x\"}", "log-outputs names"),
        ];
        for (text, want) in cases {
            let got = rotation(text).unwrap_err().0;
            assert!(got.contains(want), "{text}: {got}");
        }
    }
}
