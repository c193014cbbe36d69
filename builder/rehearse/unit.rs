//! systemd's unit syntax (systemd.syntax(7), systemd.unit(5) "Specifiers"), as far as starting a service needs it.

use crate::failure::{Failure, Result};

/// One assignment, in the order of the files.
#[derive(Debug, PartialEq, Eq)]
pub struct Assignment {
    pub section: String,
    pub key: String,
    pub value: String,
}

/// Reads a unit or a drop-in.
///
/// # Errors
/// `Exit::Wrong` with the line if it is neither a section, an assignment nor a comment.
pub fn parse(text: &str) -> Result<Vec<Assignment>> {
    let mut all = Vec::new();
    let mut section = String::new();
    for (number, line) in logical_lines(text) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            return Err(Failure::wrong(format!(
                "line {number} is neither a [Section] nor an assignment; systemd would ignore it"
            )));
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        all.push(Assignment { section: section.clone(), key, value });
    }
    Ok(all)
}

/// Lines with continuations joined by a blank; comments are left out, also between continuations.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let (mut number, mut whole) = open.take().unwrap_or((index + 1, String::new()));
        if whole.is_empty() {
            number = index + 1;
        }
        match line.strip_suffix('\\') {
            Some(part) => {
                whole.push_str(part);
                whole.push(' ');
                open = Some((number, whole));
            }
            None => {
                whole.push_str(line);
                lines.push((number, whole));
            }
        }
    }
    lines.extend(open);
    lines
}

/// Splits a value into words: blanks between them, both kinds of quotes, C escapes outside single and double
/// quotes alike (systemd's `extract_first_word` with UNQUOTE, CUNESCAPE and RELAX).
///
/// # Errors
/// `Exit::Wrong` for an unclosed quote.
pub fn words(value: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match (c, quote) {
            ('\\', _) => unescape(&mut rest, word.get_or_insert_default()),
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (c, None) if c.is_ascii_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Failure::wrong(format!("a quote is not closed in {value:?}")));
    }
    words.extend(word);
    Ok(words)
}

/// Handles the text after a backslash. An unknown escape keeps its backslash.
fn unescape(rest: &mut std::str::Chars<'_>, word: &mut String) {
    let simple = |c| match c {
        'a' => Some('\x07'),
        'b' => Some('\x08'),
        'f' => Some('\x0c'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\x0b'),
        's' => Some(' '),
        '\\' | '"' | '\'' => Some(c),
        _ => None,
    };
    let Some(c) = rest.clone().next() else {
        word.push('\\');
        return;
    };
    if let Some(plain) = simple(c) {
        rest.next();
        word.push(plain);
        return;
    }
    let (skip, digits, radix) = match c {
        'x' => (1, 2, 16),
        'u' => (1, 4, 16),
        'U' => (1, 8, 16),
        '0'..='7' => (0, 3, 8),
        _ => {
            word.push('\\');
            return;
        }
    };
    let code: String = rest.clone().skip(skip).take(digits).collect();
    let number = if code.len() == digits { u32::from_str_radix(&code, radix).ok() } else { None };
    match number.and_then(char::from_u32).filter(|c| *c != '\0') {
        Some(c) => {
            rest.nth(skip + digits - 1);
            word.push(c);
        }
        None => word.push('\\'),
    }
}

/// The values of the specifiers for one unit on one node.
pub struct Specifiers<'a> {
    /// With its suffix: `etcd.service`, `etcd@1.service`.
    pub unit: &'a str,
    pub host: &'a str,
    /// The account that the service runs as, and its number and home.
    pub user: &'a str,
    pub uid: u32,
    pub home: &'a str,
}

