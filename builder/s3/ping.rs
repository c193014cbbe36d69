//! The dead man's switch: a service that raises an alarm where it hears nothing.

use std::time::Duration;

use crate::agent::{Roots, agent, check};
use crate::{Error, Result};

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Posts a text to an address, which is secret, so no error names it.
///
/// # Errors
/// Where the service cannot be reached, or answers with an error.
pub fn ping(address: &str, text: &str, roots: Roots<'_>) -> Result<()> {
    check(address, roots)?;
    let agent = agent(roots)?;
    let mut from = text.as_bytes();
    let request = ureq::http::Request::post(address)
        .header("content-length", text.len())
        .body(ureq::SendBody::from_reader(&mut from))
        .map_err(|_| Error::Setup("its address is not one".to_owned()))?;
    let request = agent.configure_request(request).timeout_global(Some(PATIENCE)).build();
    match agent.run(request) {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(Error::Refused { status: answer.status().as_u16(), code: String::new() }),
        Err(error) => Err(Error::Away(kind(&error))),
    }
}

/// What has happened, without any part of the address.
fn kind(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.kind().to_string(),
        ureq::Error::Timeout(_) => "it is silent".to_owned(),
        ureq::Error::HostNotFound => "no address is known for its name".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => "its certificate is not accepted".to_owned(),
        _ => "it gives no answer of HTTP".to_owned(),
    }
}
