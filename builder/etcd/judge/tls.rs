//! Cipher suites by the names that etcd accepts.

use crate::suggest;
use crate::values::Invalid;

/// The certificates that a suite works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// TLS 1.3 has suites of its own, among which Go offers no choice: the name is accepted and has no effect.
    Tls13,
    /// For certificates with an EC or Ed25519 key (RFC 8422 section 5.10).
    Ecdsa,
    /// For RSA certificates, which Kiln does not issue to members.
    Rsa,
}

/// Without one of these in the list Go's HTTP/2 server does not start (RFC 7540 section 9.2.2; `ConfigureServer` in
/// golang.org/x/net/http2/server.go).
pub const HTTP2: [&str; 2] =
    ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"];

/// `CipherSuites` and `InsecureCipherSuites` of Go's crypto/tls, and the two old names that `GetCipherSuite` in
/// client/pkg/tlsutil/cipher_suites.go adds.
const SUITES: [&str; 27] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_RC4_128_SHA",
];

/// The use of the suite with this name; `None` when etcd does not know it.
pub fn suite(name: &str) -> Option<Suite> {
    SUITES.contains(&name).then(|| {
        if name.contains("ECDHE_ECDSA") {
            Suite::Ecdsa
        } else if name.contains("RSA_WITH") {
            Suite::Rsa
        } else {
            Suite::Tls13
        }
    })
}

/// # Errors
/// The first name that etcd does not know.
pub(super) fn suites(items: &[String]) -> Result<(), Invalid> {
    for item in items {
        if suite(item).is_none() {
            let meant = match suggest::nearest(item, SUITES.iter().copied()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "it takes Go's names, as in TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".into(),
            };
            return Err(Invalid(format!("etcd knows no cipher suite {item:?}; {meant}")));
        }
    }
    Ok(())
}

/// Whether etcd starts with this list where TLS 1.2 is allowed; either of [`HTTP2`] suffices.
pub fn serves_http2(items: &[String]) -> bool {
    items.is_empty() || items.iter().any(|item| HTTP2.contains(&item.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_told_apart() {
        let cases = [
            ("TLS_AES_128_GCM_SHA256", Some(Suite::Tls13)),
            ("TLS_CHACHA20_POLY1305_SHA256", Some(Suite::Tls13)),
            ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Some(Suite::Ecdsa)),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Some(Suite::Rsa)),
            ("TLS_RSA_WITH_RC4_128_SHA", Some(Suite::Rsa)),
            ("ECDHE-ECDSA-AES128-GCM-SHA256", None),
        ];
        for (name, want) in cases {
            assert_eq!(suite(name), want, "{name}");
        }
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(serves_http2(&[]) && serves_http2(&list(&[HTTP2[1]])));
        assert!(!serves_http2(&list(&["TLS_AES_128_GCM_SHA256"])));
        let meant = suites(&list(&[&HTTP2[0].to_lowercase()])).unwrap_err().0;
        assert!(meant.contains("did you mean TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256?"), "{meant}");
    }
}
