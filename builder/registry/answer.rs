//! Errors between Kiln and a registry, as sentences.

use std::io::Read as _;

use serde::Deserialize;
use ureq::http::{Response, StatusCode};
use ureq::{Body, Error};

use super::limits::SILENCE_TIMEOUT;
use super::pace::Paced;
use crate::failure::{Failure, Result};
use crate::interrupt;

/// The error for an unexpected answer.
///
/// Only the error codes of its body are shown: a registry may send back what it was sent, including passwords.
pub fn refused(host: &str, response: Response<Body>) -> Failure {
    let status = response.status();
    let codes = codes(response.into_body());
    let codes = if codes.is_empty() { String::new() } else { format!(": {}", codes.join(", ")) };
    Failure::io(match status {
        StatusCode::FORBIDDEN => format!("{host} denies access{codes}"),
        StatusCode::TOO_MANY_REQUESTS => {
            format!("{host} limits the rate of requests{codes}; try again later")
        }
        _ => format!("{host} answered {status}{codes}"),
    })
}

/// The codes in the body of an error (distribution-spec 1.1, "Error Codes"), as far as they look like ones.
fn codes(body: Body) -> Vec<String> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Coded>,
    }
    #[derive(Deserialize)]
    struct Coded {
        code: String,
    }
    let mut bytes = Vec::new();
    let read = Paced::new(body.into_reader()).take(1 << 16).read_to_end(&mut bytes);
    let errors: Option<Errors> = read.ok().and_then(|_| serde_json::from_slice(&bytes).ok());
    let plausible = |code: &String| {
        (1..=40).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
    };
    let all = errors.map(|errors| errors.errors).unwrap_or_default();
    all.into_iter().map(|error| error.code).filter(plausible).take(4).collect()
}

/// The error for a failed connection.
///
/// # Errors
/// Always: `Exit::Untrusted` for a certificate that is not trusted, `Exit::Interrupted` after Ctrl-C, else `Exit::Io`.
pub fn broken<T>(host: &str, error: Error) -> Result<T> {
    interrupt::check()?;
    Err(match error {
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => tls(host, error),
            None => Failure::io(format!("{host}: {error}")),
        },
        Error::Rustls(error) => tls(host, &error),
        Error::HostNotFound => Failure::io(format!("the host name {host} cannot be resolved")),
        Error::Timeout(_) => {
            Failure::io(format!("no answer from {host} for {} seconds", SILENCE_TIMEOUT.as_secs()))
        }
        error => Failure::io(format!("{host}: {error}")),
    })
}

fn tls(host: &str, error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            Failure::untrusted(format!(
                "{host} shows a certificate of a CA that is not trusted here; name that CA with --ca-file"
            ))
        }
        rustls::Error::InvalidCertificate(why) => {
            Failure::untrusted(format!("{host} shows a certificate that cannot be trusted: {why}"))
        }
        rustls::Error::InvalidMessage(_) => {
            Failure::io(format!("{host} does not speak TLS; on a network of your own, use --plain-http"))
        }
        error => Failure::io(format!("{host}: {error}")),
    }
}
