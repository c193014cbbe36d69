//! The bytes of a profile, and how they become text with lines and columns.

use std::path::{Path, PathBuf};

use super::Span;
use super::mistake::Mistake;
use super::private::{Lines, is_profile};
use crate::values::{Digest, printable};

/// What a profile was read from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Names the profile and its bundle: the file's name without `.toml`.
    pub name: String,
    /// As shown to the user.
    pub path: String,
    pub bytes: Vec<u8>,
    /// What relative paths in the profile begin at.
    pub directory: PathBuf,
    /// Whether mistakes are shown with its lines.
    pub lines: Lines,
    /// The profile that it extends, where it says so, or why that cannot be had.
    pub base: Option<Result<Box<Source>, String>>,
}

impl Source {
    /// A file that the user named, with what was read from it.
    pub fn file(path: &Path, bytes: Vec<u8>) -> Self {
        Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            path: path.display().to_string(),
            bytes,
            directory: path.parent().map(Path::to_owned).unwrap_or_default(),
            lines: Lines::Shown,
            base: None,
        }
    }

    /// Of its bytes and of those of the profiles that it extends.
    pub fn digest(&self) -> Digest {
        let digests: Vec<_> = self.chain().map(|source| Digest::of(&source.bytes).to_string()).collect();
        Digest::of(digests.join("\n").as_bytes())
    }

    /// Itself, the one that it extends, the one that that extends, and so on.
    pub(super) fn chain(&self) -> impl Iterator<Item = &Source> {
        std::iter::successors(Some(self), |source| match &source.base {
            Some(Ok(base)) => Some(base),
            _ => None,
        })
    }

    /// Why the last profile that this one is to extend cannot be had, if it cannot.
    pub(super) fn missing_base(&self) -> Option<&str> {
        self.chain().last()?.base.as_ref()?.as_ref().err().map(String::as_str)
    }
}

/// The texts of a profile and of those that it extends, one behind the other, so that one number says where in which of
/// them something stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    whole: String,
    files: Vec<File>,
}

/// One of the texts.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// As shown to the user.
    pub path: String,
    pub directory: PathBuf,
    pub lines: Lines,
    /// Where it is in the whole.
    pub span: Span,
}

impl Texts {
    /// Adds a text behind those that there are; where it begins.
    pub fn push(&mut self, source: &Source, text: &str) -> usize {
        if !self.files.is_empty() {
            self.whole.push('\n');
        }
        let start = self.whole.len();
        self.whole.push_str(text);
        self.files.push(File {
            path: printable(&source.path).into_owned(),
            directory: source.directory.clone(),
            lines: if is_profile(text) { source.lines } else { Lines::Foreign },
            span: start..self.whole.len(),
        });
        start
    }

    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// Changes the text, but not its length.
    pub fn change(&mut self, change: impl FnOnce(&mut String)) {
        change(&mut self.whole);
    }

    /// Each text at its own place, with blank lines where the others are: what is parsed of it is where it is in the whole.
    pub fn alone(&self) -> Vec<String> {
        self.files.iter().map(|file| "\n".repeat(file.span.start) + &self.whole[file.span.clone()]).collect()
    }

    /// The text that a place is in; the profile's own where that is nowhere.
    pub fn file(&self, at: usize) -> Option<&File> {
        self.files.iter().find(|file| at <= file.span.end).or(self.files.last())
    }

    /// No line of any of them is shown.
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

    /// What the whole is named by: the profile itself.
    pub fn name(&self) -> &str {
        self.files.first().map_or("", |file| &file.path)
    }
}

/// In bytes. A profile has at most nine nodes, so that this is a hundred times more than it needs; the TOML
/// parser takes up to 500 times as much memory for the worst input (measured: 120 MB).
pub const LIMIT: u64 = 256 * 1024;

/// The text, or the one mistake that keeps it from being any.
///
/// The text comes back in both cases, with U+FFFD for what is no UTF-8, so that the place can be shown.
pub(super) fn decode(bytes: &[u8]) -> (String, Option<Mistake>) {
    if bytes.len() as u64 > LIMIT {
        let reason = format!("the file has {} bytes; a profile has at most {LIMIT}", bytes.len());
        return (String::new(), Some(Mistake::new(None, reason)));
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    let wrong = match std::str::from_utf8(bytes) {
        // Up to there the bytes are the text's own.
        Err(error) => {
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or_default();
            let span = at..at + '\u{fffd}'.len_utf8();
            let reason = format!("byte {at} of the file, 0x{byte:02x}, is not UTF-8");
            Some(Mistake::new(span, reason).help("save the file as UTF-8"))
        }
        Ok(text) if text.starts_with('\u{feff}') => Some(
            Mistake::new(0..'\u{feff}'.len_utf8(), "the file begins with a byte order mark")
                .help("save it as UTF-8 without one (BOM)"),
        ),
        Ok(text) => text.find('\0').map(|at| {
            Mistake::new(at..at + 1, format!("byte {at} of the file is NUL"))
                .help("the file is damaged or not text; restore it from a good copy")
        }),
    };
    (text, wrong)
}

/// Line and column, both from 1, the column in characters.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line..].chars().count() + 1)
}

/// The bytes of the line that a place is in, without its end.
pub(super) fn line_of(text: &str, span: &Span) -> Span {
    let before = text.get(..span.start).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let text = "a = 1\nä = \"x\"\n";
        for (at, want) in [(0, (1, 1)), (4, (1, 5)), (6, (2, 1)), (8, (2, 2)), (999, (3, 1))] {
            assert_eq!(position(text, at), want, "{at}");
        }
        assert_eq!(line_of(text, &(8..9)), 6..14);
    }

    #[test]
    fn a_file_names_its_bundle_and_its_directory() {
        let source = Source::file(Path::new("profiles/ha3.toml"), Vec::new());
        assert_eq!((source.name.as_str(), source.directory.as_path()), ("ha3", Path::new("profiles")));
    }

    #[test]
    fn what_is_too_large_is_not_looked_at() {
        let (text, wrong) = decode(&vec![b'a'; LIMIT as usize + 1]);
        assert!(text.is_empty() && wrong.is_some());
        assert!(decode(&vec![b'a'; LIMIT as usize]).1.is_none());
    }
}
