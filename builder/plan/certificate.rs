//! What a certificate is to say; which ones there are is decided in `plan`, how they are made in `pki`.

use std::net::IpAddr;

use serde::Serialize;

/// An extended key usage (RFC 5280 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Usage {
    ServerAuth,
    ClientAuth,
}

/// One leaf certificate to be issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateSpec {
    /// File name without its ending: `server` gives `server.pem` and `server-key.pem`.
    pub file: String,
    /// Names this certificate's use within the cluster, for key derivation: `node/cp-a/server`.
    pub label: String,
    pub common_name: String,
    /// Subject alternative names, in the order in which they are written; both may be empty for a client.
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub usages: Vec<Usage>,
}
