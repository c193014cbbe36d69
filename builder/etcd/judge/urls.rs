//! URLs that etcd listens on, and origins for its gateway.

use std::net::{IpAddr, Ipv6Addr};

use crate::values::Invalid;

/// The address of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// 127.0.0.1, or ::1, as the machine resolves it.
    Localhost,
    Address(IpAddr),
}

/// One address that etcd listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    pub tls: bool,
    pub host: Host,
    pub port: u16,
}

impl Listener {
    /// Whether Linux would refuse the second of the two with "address already in use".
    ///
    /// Go binds `0.0.0.0` to IPv4 alone and `::` to both families (`listenerBacklog` and `favoriteAddrFamily` in Go's
    /// net).
    pub fn is_in_the_way_of(&self, other: &Listener) -> bool {
        let covers = |a: Host, b: Host| match (a, b) {
            (Host::Address(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), _) => true,
            (Host::Address(IpAddr::V4(any)), Host::Address(IpAddr::V4(_)) | Host::Localhost) => {
                any.is_unspecified()
            }
            (Host::Localhost, Host::Address(address)) => address.is_loopback(),
            _ => false,
        };
        let (a, b) = (self.host, other.host);
        self.port == other.port && (a == b || covers(a, b) || covers(b, a))
    }
}

/// A comma-separated list, as `listen-metrics-urls` takes it.
///
/// `NewURLs` in client/pkg/types/urls.go, `checkBindURLs` in server/embed/config.go. Kiln is stricter: etcd would
/// choose a free port for port 0, ignore a user name and a query, and make the file of a Unix socket in a read-only
/// directory.
///
/// # Errors
/// The first invalid URL, and the valid form.
pub fn listeners(text: &str) -> Result<Vec<Listener>, Invalid> {
    // As without the key.
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.contains("{{") {
        return Err(Invalid(
            "options are not templates; http://0.0.0.0:2381, for example, listens on every address of a node"
                .into(),
        ));
    }
    text.split(',').map(|url| listener(url.trim())).collect()
}

fn listener(url: &str) -> Result<Listener, Invalid> {
    let Parts { scheme, host, port } = parts(url)?;
    let host = match (host.parse(), host) {
        (Ok(address), _) => Host::Address(address),
        (_, "localhost") => Host::Localhost,
        _ => {
            return Err(Invalid(format!(
                "etcd listens only on IP addresses, and {host:?} in {url:?} is a name; 0.0.0.0 is every address of a node"
            )));
        }
    };
    Ok(Listener { tls: scheme == "https", host, port })
}

/// The origins that a browser may send: `*`, or a comma-separated list of URLs.
///
/// `NewUniqueURLsWithExceptions` in pkg/flags/unique_urls.go, which panics on an invalid URL.
///
/// # Errors
/// The first invalid URL, and the valid form.
pub(super) fn origins(text: &str) -> Result<(), Invalid> {
    if text.is_empty() || text == "*" {
        return Ok(());
    }
    text.split(',').map(str::trim).try_for_each(|url| match url {
        "*" => Err(Invalid("* matches every origin, so write it alone".into())),
        url => parts(url).map(drop),
    })
}

struct Parts<'t> {
    scheme: String,
    host: &'t str,
    port: u16,
}

fn parts(url: &str) -> Result<Parts<'_>, Invalid> {
    let wrong = |why: &str| Err(Invalid(format!("{url:?} {why}")));
    if url.is_empty() {
        return Err(Invalid(
            "it has an empty URL; write SCHEME://HOST:PORT, with a comma between two".into(),
        ));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return wrong("has no scheme; write it as in http://127.0.0.1:2381");
    };
    // Go reads a scheme in any case (net/url, getScheme).
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        "http" | "https" => {}
        "unix" | "unixs" => {
            return wrong("is a Unix socket, but etcd's unit can create files only in its data directory");
        }
        _ => return wrong("must begin with http:// or https://"),
    }
    if rest.contains(['/', '?', '#', '@']) {
        return wrong("must be SCHEME://HOST:PORT and nothing more; etcd adds the path itself");
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => match rest.split_once("]:") {
            Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => (host, port),
            Some(_) => return wrong("has no IPv6 address in its brackets"),
            None => return wrong("has no port; write it as in http://[::1]:2381"),
        },
        None => match rest.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return wrong(
                    "has too many colons; write an IPv6 address in brackets, as in http://[::1]:2381",
                );
            }
            Some((host, port)) => (host, port),
            None => return wrong("has no port; write it as in http://127.0.0.1:2381"),
        },
    };
    let is_number = port.bytes().all(|b| b.is_ascii_digit());
    match port.parse() {
        Ok(port @ 1..) if is_number => Ok(Parts { scheme, host, port }),
        _ => wrong("has no port from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_etcd_reads_them() {
        let cases = [
            ("", Ok(0)),
            ("http://0.0.0.0:2381", Ok(1)),
            ("HTTPS://[::]:2381, http://localhost:2382", Ok(2)),
            ("0.0.0.0:2381", Err("no scheme")),
            ("http://foo:2381", Err("IP addresses")),
            ("http://:2381", Err("IP addresses")),
            ("http://127.0.0.1", Err("no port")),
            ("http://127.0.0.1:", Err("no port")),
            ("http://127.0.0.1:0", Err("no port")),
            ("http://127.0.0.1:+1", Err("no port")),
            ("http://127.0.0.1:99999", Err("no port")),
            ("http://127.0.0.1:2381/", Err("nothing more")),
            ("http://u@127.0.0.1:2381", Err("nothing more")),
            ("http://::1:2381", Err("too many colons")),
            ("http://[::1]", Err("no port")),
            ("http://[fe80::1%25eth0]:2381", Err("brackets")),
            ("ftp://127.0.0.1:2381", Err("must begin")),
            ("unix:///run/etcd.sock", Err("Unix socket")),
            ("http://127.0.0.1:2381,", Err("empty URL")),
            ("http://{{address}}:2381", Err("not templates")),
        ];
        for (text, want) in cases {
            match (listeners(text), want) {
                (Ok(got), Ok(want)) => assert_eq!(got.len(), want, "{text}"),
                (Err(got), Err(want)) => assert!(got.0.contains(want), "{text}: {got}"),
                (got, want) => panic!("{text}: {got:?}, not {want:?}"),
            }
        }
        for (text, good) in [
            ("*", true),
            ("https://example.com:443, http://b:1", true),
            ("*,https://example.com:443", false),
            ("https://example.com", false),
            ("x", false),
        ] {
            assert_eq!(origins(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn two_listeners_may_want_the_same_port() {
        let cases = [
            ("http://0.0.0.0:1", "https://127.0.0.1:1", true),
            ("http://0.0.0.0:1", "http://127.0.0.1:2", false),
            ("http://0.0.0.0:1", "http://[::1]:1", false),
            ("http://[::]:1", "http://127.0.0.1:1", true),
            ("http://localhost:1", "http://127.0.0.1:1", true),
            ("http://localhost:1", "http://10.0.0.1:1", false),
            ("http://10.0.0.1:1", "http://10.0.0.1:1", true),
            ("http://10.0.0.1:1", "http://10.0.0.2:1", false),
        ];
        for (one, other, want) in cases {
            let (a, b) = (listener(one).unwrap(), listener(other).unwrap());
            assert_eq!((a.is_in_the_way_of(&b), b.is_in_the_way_of(&a)), (want, want), "{one} {other}");
        }
    }
}
