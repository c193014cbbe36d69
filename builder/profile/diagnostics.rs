//! Collects the findings of the checks of a profile.

use std::path::PathBuf;

use serde::Serialize;

use super::finding::Marks;
use super::mistake::Mistake;
use super::span::Span;
use super::texts::Texts;

/// A warning: it works, but may cause harm later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    pub text: String,
    /// The file that it is about, and the line in it, from 1.
    pub file: String,
    pub line: Option<usize>,
}

/// Collects the findings of checks.
pub(super) struct Diagnostics<'t> {
    texts: &'t Texts,
    pub mistakes: Vec<Mistake>,
    pub warnings: Vec<Warning>,
    pub marks: Marks,
}

impl<'t> Diagnostics<'t> {
    pub fn new(texts: &'t Texts) -> Self {
        Self { texts, mistakes: Vec::new(), warnings: Vec::new(), marks: Marks::default() }
    }

    /// From 1; `None` in a setting of the command line.
    pub fn line(&self, span: &Span) -> Option<usize> {
        let is_setting = self.texts.file(span.start).is_some_and(|file| file.is_setting);
        (!is_setting).then(|| self.texts.position(span.start).1)
    }

    /// `FILE:LINE`, or the setting, for findings after the profile has been read.
    pub fn place(&self, span: &Span) -> String {
        let path = self.texts.position(span.start).0;
        match self.line(span) {
            Some(line) => format!("{path}:{line}"),
            None => path.to_owned(),
        }
    }

    /// Whether a place is in the profile itself or in a setting of the command line, and not in a base.
    pub fn is_own(&self, span: &Span) -> bool {
        let own = |file: &super::texts::File| file.is_setting || file.path == self.texts.name();
        self.texts.file(span.start).is_some_and(own)
    }

    /// The directory to which relative paths at a place in the profile refer.
    pub fn directory(&self, span: &Span) -> PathBuf {
        self.texts.file(span.start).map(|file| file.directory.clone()).unwrap_or_default()
    }

    /// The text at a place.
    pub fn written(&self, span: &Span) -> &'t str {
        self.texts.whole().get(span.clone()).unwrap_or_default()
    }

    pub fn mistake(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    pub fn warn(&mut self, span: Option<&Span>, text: impl Into<String>) {
        let line = span.and_then(|span| self.line(span));
        let file = span.map_or(self.texts.name(), |span| self.texts.position(span.start).0).to_owned();
        self.warnings.push(Warning { text: text.into(), file, line });
    }
}
