//! With the crate `age`.

use std::io::{BufReader, Read, Write};
use std::path::Path;

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::SecretString;
use age::{Callbacks, DecryptError, Decryptor, Encryptor, IdentityFile, scrypt, ssh, x25519};
use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

use super::kinds::{Ask, MAX_KEYS_BYTES, To, is_encrypted};
use crate::digest;
use crate::failure::{Doing, Exit, Failure, Result};

pub type Identity = Box<dyn age::Identity>;

/// log2 of scrypt's cost for a new passphrase: 256 MiB of memory, as age itself takes.
const WORK_FACTOR: u8 = 18;

/// The highest cost that is paid to read a file, 1 GiB of memory: a file from elsewhere could ask for much more.
const MAX_WORK_FACTOR: u8 = 20;

/// Bytes that are decrypted at once.
const PIECE: usize = 64 << 10;

fn usage(reason: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, reason)
}

pub fn recipient(text: &str) -> Result<String> {
    if text.starts_with("AGE-SECRET-KEY-") || text.contains("PRIVATE KEY") {
        return Err(usage(
            "this is a private key; give the public one, which begins with age1 or ssh-ed25519",
        ));
    }
    parsed(text).map(|_| match text.starts_with("ssh-") {
        // A comment may follow, which is no part of the key.
        true => text.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" "),
        false => text.to_owned(),
    })
}

fn parsed(text: &str) -> Result<Box<dyn age::Recipient>> {
    let shown: String = text.chars().take(40).collect();
    if text.starts_with("ssh-") {
        let key = text.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ");
        return match key.parse::<ssh::Recipient>() {
            Ok(recipient @ ssh::Recipient::SshEd25519(..)) => Ok(Box::new(recipient)),
            // The rsa crate has timing side channels, so nothing is encrypted for it.
            _ => Err(usage(format!(
                "{shown:?} is no SSH public key that Kiln encrypts to; it is ssh-ed25519, a space, and base64, as in \
                 ~/.ssh/id_ed25519.pub"
            ))),
        };
    }
    match text.parse::<x25519::Recipient>() {
        Ok(recipient) => Ok(Box::new(recipient)),
        Err(_) => Err(usage(format!(
            "{shown:?} is no recipient; write the public key that age-keygen prints (age1 and 58 more characters; those \
             of plug-ins are not supported), or an Ed25519 public key of SSH"
        ))),
    }
}

pub fn encrypt(bytes: &[u8], to: To<'_>, armor: bool) -> Result<Vec<u8>> {
    let recipients: Vec<Box<dyn age::Recipient>> = match to {
        To::Recipients(all) => all.iter().map(|one| parsed(one.as_str())).collect::<Result<_>>()?,
        To::Passphrase(passphrase) => {
            let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
            recipient.set_work_factor(WORK_FACTOR);
            vec![Box::new(recipient)]
        }
    };
    let encryptor = Encryptor::with_recipients(recipients.iter().map(|one| &**one))
        .map_err(|_| usage("these recipients cannot be used together; name others"))?;
    let encrypting = || "encrypting".to_owned();
    let format = if armor { Format::AsciiArmor } else { Format::Binary };
    let to = ArmoredWriter::wrap_output(Vec::new(), format).doing(encrypting)?;
    let mut to = encryptor.wrap_output(to).doing(encrypting)?;
    to.write_all(bytes).doing(encrypting)?;
    to.finish().and_then(ArmoredWriter::finish).doing(encrypting)
}

pub fn identities(bytes: &[u8], file: &Path, ask: Ask) -> Result<Vec<Identity>> {
    let opened;
    let bytes = match is_encrypted(bytes) {
        true => {
            opened = decrypt(bytes, &[], MAX_KEYS_BYTES, &format!("the identity {}", file.display()), ask)?;
            &opened[..]
        }
        false => bytes,
    };
    let none = || {
        Failure::untrusted(
            "it holds no identity of age (AGE-SECRET-KEY-1…) and no private key of OpenSSH that can decrypt (Ed25519)",
        )
    };
    if bytes.starts_with(b"-----BEGIN") {
        let key = ssh::Identity::from_buffer(bytes, Some(file.display().to_string())).map_err(|_| none())?;
        return match key {
            ssh::Identity::Unsupported(_) => Err(none()),
            _ if is_rsa(bytes) => Err(none()),
            key => Ok(vec![Box::new(key.with_callbacks(Asking { ask, file: file.display().to_string() }))]),
        };
    }
    // Without the crate's own words: they would not say what is expected.
    let keys = IdentityFile::from_buffer(bytes).map_err(|_| none())?;
    let keys = keys.into_identities().map_err(|_| none())?;
    match keys.is_empty() {
        true => Err(none()),
        false => Ok(keys.into_iter().map(|key| key as Identity).collect()),
    }
}

