//! How the identity of a registry is verified.

use std::path::PathBuf;
use std::sync::Arc;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::credentials;
use crate::failure::{Failure, Result};

/// The options of the caller.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Use plain HTTP, with any host.
    pub plain_http: bool,
    /// PEM certificates that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// # Errors
/// `Exit::Io` when there is no trusted CA.
pub(super) fn tls(trust: &Trust) -> Result<TlsConfig> {
    let roots: Vec<Certificate<'static>> = match &trust.ca_file {
        Some(path) => {
            let bytes = credentials::read_file(path)?;
            let certificates = parse_pem(&bytes).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            });
            certificates.collect()
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
        }
    };
    if roots.is_empty() {
        return Err(Failure::io(match &trust.ca_file {
            Some(path) => format!("{} holds no certificate in PEM", path.display()),
            None => {
                "this system trusts no CA; install ca-certificates, or name a CA with --ca-file".to_owned()
            }
        }));
    }
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}
