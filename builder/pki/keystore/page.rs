//! A keystore as lines that a person can type in again: each has a number and a checksum, so that a mistake is found
//! in its line.

use std::collections::BTreeMap;

use zeroize::{Zeroize, Zeroizing};

use super::Keystore;
use super::source::Files;
use super::text::abridged;
use crate::failure::{Failure, Result};
use crate::pki::place::{LIST, PARTS, SECRET};
use crate::pki::successor::{self, Successors};
use crate::values::Digest;

/// The first line, before the number of its schema.
const MAGIC: &str = "kiln keystore page, schema ";

/// The schema that this version of Kiln writes and reads.
const SCHEMA: &str = "1";

/// Before the name of a file, and before the checksum of everything.
const MARK: &str = "== ";

/// The mark of the last line.
const END: &str = "== end ";

/// The hex digits of the last line's checksum.
const END_DIGITS: usize = 16;

/// The characters of a secret's line: 16 hex digits in groups of 4.
const GROUP: usize = 4;
const GROUPS: usize = 4;

/// CRC-16/CCITT of a line's number and text: it differs after every change of one character, and of two neighbours.
fn checksum(number: usize, text: &str) -> u16 {
    format!("{number} {text}").bytes().fold(0xffff, |crc, byte| {
        (0..8)
            .fold(crc ^ u16::from(byte) << 8, |crc, _| crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    })
}

/// The page of a keystore.
///
/// # Errors
/// As `Keystore::files`.
pub(super) fn write(keystore: &Keystore) -> Result<Zeroizing<Vec<u8>>> {
    let mut lines = Zeroizing::new(vec![format!("{MAGIC}{SCHEMA}")]);
    for (name, bytes) in keystore.files()? {
        let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
        if is_derived(keystore, name, &text)? {
            continue;
        }
        lines.push(format!("{MARK}{name}"));
        match name {
            LIST => lines.extend(abridged(&text).lines().map(escaped)),
            SECRET | successor::SECRET => {
                lines.extend(text.trim_end().as_bytes().chunks(GROUP * GROUPS).map(grouped));
            }
            _ => lines.extend(text.lines().map(escaped)),
        }
    }
    let end = end_of(&lines);
    lines.push(format!("{END}{end}"));
    let width = lines.len().to_string().len();
    let mut page =
        Zeroizing::new(String::with_capacity(lines.iter().map(|line| line.len() + width + 8).sum()));
    for (at, line) in lines.iter().enumerate() {
        page.push_str(&format!("{:>width$} {:04x} ", at + 1, checksum(at + 1, line)));
        page.push_str(line);
        page.push('\n');
    }
    Ok(Zeroizing::new(page.as_bytes().to_vec()))
}

/// Whether a file need not be typed, because it follows from the secret of the successors.
fn is_derived(keystore: &Keystore, name: &str, text: &str) -> Result<bool> {
    let is_successors = successor::FILES.iter().any(|(_, file)| *file == name);
    let (true, Some(secret), Some(fixed)) = (is_successors, &keystore.successor, &keystore.fixed) else {
        return Ok(false);
    };
    let again =
        Successors::make_again(secret, &keystore.cluster, &fixed.authorities, keystore.first_issued())?;
    Ok(again.files().any(|there| there == (name, text)))
}

fn grouped(digits: &[u8]) -> String {
    let groups: Vec<_> = digits.chunks(GROUP).map(String::from_utf8_lossy).collect();
    groups.join(" ")
}

fn end_of(lines: &[String]) -> String {
    let mut all = Zeroizing::new(lines.join("\n"));
    let digest = Digest::of(all.as_bytes()).to_string();
    all.zeroize();
    digest[..END_DIGITS].to_owned()
}

/// A line of letters that every keyboard has: others, backslashes, and spaces that cannot be seen are numbers.
fn escaped(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let count = line.chars().count();
    let mut before = ' ';
    for (at, c) in line.chars().enumerate() {
        let is_plain = c.is_ascii_graphic() && c != '\\' || c == ' ' && before != ' ' && at + 1 < count;
        if is_plain {
            text.push(c)
        } else {
            text += &format!("\\u{{{:x}}}", u32::from(c))
        }
        before = c;
    }
    text
}

fn unescaped(line: &str) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((plain, after)) = rest.split_once('\\') {
        let (number, after) = after.strip_prefix("u{")?.split_once('}')?;
        text += plain;
        text.push(char::from_u32(u32::from_str_radix(number, 16).ok()?)?);
        rest = after;
    }
    Some(text + rest)
}

