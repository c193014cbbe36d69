//! Results to stdout, messages to stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::{Doing, Failure, Result};
use crate::values::{printable_lines, steers};

pub struct Output {
    quiet: bool,
}

impl Output {
    pub fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// A line for the person who waits.
    pub fn say(&self, text: impl Display) {
        if !self.quiet {
            self.announce(text);
        }
    }

    /// What `--quiet` does not hide either.
    pub fn announce(&self, text: impl Display) {
        // Nobody can be told that stderr is closed.
        let _ = writeln!(io::stderr().lock(), "{}", printable_lines(&text.to_string()));
    }

    /// `--quiet` hides chatter, never a warning.
    pub fn warn(&self, text: impl Display) {
        self.announce(format_args!("warning: {text}"));
    }

    /// A result for people, with a newline at its end.
    ///
    /// # Errors
    /// `Exit::Interrupted` when the reader has gone away.
    pub fn print(&self, text: impl Display) -> Result<()> {
        self.write(&printable_lines(&text.to_string()))
    }

    fn write(&self, text: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.trim_end_matches('\n').as_bytes()).and_then(|()| stdout.write_all(b"\n"))
        {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::unheard()),
            other => other.doing(|| "writing to standard output".into()),
        }
    }

    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::io(format!("writing the result as JSON: {error}")))?;
        // serde_json escapes C0 only. Outside of strings JSON has no such characters (RFC 8259 section 2).
        let mut escaped = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '\n' => escaped.push(c),
                c if steers(c) => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => escaped.push(c),
            }
        }
        self.write(&escaped)
    }
}

/// Whether messages may have colour: a terminal, and a user who has not said no (no-color.org).
pub fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
