//! Values that no two tables of a profile may share.

use std::collections::BTreeMap;
use std::fmt::Display;

use toml::Spanned;

use super::Span;
use super::diagnostics::Diagnostics;
use super::mistake::Mistake;

/// Values that must be unique.
pub(super) struct Unique<T> {
    what: &'static str,
    first: BTreeMap<T, Span>,
}

impl<T: Ord + Clone + Display> Unique<T> {
    pub fn new(what: &'static str) -> Self {
        Self { what, first: BTreeMap::new() }
    }

    /// Whether it is new; a duplicate is a mistake.
    pub fn see(&mut self, diagnostics: &mut Diagnostics, value: &Spanned<T>) -> bool {
        let Some(first) = self.first.get(value.get_ref()) else {
            self.first.insert(value.get_ref().clone(), value.span());
            return true;
        };
        let reason = format!("duplicate {} {}", self.what, value.get_ref());
        diagnostics.mistake(
            Mistake::new(value.span(), reason)
                .other(first.clone(), "first here")
                .help("names and addresses must be unique; change one of the two"),
        );
        false
    }
}
