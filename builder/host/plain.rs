//! The console output of a guest, without sequences that a terminal would interpret.

use crate::values::steers;

/// The limit on a sequence with a string (OSC and similar), in characters: its end may have been lost.
const LONGEST: usize = 4096;

/// Removes escape sequences and other control characters (ECMA-48) from a text that arrives in pieces: a sequence or a
/// character may begin in one piece and end in the next.
#[derive(Default)]
pub struct Plain {
    place: Place,
    /// The beginning of a character whose other bytes have not arrived yet.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate, such as `ESC (`.
    Intermediate,
    /// In a control sequence, after `ESC [`.
    Control,
    /// In the string of OSC, DCS, SOS, PM or APC; the number of its characters so far.
    String(usize),
    /// After an ESC in such a string: its end, or another sequence.
    StringEscape,
}

impl Plain {
    pub fn feed(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut out = String::with_capacity(all.len());
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            let (valid, bad) = match std::str::from_utf8(rest) {
                Ok(_) => (rest.len(), Some(0)),
                Err(error) => (error.valid_up_to(), error.error_len()),
            };
            String::from_utf8_lossy(&rest[..valid]).chars().for_each(|c| self.take(c, &mut out));
            rest = &rest[valid..];
            match bad {
                Some(0) => {}
                Some(bad) => {
                    self.take(char::REPLACEMENT_CHARACTER, &mut out);
                    rest = &rest[bad..];
                }
                None => {
                    self.held = rest.to_vec();
                    break;
                }
            }
        }
        out
    }

    fn take(&mut self, c: char, out: &mut String) {
        self.place = match (self.place, c) {
            // A line feed ends any sequence.
            (_, '\n') => {
                out.push(c);
                Place::Text
            }
            (Place::String(_), '\u{1b}') => Place::StringEscape,
            (Place::String(_), '\u{7}' | '\u{9c}') | (Place::StringEscape, '\\') => Place::Text,
            (Place::String(length), _) if length < LONGEST => Place::String(length + 1),
            (_, '\u{1b}') => Place::Escape,
            (Place::Escape | Place::StringEscape, '[') => Place::Control,
            (Place::Escape | Place::StringEscape, ']' | 'P' | 'X' | '^' | '_') => Place::String(0),
            (Place::Escape | Place::StringEscape | Place::Intermediate, ' '..='/') => Place::Intermediate,
            (Place::Escape | Place::StringEscape | Place::Intermediate, _) => Place::Text,
            // Parameters and intermediates, up to the final byte.
            (Place::Control, ' '..='?') => Place::Control,
            (Place::Control, _) => Place::Text,
            (Place::Text | Place::String(_), '\u{9b}') => Place::Control,
            (Place::Text | Place::String(_), '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}') => Place::String(0),
            (Place::Text | Place::String(_), c) => {
                if c == '\t' || !steers(c) {
                    out.push(c);
                }
                Place::Text
            }
        };
    }
}

/// The same for a whole text.
pub fn plain(bytes: &[u8]) -> String {
    Plain::default().feed(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(&str, &str)] = &[
        ("a\r\nb\tc", "a\nb\tc"),
        ("\u{1b}[0;32mok\u{1b}[0m done", "ok done"),
        ("\u{1b}c\u{1b}[2J\u{1b}[1;1Hx", "x"),
        ("bell\u{7} back\u{8} \u{202e}turned", "bell back turned"),
        ("ends in \u{1b}", "ends in "),
        ("ends in \u{1b}[12", "ends in "),
        ("\u{1b}]104\u{7}kiln: cp-a serves", "kiln: cp-a serves"),
        ("\u{1b}]3008;start=1;user=root\u{1b}\\Starting", "Starting"),
        ("\u{9d}0;title\u{9c}x\u{9b}31my", "xy"),
        ("\u{1b}P1$r0m\u{1b}\\a\u{1b}_x\u{1b}\\b\u{1b}^y\u{7}c", "abc"),
        // A string whose end was lost removes one line, not the rest.
        ("\u{1b}]0;lost\nnext", "\nnext"),
        ("\u{1b}]0;a\u{1b}[1mb", "b"),
        ("\u{1b}(Bx\u{1b}%Gy", "xy"),
        ("Ünïcode – fine", "Ünïcode – fine"),
    ];

    #[test]
    fn what_a_guest_writes_is_no_command_to_a_terminal() {
        for (text, want) in CASES {
            assert_eq!(plain(text.as_bytes()), *want, "{text:?}");
        }
    }

    #[test]
    fn escapes_cut_at_a_reads_border_are_still_taken_out() {
        for (text, want) in CASES {
            let mut reader = Plain::default();
            let said: String = text.as_bytes().chunks(1).map(|piece| reader.feed(piece)).collect();
            assert_eq!(said, *want, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_shown_as_such() {
        assert_eq!(plain(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn an_endless_string_ends() {
        let text = format!("\u{1b}]{}end", "x".repeat(2 * LONGEST));
        assert!(plain(text.as_bytes()).ends_with("end"));
    }
}
