//! Results to stdout, messages to stderr.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anstream::{AutoStream, ColorChoice};
use anstyle::AnsiColor;
use serde::Serialize;
use serde::ser::{SerializeSeq as _, Serializer as _};
use serde_json::Serializer;
use serde_json::ser::{Formatter, PrettyFormatter};

use super::terminal::Terminal;
use crate::build::Note;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::report::Report;
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
        let warning = AnsiColor::Yellow.on_default().bold();
        let warning = if colour() { format!("{warning}warning{warning:#}") } else { "warning".to_owned() };
        // Nobody can be told that stderr is closed.
        let _ = writeln!(io::stderr().lock(), "{warning}: {}", printable_lines(&text));
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    pub fn tell(&self, note: Note) {
        match note {
            Note::Detail(text) => self.say(text),
            Note::Announcement(text) => self.announce(text),
            Note::Warning(text) => self.warn(text),
        }
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
        let text = text.to_string();
        let text = printable_lines(&text);
        match Terminal::here() {
            Some(terminal) => self.write(&terminal.fit(&text)),
            None => self.write(&text),
        }
    }

    /// The report of `verify` or `rehearse`, for people.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub fn report(&self, report: &Report) -> Result<()> {
        match Terminal::here() {
            Some(terminal) => self.write(&terminal.report(report)),
            None => self.print(report.table()),
        }
    }

    /// A result as it is, for a file or another program.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut stdout = io::stdout().lock();
        heard(stdout.write_all(bytes).and_then(|()| stdout.flush()))
    }

    fn write(&self, text: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        heard(stdout.write_all(text.trim_end_matches('\n').as_bytes()).and_then(|()| stdout.write_all(b"\n")))
    }

    /// The result, with the warnings so far where it is an object.
    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        let failed = |error| Failure::io(format!("writing the result as JSON: {error}"));
        let mut value = serde_json::to_value(value).map_err(failed)?;
        if let serde_json::Value::Object(fields) = &mut value {
            let warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            fields.insert("warnings".to_owned(), warnings.as_slice().into());
        }
        self.document(|serializer| value.serialize(serializer))
    }

    /// A result as a JSON array, item by item, so that only one of them is in memory.
    ///
    /// # Errors
    /// As [`Output::print`], and those of making an item; the array then ends before it, or is not begun.
    pub fn json_items<T: Serialize>(&self, mut items: impl Iterator<Item = Result<T>>) -> Result<()> {
        let first = items.next().transpose()?;
        let mut failed = None;
        let written = self.document(|serializer| {
            let others = items.map_while(|item| item.map_err(|failure| failed = Some(failure)).ok());
            let mut array = serializer.serialize_seq(None)?;
            first.into_iter().chain(others).try_for_each(|item| array.serialize_element(&item))?;
            array.end()
        });
        failed.map_or(written, Err)
    }

    fn document(
        &self,
        write: impl FnOnce(&mut Serializer<&mut dyn Write, Steady<'_>>) -> serde_json::Result<()>,
    ) -> Result<()> {
        self.written.store(true, Ordering::Relaxed);
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        let to: &mut dyn Write = &mut stdout;
        let mut serializer = Serializer::with_formatter(to, Steady(PrettyFormatter::new()));
        let written = write(&mut serializer).map_err(io::Error::from);
        heard(written.and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush()))
    }
}

/// What came of writing to stdout.
fn heard(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::unheard()),
        other => other.doing(|| "writing to standard output".into()),
    }
}

/// JSON in lines, in which nothing acts on a terminal: serde_json escapes C0 only.
struct Steady<'i>(PrettyFormatter<'i>);

impl Formatter for Steady<'_> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| steers(*c)) {
            to.write_all(&rest.as_bytes()[..at])?;
            c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(to, "\\u{unit:04x}"))?;
            rest = &rest[at + c.len_utf8()..];
        }
        to.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_array(to)
    }

    fn end_array<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_array(to)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(to, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_array_value(to)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_object(to)
    }

    fn end_object<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_object(to)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(to, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.begin_object_value(to)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        self.0.end_object_value(to)
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

/// Whether messages may have colour: a terminal that has it, and a user who has not said no (no-color.org).
pub fn colour() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}
