//! What is said goes to the journal, with its level.

#![allow(clippy::disallowed_methods, reason = "the journal says by a variable that it listens")]

use std::io::Write;

use kiln_wire::Name;

/// The priorities of syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// People have to act.
    Error = 3,
    /// They may have to.
    Warning = 4,
    /// As expected.
    Info = 6,
}

/// A line about a node.
pub fn say(level: Level, node: &Name, text: &str) {
    line(level, &format!("kiln: {node} {text}"));
}

/// A line; sd-daemon(3) has the form of its level.
pub fn line(level: Level, text: &str) {
    let prefix = match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => format!("<{}>", level as u8),
        None => String::new(),
    };
    // Where nobody listens, there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{prefix}{text}");
}

/// An answer, for whoever has asked. Where nobody reads it, nothing is lost.
pub fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
