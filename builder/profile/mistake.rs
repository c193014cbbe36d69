//! What is wrong with a profile: shown with its place, its reason and the way out, all of it at once.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::Span;
use super::finding::{Finding, Marks};
use super::source::{File, Texts};
use crate::failure::{Exit, Failure};
use crate::values::without_private_keys;

/// More would only scroll the first ones away.
const SHOWN: usize = 64;

/// What a mistake is about, which decides what is said of it when there are others, and the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Wrong,
    /// Something that should be there: not said of a file with broken syntax, where it may be.
    Missing,
    /// Refused unless the profile allows it.
    Unsafe,
}

#[derive(Clone, Debug)]
pub struct Mistake {
    pub(super) span: Option<Span>,
    reason: String,
    /// The other place of two that do not go together, and what it is.
    other: Option<(Span, String)>,
    /// More about the reason, a line each.
    notes: Vec<String>,
    help: Option<String>,
    kind: Kind,
}

impl Mistake {
    pub(super) fn new(span: impl Into<Option<Span>>, reason: impl Into<String>) -> Self {
        let (span, reason) = (span.into(), reason.into());
        Self { span, reason, other: None, notes: Vec::new(), help: None, kind: Kind::Wrong }
    }

    pub(super) fn missing(span: impl Into<Option<Span>>, reason: impl Into<String>) -> Self {
        Self { kind: Kind::Missing, ..Self::new(span, reason) }
    }

    pub(super) fn unsafe_unless_allowed(span: impl Into<Option<Span>>, reason: impl Into<String>) -> Self {
        Self { kind: Kind::Unsafe, ..Self::new(span, reason) }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn notes<N: Into<String>>(mut self, notes: impl IntoIterator<Item = N>) -> Self {
        self.notes.extend(notes.into_iter().map(Into::into));
        self
    }

    pub(super) fn other(mut self, span: Span, what: impl Into<String>) -> Self {
        self.other = Some((span, what.into()));
        self
    }

    /// The same, so many bytes further on, in another file than the first.
    pub(super) fn moved(mut self, by: usize) -> Self {
        self.span = match self.span {
            Some(span) => Some(span.start + by..span.end + by),
            None if by > 0 => Some(by..by),
            None => None,
        };
        self
    }

    /// Whether it can be trusted when the text around it is not TOML.
    pub(super) fn is_local(&self) -> bool {
        self.kind == Kind::Wrong && self.span.is_some()
    }
}

/// Every mistake of one profile, in the order of the file; those without a place come first.
#[derive(Clone, Debug)]
pub struct Mistakes {
    texts: Texts,
    list: Vec<Mistake>,
    marks: Marks,
}

impl Mistakes {
    pub(super) fn new(mut texts: Texts, mut list: Vec<Mistake>) -> Self {
        list.sort_by_key(|mistake| mistake.span.as_ref().map(|span| (span.start, span.end)));
        // Also where the text is no TOML, so that nobody knows what is a value in it.
        texts.change(|text| *text = without_private_keys(text));
        Self { texts, list, marks: Marks::default() }
    }

    pub(super) fn marked(self, marks: Marks) -> Self {
        Self { marks, ..self }
    }

    /// The overlays that the profile names, as far as it could be read.
    pub fn overlays(&self) -> impl Iterator<Item = &Path> {
        self.marks.overlays.iter().map(|(path, _)| path.as_path())
    }

    /// Says what was found later beside what is wrong in the profile itself.
    pub fn add(&mut self, findings: Vec<Finding>) {
        self.list.extend(findings.into_iter().map(|finding| finding.mistake(&self.marks)));
        self.list.sort_by_key(|mistake| mistake.span.as_ref().map(|span| (span.start, span.end)));
    }

    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// `Exit::Unsafe` when the profile is right and only asks for what it has to allow.
    pub fn exit(&self) -> Exit {
        match self.list.iter().all(|mistake| mistake.kind == Kind::Unsafe) {
            true => Exit::Unsafe,
            false => Exit::Profile,
        }
    }

    /// The text for a person, with a newline at its end.
    pub fn render(&self, color: bool) -> String {
        report(std::slice::from_ref(self), color)
    }

    fn render_one(&self, renderer: &Renderer, mistake: &Mistake) -> String {
        let title = Level::ERROR.primary_title(mistake.reason.as_str());
        let mut notes: Vec<Cow<'_, str>> = mistake.notes.iter().map(|note| note.as_str().into()).collect();
        let group = match mistake.span.as_ref().and_then(|span| self.texts.file(span.start).zip(Some(span))) {
            Some((file, span)) => {
                let text = &self.texts.whole()[file.span.clone()];
                let mut snippet = Snippet::source(text).path(file.path.as_str());
                let mut primary = AnnotationKind::Primary.span(visible(text, file, span));
                match &mistake.other {
                    Some((other, what)) if file.span.contains(&other.start) => {
                        primary = primary.label("here");
                        let context = AnnotationKind::Context.span(visible(text, file, other));
                        snippet = snippet.annotation(context.label(what.as_str()));
                    }
                    Some((other, what)) => {
                        let (path, line, column) = self.texts.position(other.start);
                        notes.push(format!("{what}: {path}:{line}:{column}").into());
                    }
                    None => {}
                }
                title.element(snippet.annotation(primary))
            }
            None => title.element(annotate_snippets::Origin::path(self.texts.name())),
        };
        let notes = notes.iter().map(|note| Level::NOTE.message(note.as_ref()));
        let help = mistake.help.as_ref().map(|help| Level::HELP.message(help.as_str()));
        renderer.render(&[group.elements(notes).elements(help)])
    }

