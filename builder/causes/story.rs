//! The log of a member in readable form, and the probable reason why it ended.

use serde_json::{Map, Value};

use super::fault::Fault;
use super::line::Line;

/// The number of lines of a log that are shown.
const TAIL_LINES: usize = 4;

/// The beginnings of the line with which a Go program says why it crashes; the stacks of its goroutines follow.
const CRASHES: [&str; 2] = ["panic: ", "fatal error: "];

/// The lines that explain why a member ended: that of its crash, and the last ones of level error and worse, or just
/// the last ones; and the fault, if they name a known one.
pub struct Story {
    pub lines: Vec<String>,
    pub fault: Option<Fault>,
}

/// The story of a log.
pub fn tell(text: &str) -> Story {
    let mut lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).map(Line::of).collect();
    let crash = crash(&mut lines);
    let worse = |levels: &'static [&'static str]| {
        lines.iter().filter(move |line| line.level().is_some_and(|level| levels.contains(&level))).collect()
    };
    let mut chosen: Vec<&Line> = worse(&["fatal", "panic", "dpanic", "error"]);
    if chosen.is_empty() {
        // Text that is not etcd's log comes from the program that kept etcd from starting, help texts included.
        chosen = lines
            .iter()
            .filter(|line| line.level().is_none() && Fault::logged_in([line.error()]).is_some())
            .collect();
    }
    if chosen.is_empty() && crash.is_empty() {
        chosen = worse(&["warn"]);
    }
    if chosen.is_empty() && crash.is_empty() {
        chosen = lines.iter().collect();
    }
    let tail = &chosen[chosen.len().saturating_sub(TAIL_LINES)..];
    let fault = Fault::logged_in(crash.iter().chain(tail.iter().copied()).map(|line| line.error()));
    let mut last: Vec<_> = tail.iter().map(|line| readable(line.text)).collect();
    // etcd's logger says the reason, and then crashes with it.
    let is_said = |line: &String| last.iter().any(|last| last.starts_with(line.as_str()));
    let mut lines: Vec<_> =
        crash.iter().map(|line| readable(line.text)).filter(|line| !is_said(line)).collect();
    lines.append(&mut last);
    lines.dedup();
    Story { lines, fault }
}

/// Takes the lines of a crash from a log, and returns those before its stacks.
fn crash<'l>(lines: &mut Vec<Line<'l>>) -> Vec<Line<'l>> {
    let begins =
        |line: &Line| line.level().is_none() && CRASHES.iter().any(|text| line.text.starts_with(text));
    let Some(at) = lines.iter().position(begins) else { return Vec::new() };
    let mut crash = lines.split_off(at);
    let stacks = crash.iter().position(|line| line.text.starts_with("goroutine "));
    crash.truncate(stacks.unwrap_or(crash.len()).min(TAIL_LINES));
    crash
}

/// The last complaint of a member that still runs.
pub fn complaint(text: &str) -> Option<String> {
    let bad = |line: &&str| matches!(level(line).as_deref(), Some("warn" | "error" | "fatal" | "panic"));
    text.lines().rev().find(bad).map(readable)
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
        assert_eq!(story.fault, Some(Fault::KeyMismatch));
    }

    /// config-style = "flags" with tls-min-version above tls-max-version: etcd 3.5.30.
    #[test]
    fn likely_cause_in_flags() {
        let log = r#"{"level":"info","ts":"x","caller":"etcdmain/etcd.go:64","msg":"Running: ","args":["/usr/local/bin/etcd","--initial-advertise-peer-urls=https://10.77.0.11:2380","--initial-cluster=db-1=https://10.77.0.11:2380","missing from --initial-advertise-peer-urls"]}
{"level":"warn","ts":"x","caller":"etcdmain/etcd.go:75","msg":"failed to verify flags","error":"min version (TLS1.3) is greater than max version (TLS1.2)"}"#;
        let story = tell(log);
        assert_eq!(
            story.lines,
            [
                "warn: failed to verify flags (error: min version (TLS1.3) is greater than max version (TLS1.2))"
            ]
        );
        assert_eq!(story.fault, None);
        // The same words in an error are evidence.
        let log = r#"{"level":"fatal","msg":"discovery failed","error":"--initial-cluster has db-1=https://10.77.0.12:2380 but missing from --initial-advertise-peer-urls=https://10.77.0.11:2380 (\"x\")"}"#;
        assert_eq!(tell(log).fault, Some(Fault::PeerUrlsDiffer));
        // In a line of level info they are not.
        let log = r#"{"level":"info","msg":"permission denied","error":"no space left on device"}"#;
        assert_eq!(tell(log).fault, None);
    }

    /// With the lines that Go 1.23 writes.
    #[test]
    fn the_line_of_a_panic_is_told_first() {
        let stacks = "\n\ngoroutine 1 [running]:\nmain.main()\n\t/x/main.go:9 +0x1c\n\ngoroutine 7 [chan receive]:\n\
                      x.y()\n\t/x/y.go:1\nexit status 2\n";
        let errors = "{\"level\":\"error\",\"msg\":\"one\"}\n".to_owned()
            + &(2..7).map(|at| format!("{{\"level\":\"error\",\"msg\":\"{at}\"}}\n")).collect::<String>();
        let story = tell(&format!("{errors}panic: page 3 already freed{stacks}"));
        assert_eq!(
            story.lines,
            ["panic: page 3 already freed", "error: 3", "error: 4", "error: 5", "error: 6"]
        );
        // Without errors before it, and with none of the goroutines after it.
        let warned = "{\"level\":\"warn\",\"msg\":\"slow\"}\n";
        let segv = "panic: runtime error: invalid memory address or nil pointer dereference\n\
                    [signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4]";
        let story = tell(&format!("{warned}{segv}{stacks}"));
        assert_eq!(story.lines, segv.lines().collect::<Vec<_>>());
        assert_eq!(tell(&format!("fatal error: runtime: out of memory{stacks}")).lines.len(), 1);
        let full = tell(&format!("panic: write /d/wal/0.tmp: no space left on device{stacks}"));
        assert_eq!(full.fault, Some(Fault::DiskFull));
        // The logger's own panic is told once.
        let logged = r#"{"level":"panic","msg":"failed to recover","error":"x"}"#;
        let story = tell(&format!("{logged}\npanic: failed to recover{stacks}"));
        assert_eq!(story.lines, ["panic: failed to recover (error: x)"]);
    }

    #[test]
    fn other_text_is_told_as_it_is() {
        let story = tell("nsenter: failed to execute /usr/local/bin/etcd: No such file or directory\n\n");
        assert_eq!(
            story.lines,
            ["nsenter: failed to execute /usr/local/bin/etcd: No such file or directory"]
        );
        assert_eq!(story.fault, Some(Fault::NoProgram));
        assert!(tell("").lines.is_empty());
    }
}
