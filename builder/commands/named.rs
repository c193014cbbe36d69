//! Files and keystores that the command line names.

use std::path::{Path, PathBuf};

use super::places::KEYSTORES;
use crate::cli;
use crate::disk::{self, Kind};
use crate::failure::{Exit, Failure, Result};
use crate::pki;
use crate::values::ClusterName;

/// The directory of the keystores of several clusters.
pub fn keystores(given: &cli::Keys) -> PathBuf {
    given.keystore.clone().unwrap_or_else(|| PathBuf::from(KEYSTORES))
}

/// The location of a cluster's keystore: the given directory, or the one in it where it holds those of several
/// clusters.
pub fn keystore_path(given: Option<&PathBuf>, cluster: &ClusterName) -> PathBuf {
    let Some(given) = given else { return Path::new(KEYSTORES).join(cluster.as_str()) };
    let in_it = given.join(cluster.as_str());
    if !pki::looks_like_keystore(given) && pki::looks_like_keystore(&in_it) { in_it } else { given.clone() }
}

/// Reads a file with a key or a certificate that the command line names.
///
/// # Errors
/// Those of [`refuse_missing`]; `Exit::Untrusted` when it is larger than the limit; `Exit::Io`.
pub fn given(path: &Path, limit: u64) -> Result<Vec<u8>> {
    refuse_missing(path)?;
    disk::read(path, limit).map_err(|failure| failure.wrong_is(Exit::Untrusted))
}

/// # Errors
/// `Exit::Usage` when a file that the command line names is missing, or is a directory.
pub fn refuse_missing(path: &Path) -> Result<()> {
    let refuse = |what: &str| Err(Failure::new(Exit::Usage, format!("{what} {}", path.display())));
    match disk::look(&disk::resolved(path))?.map(|found| found.kind) {
        // A link that is left after all links were followed leads nowhere.
        None | Some(Kind::Link) => refuse("there is no file"),
        Some(Kind::Directory) => refuse("a file is needed, not the directory"),
        Some(_) => Ok(()),
    }
}

/// The same of a file that holds this secret. Its path is not repeated: it may be the secret itself.
///
/// # Errors
/// Those of [`refuse_missing`].
pub fn refuse_missing_secret(path: &Path, secret: &str) -> Result<()> {
    // What is there is no secret.
    if disk::look(&disk::resolved(path)).is_ok_and(|found| found.is_some()) {
        return refuse_missing(path);
    }
    let reason = format!(
        "there is no file with {secret} at the path that was given; if that was the secret itself, write it into a file"
    );
    Err(Failure::new(Exit::Usage, reason))
}

/// A warning about a file with a secret that other users of this machine may read; `secret` is what it holds.
///
/// # Errors
/// Those of [`refuse_missing`].
pub fn open_to_others(path: &Path, secret: &str) -> Result<Option<String>> {
    refuse_missing_secret(path, secret)?;
    // What is no file is refused when it is read.
    let file = disk::look(&disk::resolved(path))?.filter(|found| found.kind == Kind::File);
    Ok(file.filter(|file| file.mode.bits() & 0o077 != 0).map(|file| {
        let (path, mode) = (path.display(), file.mode);
        format!("{path} has mode {mode}: other users may have read {secret}; close it with chmod go= {path}")
    }))
}
