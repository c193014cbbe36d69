//! `backup-secrets.json`: what opens a bucket.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::place::HttpUrl;
use super::policy::schema;

/// The whole file. All of it is secret, the address of the pings too: who knows it can say that all is well.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Secrets {
    /// `SCHEMA`.
    #[serde(deserialize_with = "schema")]
    pub schema: u32,
    /// Of the bucket's account. It and `secret_access_key` are both there, or neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<Secret>,
    /// What requests are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<Secret>,
    /// Of credentials that were lent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret>,
    /// Where each run is reported, an `HttpUrl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping: Option<Secret>,
}

impl Secrets {
    /// What a type of one field alone cannot say.
    ///
    /// # Errors
    /// The reason, without any value.
    pub fn check(&self) -> Result<(), &'static str> {
        let ping = || self.ping.as_ref().map(|url| HttpUrl::try_from(url.reveal().to_owned()));
        match self {
            Self { access_key_id: None, secret_access_key: Some(_), .. }
            | Self { access_key_id: Some(_), secret_access_key: None, .. } => {
                Err("access-key-id and secret-access-key belong together")
            }
            Self { access_key_id: None, session_token: Some(_), .. } => {
                Err("session-token needs access-key-id")
            }
            Self { access_key_id: Some(id), .. } if id.reveal().contains(['/', ',', ' ', '=']) => {
                Err("access-key-id has a character that no such ID has")
            }
            _ if ping().is_some_and(|url| url.is_err()) => {
                Err("ping is http or https with a host and a path, without ?, # and a / at its end")
            }
            _ => Ok(()),
        }
    }
}

/// 1 to 4096 printable ASCII characters, wiped when dropped, and shown to nobody.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// From a text.
    ///
    /// # Errors
    /// The reason, without the text.
    pub fn new(text: Zeroizing<String>) -> Result<Self, &'static str> {
        let is_good =
            (1..=4096).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        match is_good && text.trim() == text.as_str() {
            true => Ok(Self(text)),
            false => Err("a secret has 1 to 4096 printable ASCII characters, and no space at its ends"),
        }
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // A wrong type would be named with its value.
        let text = String::deserialize(from).map_err(|_| de::Error::custom("a secret is a string"))?;
        Self::new(Zeroizing::new(text)).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_checked_and_never_shown() {
        let good = r#"{"schema": 1, "access-key-id": "AKIA", "secret-access-key": "hush/+", "ping": "https://a/hush"}"#;
        let secrets: Secrets = serde_json::from_str(good).unwrap();
        assert_eq!(secrets.check(), Ok(()));
        assert!(!format!("{secrets:?}").contains("hush"), "{secrets:?}");
        for (from, to) in [
            ("\"access-key-id\": \"AKIA\", ", ""),
            ("\"AKIA\"", "\"A/hush\""),
            ("\"AKIA\"", "4711471147"),
            ("\"hush/+\"", "\"hush\\n\""),
            ("\"hush/+\"", "\"\""),
            ("https://a/hush", "https://a/hush?x"),
            ("\"ping\"", "\"pong\""),
            ("\"schema\": 1", "\"schema\": 2"),
        ] {
            assert!(good.contains(from), "{from}");
            let said = match serde_json::from_str::<Secrets>(&good.replacen(from, to, 1)) {
                Ok(secrets) => secrets.check().unwrap_err().to_owned(),
                Err(error) => error.to_string(),
            };
            assert!(!said.contains("hush") && !said.contains("4711"), "{said}");
        }
    }
}
