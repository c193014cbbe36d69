//! PEM as users store it (RFC 7468, leniently): text between the blocks, any line width, CR LF.

use x509_cert::der::pem;
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};

/// Windows editors write it at the beginning of UTF-8 files.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The limit on a file: a bundle of all public CAs of the world has a quarter of it.
const MAX_PEM_BYTES: usize = 1 << 20;

/// One `-----BEGIN label-----` block.
pub(super) struct Block {
    pub label: String,
    pub der: Zeroizing<Vec<u8>>,
    /// Whether it has a `Proc-Type: 4,ENCRYPTED` header (RFC 1421): then `der` is empty.
    pub encrypted: bool,
}

/// All blocks of a text, in their order; at least one.
///
/// # Errors
/// `Exit::Untrusted` with a sentence; the text itself is not quoted.
pub(super) fn blocks(text: &[u8]) -> Result<Vec<Block>> {
    if text.len() > MAX_PEM_BYTES {
        return Err(Failure::untrusted(
            "the file is larger than a mebibyte; it is not a certificate or a key",
        ));
    }
    let not_pem = || {
        Failure::untrusted(
            "the file is not PEM: it has no -----BEGIN line; convert a DER file with `openssl x509 -inform der` \
             or `openssl pkey -inform der`",
        )
    };
    if is_pkcs12(text) {
        return Err(Failure::untrusted(
            "the file is PKCS#12 (.p12, .pfx), not PEM; take the certificates out with `openssl pkcs12 -in FILE -nokeys -out \
             ca.pem`, the CA's first, and the key with `openssl pkcs12 -in FILE -nocerts -out ca-key.pem`",
        ));
    }
    if text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff]) {
        return Err(Failure::untrusted("the file is UTF-16 text; save it as UTF-8 or ASCII"));
    }
    let text = text.strip_prefix(&BYTE_ORDER_MARK).unwrap_or(text);
    let mut found = Vec::new();
    // Text around the blocks may be in any encoding; within a block, a line that is not UTF-8 is an error.
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| std::str::from_utf8(line).map(str::trim));
    while let Some(line) = lines.next() {
        let Ok(line) = line else { continue };
        let Some(rest) = line.strip_prefix("-----BEGIN ") else { continue };
        let Some(label) = label(rest)? else { continue };
        let end = format!("-----END {label}-----");
        let mut body = Zeroizing::new(String::new());
        let mut headers = Vec::new();
        loop {
            match lines.next() {
                None => {
                    return Err(Failure::untrusted(format!("a PEM block has no line {end}")));
                }
                Some(Err(_)) => return Err(junk()),
                Some(Ok(line)) if line == end => break,
                Some(Ok(line)) if line.contains(':') => headers.push(line),
                Some(Ok(line)) => body.push_str(line),
            }
        }
        let encrypted = headers.iter().any(|h| h.starts_with("Proc-Type:") && h.ends_with("ENCRYPTED"));
        let der = if encrypted { Zeroizing::default() } else { decode(label, &body)? };
        found.push(Block { label: label.to_owned(), der, encrypted });
    }
    if found.is_empty() { Err(not_pem()) } else { Ok(found) }
}

/// The label of a block, by what follows `-----BEGIN `; `None` for a remark that only begins like a block.
///
/// # Errors
/// `Exit::Untrusted` for a line that holds more than a label, and for one whose label is none. Neither is quoted: what
/// is between the dashes, or after them, may be the key itself.
fn label(rest: &str) -> Result<Option<&str>> {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let has_base64 =
        rest.split([' ', '-']).any(|word| word.len() >= MIN_KEY_CHARS && word.bytes().all(is_base64));
    match rest.strip_suffix("-----") {
        Some(label) if is_label(label) => Ok(Some(label)),
        Some(label) if label.contains("-----") || has_base64 => Err(unbroken()),
        Some(_) => Err(Failure::untrusted(
            "a line begins with -----BEGIN and has a label that is none; write it as in -----BEGIN CERTIFICATE----- or \
             -----BEGIN PRIVATE KEY-----, in capitals, or remove the line",
        )),
        None if rest.contains("-----") || has_base64 => Err(unbroken()),
        None => Ok(None),
    }
}

/// Base64 of at least this length in one word is part of a key or a certificate, not a remark.
const MIN_KEY_CHARS: usize = 32;

/// Whether a text is a label, as of `X509 CRL` or `ENCRYPTED PRIVATE KEY`. RFC 7468 section 3 allows more, nobody
/// uses it.
fn is_label(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b' '))
}

fn unbroken() -> Failure {
    Failure::untrusted(
        "a line begins with -----BEGIN and does not end after the label: the file has lost its line breaks, as in the \
         variable of a CI system; write each block with its base64 in lines of its own",
    )
}

/// Whether this begins as a PFX does: a sequence, and the version 3 (RFC 7292 section 4).
fn is_pkcs12(text: &[u8]) -> bool {
    let after_length = match text {
        [0x30, 0x80, rest @ ..] => rest,
        [0x30, long @ 0x81..=0x84, rest @ ..] => rest.get(usize::from(long & 0x7f)..).unwrap_or_default(),
        [0x30, _, rest @ ..] => rest,
        _ => return false,
    };
    after_length.starts_with(&[0x02, 0x01, 0x03])
}

