//! Private keys by their content: in PEM, in DER, and in the formats of OpenSSH, PuTTY and age. Passwords in URLs.

use std::ops::Range;

use base64ct::{Base64, Encoding};

use super::login::{base64_runs, has_private_header, hide};

/// The end of the label of every private key in PEM (RFC 7468, RFC 1421).
const LABEL: &[u8] = b"PRIVATE KEY-----";
const BEGIN: &[u8] = b"-----BEGIN ";
/// The longest label before it: `OPENSSH `, `ENCRYPTED `.
const MAX_LABEL_BYTES: usize = 24;
/// Fewer characters of base64 behind a header in the middle of a line are part of a sentence about it.
const MIN_BODY_CHARACTERS: usize = 16;
/// The number of bytes at the beginning of a DER key that are decoded to recognize it; a multiple of 3.
const BEGINNING_BYTES: usize = 27;
/// PBES2 and PKCS #12 encryption, without the last arc: `pkcs-5` and `pkcs-12PbeIds` (RFC 8018, RFC 7292).
const ENCRYPTIONS: [&[u8]; 2] =
    [&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05], &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c]];

/// Whether a file contains a private key, anywhere.
pub fn holds_private_key(bytes: &[u8]) -> bool {
    is_der(bytes) || has_pem(bytes) || has_line(bytes)
}

/// Whether a short text, such as a value of a profile, contains a private key or the beginning of one.
pub fn is_private_key(text: &str) -> bool {
    has_private_header(text)
        || has_line(text.as_bytes())
        || base64_runs(text).any(|run| {
            let beginning = run.get(..BEGINNING_BYTES / 3 * 4).unwrap_or(run);
            Base64::decode_vec(beginning)
                .is_ok_and(|bytes| content(&bytes).is_some_and(|(_, content)| is_key(content)))
        })
}

/// A header in a line of its own, or one with a key behind it.
fn has_pem(bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'P') {
        at += found + 1;
        if !bytes[at - 1..].starts_with(LABEL) {
            continue;
        }
        let before = &bytes[(at - 1).saturating_sub(MAX_LABEL_BYTES + BEGIN.len())..at - 1];
        let Some(begin) = before.windows(BEGIN.len()).rposition(|window| window == BEGIN) else { continue };
        let start = at - 1 - (before.len() - begin);
        let behind = &bytes[at - 1 + LABEL.len()..];
        let is_first = bytes[..start].iter().rev().find(|byte| !matches!(byte, b' ' | b'\t'));
        let is_last = behind.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
        let is_alone =
            matches!(is_first, None | Some(b'\n' | b'\r')) && matches!(is_last, None | Some(b'\n' | b'\r'));
        if is_alone || has_body(behind) {
            return true;
        }
    }
    false
}

/// Whether the body of a key follows its header, also as part of a string or of a comment in another language.
fn has_body(behind: &[u8]) -> bool {
    let mut rest = behind;
    loop {
        rest = match rest {
            [b'\\', b'n' | b'r' | b't', end @ ..] => end,
            [first, end @ ..] if first.is_ascii_whitespace() || b"\\\"'`#*,;|>-+".contains(first) => end,
            _ => break,
        };
    }
    let is_body = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    rest.starts_with(b"Proc-Type:") || rest.iter().take_while(is_body).count() >= MIN_BODY_CHARACTERS
}

/// Keys of PuTTY and of age begin a line.
fn has_line(bytes: &[u8]) -> bool {
    bytes.split(|byte| matches!(byte, b'\n' | b'\r')).any(|line| {
        let line = line.trim_ascii_start();
        line.starts_with(b"PuTTY-User-Key-File-") || line.starts_with(b"AGE-SECRET-KEY-1")
    })
}

/// Whether a file is a private key in DER; line ends behind it do not count.
fn is_der(bytes: &[u8]) -> bool {
    const MAX_EXTRA_BYTES: usize = 2;
    content(bytes).is_some_and(|(length, content)| {
        let extra = content.len().checked_sub(length);
        extra.is_some_and(|extra| extra <= MAX_EXTRA_BYTES) && is_key(content)
    })
}

