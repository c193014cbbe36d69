//! What a member wrote, made readable, and why it probably ended.

use std::path::Path;

use serde_json::{Map, Value};

use crate::disk;
use crate::failure::Result;

/// A rehearsal is short; its logs stay far below this.
const LIMIT: u64 = 256 << 20;

/// How many lines of a log are shown.
const TAIL: usize = 4;

/// What etcd or the kernel says -> the likely cause. The special before the general.
const CAUSES: &[(&str, &str)] = &[
    ("private key does not match public key", "A certificate and its key do not belong together."),
    ("certificate is valid for", "A peer's certificate names another address than the one it comes from."),
    ("unknown authority", "The members' certificates come from different CAs."),
    ("has expired or is not yet valid", "A certificate is past its end, or this machine's clock is wrong."),
    ("cannot assign requested address", "It listens on an address that this node does not have."),
    ("address already in use", "Two of its listeners want the same port."),
    ("no space left on device", "The file system of TMPDIR is full; a member takes about 250 MB."),
    ("couldn't find local name", "Its name is not in its own initial-cluster."),
    ("initial-advertise-peer-urls", "Its peer URLs differ from those that its initial-cluster gives it."),
    (
        "has already been bootstrapped",
        "Its data directory is empty although the cluster knows it as a member.",
    ),
    (
        "cluster ID mismatch",
        "The members' tokens or initial-cluster values differ, so they are different clusters.",
    ),
    ("failed to execute", "The program is not there, or is not for this machine or its libraries."),
    ("permission denied", "A file or directory does not belong to the account that etcd runs as."),
    ("no such file or directory", "A file that its configuration names is not on the node."),
    ("cannot unmarshal", "Its configuration file has a value of the wrong type."),
    ("flag provided but not defined", "This etcd does not know one of its flags."),
];

/// The lines that tell why a member ended: the last ones of level error and worse, or just the last ones; and the
/// likely cause where one is known.
pub struct Story {
    pub lines: Vec<String>,
    pub cause: Option<&'static str>,
}

pub fn story(log: &Path) -> Result<Story> {
    let text = String::from_utf8_lossy(&disk::read(log, LIMIT)?).into_owned();
    Ok(tell(&text))
}

fn tell(text: &str) -> Story {
    let bad = |line: &&str| matches!(level(line).as_deref(), Some("fatal" | "panic" | "dpanic" | "error"));
    let mut chosen: Vec<&str> = text.lines().filter(bad).collect();
    if chosen.is_empty() {
        // Text that is not etcd's log was written by whatever kept it from starting, help texts included.
        let telling = |line: &&str| CAUSES.iter().any(|(text, _)| line.contains(text));
        chosen = text.lines().filter(telling).collect();
    }
    if chosen.is_empty() {
        chosen = text.lines().filter(|line| !line.trim().is_empty()).collect();
    }
    let tail = &chosen[chosen.len().saturating_sub(TAIL)..];
    let said = tail.join("\n");
    let cause = CAUSES.iter().find(|(text, _)| said.contains(text)).map(|(_, cause)| *cause);
    let mut lines: Vec<_> = tail.iter().map(|line| readable(line)).collect();
    lines.dedup();
    Story { lines, cause }
}

/// The last complaint of a member that still runs.
pub fn complaint(log: &Path) -> Result<Option<String>> {
    let text = String::from_utf8_lossy(&disk::read(log, LIMIT)?).into_owned();
    let bad = |line: &&str| matches!(level(line).as_deref(), Some("warn" | "error" | "fatal" | "panic"));
    Ok(text.lines().rev().find(bad).map(readable))
}

fn level(line: &str) -> Option<String> {
    let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    fields.get("level")?.as_str().map(str::to_owned)
}

/// `{"level":"fatal","msg":"discovery failed","error":"…"}` as `fatal: discovery failed (error: …)`.
fn readable(line: &str) -> String {
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(line) else { return line.trim().to_owned() };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let rest: Vec<_> = fields
        .iter()
        .filter(|(name, _)| !["level", "ts", "caller", "msg", "stacktrace"].contains(&name.as_str()))
        .map(|(name, value)| match value {
            Value::String(value) => format!("{name}: {value}"),
            other => format!("{name}: {other}"),
        })
        .collect();
    let rest = if rest.is_empty() { String::new() } else { format!(" ({})", rest.join(", ")) };
    format!("{}: {}{rest}", text("level"), text("msg"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fatal_line_is_told_with_its_cause() {
        let log = r#"{"level":"info","ts":"x","caller":"a.go:1","msg":"starting","data-dir":"/d"}
{"level":"warn","ts":"x","msg":"slow"}
{"level":"fatal","ts":"x","caller":"etcdmain/etcd.go:204","msg":"discovery failed","error":"tls: private key does not match public key","stacktrace":"go\nmain"}"#;
        let story = tell(log);
        assert_eq!(
            story.lines,
            ["fatal: discovery failed (error: tls: private key does not match public key)"]
        );
        assert!(story.cause.unwrap().contains("do not belong together"));
    }

    #[test]
    fn other_text_is_told_as_it_is() {
        let story = tell("nsenter: failed to execute /usr/local/bin/etcd: No such file or directory\n\n");
        assert_eq!(
            story.lines,
            ["nsenter: failed to execute /usr/local/bin/etcd: No such file or directory"]
        );
        assert!(story.cause.is_some());
        assert!(tell("").lines.is_empty());
    }
}
