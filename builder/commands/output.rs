//! Results to stdout, messages to stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::{Doing, Failure, Result};

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
            // Nobody can be told that stderr is closed.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    pub fn warn(&self, text: impl Display) {
        self.say(format_args!("warning: {text}"));
    }

    /// A result as it is, with a newline at its end.
    ///
    /// # Errors
    /// `Exit::Interrupted` when the reader has gone away.
    pub fn print(&self, text: impl Display) -> Result<()> {
        let text = text.to_string();
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
        self.print(text)
    }
}

/// Whether messages may have colour: a terminal, and a user who has not said no (no-color.org).
pub fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