/// The length that a DER sequence gives for its content, and everything behind its header.
fn content(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let [0x30, first, rest @ ..] = bytes else { return None };
    let count = match first {
        0..=0x7f => return Some((usize::from(*first), rest)),
        0x81..=0x84 => usize::from(first - 0x80),
        _ => return None,
    };
    let (length, content) = rest.split_at_checked(count)?;
    Some((length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), content))
}

/// The beginnings of PKCS #8 (RFC 5958), SEC 1 (RFC 5915), PKCS #1 (RFC 8017) and PKCS #12 (RFC 7292): a version, and
/// the type of what follows; of encrypted PKCS #8 the algorithm.
fn is_key(content: &[u8]) -> bool {
    match content {
        [0x02, 0x01, 0x00, 0x30 | 0x02, ..]
        | [0x02, 0x01, 0x01, 0x30 | 0x04, ..]
        | [0x02, 0x01, 0x03, 0x30, ..] => true,
        [0x30, _, 0x06, _, algorithm @ ..] => ENCRYPTIONS.iter().any(|known| algorithm.starts_with(known)),
        _ => false,
    }
}

/// The text with asterisks in the place of each password in a login: `SCHEME://USER:PASSWORD@HOST`, also without the
/// scheme. In a URL of HTTP the user is hidden, too: it may be a token. Everything keeps its position.
pub fn without_passwords(text: &str) -> String {
    let mut hidden = text.to_owned();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        for part in passwords(line) {
            hide(&mut hidden, start + part.start..start + part.end);
        }
        start += line.len();
    }
    hidden
}

/// A password may have any character in it, also `/`, `@`, a quote or a blank: it ends at the last `@`.
fn passwords(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("://") {
        let start = at + 3;
        let is_http = line[..at].ends_with("http") || line[..at].ends_with("https");
        let length = line[start..].find(|c: char| c.is_whitespace() || ":@/\"'".contains(c));
        let name = length.map_or(line.len(), |length| start + length);
        let password = match line[name..].strip_prefix(':') {
            Some(password) => password,
            None if is_http => &line[start..],
            None => continue,
        };
        let begin = line.len() - password.len();
        let end = line[begin..end_of_value(line, at)].rfind('@').or_else(|| {
            // A password with a quote or a blank in it; what follows a port is no login.
            let is_port = password.starts_with(|c: char| c.is_ascii_digit());
            line[begin..].rfind('@').filter(|_| begin > name && !is_port)
        });
        if let Some(end) = end {
            found.push(if is_http { start } else { begin }..begin + end);
        }
    }
    let mut start = 0;
    for word in line.split_inclusive(char::is_whitespace) {
        let login = (!word.contains("://")).then(|| login(word)).flatten();
        found.extend(login.map(|part| start + part.start..start + part.end));
        start += word.len();
    }
    found
}

/// The end of the word or of the text in quotes, whichever is longer, that the place is in.
fn end_of_value(line: &str, at: usize) -> usize {
    let end_of_word = line[at..].find(char::is_whitespace).map_or(line.len(), |length| at + length);
    let word = line[..at].rfind(char::is_whitespace).unwrap_or(0);
    let Some(quote) = line[word..at].rfind(['"', '\'']).map(|quote| &line[word + quote..=word + quote])
    else {
        return end_of_word;
    };
    let mut ends = line[at..].match_indices(quote).map(|(length, _)| at + length);
    ends.find(|end| !line[..*end].ends_with('\\')).map_or(end_of_word, |end| end.max(end_of_word))
}