impl Specifiers<'_> {
    /// # Errors
    /// `Exit::Wrong` for a specifier whose value is only known on a booted machine, and for an unknown one.
    pub fn expand(&self, value: &str) -> Result<String> {
        let mut text = String::with_capacity(value.len());
        let mut rest = value.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            match rest.next() {
                Some(letter) => text.push_str(&self.value(letter)?),
                // A single percent sign at the end stays one (systemd's specifier.c).
                None => text.push('%'),
            }
        }
        Ok(text)
    }

    fn value(&self, letter: char) -> Result<String> {
        let stem = self.unit.rsplit_once('.').map_or(self.unit, |(stem, _)| stem);
        let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
        Ok(match letter {
            '%' => "%".into(),
            'H' | 'q' => self.host.into(),
            'l' => self.host.split('.').next().unwrap_or(self.host).into(),
            'n' => self.unit.into(),
            'N' => stem.into(),
            'p' | 'P' => prefix.into(),
            'j' | 'J' => prefix.rsplit('-').next().unwrap_or(prefix).into(),
            'i' | 'I' => instance.into(),
            'u' => self.user.into(),
            'U' => self.uid.to_string(),
            'h' => self.home.into(),
            'C' => "/var/cache".into(),
            'E' => "/etc".into(),
            'L' => "/var/log".into(),
            'S' => "/var/lib".into(),
            't' => "/run".into(),
            'T' => "/tmp".into(),
            'V' => "/var/tmp".into(),
            other => {
                return Err(Failure::wrong(format!(
                    "{} uses %{other}, which only a booted machine can expand; a \
                     rehearsal knows %% %H %l %n %N %p %j %i %u %U %h %C %E %L %S %t %T %V",
                    self.unit
                )));
            }
        })
    }
}

/// The values of a list in `[Service]`: an empty assignment resets the list.
pub(super) fn values<'a>(assignments: &'a [Assignment], key: &str) -> Vec<&'a str> {
    let mut list = Vec::new();
    for a in assignments.iter().filter(|a| a.section == "Service" && a.key == key) {
        if a.value.is_empty() {
            list.clear();
        } else {
            list.push(a.value.as_str());
        }
    }
    list
}

/// The last value of a plain setting in `[Service]`.
pub(super) fn value<'a>(assignments: &'a [Assignment], key: &str) -> Option<&'a str> {
    values(assignments, key).pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section_lines(text: &str) -> Vec<String> {
        let lines = parse(text).unwrap();
        lines.into_iter().map(|a| format!("{}/{}={}", a.section, a.key, a.value)).collect()
    }

    #[test]
    fn assignments_know_their_section() {
        let text =
            "# a\n[Unit]\nDescription = two words \n; b\n\n[Service]\nExecStart=\nExecStart=/bin/x=y\n";
        let want = ["Unit/Description=two words", "Service/ExecStart=", "Service/ExecStart=/bin/x=y"];
        assert_eq!(section_lines(text), want);
        assert!(parse("[Service]\nExecStart\n").unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn continuations_join_with_a_blank_and_skip_comments() {
        let text = "[Service]\nExecStart=/bin/x \\\n  --a \\\n# not this\n; nor this\n  --b\nUser=etcd\n";
        let lines = section_lines(text);
        assert_eq!(lines.len(), 2);
        assert_eq!(words(&lines[0]).unwrap(), ["Service/ExecStart=/bin/x", "--a", "--b"]);
        assert_eq!(section_lines("[S]\nA=b\\"), ["S/A=b"]);
    }

    #[test]
    fn words_follow_systemd() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  a   b\t", &["a", "b"]),
            (r#""a b" 'c d'"#, &["a b", "c d"]),
            (r#"A="b c"d"#, &["A=b cd"]),
            (r#""" x"#, &["", "x"]),
            (r#""it's" '"'"#, &["it's", "\""]),
            (r"a\sb \x41 \101 \u00e9", &["a b", "A", "A", "é"]),
            (r"\d \x4 \\", &[r"\d", r"\x4", r"\"]),
            (r"a\", &[r"a\"]),
        ];
        for (value, want) in cases {
            assert_eq!(words(value).unwrap(), *want, "{value}");
        }
        for bad in [r#""a"#, "a 'b", r#"'a\'"#] {
            assert!(words(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn specifiers_are_filled_in_or_refused() {
        let unit = "etcd-ha3@2.service";
        let specifiers = Specifiers { unit, host: "cp-a", user: "etcd", uid: 999, home: "/var/lib/etcd" };
        let cases = [
            ("--name=%H 100%%", "--name=cp-a 100%"),
            ("%n %N %p %i %j", "etcd-ha3@2.service etcd-ha3@2 etcd-ha3 2 ha3"),
            ("%S/%u %U %h", "/var/lib/etcd 999 /var/lib/etcd"),
            ("end%", "end%"),
        ];
        for (value, want) in cases {
            assert_eq!(specifiers.expand(value).unwrap(), want);
        }
        for bad in ["%m", "%b", "%z", "%é"] {
            let error = specifiers.expand(bad).unwrap_err().to_string();
            assert!(error.contains(bad), "{error}");
        }
    }
}
