//! Where the parts of a keystore are read from: its directory, an export, or a page that was typed in.

use std::collections::BTreeMap;
use std::path::Path;

use zeroize::Zeroizing;

use super::text::{abridged, completed};
use crate::disk;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::pki::damage::changed;
use crate::pki::place::{LIST, SECRET, encrypted, part};
use crate::pki::secret::Secret;
use crate::unlock;
use crate::values::ClusterName;

/// Files by their names, with the secrets among them in plain.
pub type Files = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// One file, by its name.
pub type Part = (&'static str, Zeroizing<Vec<u8>>);

pub enum Source<'a> {
    Directory(&'a Path),
    Export(&'a Files),
    /// `keystore.toml` is abridged there (`abridged`), and the certificates of successors may be missing.
    Page(&'a Files),
}

impl Source<'_> {
    pub fn has(&self, name: &str) -> Result<bool> {
        match self {
            Self::Directory(dir) => Ok(disk::look(&dir.join(name))?.is_some()),
            Self::Export(files) | Self::Page(files) => Ok(files.contains_key(name)),
        }
    }

    /// One that is no secret.
    ///
    /// # Errors
    /// `Exit::Untrusted` when it is missing.
    pub fn get(&self, name: &str) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Self::Directory(dir) => part(dir, name),
            Self::Export(files) | Self::Page(files) => files.get(name).cloned().ok_or_else(|| {
                Failure::untrusted(format!("the file {name} of the keystore is not in it; use another copy"))
            }),
        }
    }

    /// `keystore.toml` as it can be parsed.
    pub fn list(&self) -> Result<String> {
        let bytes = self.get(LIST)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| changed())?;
        Ok(match self {
            Self::Directory(_) | Self::Export(_) => text.to_owned(),
            Self::Page(_) => completed(text),
        })
    }

    /// Whether `keystore.toml` is there exactly as Kiln writes it, so that every changed byte is detected.
    pub fn is_as_written(&self, rendered: &str) -> Result<bool> {
        let bytes = self.get(LIST)?;
        Ok(match self {
            Self::Directory(_) | Self::Export(_) => *bytes == rendered.as_bytes(),
            Self::Page(_) => *bytes == abridged(rendered).as_bytes(),
        })
    }

    /// A part with a secret, in plain; `is_encrypted` is what `keystore.toml` says.
    ///
    /// # Errors
    /// `Exit::Untrusted` when it is missing or damaged, and those of `unlock`.
    pub fn secret_part(
        &self,
        name: &str,
        is_encrypted: bool,
        of: &ClusterName,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let Self::Directory(dir) = self else { return self.get(name) };
        if !is_encrypted {
            return part(dir, name);
        }
        if self.has(name)? {
            return Err(Failure::unsafe_to(format!(
                "its file {name} is there in plain, although its secrets are encrypted; move it elsewhere"
            )));
        }
        let file = encrypted(name);
        unlock::decrypted(&part(dir, &file)?, &format!("the keystore of {of}"))
            .doing(|| format!("decrypting its file {file}"))
    }

    /// Whether such a part is there.
    pub fn has_secret(&self, name: &str, is_encrypted: bool) -> Result<bool> {
        match self {
            Self::Directory(_) if is_encrypted => self.has(&encrypted(name)),
            _ => self.has(name),
        }
    }

    /// The secret, and whether it is kept elsewhere: a command has printed it then.
    ///
    /// # Errors
    /// As `secret_part`, and those of the command.
    pub fn secret(&self, is_encrypted: bool, of: &ClusterName) -> Result<(Secret, bool)> {
        let is_here = self.has(SECRET)? || self.has_secret(SECRET, is_encrypted)?;
        if !is_here
            && matches!(self, Self::Directory(_))
            && let Some(printed) = unlock::printed(of.as_str())?
        {
            let digits = printed.strip_suffix(b"\n").unwrap_or(&printed);
            let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
            let line = Zeroizing::new([digits, b"\n"].concat());
            let secret = Secret::from_text(&line).ok_or_else(|| {
                Failure::untrusted(format!(
                    "the command of --secret-from printed {} bytes, which are not the 64 lower-case hex digits of the file {SECRET}",
                    printed.len()
                ))
            });
            return secret.map(|secret| (secret, true));
        }
        if !is_here && matches!(self, Self::Directory(_)) {
            return Err(Failure::new(
                Exit::Untrusted,
                format!(
                    "its file {SECRET} is missing; restore it from a backup, or name the command that prints it with --secret-from"
                ),
            ));
        }
        secret_of(SECRET, &self.secret_part(SECRET, is_encrypted, of)?).map(|secret| (secret, false))
    }
}

pub fn secret_of(file: &str, text: &[u8]) -> Result<Secret> {
    Secret::from_text(text).ok_or_else(|| {
        Failure::untrusted(format!(
            "the file {file} is not 64 lower-case hex digits and a newline; restore it"
        ))
    })
}
