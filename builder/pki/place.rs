//! The keystore's directory: that it, and every part of it, is there for its owner alone.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::disk::{self, Kind};
use crate::failure::{Exit, Failure, Result};
use crate::values::{Mode, printable};

pub(super) const LIST: &str = "keystore.toml";
pub(super) const SECRET: &str = "secret";
pub(super) const CA: &str = "ca.pem";
pub(super) const CA_KEY: &str = "ca-key.pem";

/// The largest file that belongs into a keystore: the list with some ten thousand issues.
const LIMIT: u64 = 1 << 20;

pub(super) fn refuse_existing(dir: &Path) -> Result<()> {
    match disk::look(dir)? {
        None => Ok(()),
        Some(_) => Err(Failure::unsafe_to(format!(
            "{} is there already; a keystore that is overwritten is a cluster that is lost, so choose another \
             --keystore",
            dir.display()
        ))),
    }
}

/// Whether the directory and its parts are there for their owner alone.
pub(super) fn check_place(dir: &Path) -> Result<()> {
    let shown = dir.display();
    match disk::look(dir)? {
        None => {
            return Err(Failure::untrusted(format!(
                "there is no keystore at {shown}; make one with `kiln keystore init`, or name it with --keystore"
            )));
        }
        Some(found) if found.kind == Kind::Link => {
            return Err(Failure::unsafe_to(format!(
                "{shown} is a symbolic link, which others may be able to turn; name the keystore's directory itself"
            )));
        }
        Some(found) if found.kind != Kind::Directory => {
            return Err(Failure::untrusted(format!("{shown} is not a directory, so it is not a keystore")));
        }
        Some(found) => check_private(dir, found.mode)?,
    }
    for name in [LIST, SECRET, CA, CA_KEY] {
        let path = dir.join(name);
        match disk::look(&path)? {
            Some(found) if found.kind == Kind::File => check_private(&path, found.mode)?,
            Some(_) => {
                return Err(Failure::unsafe_to(format!(
                    "{} is not a regular file; a keystore holds nothing else",
                    path.display()
                )));
            }
            None => {}
        }
    }
    Ok(())
}

fn check_private(path: &Path, mode: Mode) -> Result<()> {
    if mode.bits() & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::unsafe_to(format!(
        "{path} has mode {mode}: others than its owner may reach the keys; close it with `chmod go= {path}`, and \
         make a new keystore if someone did"
    )))
}

/// One file of a keystore.
pub(super) fn part(dir: &Path, name: &str) -> Result<Zeroizing<Vec<u8>>> {
    let path = dir.join(name);
    if disk::look(&path)?.is_none() {
        return Err(Failure::untrusted(format!("its file {name} is missing; restore it from a backup")));
    }
    disk::read(&path, LIMIT).map(Zeroizing::new)
}

/// The lock that `Staging` takes too, so that nobody replaces a keystore while it is read.
pub(super) fn lock_path(dir: &Path) -> Result<PathBuf> {
    match dir.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok(dir.with_file_name(format!(".{name}.lock"))),
        None => Err(Failure::new(
            Exit::Usage,
            format!(
                "{} has no name of its own; give the keystore's directory by its name",
                printable(&dir.display().to_string())
            ),
        )),
    }
}
