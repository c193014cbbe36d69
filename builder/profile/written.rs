//! A profile's own text, kept for mistakes that are found later.

use super::finding::Marks;
use super::texts::Texts;

/// A profile's own text, for mistakes that are found later.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub(super) texts: Texts,
    pub(super) marks: Marks,
}
