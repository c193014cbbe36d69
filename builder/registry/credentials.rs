//! Who asks: a name and a password given on the command line, or those that `docker login` or `podman login` wrote down.

use std::collections::BTreeMap;
use std::path::Path;

use base64ct::{Base64, Encoding};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::address::Address;
use super::limits::MAX_CREDENTIALS_BYTES;
use crate::disk;
use crate::failure::{Failure, Result};

/// It has no `Debug`: no message may show a password.
pub struct Login {
    user: String,
    password: Zeroizing<String>,
}

impl Login {
    /// The value of an `Authorization` header (RFC 7617).
    pub(super) fn basic(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new(format!("{}:{}", self.user, *self.password));
        let encoded = Zeroizing::new(Base64::encode_string(pair.as_bytes()));
        Zeroizing::new(format!("Basic {}", *encoded))
    }
}

/// What there is to log in with, which may be nothing.
#[derive(Default)]
pub struct Credentials {
    pub(super) login: Option<Login>,
    /// Why there is no login although something was found. Said only when the registry asks for one.
    pub(super) hint: Option<String>,
}

impl Credentials {
    /// A password from a file, without the line end that editors leave there.
    pub fn given(user: &str, password_file: &Path) -> Result<Self> {
        let bytes = Zeroizing::new(disk::read(password_file, MAX_CREDENTIALS_BYTES)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Failure::io("it is not UTF-8 text").while_doing(format!("reading {}", password_file.display()))
        })?;
        let password = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
        // RFC 7617 ends the name at the first colon.
        if user.contains(':') || user.is_empty() || password.chars().any(char::is_control) {
            return Err(Failure::io(format!(
                "a user name is text without a colon, and {} holds a password of one line",
                password_file.display()
            )));
        }
        Ok(Self { login: Some(Login { user: user.to_owned(), password }), hint: None })
    }

    /// What a file of docker's or podman's says of this address (docker's `config.json`; containers-auth.json(5)).
    pub fn from_config(path: &Path, address: &Address) -> Result<Self> {
        let bytes = Zeroizing::new(disk::read(path, MAX_CREDENTIALS_BYTES)?);
        // serde's own message may quote what it found, and that may be a password.
        let config: Config = serde_json::from_slice(&bytes).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Failure::io(format!("it is not a file of docker's or podman's ({place})"))
                .while_doing(format!("reading {}", path.display()))
        })?;
        let hint = |what: String| {
            let hint = format!("{} {what}", path.display());
            Ok(Self { login: None, hint: Some(hint) })
        };
        if let Some(helper) = config.helpers.get(&address.host) {
            return hint(format!("leaves it to the credential helper {helper:?}, which kiln does not ask"));
        }
        let entry = config.entry(address);
        if let Some(login) = entry.and_then(Entry::login) {
            return Ok(Self { login: Some(login), hint: None });
        }
        match (&config.store, entry) {
            (Some(store), _) => {
                hint(format!("leaves it to the credential store {store:?}, which kiln does not ask"))
            }
            (None, Some(_)) => hint("has no name and password for it that kiln can read".into()),
            (None, None) => Ok(Self::default()),
        }
    }
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers", default)]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore", default)]
    store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<Zeroizing<String>>,
}

impl Entry {
    fn login(&self) -> Option<Login> {
        let bytes = Zeroizing::new(Base64::decode_vec(self.auth.as_ref()?.trim()).ok()?);
        let (user, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
        // Some writers of that file end the password with a NUL.
        let password = Zeroizing::new(password.trim_end_matches('\0').to_owned());
        (!user.is_empty()).then(|| Login { user: user.to_owned(), password })
    }
}

impl Config {
    /// The entry of the longest name that the address begins with: podman writes `HOST/REPOSITORY` as well.
    fn entry(&self, address: &Address) -> Option<&Entry> {
        let whole = format!("{}/{}", address.host, address.repository);
        let covers =
            |name: &str| whole == name || whole.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        let named = self.auths.iter().map(|(name, entry)| (bare(name), entry));
        named.filter(|(name, _)| covers(name)).max_by_key(|(name, _)| name.len()).map(|(_, entry)| entry)
    }
}

/// docker writes some hosts as the URL of their API: `https://HOST/v1/`.
fn bare(name: &str) -> &str {
    let name = name.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    name.strip_suffix("/v1").or_else(|| name.strip_suffix("/v2")).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Scratch;
    use crate::values::Mode;

    fn read(text: &str) -> Result<Credentials> {
        let scratch = Scratch::new("test").unwrap();
        let path = scratch.write("config.json", text.as_bytes(), Mode::SECRET).unwrap();
        Credentials::from_config(&path, &"oci://registry.lan:5000/clusters/ha3:v1".parse().unwrap())
    }

    /// What is asked with, or the hint.
    fn found(text: &str) -> String {
        let found = read(text).unwrap();
        found
            .login
            .map(|login| format!("{}:{}", login.user, *login.password))
            .or(found.hint)
            .unwrap_or_default()
    }

    #[test]
    fn the_closest_entry_is_taken() {
        let auth = |pair: &str| format!(r#"{{"auth":"{}"}}"#, Base64::encode_string(pair.as_bytes()));
        let (a, b) = (auth("ann:one:two"), auth("bob:x\0"));
        for (text, want) in [
            (format!(r#"{{"auths":{{"registry.lan:5000":{a}}}}}"#), "ann:one:two"),
            (format!(r#"{{"auths":{{"https://registry.lan:5000/v1/":{b}}}}}"#), "bob:x"),
            (format!(r#"{{"auths":{{"registry.lan:5000/clusters":{b},"registry.lan:5000":{a}}}}}"#), "bob:x"),
            (
                format!(r#"{{"auths":{{"registry.lan:5000/cluster":{b},"registry.lan:5000":{a}}}}}"#),
                "ann:one:two",
            ),
            (format!(r#"{{"auths":{{"registry.lan":{a},"registry.lan:50":{a}}}}}"#), ""),
            ("{}".to_owned(), ""),
        ] {
            assert_eq!(found(&text), want, "{text}");
        }
    }

    #[test]
    fn helpers_are_named_and_not_asked() {
        for text in [
            r#"{"credHelpers":{"registry.lan:5000":"vault"}}"#,
            r#"{"auths":{"registry.lan:5000":{}},"credsStore":"vault"}"#,
        ] {
            assert!(found(text).contains("\"vault\", which kiln does not ask"), "{text}");
        }
        assert!(found(r#"{"auths":{"registry.lan:5000":{"identitytoken":"x"}}}"#).contains("kiln can read"));
    }

    #[test]
    fn no_message_quotes_the_file() {
        for text in [r#"{"auths":"c2VjcmV0"}"#, r#"{"auths":{"registry.lan:5000":"c2VjcmV0"}}"#, "c2VjcmV0"] {
            let error = read(text).err().unwrap().to_string();
            assert!(error.contains("line 1") && !error.contains("c2VjcmV0"), "{error}");
        }
    }
}
