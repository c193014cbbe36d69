//! One thing that is wrong with a profile: its place, its reason and the way out.

use super::private;
use super::span::Span;

/// How the mistake begins that only an artifact store can mend.
pub(super) const NO_RELEASE: &str = "no etcd release";

/// What a mistake is about, which decides what is said of it when there are others, and the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Wrong,
    /// Something that should be there: not said of a file with broken syntax, where it may be.
    Missing,
    /// Refused unless the profile allows it.
    Unsafe,
}

#[derive(Clone, Debug)]
pub struct Mistake {
    pub(super) span: Option<Span>,
    pub(super) reason: String,
    /// The other place of two that do not go together, and what it is.
    pub(super) other: Option<(Span, String)>,
    /// More about the reason, a line each.
    pub(super) notes: Vec<String>,
    pub(super) help: Option<String>,
    pub(super) kind: Kind,
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

    /// The same without what may be a secret in its words.
    pub(super) fn starred(self) -> Self {
        Self {
            reason: private::starred(self.reason),
            help: self.help.map(private::starred),
            notes: self.notes.into_iter().map(private::starred).collect(),
            ..self
        }
    }

    /// Whether it can be trusted when the text around it is not TOML.
    pub(super) fn is_local(&self) -> bool {
        self.kind == Kind::Wrong && self.span.is_some()
    }
}