/// The password in `USER:PASSWORD@HOST`. An image by its digest, `HOST:PORT/NAME@sha256:…`, is none.
fn login(word: &str) -> Option<Range<usize>> {
    let end = word.rfind('@').filter(|end| !word[*end..].starts_with("@sha"))?;
    let colon = word[..end].find(':')?;
    word[..colon].ends_with(|c: char| c.is_alphanumeric() || "._-".contains(c)).then_some(colon + 1..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An Ed25519 key in PKCS #8, as OpenSSL writes it, with zeros for its secret.
    fn pkcs8() -> Vec<u8> {
        let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        [&head[..], &[0; 32]].concat()
    }

    #[test]
    fn a_key_is_found_wherever_it_begins() {
        let body = Base64::encode_string(&pkcs8());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        let far = format!("{}\n{pem}", "x".repeat(3 << 20));
        for text in [
            pem.clone(),
            far,
            format!("key = \"{}\"", pem.replace('\n', "\\n")),
            format!("# {}", pem.replace('\n', "\n# ")),
            format!("key: |\n  {}", pem.replace('\n', "\n  ")),
            format!("\0\0\0{pem}"),
            "x-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n".into(),
            format!("-----BEGIN RSA PRIVATE KEY-----{body}"),
        ] {
            assert!(holds_private_key(text.as_bytes()), "{text:.80}");
        }
        assert!(holds_private_key(&pkcs8()));
        assert!(holds_private_key(&[&pkcs8()[..], b"\n"].concat()));
        for fine in [
            "grep -q -- '-----BEGIN PRIVATE KEY-----' \"$1\"",
            "if it has -----BEGIN OPENSSH PRIVATE KEY----- in it",
            "x\0-----BEGIN OPENSSH PRIVATE KEY-----\n\0-----END OPENSSH PRIVATE KEY-----\n\0",
            "-----BEGIN CERTIFICATE-----\nMIIB",
        ] {
            assert!(!holds_private_key(fine.as_bytes()), "{fine}");
        }
        assert!(!holds_private_key(&pkcs8()[..20]), "cut off");
        assert!(!holds_private_key(&[0x30, 0x03, 0x02, 0x01, 0x05]), "a number");
    }

    #[test]
    fn a_value_is_a_key_by_its_header_or_by_its_bytes() {
        let body = Base64::encode_string(&pkcs8());
        for text in [body.clone(), format!("a {body} b"), "-----BEGIN EC PRIVATE KEY-----".into()] {
            assert!(is_private_key(&text), "{text}");
        }
        for fine in [
            "MAIN/directory/of/everything/that/is/long/enough",
            "MIIBszCCAVmgAwIBAgIUZ0mXw8dV5QH3cHq3cV0lKQ",
            "PRIVATE KEY",
            "b3BlbnNzaA",
        ] {
            assert!(!is_private_key(fine), "{fine}");
        }
    }

    #[test]
    fn a_password_is_never_shown_whatever_is_in_it() {
        for (text, shown) in [
            (
                "connect = \"qemu+ssh://root:hunter2@pve1/system\" # x://a:b@c",
                "connect = \"qemu+ssh://root:*******@pve1/system\" # x://a:*@c",
            ),
            ("qemu+ssh://root:hun/ter2@pve1/system", "qemu+ssh://root:********@pve1/system"),
            ("'qemu+ssh://root:hun@ter2@pve1/system'", "'qemu+ssh://root:********@pve1/system'"),
            ("x = \"qemu+ssh://root:hun ter2@pve1/system\"", "x = \"qemu+ssh://root:********@pve1/system\""),
            ("'qemu+ssh://root:h'n t@r2@pve1/system' is", "'qemu+ssh://root:********@pve1/system' is"),
            ("\"qemu+ssh://root:h\\\"n ter2@pve1\", x", "\"qemu+ssh://root:*********@pve1\", x"),
            ("qemu+ssh://root:22/hunter@pve1/system", "qemu+ssh://root:*********@pve1/system"),
            ("a=root:hun:ter2@pve1/system b", "a=root:********@pve1/system b"),
            ("from https://token@h/d, https://a:b@c", "from https://*****@h/d, https://***@c"),
            ("x://a:b@c\nx://d:é@f", "x://a:*@c\nx://d:**@f"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
        for plain in [
            "https://10.0.0.1:2379/x",
            "[\"https://10.0.0.1:2379\", \"x\"] # ask ops@lan",
            "qemu+ssh://root@[fd00::1]:22/system",
            "a://",
            "registry.lan:5000/etcd@sha256:00",
            "After = \"etcd@a.service\" # 1:2",
            "git@github.com:a/b",
        ] {
            assert_eq!(without_passwords(plain), plain);
        }
    }
}
