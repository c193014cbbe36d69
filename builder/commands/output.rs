//! Results to stdout, messages to stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::{printable_lines, steers};

pub struct Output {
    quiet: bool,
    /// Whether the result is JSON: exactly one document, also where the verb did not succeed.
    json: bool,
    /// Whether that document has been written.
    written: AtomicBool,
    warnings: Mutex<Vec<String>>,
}

impl Output {
    pub fn new(quiet: bool, json: bool) -> Self {
        Self { quiet, json, written: AtomicBool::new(false), warnings: Mutex::default() }
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
        let text = text.to_string();
        self.announce(format_args!("warning: {text}"));
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// What a program reads when a verb ends without a result of its own: `{error: {exit, message, mistakes}, warnings}`.
    pub fn failed(&self, failure: &Failure) {
        if self.json && !self.written.load(Ordering::Relaxed) && !failure.is_unheard() {
            // The exit code tells it, too.
            let _ = self.json(&serde_json::json!({ "error": failure.json() }));
        }
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

    /// The result, with the warnings so far where it is an object.
    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        let failed = |error| Failure::io(format!("writing the result as JSON: {error}"));
        let mut value = serde_json::to_value(value).map_err(failed)?;
        if let serde_json::Value::Object(fields) = &mut value {
            let warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            fields.insert("warnings".to_owned(), warnings.as_slice().into());
        }
        let text = serde_json::to_string_pretty(&value).map_err(failed)?;
        self.written.store(true, Ordering::Relaxed);
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

/// What came of printing a result: an error says that the work itself is done.
///
/// # Errors
/// That of the printing.
pub fn and_said(done: &str, said: Result<()>) -> Result<()> {
    match said {
        Err(failure) if failure.exit() != Exit::Interrupted => Err(failure.while_doing(done.to_owned())),
        said => said,
    }
}

/// Whether messages may have colour: a terminal, and a user who has not said no (no-color.org).
pub fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
