//! The login of a node: an account's name, and SSH keys.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use serde::{Serialize, Serializer};

use super::{Invalid, invalid, shown};

/// The longest name that useradd accepts (useradd(8)).
const MAX_NAME_CHARACTERS: usize = 32;

/// The accounts that every node has, and whose permissions another login must not change.
const TAKEN: [&str; 2] = ["root", "etcd"];

/// An account's name, `[a-z_][a-z0-9_-]{0,31}`: accepted by every useradd (useradd(8)), and without characters that
/// sudoers interprets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginName(String);

impl LoginName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LoginName {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_account(text)?;
        if text.len() > MAX_NAME_CHARACTERS {
            invalid(format!("it has {} characters; at most {MAX_NAME_CHARACTERS} are allowed", text.len()))
        } else if TAKEN.contains(&text) {
            invalid("every node has that account already, for another use; choose another name, such as ops")
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

/// The characters of an account's name.
pub(super) fn check_account(text: &str) -> Result<(), Invalid> {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    let inner = |c: char| first(c) || c.is_ascii_digit() || c == '-';
    if text.is_empty() {
        invalid("it is empty")
    } else if let Some(bad) = text.chars().find(|c| !inner(*c)) {
        invalid(format!("{} is not allowed; use a-z, 0-9, _ and - only", shown(bad)))
    } else if !text.starts_with(first) {
        invalid("it must begin with a letter or _")
    } else {
        Ok(())
    }
}

impl fmt::Display for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for LoginName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The types of public keys that OpenSSH accepts, and the number of strings after the type in each (RFC 4253 section
/// 6.6, RFC 5656 section 3.1, RFC 8709 section 4; OpenSSH, PROTOCOL.u2f).
const TYPES: [(&str, usize); 7] = [
    ("ssh-ed25519", 1),
    ("ecdsa-sha2-nistp256", 2),
    ("ecdsa-sha2-nistp384", 2),
    ("ecdsa-sha2-nistp521", 2),
    ("ssh-rsa", 2),
    ("sk-ssh-ed25519@openssh.com", 2),
    ("sk-ecdsa-sha2-nistp256@openssh.com", 3),
];

/// A line of an `authorized_keys` without options: type, key in base64, comment (sshd(8)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey(String);

impl SshKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SshKey {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if looks_private(text) {
            return invalid("only the public half belongs here, the line in the file that ends in .pub");
        }
        if text.chars().any(char::is_control) {
            return invalid("a key is one line without control characters");
        }
        let mut words = text.split(' ');
        let (name, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let Some((_, strings)) = TYPES.into_iter().find(|(known, _)| *known == name) else {
            let known = TYPES.map(|(known, _)| known).join(", ");
            return match words.any(|word| known.split(", ").any(|known| known == word)) || is_type(blob) {
                true => invalid("it has options; begin with the key's type"),
                false => invalid(format!(
                    "its first word is not the type of a public key that OpenSSH accepts ({known})"
                )),
            };
        };
        let bytes = Base64::decode_vec(blob).ok().filter(|bytes| !bytes.is_empty()).ok_or_else(|| {
            Invalid(format!("what follows {name} is not a key in base64; copy the whole line"))
        })?;
        let mut rest = &bytes[..];
        match string(&mut rest) {
            Some(inner) if inner == name.as_bytes() => {}
            _ => return invalid(format!("its base64 does not hold a key of the type {name}")),
        }
        for _ in 0..strings {
            if string(&mut rest).is_none_or(<[u8]>::is_empty) {
                return invalid("it ends too early; copy the whole line");
            }
        }
        match rest {
            [] => Ok(Self(text.to_owned())),
            _ => invalid("its base64 holds more than a key; copy the line again"),
        }
    }
}

impl Serialize for SshKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

fn is_type(word: &str) -> bool {
    TYPES.iter().any(|(known, _)| *known == word)
}

/// Reads a string in SSH's encoding: four bytes of length, then that many (RFC 4251 section 5).
fn string<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let (string, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = behind;
    Some(string)
}

/// A part of the header of every private key's file.
const MARK: &str = "PRIVATE KEY";
/// The greatest distance of `BEGIN` before the mark: `BEGIN ENCRYPTED PRIVATE KEY`.
const MAX_PEM_LABEL_BYTES: usize = 24;
const PUTTY: &str = "PuTTY-User-Key-File-";
/// `openssh-key-v1` in base64 (OpenSSH, PROTOCOL.key).
const OPENSSH: &str = "b3BlbnNzaC1rZXkt";
/// Shorter runs of letters are words.
const MIN_KEY_CHARACTERS: usize = 40;

/// Whether a text contains a private key, or possibly one: no message may show it.
pub fn looks_private(text: &str) -> bool {
    !private_parts(text).is_empty()
}

/// The text with everything that may belong to a private key replaced by asterisks; the rest keeps its position.
pub fn without_private_keys(text: &str) -> String {
    let mut hidden = text.to_owned();
    for part in private_parts(text) {
        hide(&mut hidden, part);
    }
    hidden
}

/// Replaces a part of the text by asterisks, one for each byte; line ends are kept.
pub fn hide(text: &mut String, part: Range<usize>) {
    let stars = |part: &str| -> String {
        part.chars().map(|c| if c == '\n' { "\n".to_owned() } else { "*".repeat(c.len_utf8()) }).collect()
    };
    if let Some(stars) = text.get(part.clone()).map(stars) {
        text.replace_range(part, &stars);
    }
}

/// Whether a text has the header of a private key, or OpenSSH's format without it.
pub(super) fn has_private_header(text: &str) -> bool {
    !header_parts(text).is_empty() || runs(text).any(|run| text[run].contains(OPENSSH))
}

/// The longer runs of base64 in a text.
pub(super) fn base64_runs(text: &str) -> impl Iterator<Item = &str> {
    runs(text).map(|run| &text[run])
}

fn private_parts(text: &str) -> Vec<Range<usize>> {
    let mut parts = header_parts(text);
    parts.extend(runs(text).filter(|run| is_private_run(&text[run.clone()])));
    parts
}

fn header_parts(text: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    for (at, _) in text.match_indices(MARK) {
        let begin = at + MARK.len();
        let header = text.as_bytes()[at.saturating_sub(MAX_PEM_LABEL_BYTES)..at]
            .windows(5)
            .any(|word| word == b"BEGIN");
        if header {
            let end = text[begin..].find("END ").map_or(text.len(), |end| begin + end);
            parts.push(begin..end);
        }
    }
    parts.extend(text.find(PUTTY).map(|at| at + PUTTY.len()..text.len()));
    parts
}

/// The places of longer runs of base64.
fn runs(text: &str) -> impl Iterator<Item = Range<usize>> {
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let mut at = 0;
    text.as_bytes().chunk_by(move |one, other| base64(one) == base64(other)).filter_map(move |run| {
        let begin = at;
        at += run.len();
        (run.len() >= MIN_KEY_CHARACTERS && run.first().is_some_and(base64)).then_some(begin..at)
    })
}

/// OpenSSH's own format without its header, or a DER sequence, the beginning of PKCS #1, PKCS #8 and SEC 1 keys.
fn is_private_run(run: &str) -> bool {
    let der = |run: &str| run.starts_with('M') && run[1..].starts_with(|c| ('A'..='P').contains(&c));
    run.contains(OPENSSH) || der(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJhej/NiB6Jfs2zc3KbGHYNuARN+cfQwkCb/M0BGrU1e";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOvdIlE7+kH5cDOm6FW3eKUrlI1UXYOdDptsHwje0anZNBY5y7lkj8zP5+1VqhAwJWePhWQR08x4QA7B+TBcBKM=";

    #[test]
    fn names_are_those_of_linux_accounts() {
        let long = "a".repeat(32);
        for good in ["ops", "_ops", "a", "o-p_s9", "rooty", &long] {
            assert!(good.parse::<LoginName>().is_ok(), "{good}");
        }
        let too_long = "a".repeat(33);
        for bad in [
            "",
            "Ops",
            "9ops",
            "-ops",
            "o.ps",
            "o ps",
            "ops\n",
            "оps",
            "ALL=(ALL)",
            "%sudo",
            "root",
            "etcd",
            &too_long,
        ] {
            assert!(bad.parse::<LoginName>().is_err(), "{bad}");
        }
    }

    fn key(name: &str, inner: &str, strings: &[&[u8]]) -> String {
        let mut blob = Vec::new();
        for string in [inner.as_bytes()].iter().chain(strings) {
            blob.extend((string.len() as u32).to_be_bytes());
            blob.extend(*string);
        }
        format!("{name} {}", Base64::encode_string(&blob))
    }

    #[test]
    fn keys_of_every_type_are_taken() {
        for (name, count) in TYPES {
            let strings = vec![&[7_u8; 33][..]; count];
            let text = key(name, name, &strings);
            assert_eq!(text.parse::<SshKey>().unwrap().as_str(), text);
            assert!(format!("{text} ops@desk of Ana").parse::<SshKey>().is_ok());
            assert!(key(name, name, &strings[1..]).parse::<SshKey>().is_err(), "{name}: a string less");
            assert!(key(name, name, &[&strings[..], &strings[..1]].concat()).parse::<SshKey>().is_err());
            assert!(key(name, "ssh-dss", &strings).parse::<SshKey>().is_err(), "{name}: of another type");
        }
        for real in [ED25519, ECDSA] {
            assert!(real.parse::<SshKey>().is_ok());
        }
    }

    #[test]
    fn what_is_no_public_key_is_refused_with_the_reason() {
        let broken = ED25519.replace("AAAAC3", "AAAA C3");
        let cut = &ED25519[..ED25519.len() - 4];
        let cases = [
            (String::new(), "first word"),
            ("ssh-dss AAAAB3NzaC1kc3M=".into(), "first word"),
            (format!(" {ED25519}"), "options"),
            (format!("no-pty {ED25519}"), "options"),
            (format!("command=\"a b\" {ED25519}"), "options"),
            (format!("{ED25519}\n{ED25519}"), "one line"),
            (format!("{ED25519}\n"), "one line"),
            (ED25519.replace(' ', "\t"), "one line"),
            (ED25519.replace(' ', "  "), "not a key in base64"),
            ("ssh-ed25519".into(), "not a key in base64"),
            (broken, "does not hold a key"),
            (cut.into(), "ends too early"),
            (format!("{ECDSA}===="), "not a key in base64"),
            (ED25519.replace("ssh-ed25519", "ssh-rsa"), "does not hold a key of the type ssh-rsa"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk".into(), "only the public half"),
        ];
        for (text, want) in cases {
            let Err(Invalid(why)) = text.parse::<SshKey>() else { panic!("{text:?} is taken") };
            assert!(why.contains(want), "{text:?}: {why}");
        }
    }

    #[test]
    fn private_keys_are_known_by_their_header_or_by_their_bytes() {
        let body = "x".repeat(50);
        let private = [
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----"),
            format!("-----BEGIN RSA PRIVATE KEY-----\\n{body}"),
            format!("-----BEGIN PRIVATE KEY-----{body}"),
            format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}"),
            format!("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n{body}"),
            format!("PuTTY-User-Key-File-3: ssh-ed25519\n{body}"),
            format!("b3BlbnNzaC1rZXktdjEAAAAABG5vbmU{body}"),
            format!("MC4CAQAwBQYDK2VwBCIEI{body}"),
            format!("MIIEvQIBADANBgkqhkiG9w0{body}"),
            format!("MHcCAQEE{body}"),
        ];
        for text in private {
            assert!(looks_private(&text), "{text}");
            let around = format!("ключ = \"{text}\"");
            let hidden = without_private_keys(&around);
            assert!(!hidden.contains("xx") && hidden.len() == around.len(), "{hidden}");
            assert_eq!(hidden.lines().count(), around.lines().count());
            assert!(hidden.starts_with("ключ = \""));
        }
        for public in
            [ED25519, ECDSA, "# no PRIVATE KEY here", "sha256 = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4\""]
        {
            assert!(!looks_private(public), "{public}");
        }
    }
}
