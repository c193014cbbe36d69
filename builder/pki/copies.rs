//! What a keystore records of its copies and its secrets: the last export, and to whom they are encrypted.

use serde::Deserialize;

use super::damage::changed;
use crate::cipher::Recipient;
use crate::failure::Result;
use crate::values::{Digest, Epoch};

/// The last export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exported {
    /// The day and time of it.
    pub date: Epoch,
    /// The state of the keystore that was exported (`Keystore::state`).
    pub state: Digest,
    /// Whether the secret of the CAs that follow was in it.
    pub has_successor: bool,
}

/// How the secrets of a keystore are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Encrypted {
    /// Never empty, sorted.
    Recipients(Vec<Recipient>),
    Passphrase,
}

/// `[exported]` in `keystore.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExported {
    date: String,
    state: String,
    successor: bool,
}

/// `[encrypted]` in `keystore.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEncrypted {
    #[serde(default)]
    recipients: Vec<String>,
    #[serde(default)]
    passphrase: bool,
}

impl RawExported {
    pub fn read(&self) -> Result<Exported> {
        let date = self.date.parse().map_err(|_| changed())?;
        let state = self.state.parse().map_err(|_| changed())?;
        Ok(Exported { date, state, has_successor: self.successor })
    }
}

impl RawEncrypted {
    pub fn read(&self) -> Result<Encrypted> {
        let recipients: Vec<Recipient> =
            self.recipients.iter().map(|text| Recipient::parse(text)).collect::<Result<_>>()?;
        match (recipients.is_empty(), self.passphrase) {
            (false, false) => Ok(Encrypted::Recipients(recipients)),
            (true, true) => Ok(Encrypted::Passphrase),
            _ => Err(changed()),
        }
    }
}

impl Exported {
    /// As a part of `keystore.toml`.
    pub fn render(&self) -> String {
        let Self { date, state, has_successor } = self;
        format!("\n[exported]\ndate = \"{date}\"\nstate = \"{state}\"\nsuccessor = {has_successor}\n")
    }
}

impl Encrypted {
    /// As a part of `keystore.toml`.
    pub fn render(&self) -> String {
        match self {
            Self::Passphrase => "\n[encrypted]\npassphrase = true\n".to_owned(),
            // Their alphabets have no quote and no backslash.
            Self::Recipients(all) => {
                let all: Vec<_> = all.iter().map(|one| format!("\"{one}\"")).collect();
                format!("\n[encrypted]\nrecipients = [{}]\n", all.join(", "))
            }
        }
    }
}
