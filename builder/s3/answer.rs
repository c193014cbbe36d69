//! What a service says.

use std::io::Read;

use ureq::Body;
use ureq::http::{Response, StatusCode};

use crate::xml::{Event, read};
use crate::{Error, Result};

/// Bytes of a message of S3's.
const LONGEST_MESSAGE: u64 = 64 << 10;

/// All of a body, up to so many bytes.
pub fn whole(response: Response<Body>, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut body = response.into_body().into_reader().take(most.saturating_add(1));
    body.read_to_end(&mut bytes).map_err(|error| Error::Away(error.to_string()))?;
    match bytes.len() as u64 > most {
        true => Err(Error::Answer("it is longer than expected")),
        false => Ok(bytes),
    }
}

/// The error that an answer with another status than the expected one is.
pub fn refused(response: Response<Body>) -> Error {
    let status = response.status();
    let text = whole(response, LONGEST_MESSAGE).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let code = text.and_then(|text| code(&text)).unwrap_or_default();
    match (status, code.as_str()) {
        (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, "") => Error::Denied(status.as_u16().to_string()),
        (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, _) => Error::Denied(code),
        _ => Error::Refused { status: status.as_u16(), code },
    }
}

/// S3's own name of an error; nothing else of its text gets into messages.
fn code(text: &str) -> Option<String> {
    let (mut found, mut element) = (None, String::new());
    read(text, |open, event| {
        match event {
            Event::Start(name) => name.clone_into(&mut element),
            Event::End(text) if open.len() == 1 && element == "Code" => found = Some(text),
            Event::End(_) => {}
        }
        Some(())
    });
    found.filter(|code| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
