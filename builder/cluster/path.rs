//! Whether TLS clients and servers accept a chain of certificates: its path, the constraints of its CAs and its dates,
//! as rustls judges them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error, RootCertStore};

use super::authorities::Authorities;
use crate::causes::Fault;
use crate::pki::Presented;
use crate::values::Epoch;

/// What a chain is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathUse {
    /// A server at this address.
    Server(IpAddr),
    /// The same, and a client of other servers.
    Peer(IpAddr),
}

impl Authorities {
    /// Whether a chain, leaf first, leads to one of the CAs and allows this use. A signature of a kind that rustls
    /// does not know is left to [`Presented::has_signed`].
    ///
    /// # Errors
    /// The fault, and what rustls says.
    pub fn accept(&self, chain: &[Presented], wanted: PathUse, now: Epoch) -> Result<(), (Fault, String)> {
        let ders: Vec<_> = chain.iter().map(|one| CertificateDer::from(one.der())).collect();
        let Some((leaf, above)) = ders.split_first() else {
            return Err((Fault::UnknownAuthority, "there is no certificate".to_owned()));
        };
        let mut roots = RootCertStore::empty();
        for root in self.ders() {
            roots.add(CertificateDer::from(root)).map_err(judged)?;
        }
        let (roots, provider) = (Arc::new(roots), Arc::new(default_provider()));
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.seconds()));
        let unusable = |error: &dyn std::fmt::Display| (Fault::UnknownAuthority, error.to_string());
        let (PathUse::Server(address) | PathUse::Peer(address)) = wanted;
        let server = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let server = server.map_err(|error| unusable(&error))?;
        let name = ServerName::IpAddress(address.into());
        tolerant(server.verify_server_cert(leaf, above, &name, &[], now).map(|_| ()))?;
        if let PathUse::Peer(_) = wanted {
            let client = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            let client = client.map_err(|error| unusable(&error))?;
            tolerant(client.verify_client_cert(leaf, above, now).map(|_| ()))?;
        }
        Ok(())
    }
}

/// ring has no P-521, which the CAs of a profile may have.
fn tolerant(verdict: Result<(), Error>) -> Result<(), (Fault, String)> {
    match verdict {
        Err(Error::InvalidCertificate(
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        )) => Ok(()),
        other => other.map_err(judged),
    }
}

fn judged(error: Error) -> (Fault, String) {
    let fault = match &error {
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            Fault::Expired
        }
        Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => Fault::NotYetValid,
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => Fault::UnknownAuthority,
        _ => Fault::OtherForm,
    };
    (fault, error.to_string())
}
