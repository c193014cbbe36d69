//! Places in a text.

use std::ops::Range;

/// A place in the profile's text, in bytes.
pub type Span = Range<usize>;

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
}
