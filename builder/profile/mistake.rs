//! One mistake in a profile: its place, its reason and the suggested fix.

use super::private;
use super::span::Span;

/// The beginning of the one mistake that only a change of the artifact store can fix.
pub(super) const NO_RELEASE: &str = "no etcd release";

/// The kind of a mistake, which decides whether it is shown beside others, and the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MistakeKind {
    Wrong,
    /// Something is missing: not reported for a file with broken syntax, which may contain it.
    Missing,
    /// Refused unless the profile allows it.
    Unsafe,
}

#[derive(Clone, Debug)]
pub struct Mistake {
    pub(super) span: Option<Span>,
    pub(super) reason: String,
    /// The other of two conflicting places, and its description.
    pub(super) other: Option<(Span, String)>,
    /// More about the reason, a line each.
    pub(super) notes: Vec<String>,
    pub(super) help: Option<String>,
    pub(super) kind: MistakeKind,
}

impl Mistake {
    pub(super) fn new(span: impl Into<Option<Span>>, reason: impl Into<String>) -> Self {
        let (span, reason) = (span.into(), reason.into());
        Self { span, reason, other: None, notes: Vec::new(), help: None, kind: MistakeKind::Wrong }
    }

    pub(super) fn missing(span: impl Into<Option<Span>>, reason: impl Into<String>) -> Self {
        Self { kind: MistakeKind::Missing, ..Self::new(span, reason) }
    }

    pub(super) fn unsafe_unless_allowed(span: impl Into<Option<Span>>, reason: impl Into<String>) -> Self {
        Self { kind: MistakeKind::Unsafe, ..Self::new(span, reason) }
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

    /// The same, moved by `by` bytes into a text after the first.
    pub(super) fn moved(mut self, by: usize) -> Self {
        self.span = match self.span {
            Some(span) => Some(span.start + by..span.end + by),
            None if by > 0 => Some(by..by),
            None => None,
        };
        self
    }

    /// The same with possible secrets in its texts masked.
    pub(super) fn starred(self) -> Self {
        Self {
            reason: private::starred(self.reason),
            help: self.help.map(private::starred),
            notes: self.notes.into_iter().map(private::starred).collect(),
            ..self
        }
    }

    /// Whether it is reliable when the text around it is not TOML.
    pub(super) fn is_local(&self) -> bool {
        self.kind == MistakeKind::Wrong && self.span.is_some()
    }
}
