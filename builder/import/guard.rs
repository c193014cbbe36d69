//! What neither a profile nor a message repeats of other people's files: passwords in URLs, and keys.

use std::net::IpAddr;

use crate::values::steers;

/// The longest name of a host (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

/// What a value has that may be a secret.
pub fn secret(value: &str) -> Option<&'static str> {
    // `https://root:password@host`, also without the scheme. A password may have any character in it.
    let is_login = value.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'));
    match () {
        () if value.contains("-----BEGIN") => Some("the text of a PEM file"),
        () if is_login => Some("a URL with a user or a password"),
        () => None,
    }
}

/// Whether it may be the name of a host, so that it can be repeated. A profile is stricter, and gives the reason.
pub fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    let is_plain = !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(plain);
    is_plain || text.parse::<IpAddr>().is_ok()
}

/// The name of a host without its domain, and the domain. An address as a name has none.
pub fn short(name: &str) -> (&str, &str) {
    match name.split_once('.').filter(|_| name.parse::<IpAddr>().is_err()) {
        Some((short, domain)) => (short, domain),
        None => (name, ""),
    }
}

/// A key, if it looks like one.
pub fn key(text: &str) -> &str {
    let plain = |c: char| c.is_alphanumeric() || ['-', '_', '.', ' ', '/'].contains(&c);
    let is_plain = !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(plain);
    if is_plain { text } else { "(no plain name)" }
}

/// A reason without the parts in quotes that are of the value; `None` if the value is in it anyway.
pub fn without(reason: &str, value: &str) -> Option<String> {
    // A reason has these escaped.
    if value.contains(|c: char| c == '"' || c == '\\' || steers(c)) {
        return None;
    }
    let mut made = String::new();
    for (index, part) in reason.split('"').enumerate() {
        let is_quoted = index % 2 == 1;
        match is_quoted && !part.is_empty() && value.contains(part) {
            true => made.push_str("this value"),
            false if is_quoted => made.push_str(&format!("\"{part}\"")),
            false => made.push_str(part),
        }
    }
    // `/etc` is in some reasons anyway.
    let is_there = |part: &str| part.len() > 4 && made.contains(part);
    let is_shown = is_there(value) || value.split([',', ' ']).any(is_there);
    (!is_shown).then_some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        for value in ["https://root:hunter2@10.0.0.1", "root:hun/ter2@b", "https://t@b", "x\n-----BEGIN KEY"]
        {
            assert!(secret(value).is_some(), "{value}");
            assert!(!is_name(value) && key(value) != value, "{value}");
        }
        assert!(
            ["etcd@a.service", "https://10.0.0.1:2379", "a=b"].iter().all(|value| secret(value).is_none())
        );
        assert_eq!(
            without("dns cannot be \"here\": write \"x\"", "here,b").unwrap(),
            "dns cannot be this value: write \"x\""
        );
        assert_eq!(without("it has hunter2 in it", "a,hunter2"), None);
        assert_eq!(without(&format!("it cannot be {:?}", "hun\"ter2"), "hun\"ter2"), None);
    }
}