    /// As an error for `main` to print as it is.
    pub fn into_failure(self, color: bool) -> Failure {
        Failure::report(self.exit(), self.render(color))
    }
}

/// The mistakes of several profiles as one error for `main` to print as it is.
pub fn failure_of_all(all: &[Mistakes], color: bool) -> Failure {
    let exit = match all.iter().all(|mistakes| mistakes.exit() == Exit::Unsafe) {
        true => Exit::Unsafe,
        false => Exit::Profile,
    };
    Failure::report(exit, report(all, color))
}

/// The text for a person. What many profiles take over from one file is wrong once.
fn report(all: &[Mistakes], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut seen = BTreeSet::new();
    let mut text = String::new();
    for mistakes in all {
        for mistake in &mistakes.list {
            let place = mistake.span.as_ref().map(|span| mistakes.texts.position(span.start));
            let place = place.unwrap_or((mistakes.texts.name(), 0, 0));
            if seen.insert((place, mistake.reason.as_str())) && seen.len() <= SHOWN {
                text.push_str(&mistakes.render_one(&renderer, mistake));
                text.push_str("\n\n");
            }
        }
    }
    let (count, more) = (seen.len(), seen.len().saturating_sub(SHOWN));
    let who = match all {
        [one] => format!("{} has", one.texts.name()),
        _ => format!("{} profiles have", all.len()),
    };
    let mistakes = if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") };
    match more {
        0 => text.push_str(&format!("{who} {mistakes}; nothing was written\n")),
        more => text.push_str(&format!("and {more} more: {who} {mistakes}; nothing was written\n")),
    }
    text
}

/// A span inside one text, on the borders of characters, and one line long, which is all that a caret needs.
fn visible(text: &str, file: &File, span: &Span) -> Span {
    let border = |at: usize| {
        let mut at = at.saturating_sub(file.span.start).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = border(span.start);
    let line = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    start..border(span.end).clamp(start, line.max(start))
}

impl Serialize for Mistakes {
    /// A list of `{file, line, column, reason, notes, help, also: {file, line, column, what}, unsafe}`; what there is none
    /// of is null.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.list.iter().map(|mistake| {
            let place = mistake.span.as_ref().map(|span| self.texts.position(span.start));
            let (file, line, column) = match place {
                Some((file, line, column)) => (file, Some(line), Some(column)),
                None => (self.texts.name(), None, None),
            };
            let also = mistake.other.as_ref().map(|(span, what)| {
                let (file, line, column) = self.texts.position(span.start);
                json!({ "file": file, "line": line, "column": column, "what": what })
            });
            json!({
                "file": file,
                "line": line,
                "column": column,
                "reason": mistake.reason,
                "notes": mistake.notes,
                "help": mistake.help,
                "also": also,
                "unsafe": mistake.kind == Kind::Unsafe,
            })
        }))
    }
}

/// Something that works, and that somebody should know of before it hurts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    pub text: String,
    /// The file that it is about, and the line there, from 1.
    pub file: String,
    pub line: Option<usize>,
}

/// Where checks put what they find.
pub(super) struct Desk<'t> {
    texts: &'t Texts,
    pub mistakes: Vec<Mistake>,
    pub warnings: Vec<Warning>,
    pub marks: Marks,
}

impl<'t> Desk<'t> {
    pub fn new(texts: &'t Texts) -> Self {
        Self { texts, mistakes: Vec::new(), warnings: Vec::new(), marks: Marks::default() }
    }

    pub fn line(&self, span: &Span) -> usize {
        self.texts.position(span.start).1
    }

    /// What relative paths that are written at a place begin at.
    pub fn directory(&self, span: &Span) -> PathBuf {
        self.texts.file(span.start).map(|file| file.directory.clone()).unwrap_or_default()
    }

    /// What is written at a place.
    pub fn written(&self, span: &Span) -> &'t str {
        self.texts.whole().get(span.clone()).unwrap_or_default()
    }

    pub fn mistake(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    pub fn warn(&mut self, span: Option<&Span>, text: impl Into<String>) {
        let line = span.map(|span| self.line(span));
        let file = span.map_or(self.texts.name(), |span| self.texts.position(span.start).0).to_owned();
        self.warnings.push(Warning { text: text.into(), file, line });
    }
}
