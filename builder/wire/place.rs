//! Where snapshots go, and for whom they are encrypted.

use std::net::{IpAddr, Ipv6Addr};

use super::text::{is_dns_name, is_part, text};

text!(
    /// Whom a snapshot is encrypted for, as age names them. Only its form is judged here; kiln-age judges the key.
    Recipient,
    is_recipient,
    "a recipient is age1… or ssh-ed25519 …, printable ASCII, of at most 512 characters"
);
text!(
    /// Where a member serves its clients: `https://HOST:PORT`.
    MemberUrl,
    is_member_url,
    "a member's URL is https://HOST:PORT"
);
text!(
    /// The address of an S3 service: `https://HOST[:PORT]`, or `http`.
    OriginUrl,
    is_origin_url,
    "the address of an S3 service is https://HOST or https://HOST:PORT, or http, without a path"
);
text!(
    /// Where a run is reported: an address to which `/start` or `/fail` can be added.
    HttpUrl,
    is_http_url,
    "an address here is http or https with a host and a path, printable ASCII without spaces, @, ?, # and a / at its end"
);
text!(
    /// The name of a bucket, as S3 allows it.
    Bucket,
    is_bucket,
    "a bucket's name has 3 to 63 of a-z, 0-9, - and ., begins and ends with a letter or digit, and is no IP address"
);
text!(
    /// What the keys in a bucket begin with; `/` follows it, unless it is empty.
    Prefix,
    is_prefix,
    "a prefix has parts of printable ASCII between single /, none of which is . or .., and at most 512 characters"
);
text!(
    /// The region of a bucket.
    Region,
    is_region,
    "a region has 1 to 63 of a-z, A-Z, 0-9, - and _"
);

fn is_recipient(text: &str) -> bool {
    text.len() <= 512
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && (text.starts_with("age1") || text.starts_with("ssh-ed25519 "))
}

/// A DNS name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => is_dns_name(text) && !text.starts_with('*'),
    }
}

/// `HOST`, or `HOST:PORT`; whether there is a port, if it is one of them.
fn authority(text: &str) -> Option<bool> {
    if is_host(text) {
        return Some(false);
    }
    let (host, port) = text.rsplit_once(':')?;
    let is_port =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0);
    (is_port && is_host(host)).then_some(true)
}

fn is_member_url(text: &str) -> bool {
    text.strip_prefix("https://").and_then(authority) == Some(true)
}

fn after_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))
}

fn is_origin_url(text: &str) -> bool {
    after_scheme(text).and_then(authority).is_some()
}

fn is_http_url(text: &str) -> bool {
    let is_allowed = |byte: u8| (b'!'..=b'~').contains(&byte) && !b"@?#\\\"<>^`{|}".contains(&byte);
    let rest = after_scheme(text).filter(|_| text.len() <= 1024 && text.bytes().all(is_allowed));
    rest.is_some_and(|rest| {
        let host = rest.split_once('/').map_or(rest, |(host, _)| host);
        authority(host).is_some() && !text.ends_with('/')
    })
}

fn is_bucket(text: &str) -> bool {
    let is_edge =
        |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (3..=63).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
        && is_edge(text.bytes().next())
        && is_edge(text.bytes().last())
        && !text.contains("..")
        && text.parse::<IpAddr>().is_err()
}

fn is_prefix(text: &str) -> bool {
    text.is_empty() || (text.len() <= 512 && text.split('/').all(is_part))
}

fn is_region(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<T: TryFrom<String>>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(T::try_from((*text).to_owned()).is_ok(), "{text}");
        }
        for text in bad {
            assert!(T::try_from((*text).to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn places_have_their_rules() {
        let long = "a".repeat(513);
        all::<Recipient>(
            &["age1x", "ssh-ed25519 AAAA me"],
            &["", "ssh-rsa AAAA", "age1\n", &format!("age1{long}")],
        );
        all::<MemberUrl>(
            &["https://10.0.0.1:2379", "https://[::1]:2379", "https://cp-a.lan:1"],
            &[
                "http://a:1",
                "https://a",
                "https://a:0",
                "https://a:+1",
                "https://a:1/",
                "https://a:65536",
                "https://:1",
            ],
        );
        all::<OriginUrl>(
            &["https://s3.lan", "http://127.0.0.1:9000", "https://[fd00::1]"],
            &[
                "s3.lan",
                "https://",
                "https://a/b",
                "https://u@a",
                "ftp://a",
                "https://a:",
                "https://a:1:2",
                "https://*.a",
            ],
        );
        all::<HttpUrl>(
            &["https://hc.lan/ping/0-1", "http://127.0.0.1:8000", "https://a/b"],
            &[
                "https://a/",
                "https://a/b?c",
                "https://a/#",
                "https://u:p@a/b",
                "https://a b",
                "https:///b",
                "/b",
            ],
        );
        all::<Bucket>(
            &["abc", "a.b-c", "123"],
            &["ab", "Abc", "-abc", "abc-", "a..b", "10.0.0.1", "a_b", "a/b", &long],
        );
        all::<Prefix>(
            &["", "a", "etcd backups/x+y"],
            &["/a", "a/", "a//b", "a/../b", ".", "a\n", "é", &long],
        );
        all::<Region>(&["us-east-1", "garage", "A_b"], &["", "a b", "a/b", "a\n"]);
    }
}
