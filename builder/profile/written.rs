//! A profile's own text, kept for mistakes that are found later.

use super::finding::Marks;
use super::texts::Texts;

/// A profile's own text, for mistakes that are found later.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub(super) texts: Texts,
    pub(super) marks: Marks,
}

impl Written {
    /// `FILE:LINE` of the first of these keys that the profile has; the file alone where it has none of them.
    pub(super) fn place(&self, keys: &[&str]) -> String {
        let marked = |key: &&str| self.marks.keys.iter().find(|(marked, _)| marked == key);
        let Some((_, span)) = keys.iter().find_map(marked) else { return self.texts.name().to_owned() };
        self.line(span.start)
    }

    /// `FILE:LINE` of what begins at this byte of the whole text.
    pub(super) fn line(&self, at: usize) -> String {
        let (path, line, _) = self.texts.position(at);
        match self.texts.file(at).is_some_and(|file| file.is_setting) {
            true => path.to_owned(),
            false => format!("{path}:{line}"),
        }
    }
}
