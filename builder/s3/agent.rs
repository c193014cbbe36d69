//! Connections.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::{Error, Result};

/// For a name to be resolved, a connection, the head of an answer, and each piece of a body.
pub const SILENCE: Duration = Duration::from_secs(30);

/// The CAs that a service is held against: a text of PEM.
#[derive(Clone, Copy)]
pub struct Roots<'r>(pub &'r [u8]);

/// Connections that follow no redirect: what is signed is for one host, and a reason is with the answer.
///
/// # Errors
/// Where there is no certificate in the roots.
pub fn agent(roots: Roots<'_>) -> Result<Agent> {
    let certificates: Vec<Certificate<'static>> = parse_pem(roots.0)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&certificates))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Ok(Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // A variable of the environment does not decide who sees the requests.
        .proxy(None)
        .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(SILENCE))
        .timeout_connect(Some(SILENCE))
        .timeout_recv_response(Some(SILENCE * 2))
        .timeout_per_read(Some(SILENCE))
        .timeout_per_write(Some(SILENCE))
        .tls_config(tls)
        .build()
        .new_agent())
}

/// Whether this address can be asked with these roots.
///
/// # Errors
/// Where it is `https`, and there is no CA.
pub fn check(address: &str, roots: Roots<'_>) -> Result<()> {
    let has_one = || parse_pem(roots.0).any(|item| matches!(item, Ok(PemItem::Certificate(_))));
    match address.starts_with("http://") || has_one() {
        true => Ok(()),
        false => Err(Error::Setup("there is no CA certificate to hold the service against".to_owned())),
    }
}