/// Whether a private key of OpenSSH or PEM is one for RSA. That of OpenSSH has the kind of the key in plain
/// (PROTOCOL.key of OpenSSH), also where it has a passphrase.
fn is_rsa(key: &[u8]) -> bool {
    let text = Zeroizing::new(String::from_utf8_lossy(key).into_owned());
    let body: Zeroizing<String> =
        Zeroizing::new(text.lines().filter(|line| !line.starts_with("-----")).collect());
    let bytes = Base64::decode_vec(&body).map(Zeroizing::new).unwrap_or_default();
    // After the magic, the cipher, the KDF with its options and the number of keys comes the first public key, which
    // begins with its kind: at the first of these places. A comment comes later.
    let kind = |kind: &[u8]| bytes.windows(kind.len()).position(|part| part == kind);
    let (rsa, other) = (kind(b"\0\0\0\x07ssh-rsa"), kind(b"\0\0\0\x0bssh-ed25519"));
    text.starts_with("-----BEGIN RSA") || rsa.is_some_and(|rsa| other.is_none_or(|other| rsa < other))
}

pub fn decrypt(
    bytes: &[u8],
    identities: &[&Identity],
    limit: u64,
    name: &str,
    ask: Ask,
) -> Result<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(Vec::new());
    opened(&mut &bytes[..], identities, name, ask, |stream| {
        stream.take(limit + 1).read_to_end(&mut plain).map_err(|_| damaged()).map(drop)
    })?;
    match plain.len() as u64 > limit {
        true => {
            Err(Failure::untrusted(format!("it holds more than {limit} bytes, which no file of Kiln's does")))
        }
        false => Ok(plain),
    }
}

pub fn decrypt_to(
    from: &mut dyn Read,
    to: &mut dyn Write,
    identities: &[&Identity],
    name: &str,
    ask: Ask,
) -> Result<()> {
    opened(from, identities, name, ask, |mut stream| {
        let write = |piece: &[u8]| to.write_all(piece).doing(|| "writing what is in it".into());
        digest::each_piece(&mut stream, &mut vec![0; PIECE], write, |_| damaged())
    })
}

/// Calls `take` with the content of a file.
fn opened(
    from: &mut dyn Read,
    identities: &[&Identity],
    name: &str,
    ask: Ask,
    take: impl FnOnce(&mut dyn Read) -> Result<()>,
) -> Result<()> {
    let opened = Decryptor::new_buffered(ArmoredReader::new(BufReader::new(from)));
    let opened = opened.map_err(|error| refused(&error))?;
    let with_passphrase;
    let own: Vec<&dyn age::Identity> = match (opened.is_scrypt(), identities) {
        (true, _) => {
            let mut identity = scrypt::Identity::new(SecretString::from(ask(name)?.as_str().to_owned()));
            identity.set_max_work_factor(MAX_WORK_FACTOR);
            with_passphrase = identity;
            vec![&with_passphrase]
        }
        (false, []) => {
            return Err(usage("it is encrypted to recipients; name the file of an identity with --identity"));
        }
        (false, all) => all.iter().map(|identity| &***identity).collect(),
    };
    take(&mut opened.decrypt(own.into_iter()).map_err(|error| refused(&error))?)
}

fn damaged() -> Failure {
    Failure::untrusted("it is damaged, or was not encrypted with age; use another copy")
}

fn refused(error: &DecryptError) -> Failure {
    match error {
        DecryptError::NoMatchingKeys => {
            Failure::untrusted("no identity that was given can decrypt it; name another file with --identity")
        }
        DecryptError::ExcessiveWork { .. } => Failure::untrusted(format!(
            "its passphrase costs more work than Kiln does for a file (2^{MAX_WORK_FACTOR}); decrypt it with age itself"
        )),
        DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed => {
            Failure::untrusted("the passphrase is wrong, or the file is damaged")
        }
        DecryptError::UnknownFormat => {
            Failure::untrusted("it is of a version of age's format that is not supported")
        }
        _ => damaged(),
    }
}

/// Asks for the passphrase of an SSH key, which is only known to be needed when a file is encrypted to that key.
#[derive(Clone)]
struct Asking {
    ask: Ask,
    file: String,
}

impl Callbacks for Asking {
    fn display_message(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _: &str) -> Option<SecretString> {
        let passphrase = (self.ask)(&format!("the identity {}", self.file)).ok()?;
        Some(SecretString::from(passphrase.as_str().to_owned()))
    }
}
