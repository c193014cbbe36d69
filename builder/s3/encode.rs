//! Texts in addresses, as signatures want them (RFC 3986 section 2.3: only unreserved characters are left).

use std::fmt::Write;

/// The part of a query.
pub fn query(text: &str) -> String {
    encoded(text, false)
}

/// A path, whose `/` are left.
pub fn path(text: &str) -> String {
    encoded(text, true)
}

fn encoded(text: &str, keeps_slashes: bool) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        let is_kept =
            byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keeps_slashes && byte == b'/');
        match is_kept {
            true => out.push(char::from(byte)),
            // Writing to a String cannot fail.
            false => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

/// Lower-case digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}
