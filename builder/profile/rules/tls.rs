//! TLS versions and cipher suites.

use super::set::{Around, Set, list, named, on, text};
use crate::etcd::judge::{self, Suite};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;

/// `Validate` in server/embed/config.go.
pub(super) fn check_tls(diagnostics: &mut Diagnostics, set: &Set) {
    let Some(("TLS1.3", min)) = text(set, "tls-min-version") else { return };
    if let Some(("TLS1.2", max)) = text(set, "tls-max-version") {
        let reason = "tls-min-version is higher than tls-max-version; etcd does not start";
        diagnostics.mistake(
            Mistake::new(min.clone(), reason).other(max.clone(), "the maximum").help("omit one of the two"),
        );
    }
    if let Some((items, span)) = list(set, "cipher-suites")
        && !items.is_empty()
    {
        let reason =
            "etcd accepts no cipher-suites if tls-min-version is TLS1.3: Go itself chooses those of TLS 1.3";
        diagnostics.mistake(
            Mistake::new(span.clone(), reason)
                .other(min.clone(), "the minimum version")
                .help("omit cipher-suites"),
        );
    }
}

/// The suites that a TLS 1.2 handshake can use depend on the key in the certificate (RFC 8422 section 5.10): all of
/// Kiln's keys need ECDSA suites, and HTTP/2 forbids CBC (RFC 7540 appendix A).
pub(super) fn check_suites(diagnostics: &mut Diagnostics, set: &Set, around: &Around) {
    let Some((items, span)) = list(set, "cipher-suites") else { return };
    if text(set, "tls-min-version").is_some_and(|(min, _)| min == "TLS1.3") {
        return;
    }
    if !judge::serves_http2(items) {
        let reason = "etcd does not start without one of the cipher-suites that HTTP/2 requires";
        diagnostics.mistake(Mistake::new(span.clone(), reason).help(format!("add {}", judge::HTTP2[0])));
        return;
    }
    let serves = |item: &String| {
        judge::suite(item) == Some(Suite::Ecdsa) && (item.contains("_GCM_") || item.contains("CHACHA20"))
    };
    let leaf = around.pki.map(|pki| pki.leaf_algorithm);
    let (Some(leaf), false) = (leaf, items.is_empty() || items.iter().any(serves)) else { return };
    let why = format!("none of these cipher-suites works with TLS 1.2 and the members' {leaf} keys");
    match text(set, "tls-max-version") {
        Some(("TLS1.2", max)) => {
            let help = "add TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, or omit tls-max-version";
            let reason = format!("{why}: no client and no peer could connect");
            diagnostics.mistake(
                Mistake::new(span.clone(), reason).other(max.clone(), "the maximum version").help(help),
            );
        }
        _ => diagnostics.warn(Some(span), format!("{why}: clients without TLS 1.3 cannot connect")),
    }
}

/// The gateway dials the client port with the server's certificate unless it has one of its own (server/embed/etcd.go),
/// and what a node makes for that port is for a server only.
pub(super) fn check_gateway(diagnostics: &mut Diagnostics, set: &Set, around: &Around) {
    if let Some(span) = on(set, GATEWAY).filter(|_| around.pki.is_some_and(|pki| pki.renewal.is_some())) {
        let reason = format!(
            "{}: the gateway has no certificate of a client with renewal = \"node\"",
            named(set, GATEWAY)
        );
        let help =
            "omit it: clients of gRPC and etcdctl do not need it; or write renewal = \"desk\" in [pki]";
        diagnostics.mistake(Mistake::new(span.clone(), reason).help(help));
    }
}

const GATEWAY: &str = "enable-grpc-gateway";
