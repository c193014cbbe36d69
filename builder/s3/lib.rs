//! What a node and the desk need of S3: few requests, to one bucket, addressed by its path, signed by headers (AWS
//! Signature Version 4), over blocking sockets. The only HTTP client of a node, so its pings are here, too.
//!
//! Answers are untrusted: each has a limit of bytes and of time, and nothing in them decides what is read or written.

mod agent;
mod answer;
mod client;
mod encode;
mod list;
mod ping;
pub mod sign;
mod time;
mod xml;

use std::fmt;

pub use agent::Roots;
pub use client::{Body, Client, Deleted, Found, MOST_BYTES, Place, Stored};
pub use list::{LONGEST_LIST, Object};
pub use ping::ping;
pub use sign::Credentials;

/// Why a request has failed. No message has a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The service cannot be asked as things are here; with the reason.
    Setup(String),
    /// It does not answer, or not to the end, or not in time; with the reason.
    Away(String),
    /// It does not allow this.
    Denied(String),
    /// It answers with another status than expected; with that, and its own code for it.
    Refused {
        /// Of HTTP.
        status: u16,
        /// Such as `NoSuchBucket`; empty where it gives none.
        code: String,
    },
    /// Its answer is not one that S3 gives; with what is wrong.
    Answer(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(why) => f.write_str(why),
            Self::Away(why) => write!(f, "the S3 service cannot be reached: {why}"),
            Self::Denied(code) => write!(f, "the S3 service does not allow it ({code})"),
            Self::Refused { status, code } if code.is_empty() => write!(f, "the S3 service answers {status}"),
            Self::Refused { status, code } => write!(f, "the S3 service answers {status} ({code})"),
            Self::Answer(why) => write!(f, "the S3 service gives a wrong answer: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// The result of every function here that may fail.
pub type Result<T> = std::result::Result<T, Error>;
