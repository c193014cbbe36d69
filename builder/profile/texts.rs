//! The texts of a profile and of its bases, with lines and columns.

use std::path::PathBuf;

use super::private::{Lines, hex, is_profile};
use super::source::Source;
use super::span::{Span, position};
use crate::values::{Setting, hide, printable};

/// The texts of a profile and of its bases, one after another, so that a single offset is a place in one of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    whole: String,
    files: Vec<File>,
}

/// One of the texts.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// As shown to the user; `--set etcd.version` for a setting.
    pub path: String,
    pub directory: PathBuf,
    pub lines: Lines,
    /// Its range in the concatenation.
    pub span: Span,
    /// Whether it is a setting of the command line, which has no lines.
    pub is_setting: bool,
}

impl Texts {
    /// Appends a text; returns its offset.
    pub fn push(&mut self, source: &Source, text: &str) -> usize {
        let span = self.append(text);
        let start = span.start;
        self.files.push(File {
            path: printable(&source.path).into_owned(),
            directory: source.directory.clone(),
            lines: if is_profile(text) { source.lines } else { Lines::Foreign },
            span,
            is_setting: false,
        });
        start
    }

    /// Appends a key that the command line sets, after all files; returns its offset. Paths in it are relative to the
    /// working directory.
    pub fn push_setting(&mut self, setting: &Setting, text: &str) -> usize {
        let span = self.append(text);
        let start = span.start;
        self.files.push(File {
            path: format!("--set {}", setting.key()),
            directory: PathBuf::new(),
            lines: Lines::Shown,
            span,
            is_setting: true,
        });
        start
    }

    fn append(&mut self, text: &str) -> Span {
        if !self.files.is_empty() {
            self.whole.push('\n');
        }
        let start = self.whole.len();
        self.whole.push_str(text);
        start..self.whole.len()
    }

    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// Changes the text, but not its length.
    pub fn change(&mut self, change: impl FnOnce(&mut String)) {
        change(&mut self.whole);
    }

    /// Each text at its own offset, with blank lines instead of the others: spans that are parsed from it are valid in
    /// the concatenation.
    pub fn alone(&self) -> Vec<String> {
        self.files.iter().map(|file| "\n".repeat(file.span.start) + &self.whole[file.span.clone()]).collect()
    }

    /// The text that contains a place; the profile's own for a place outside of all.
    pub fn file(&self, at: usize) -> Option<&File> {
        self.files.iter().find(|file| at <= file.span.end).or(self.files.last())
    }

    /// Hides the lines of all of them.
    pub fn hide_all(&mut self) {
        self.files.iter_mut().for_each(|file| file.lines = Lines::Foreign);
    }

    /// The text of a file.
    pub fn text(&self, file: &File) -> &str {
        &self.whole[file.span.clone()]
    }

    /// The file, and line and column in it, both from 1, the column in characters.
    pub fn position(&self, at: usize) -> (&str, usize, usize) {
        let Some(file) = self.file(at) else { return ("", 1, 1) };
        let (line, column) = position(&self.whole[file.span.clone()], at.saturating_sub(file.span.start));
        (&file.path, line, column)
    }

    /// The name for the whole: the profile itself.
    pub fn name(&self) -> &str {
        self.files.first().map_or("", |file| &file.path)
    }
    /// Hides possible secrets, except the digests that a profile pins.
    pub fn hide_hex(&mut self, spared: &[Span]) {
        let spares =
            |run: &Span| spared.iter().any(|spared| spared.start <= run.start && run.end <= spared.end);
        for run in hex(&self.whole).into_iter().filter(|run| !spares(run)) {
            hide(&mut self.whole, run);
        }
    }
}