fn junk() -> Failure {
    Failure::untrusted("a PEM block is not base64")
}

fn decode(label: &str, body: &str) -> Result<Zeroizing<Vec<u8>>> {
    if !body.is_ascii() {
        return Err(junk());
    }
    // Wrapped at 64 characters a line, because the decoder requires that.
    let mut strict = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    for start in (0..body.len()).step_by(64) {
        strict.push_str(&body[start..body.len().min(start + 64)]);
        strict.push('\n');
    }
    strict.push_str(&format!("-----END {label}-----\n"));
    pem::decode_vec(strict.as_bytes()).map(|(_, der)| Zeroizing::new(der)).map_err(|_| junk())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key in one line was taken for the label of a block, and printed with it.
    #[test]
    fn a_key_that_has_lost_its_line_breaks_is_not_quoted() {
        let secret = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEH";
        for broken in ["", " ", "\r", "\\n", "\t"] {
            let text = ["-----BEGIN PRIVATE KEY-----", secret, "-----END PRIVATE KEY-----"].join(broken);
            for text in
                [text.clone(), format!("{text}\n"), format!("{text} # comment\n"), text[..50].to_owned()]
            {
                let said = blocks(text.as_bytes()).err().unwrap().to_string();
                assert!(said.contains("line breaks") && !said.contains("MIGH"), "{said}");
            }
        }
        // Capitals and digits alone could be base64, too, but not so few of them.
        assert!(is_label("ENCRYPTED PRIVATE KEY") && !is_label(&"A".repeat(41)));
    }

    /// Both were taken for a file without line breaks.
    #[test]
    fn a_label_that_is_none_is_told_from_a_remark_and_from_a_key() {
        let block = "-----BEGIN X-----\nAAAA\n-----END X-----\n";
        for remark in
            ["-----BEGIN chain of int", "-----BEGIN", "-----BEGIN ", "-----BEGIN the root, then ----"]
        {
            assert_eq!(blocks(format!("{remark}\n{block}").as_bytes()).unwrap().len(), 1, "{remark}");
        }
        for name in ["Certificate", "chain of intermediates", "X_Y", "certificate "] {
            let text = format!("{block}-----BEGIN {name}-----\nAAAA\n-----END {name}-----\n");
            let said = blocks(text.as_bytes()).err().unwrap().to_string();
            assert!(said.contains("has a label that is none") && !said.contains(name), "{said}");
        }
        let secret = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEH";
        for cut in [format!("{secret}-----"), format!("PRIVATE KEY {secret}"), format!("KEY-----{secret}")] {
            let said = blocks(format!("-----BEGIN {cut}\n{block}").as_bytes()).err().unwrap().to_string();
            assert!(said.contains("line breaks") && !said.contains("MIGH"), "{said}");
        }
    }

    #[test]
    fn people_keep_their_pem_in_many_ways() {
        let base64 =
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";
        let cases = [
            format!("-----BEGIN X-----\n{base64}\n-----END X-----\n"),
            format!("a text: before\n-----BEGIN X-----\r\n{base64}\r\n-----END X-----"),
            format!("-----BEGIN X-----\n{}\n{}\n-----END X-----\nafter", &base64[..76], &base64[76..]),
            format!("-----BEGIN X-----\nName: value\n\n {base64} \n-----END X-----\n"),
            format!("\u{feff}-----BEGIN X-----\n{base64}\n-----END X-----\n"),
        ];
        let latin_1 = [b"Gesch\xfctzt\n", cases[0].as_bytes(), b"\xe4\n"].concat();
        for text in cases.iter().map(String::as_bytes).chain([&latin_1[..]]) {
            let found = blocks(text).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].label, "X");
            assert_eq!(*found[0].der, (0..64).collect::<Vec<u8>>(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn junk_is_refused_and_not_quoted() {
        for junk in [
            "",
            "SECRET",
            "-----BEGIN X-----\nSECRET",
            "-----BEGIN X-----\nSECRET!\n-----END X-----",
            "-----BEGIN X-----\nSÉCRET\n-----END X-----",
            "-----BEGIN X-----\nSECRET\n-----END Y-----",
            "-----BEGIN X-----\nAAA\n-----END X-----",
        ] {
            let error = blocks(junk.as_bytes()).err().unwrap().to_string();
            assert!(!error.contains("CRET"), "{error}");
        }
        assert!(blocks(&[0x30, 0x82, 0xff]).is_err());
        assert!(blocks(b"-----BEGIN X-----\nAAAA\xfc\n-----END X-----").is_err());
        let utf_16: Vec<u8> = "\u{feff}-----BEGIN X-----".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(blocks(&utf_16).err().unwrap().to_string().contains("UTF-16"));
        assert!(blocks(&vec![b'x'; MAX_PEM_BYTES + 1]).is_err());
    }

    #[test]
    fn legacy_encryption_is_recognised() {
        let text = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
                    -----END EC PRIVATE KEY-----\n";
        assert!(blocks(text.as_bytes()).unwrap()[0].encrypted);
    }
}
