//! Text for people: strings from other sources (names in certificates, manifests, archives, answers), made safe for a
//! terminal; and counts of things.

use std::borrow::Cow;
use std::path::Path;

/// One line: each control character and each character that changes the direction or the lines of a text becomes
/// U+FFFD.
///
/// Those are C0, DEL and C1 (ECMA-48), the line and paragraph separators, the marks of the Unicode Bidirectional
/// Algorithm (UAX #9 section 2), and invisible characters (Default_Ignorable_Code_Point of the Unicode Character
/// Database), with which a name can be made to look like another one.
pub fn printable(text: &str) -> Cow<'_, str> {
    replace(text, steers)
}

/// The same of a path.
pub fn on_one_line(path: &Path) -> String {
    printable(&path.display().to_string()).into_owned()
}

/// The same for a text of several lines: line ends and tabs are kept.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    replace(text, |c| c != '\n' && c != '\t' && steers(c))
}

fn replace(text: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    match text.contains(&bad) {
        true => text.chars().map(|c| if bad(c) { '\u{fffd}' } else { c }).collect::<String>().into(),
        false => text.into(),
    }
}

/// Whether a character affects a terminal or the text around it instead of being visible.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// A string of TOML: JSON's escapes are TOML's, too. What steers the text around it is escaped as well.
pub fn toml_string(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let mut made = String::with_capacity(quoted.len());
    for c in quoted.chars() {
        match steers(c) {
            true => made.push_str(&format!("\\U{:08x}", u32::from(c))),
            false => made.push(c),
        }
    }
    made
}

/// `1 node`, `3 nodes`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_of_toml_is_what_it_looks_like() {
        assert_eq!(toml_string("a\u{202e}b\u{7f}\n\""), r#""a\U0000202eb\U0000007f\n\"""#);
        let read: toml::Table = format!("a = {}", toml_string("\u{202e}\u{e0001}\u{7f}")).parse().unwrap();
        assert_eq!(read["a"].as_str(), Some("\u{202e}\u{e0001}\u{7f}"));
    }

    #[test]
    fn one_of_a_thing_is_not_many() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "day")), ["0 days", "1 day", "2 days"]);
    }

    #[test]
    fn names_from_strangers_do_not_steer_the_terminal() {
        let nasty = "a\u{1b}[2Jb\nc\u{9b}d\u{202e}e\u{2028}f\u{2066}g\u{7f}\r";
        let one_line = "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f\u{fffd}g\u{fffd}\u{fffd}";
        assert_eq!(printable(nasty), one_line);
        assert_eq!(printable_lines("a\n\tb\u{1b}"), "a\n\tb\u{fffd}");
        assert!(matches!(printable("Ünïcode – fine"), Cow::Borrowed(_)));
    }
}
