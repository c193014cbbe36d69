//! What is wrong with a profile: shown with its place, its reason and the way out, all of it at once.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::Span;
use super::source::position;
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

    /// Whether it can be trusted when the text around it is not TOML.
    pub(super) fn is_local(&self) -> bool {
        self.kind == Kind::Wrong && self.span.is_some()
    }
}

/// Every mistake of one profile, in the order of the file; those without a place come first.
#[derive(Clone, Debug)]
pub struct Mistakes {
    path: String,
    text: String,
    list: Vec<Mistake>,
}

impl Mistakes {
    pub(super) fn new(path: &str, text: String, mut list: Vec<Mistake>) -> Self {
        list.sort_by_key(|mistake| mistake.span.as_ref().map(|span| (span.start, span.end)));
        // A file's name can hold what a terminal obeys.
        let path = path.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        // Also where the text is no TOML, so that nobody knows what is a value in it.
        let text = without_private_keys(&text);
        Self { path, text, list }
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
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for mistake in self.list.iter().take(SHOWN) {
            text.push_str(&self.render_one(&renderer, mistake));
            text.push_str("\n\n");
        }
        text.push_str(&match self.list.len() {
            1 => format!("{} has 1 mistake; nothing was written\n", self.path),
            count @ ..=SHOWN => format!("{} has {count} mistakes; nothing was written\n", self.path),
            count => format!(
                "and {} more: {} has {count} mistakes; nothing was written\n",
                count - SHOWN,
                self.path
            ),
        });
        text
    }

    fn render_one(&self, renderer: &Renderer, mistake: &Mistake) -> String {
        let title = Level::ERROR.primary_title(mistake.reason.as_str());
        let group = match &mistake.span {
            Some(span) => {
                let mut snippet = Snippet::source(self.text.as_str()).path(self.path.as_str());
                let mut primary = AnnotationKind::Primary.span(self.visible(span));
                if let Some((other, what)) = &mistake.other {
                    primary = primary.label("here");
                    let context = AnnotationKind::Context.span(self.visible(other)).label(what.as_str());
                    snippet = snippet.annotation(context);
                }
                title.element(snippet.annotation(primary))
            }
            None => title.element(annotate_snippets::Origin::path(self.path.as_str())),
        };
        let notes = mistake.notes.iter().map(|note| Level::NOTE.message(note.as_str()));
        let help = mistake.help.as_ref().map(|help| Level::HELP.message(help.as_str()));
        renderer.render(&[group.elements(notes).elements(help)])
    }

    /// A span inside the text, on the borders of characters, and one line long, which is all that a caret needs.
    fn visible(&self, span: &Span) -> Span {
        let border = |mut at: usize| {
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = border(span.start.min(self.text.len()));
        let line = self.text[start..].find('\n').map_or(self.text.len(), |newline| start + newline);
        start..border(span.end.clamp(start, line.max(start)))
    }

    /// As an error for `main` to print as it is.
    pub fn into_failure(self, color: bool) -> Failure {
        Failure::report(self.exit(), self.render(color))
    }
}

impl Serialize for Mistakes {
    /// A list of `{file, line, column, reason, notes, help, also: {line, column, what}, unsafe}`; what there is none of
    /// is null.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.list.iter().map(|mistake| {
            let place = |span: &Span| position(&self.text, span.start);
            let (line, column) = mistake.span.as_ref().map(place).unzip();
            let also = mistake.other.as_ref().map(|(span, what)| {
                let (line, column) = place(span);
                json!({ "line": line, "column": column, "what": what })
            });
            json!({
                "file": self.path,
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
    /// Line in the profile, from 1.
    pub line: Option<usize>,
}

/// Where checks put what they find.
pub(super) struct Desk<'t> {
    text: &'t str,
    pub mistakes: Vec<Mistake>,
    pub warnings: Vec<Warning>,
}

impl<'t> Desk<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, mistakes: Vec::new(), warnings: Vec::new() }
    }

    pub fn line(&self, span: &Span) -> usize {
        position(self.text, span.start).0
    }

    /// What is written at a place.
    pub fn written(&self, span: &Span) -> &'t str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    pub fn mistake(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    pub fn warn(&mut self, span: Option<&Span>, text: impl Into<String>) {
        let line = span.map(|span| self.line(span));
        self.warnings.push(Warning { text: text.into(), line });
    }
}
