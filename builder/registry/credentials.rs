//! The login: a name and a password given on the command line, or those that `docker login` or `podman login` stored.

use std::collections::BTreeMap;
use std::path::Path;

use base64ct::{Base64, Encoding};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::address::Address;
use super::helper;
use super::limits::MAX_CREDENTIALS_BYTES;
use super::login::Login;
use crate::disk;
use crate::failure::{Exit, Failure, Result};

/// The available login, if any.
#[derive(Default)]
pub struct Credentials {
    pub(super) login: Option<Login>,
    /// The reason why there is no login although something was found. Shown only when the registry requires one.
    pub(super) hint: Option<String>,
}

impl Credentials {
    /// A password from a file, without a trailing line end, which editors add.
    pub fn given(user: &str, password_file: &Path) -> Result<Self> {
        let bytes = Zeroizing::new(read_file(password_file)?);
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Failure::io("it is not UTF-8 text").while_doing(format!("reading {}", password_file.display()))
        })?;
        let password = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
        match Login::new(user.to_owned(), password) {
            Some(login) => Ok(Self { login: Some(login), hint: None }),
            None => Err(Failure::io(format!(
                "a user name is text without a colon, and {} holds a password of one line",
                password_file.display()
            ))),
        }
    }

    /// The login for this address in a file of docker's or podman's (docker's `config.json`; containers-auth.json(5)).
    pub fn from_config(path: &Path, address: &Address) -> Result<Self> {
        let bytes = Zeroizing::new(read_file(path)?);
        // serde's own message may quote the file's text, and that may be a password.
        let config: Config = serde_json::from_slice(&bytes).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Failure::io(format!("it is not a credentials file of docker or podman ({place})"))
                .while_doing(format!("reading {}", path.display()))
        })?;
        let hint = |what: String| Ok(Self { login: None, hint: Some(format!("{} {what}", path.display())) });
        let entry = config.entry(address);
        let in_file = entry.and_then(Entry::login);
        // As docker does: the helper of the host, else the store of all hosts, else the file itself.
        let Some(helper) =
            config.helpers.get(&address.host).or(config.store.as_ref().filter(|store| !store.is_empty()))
        else {
            return match in_file {
                None if entry.is_some() => {
                    hint("has no user name and password for it that Kiln can read".into())
                }
                login => Ok(Self { login, hint: None }),
            };
        };
        match (helper::login(helper, &address.host), in_file) {
            (Err(failure), _) if failure.exit() == Exit::Interrupted => Err(failure),
            (Ok(Some(login)), _) | (_, Some(login)) => Ok(Self { login: Some(login), hint: None }),
            (Ok(None), None) => Ok(Self::default()),
            // Not an error yet: the registry may not require a login.
            (Err(failure), None) => hint(format!("names the credential helper {helper:?}: {failure}")),
        }
    }
}

/// A file of the user's with a password or a CA.
///
/// # Errors
/// `Exit::Io`, also when it is too large to be one.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>> {
    disk::read(path, MAX_CREDENTIALS_BYTES).map_err(|failure| failure.wrong_is(Exit::Io))
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
        // Some programs that write this file end the password with a NUL.
        let password = Zeroizing::new(password.trim_end_matches('\0').to_owned());
        Login::new(user.to_owned(), password)
    }
}

impl Config {
    /// The entry with the longest name that is a prefix of the address: podman also writes `HOST/REPOSITORY`.
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

    /// The login that is used, or the hint.
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
    fn a_helper_that_is_not_there_is_named() {
        for text in [
            r#"{"credHelpers":{"registry.lan:5000":"not-there"}}"#,
            r#"{"auths":{"registry.lan:5000":{}},"credsStore":"not-there"}"#,
        ] {
            let said = found(text);
            assert!(
                said.contains("helper \"not-there\"") && said.contains("docker-credential-not-there"),
                "{said}"
            );
        }
        // The login in the file is used if the helper does not work.
        let both = r#"{"auths":{"registry.lan:5000":{"auth":"YTpi"}},"credHelpers":{"registry.lan:5000":"not-there"}}"#;
        assert_eq!(found(both), "a:b");
        assert_eq!(found(r#"{"auths":{"registry.lan:5000":{"auth":"YTpi"}},"credsStore":""}"#), "a:b");
        for bad in ["../x", "a b", ""] {
            let said = found(&format!(r#"{{"credHelpers":{{"registry.lan:5000":"{bad}"}}}}"#));
            assert!(said.contains("cannot be the name of a credential helper"), "{said}");
        }
        assert!(found(r#"{"auths":{"registry.lan:5000":{"identitytoken":"x"}}}"#).contains("Kiln can read"));
    }

    #[test]
    fn no_message_quotes_the_file() {
        for text in [r#"{"auths":"c2VjcmV0"}"#, r#"{"auths":{"registry.lan:5000":"c2VjcmV0"}}"#, "c2VjcmV0"] {
            let error = read(text).err().unwrap().to_string();
            assert!(error.contains("line 1") && !error.contains("c2VjcmV0"), "{error}");
        }
    }
}
