//! Results to stdout, messages to stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};
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

const WARNING: &str = "warning";

pub struct Output {
    quiet: bool,
    /// Whether the result is JSON: exactly one document, also when the verb fails.
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

    /// A line of progress for the user.
    pub fn say(&self, text: impl Display) {
        if !self.quiet {
            self.announce(text);
        }
    }

    /// A line that `--quiet` does not hide.
    pub fn announce(&self, text: impl Display) {
        // An error of stderr itself cannot be reported.
        let _ = writeln!(io::stderr().lock(), "{}", printable_lines(&text.to_string()));
    }

    /// A warning; `--quiet` hides progress, never a warning. A list of several lines is printed behind the result,
    /// which it would push off the screen.
    pub fn warn(&self, text: impl Display) {
        let text = text.to_string();
        if !is_list(&text) {
            print_warning(&text);
        }
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// Prints the lists among the warnings, at the end of the verb.
    pub fn finish(&self) {
        let warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.iter().filter(|text| is_list(text)).for_each(|text| print_warning(text));
    }

    pub fn tell(&self, note: Note) {
        match note {
            Note::Detail(text) => self.say(text),
            Note::Announcement(text) => self.announce(text),
            Note::Warning(text) => self.warn(text),
        }
    }

    /// The JSON result of a verb that ends without a result of its own: `{error: {exit, message, mistakes},
    /// warnings}`.
    pub fn failed(&self, failure: &Failure) {
        if self.json && !self.written.load(Ordering::Relaxed) && !failure.is_unheard() {
            // The exit code reports the failure, too.
            let _ = self.json(&serde_json::json!({ "error": failure.json() }));
        }
    }

    /// A result for people, with a newline at its end.
    ///
    /// # Errors
    /// `Exit::Unheard` when the reader has closed the pipe.
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

    /// A result as raw bytes, for a file or another program.
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
    /// As [`Output::print`], and those of making an item; the array then ends before that item, or is not begun.
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

/// Whether a message is several lines.
fn is_list(text: &str) -> bool {
    text.contains('\n')
}

fn print_warning(text: &str) {
    let style = AnsiColor::Yellow.on_default().bold();
    let styled = if colour() { format!("{style}{WARNING}{style:#}") } else { WARNING.to_owned() };
    let fitted = fit_message(&printable_lines(&format!("{WARNING}: {text}")));
    let rest = fitted.strip_prefix(WARNING).unwrap_or_default();
    // An error of stderr itself cannot be reported.
    let _ = writeln!(io::stderr().lock(), "{styled}{rest}");
}

/// Wraps a message for the terminal on stderr. Elsewhere only a list is wrapped: a sentence stays on one line.
fn fit_message(text: &str) -> String {
    let terminal = match Terminal::at(&io::stderr()) {
        None if !is_list(text) => return text.to_owned(),
        terminal => terminal.unwrap_or_default(),
    };
    terminal.fit(text).trim_end().to_owned()
}

/// Turns the result of writing to stdout into Kiln's error.
fn heard(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::unheard()),
        other => other.doing(|| "writing to standard output".into()),
    }
}

/// JSON on several lines, with every control character escaped, so that a terminal does not interpret any: serde_json
/// escapes C0 only.
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

/// Returns the result of printing; an error says that the work itself is done.
///
/// # Errors
/// That of the printing.
pub fn and_said(done: &str, said: Result<()>) -> Result<()> {
    match said {
        Err(failure) if failure.exit() != Exit::Unheard => Err(failure.while_doing(done.to_owned())),
        said => said,
    }
}

/// Whether messages may be coloured: on a terminal that supports it, unless the user opts out (no-color.org).
pub fn colour() -> bool {
    io::stderr().is_terminal() && AutoStream::choice(&io::stderr()) != ColorChoice::Never
}