/// The lines of a typed page: numbered from 1 without a gap, each checked. Empty lines and those that begin with `#`
/// are left out, and so are spaces around a line.
fn lines(page: &str) -> Result<Zeroizing<Vec<String>>> {
    let mut lines = Zeroizing::new(Vec::new());
    for line in page.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let number = lines.len() + 1;
        let wrong = |why: &str| {
            Failure::untrusted(format!("line {number} of the page {why}; compare it with the paper"))
        };
        let mut words = line.splitn(3, ' ');
        let (Some(typed), Some(sum)) = (words.next(), words.next()) else {
            return Err(wrong("is not a number, four hex digits and a text"));
        };
        let text = words.next().unwrap_or_default();
        if typed != number.to_string() {
            return Err(wrong("is missing, or its number is wrong"));
        }
        if sum != format!("{:04x}", checksum(number, text)) {
            return Err(wrong("does not match its checksum"));
        }
        lines.push(text.to_owned());
    }
    Ok(lines)
}

/// The files on a typed page.
///
/// # Errors
/// `Exit::Untrusted` with the number of the first wrong line.
pub(super) fn parse(page: &[u8]) -> Result<Files> {
    let text = std::str::from_utf8(page).map_err(|_| Failure::untrusted("it is not UTF-8"))?;
    // Some editors put it at the beginning of a file.
    let lines = lines(text.trim_start_matches('\u{feff}'))?;
    let Some((first, rest)) = lines.split_first() else {
        return Err(Failure::untrusted(
            "it has no lines of a page that kiln keystore export --paper has printed",
        ));
    };
    match first.strip_prefix(MAGIC) {
        Some(SCHEMA) => {}
        Some(other) => {
            return Err(Failure::untrusted(format!(
                "page schema {other} is not supported; this version of Kiln reads schema {SCHEMA}"
            )));
        }
        None => return Err(Failure::untrusted("its first line is not that of a keystore's page")),
    }
    let whole = rest.split_last().filter(|(last, _)| last.starts_with(END));
    let Some((last, rest)) = whole else {
        return Err(Failure::untrusted(format!(
            "the page ends after line {}; type the rest of it",
            lines.len()
        )));
    };
    if last[END.len()..] != end_of(&lines[..lines.len() - 1]) {
        return Err(Failure::untrusted(
            "the lines of the page do not belong together; compare all of them with the paper",
        ));
    }
    files(rest)
}

fn files(lines: &[String]) -> Result<Files> {
    let wrong = |at: usize| {
        Failure::untrusted(format!(
            "line {} of the page is not one of a keystore; compare it with the paper",
            at + 2
        ))
    };
    let mut files: Files = BTreeMap::new();
    let mut parts = PARTS.into_iter();
    let mut name = None;
    for (at, line) in lines.iter().enumerate() {
        if let Some(mark) = line.strip_prefix(MARK) {
            name = Some(parts.find(|part| *part == mark).ok_or_else(|| wrong(at))?);
            continue;
        }
        let name = name.ok_or_else(|| wrong(at))?;
        let is_secret = [SECRET, successor::SECRET].contains(&name);
        let text = match is_secret {
            true => line.split(' ').collect(),
            false => unescaped(line).ok_or_else(|| wrong(at))? + "\n",
        };
        files.entry(name.to_owned()).or_default().extend_from_slice(text.as_bytes());
    }
    for name in [SECRET, successor::SECRET] {
        if let Some(secret) = files.get_mut(name) {
            secret.push(b'\n');
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_crc_16_ccitt() {
        // The check value of CRC-16/CCITT-FALSE is that of "123456789".
        assert_eq!(checksum(1234, "6789"), {
            let crc = |bytes: &[u8]| {
                bytes.iter().fold(0xffff_u16, |crc, byte| {
                    (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
                        if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
                    })
                })
            };
            assert_eq!(crc(b"123456789"), 0x29b1);
            crc(b"1234 6789")
        });
    }

    proptest! {
        #[test]
        fn every_line_survives_the_keyboard(line in "\\PC{0,40}") {
            let typed = escaped(&line);
            prop_assert!(typed.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{typed:?}");
            prop_assert_eq!(typed.trim(), &typed);
            prop_assert!(!typed.contains("  "));
            prop_assert_eq!(unescaped(&typed), Some(line));
        }

        #[test]
        fn one_changed_character_changes_the_checksum(
            text in "[ -~]{1,70}", at in any::<prop::sample::Index>(), to in "[ -~]", number in 1usize..500,
        ) {
            let at = at.index(text.len());
            let mut other = text.clone();
            other.replace_range(at..=at, &to);
            prop_assert_eq!(other == text, checksum(number, &other) == checksum(number, &text));
        }
    }
}
