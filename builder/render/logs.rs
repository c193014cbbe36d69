//! The files of etcd's log, if the profile names any: the unit's file system is read-only elsewhere.

use std::collections::BTreeSet;

use crate::etcd::Value;
use crate::plan::Node;
use crate::values::GuestPath;

/// Paths that the unit must make writable, besides the data directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// Below `/var/log`, as `LogsDirectory=` names them: systemd makes them etcd's own.
    pub directories: BTreeSet<String>,
    /// Files directly in `/var/log`, absolute.
    pub files: BTreeSet<String>,
}

/// The files below `/var/log` in `log-outputs` (zap accepts a path or a `file:` URL; in etcd 3.4 the name is
/// `log-output`). A profile can name no others except those in the data directory.
pub fn of_node(node: &Node) -> Logs {
    let outputs =
        node.settings.iter().filter(|setting| ["log-outputs", "log-output"].contains(&&*setting.key));
    of_outputs(outputs.flat_map(|setting| match &setting.value {
        Value::List(items) => items.as_slice(),
        Value::Text(text) => std::slice::from_ref(text),
        _ => &[],
    }))
}

fn of_outputs<'a>(outputs: impl Iterator<Item = &'a String>) -> Logs {
    let mut logs = Logs::default();
    for output in outputs {
        let path = output.strip_prefix("file://").unwrap_or(output);
        if let Some(below) = path.strip_prefix("/var/log/") {
            match below.rsplit_once('/') {
                Some((directory, _)) if is_plain(directory) => {
                    logs.directories.insert(directory.to_owned());
                }
                None if is_plain(below) => {
                    logs.files.insert(path.to_owned());
                }
                _ => {}
            }
        }
    }
    logs
}

/// A blank or a % has a special meaning in a unit.
fn is_plain(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    path.parse::<GuestPath>().is_ok() && path.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_opens_what_lies_below_var_log() {
        let outputs = [
            "stderr",
            "default",
            "systemd/journal",
            "/var/log/etcd/etcd.log",
            "/var/log/etcd/audit.log",
            "file:///var/log/a/b/c.log",
            "/var/log/etcd.log",
            "/var/lib/etcd/etcd.log",
            "/srv/etcd.log",
            "/var/log/../lib/x/y",
            "/var/log/a b/c",
        ];
        let logs = of_outputs(outputs.map(str::to_owned).iter());
        assert_eq!(logs.directories.iter().collect::<Vec<_>>(), ["a/b", "etcd"]);
        assert_eq!(logs.files.iter().collect::<Vec<_>>(), ["/var/log/etcd.log"]);
    }

    #[test]
    fn only_plain_paths_reach_the_unit() {
        for good in ["etcd", "a/b-c", "etcd.log"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "a b", "a%n", "../x", "a//b", "a\nb"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
