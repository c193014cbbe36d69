//! What is said goes to the journal, with its level.

#![allow(clippy::disallowed_methods, reason = "the journal says by a variable that it listens")]

use std::io::Write;

use kiln_wire::Name;

/// The priorities of syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Somebody has to act.
    Error = 3,
    /// Somebody may have to.
    Warning = 4,
    /// Worth to know.
    Notice = 5,
    /// As expected.
    Info = 6,
}

/// A line about a node; sd-daemon(3) has the form of a level.
pub fn say(level: Level, node: &Name, text: &str) {
    let prefix = match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => format!("<{}>", level as u8),
        None => String::new(),
    };
    // Where nobody listens, there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{prefix}kiln: {node} {text}");
}
