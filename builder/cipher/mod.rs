//! Files in the format of age (age-encryption.org/v1): to recipients, whose identities can read them, or with a
//! passphrase. The crate `age` does it; without the cargo feature of that name every function here says so.

#[cfg(not(feature = "age"))]
mod absent;
mod kinds;
#[cfg(feature = "age")]
mod present;

#[cfg(not(feature = "age"))]
use absent as implementation;
#[cfg(feature = "age")]
use present as implementation;

use std::io::{Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::disk;
use crate::failure::{Doing, Exit, Failure, Result};

use kinds::MAX_KEYS_BYTES;
pub use kinds::{Ask, Recipient, To, is_encrypted};

/// The most recipients of one file: each adds a few hundred bytes to its header.
const MAX_RECIPIENTS: usize = 256;

impl Recipient {
    /// # Errors
    /// `Exit::Usage` when it is none, or one of a kind that this version of Kiln does not know.
    pub fn parse(text: &str) -> Result<Self> {
        implementation::recipient(text.trim()).map(Self)
    }
}

/// All recipients that are given, and those in files: one a line, with empty lines and comments (`#`), as age has it.
/// Sorted, each once.
///
/// # Errors
/// `Exit::Usage` for a mistake in one of them, with its line; when there are none, or too many.
pub fn recipients(texts: &[String], files: &[impl AsRef<Path>]) -> Result<Vec<Recipient>> {
    let mut all = texts.iter().map(|text| Recipient::parse(text)).collect::<Result<Vec<_>>>()?;
    for file in files {
        let file = file.as_ref();
        let bytes = named(file, Exit::Usage)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::new(Exit::Usage, format!("{} is not UTF-8", file.display())))?;
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let reading = || format!("reading line {} of {}", at + 1, file.display());
            all.push(Recipient::parse(line).doing(reading)?);
        }
    }
    all.sort();
    all.dedup();
    match all.len() {
        0 => Err(Failure::new(Exit::Usage, "there are no recipients; name at least one with --recipient")),
        1..=MAX_RECIPIENTS => Ok(all),
        many => Err(Failure::new(
            Exit::Usage,
            format!("{many} recipients are more than {MAX_RECIPIENTS}; use fewer"),
        )),
    }
}

/// A file that the command line names; `wrong` is for one that is too large or no file.
fn named(file: &Path, wrong: Exit) -> Result<Vec<u8>> {
    if disk::look(&disk::resolved(file))?.is_none() {
        return Err(Failure::new(Exit::Usage, format!("there is no file {}", file.display())));
    }
    disk::read(file, MAX_KEYS_BYTES).map_err(|failure| failure.wrong_is(wrong))
}

/// # Errors
/// `Exit::Usage` without the feature; `Exit::Io` when the system has no random numbers.
pub fn encrypt(bytes: &[u8], to: To<'_>, armor: bool) -> Result<Vec<u8>> {
    implementation::encrypt(bytes, to, armor)
}

/// A private key that reads files; wiped from memory by the crate when dropped.
pub struct Identity(implementation::Identity);

/// Those of a file: of age-keygen, the same encrypted with a passphrase, or a private key of OpenSSH.
///
/// # Errors
/// `Exit::Usage` when it is missing; `Exit::Untrusted` when it holds none; those of `ask`.
pub fn identities(file: &Path, ask: Ask) -> Result<Vec<Identity>> {
    let reading = || format!("reading the identity {}", file.display());
    let bytes = Zeroizing::new(named(file, Exit::Untrusted)?);
    let all = implementation::identities(&bytes, file, ask).doing(reading)?;
    Ok(all.into_iter().map(Identity).collect())
}

/// The content of a file of at most so many bytes; `name` is what it is called where its passphrase is asked for.
///
/// # Errors
/// `Exit::Untrusted` when it is damaged, is larger, or no identity reads it; those of `ask`, which is asked for the
/// passphrase where the file has one; `Exit::Usage` without the feature, and without an identity where it needs one.
pub fn decrypt(
    bytes: &[u8],
    identities: &[Identity],
    limit: u64,
    name: &str,
    ask: Ask,
) -> Result<Zeroizing<Vec<u8>>> {
    let identities: Vec<_> = identities.iter().map(|identity| &identity.0).collect();
    implementation::decrypt(bytes, &identities, limit, name, ask)
}

/// The content of a file of any size, written to `to` piece by piece; what was written of one that is damaged is of no
/// use.
///
/// # Errors
/// As [`decrypt`]; `Exit::Io` when it cannot be read or written.
pub fn decrypt_to(
    from: &mut dyn Read,
    to: &mut dyn Write,
    identities: &[Identity],
    name: &str,
    ask: Ask,
) -> Result<()> {
    let identities: Vec<_> = identities.iter().map(|identity| &identity.0).collect();
    implementation::decrypt_to(from, to, &identities, name, ask)
}
