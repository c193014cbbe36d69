//! A profile's own text, kept for what is found wrong later.

use super::finding::Marks;
use super::texts::Texts;

/// A profile's own text, for what is found later.
#[derive(Clone, Debug, Default)]
pub struct Written {
    pub(super) texts: Texts,
    pub(super) marks: Marks,
}
