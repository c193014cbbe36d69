//! The parts of a file that no message shows. A path on the command line, or in `extends`, can point at anything that
//! the user, or a build machine, may read: another program's secrets, the keystore's own.

use std::collections::BTreeSet;
use std::ops::Range;

use super::schema;
use crate::values::steers;

/// Whether a mistake is shown with its line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lines {
    #[default]
    Shown,
    /// Only its owner may read the file.
    Private,
    /// A base outside the directory of the named profile.
    Elsewhere,
    /// It is not a profile.
    Foreign,
}

impl Lines {
    /// The reason for not showing lines, as a sentence; for a file that is not a profile the mistake itself gives it.
    pub(super) fn why_not(self) -> Option<&'static str> {
        match self {
            Lines::Shown | Lines::Foreign => None,
            Lines::Private => Some("its lines are not shown, because only its owner may read the file"),
            Lines::Elsewhere => Some(
                "its lines are not shown, because it is outside the directory of the profile that extends it",
            ),
        }
    }
}

/// Whether a text has something that only profiles have, however broken the rest is: one of their own top-level keys,
/// one of their lists of tables, or two of their other tables. One table alone proves nothing: `[network]` begins many
/// files. Nor does `[client]`, which is a list in a profile: with it the file with MySQL's password begins.
pub(super) fn is_profile(text: &str) -> bool {
    let word = |line: &str, end: &[char]| line.split(end).next().unwrap_or_default().trim().to_owned();
    let (mut seen, mut is_top) = (BTreeSet::new(), true);
    text.lines().map(|line| line.trim_start_matches('\u{feff}').trim()).any(|line| {
        match line.strip_prefix('[') {
            Some(header) => {
                is_top = false;
                let list = header.strip_prefix('[');
                let name = word(list.unwrap_or(header), &[']', '.', ' ', '#']);
                let is_one = |is_list| schema::tables().any(|table| table == (name.as_str(), is_list));
                let is_whole = list.is_some_and(|list| {
                    list.strip_prefix(name.as_str()).is_some_and(|end| end.starts_with("]]"))
                });
                if is_one(false) {
                    seen.insert(name.clone());
                }
                is_whole && is_one(true) || seen.len() > 1
            }
            None => {
                is_top && line.contains('=') && ["schema", "extends"].contains(&word(line, &['=']).as_str())
            }
        }
    })
}

/// Whether a text seems to be a profile, but in YAML.
pub(super) fn is_yaml(text: &str) -> bool {
    let is_table = |word: &str| schema::tables().any(|(name, _)| name == word);
    let key = |line: &str| line.split_once(':').is_some_and(|(key, _)| key == "schema" || is_table(key));
    text.lines().any(|line| key(line.trim_end()))
}

/// Runs of at least this many hex digits may be a secret: a keystore's, a raw key.
const MIN_SECRET_HEX_DIGITS: usize = 64;

/// The places of possible hex secrets in a text.
pub(super) fn hex(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, byte) in text.bytes().chain([b'\n']).enumerate() {
        if !byte.is_ascii_hexdigit() {
            if at - start >= MIN_SECRET_HEX_DIGITS {
                found.push(start..at);
            }
            start = at + 1;
        }
    }
    found
}

/// Replaces each control character that a terminal would interpret by a visible one of the same number of bytes, so
/// that all places in the text stay valid.
pub(super) fn tame(text: &str) -> String {
    let tame = |c: char| match c.len_utf8() {
        _ if matches!(c, '\n' | '\r' | '\t') || !steers(c) => c,
        1 => '?',
        2 => '\u{bf}',
        _ => '\u{fffd}',
    };
    text.chars().map(tame).collect()
}

/// A sentence with possible hex secrets masked by asterisks.
pub(super) fn starred(mut text: String) -> String {
    hex(&text).into_iter().for_each(|run| crate::values::hide(&mut text, run));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_known_by_its_lines() {
        for good in [
            "schema = 1",
            "  [cluster]\n[[node]]\n",
            "[[node]]",
            "[etcd]\n[etcd.config]\n[pki]",
            "x y z\n[network] # here\n[[client]]",
            "[[host]]",
            "[[file]] # one",
            "extends='x'",
        ] {
            assert!(is_profile(good), "{good}");
        }
        let shadow = "root:$6$x$y:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::";
        for bad in [
            "",
            &"ab".repeat(32),
            shadow,
            "schema: 1",
            "{ \"schema\": 1 }",
            "TOKEN=abc",
            "[default]\nkey = x",
            "[cluster]\nkey = x\n[cluster.b]",
            "[client]\npassword = x\n[network]",
            "[client]\npassword = x\n[host]\n[client.x]",
            "[[inputs.file]]\nkey = x",
            "[default]\nschema = x",
        ] {
            assert!(!is_profile(bad), "{bad}");
        }
        assert!(is_yaml("schema: 1\ncluster:\n  name: ha3") && !is_yaml(shadow));
    }

    #[test]
    fn hex_is_found_wherever_it_stands() {
        let secret = "0123456789abcdef".repeat(4);
        assert_eq!(hex(&format!("a {secret}\n{secret}0 {}", &secret[1..])), [2..66, 67..132]);
    }

    #[test]
    fn what_is_tamed_stays_where_it_is() {
        let text = "a\u{1b}b\u{9b}c\u{202e}d\n\te\u{2028}\u{7f}";
        let tamed = tame(text);
        assert_eq!(tamed, "a?b\u{bf}c\u{fffd}d\n\te\u{fffd}?");
        assert_eq!(tamed.len(), text.len());
    }
}
