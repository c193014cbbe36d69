//! The keystore's directory: checks that only its owner may access it and its parts.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::successor;
use crate::disk::{self, Found, Kind};
use crate::failure::{Exit, Failure, Result};
use crate::plan;
use crate::values::{CA_FILES, PEER_CA_FILES, on_one_line, printable};

pub(super) const LIST: &str = "keystore.toml";
pub(super) const SECRET: &str = "secret";
/// The imported CAs: each authority with the files of its chain and of its key.
pub(super) const FOREIGN: [(&str, &str, &str); 2] =
    [(plan::CA, CA_FILES.cert, CA_FILES.key), (plan::PEER_CA, PEER_CA_FILES.cert, PEER_CA_FILES.key)];

/// The largest file in a keystore: the list with thousands of issues, or of members.
pub(super) const MAX_PART_BYTES: u64 = 16 << 20;

/// The parts with secrets, which lie under the names of [`encrypted`] where they are encrypted.
pub(super) const SECRETS: [&str; 4] = [SECRET, successor::SECRET, FOREIGN[0].2, FOREIGN[1].2];

/// What is added to the name of a part that is encrypted.
const ENCRYPTED: &str = ".age";

/// All parts, as they are where nothing is encrypted; in the order in which they are exported.
pub(super) const PARTS: [&str; 9] = [
    LIST,
    SECRET,
    FOREIGN[0].1,
    FOREIGN[0].2,
    FOREIGN[1].1,
    FOREIGN[1].2,
    successor::SECRET,
    successor::FILES[0].1,
    successor::FILES[1].1,
];

/// The name of a part that is encrypted.
pub(super) fn encrypted(name: &str) -> String {
    format!("{name}{ENCRYPTED}")
}

/// Whether a keystore can have a file with this name.
pub(super) fn is_part(name: &str) -> bool {
    PARTS.contains(&name) || name.strip_suffix(ENCRYPTED).is_some_and(|name| SECRETS.contains(&name))
}

pub(super) fn refuse_existing(dir: &Path) -> Result<()> {
    match disk::look(dir)? {
        None => Ok(()),
        Some(_) => Err(Failure::unsafe_to(format!(
            "{} already exists, and is {}; choose another --keystore",
            dir.display(),
            disk::what(dir)
        ))),
    }
}

/// Whether a keystore, or remains of one from a killed run, or anything else is at the path.
pub(super) fn is_there(dir: &Path) -> Result<bool> {
    Ok(disk::look(dir)?.is_some() || (dir.file_name().is_some() && !disk::left_of(dir)?.is_empty()))
}

/// Removes the remains of a killed run, including copies of its secret, or restores the keystore that that run was
/// replacing. A directory with files that are not Kiln's stays. The caller holds the lock.
pub(super) fn sweep(dir: &Path) -> Result<()> {
    for left in disk::left_of(dir)? {
        let is_directory = disk::look(&left)?.is_some_and(|found| found.kind == Kind::Directory);
        if !is_directory || !disk::list(&left)?.iter().all(|name| is_part(name)) {
            return Ok(());
        }
    }
    disk::recover(dir)?;
    match disk::look(dir)? {
        Some(found) if found.kind == Kind::Directory => disk::remove_file(&disk::beside(&dir.join(LIST))),
        _ => Ok(()),
    }
}

/// Checks that the path is a keystore, and that only its owner may access its directory and parts.
pub(super) fn check_place(dir: &Path) -> Result<()> {
    let shown = dir.display();
    match disk::look(dir)? {
        Some(found) if found.kind == Kind::Link => {
            return Err(Failure::unsafe_to(format!(
                "{shown} is a symbolic link, which other users may be able to change; name the keystore's directory itself"
            )));
        }
        Some(found) if found.kind == Kind::Directory && is_keystore(dir)? => check_private(dir, &found, dir)?,
        _ => {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "{shown} is {}, not a keystore; name the keystore of one cluster with --keystore",
                    disk::what(dir)
                ),
            ));
        }
    }
    check_parent(dir)?;
    for name in PARTS.map(str::to_owned).into_iter().chain(SECRETS.map(encrypted)) {
        let path = dir.join(name);
        match disk::look(&path)? {
            Some(found) if found.kind == Kind::File => check_private(&path, &found, dir)?,
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

/// Whether one is at the path, as far as this user can see.
pub fn looks_like_keystore(dir: &Path) -> bool {
    is_keystore(dir).unwrap_or(false)
}

/// Whether it is or was a keystore: it has one of the two parts that all of them have.
fn is_keystore(dir: &Path) -> Result<bool> {
    let is_there = |name: &str| Ok(disk::look(&dir.join(name))?.is_some());
    Ok(is_there(LIST)? || is_there(SECRET)? || is_there(&encrypted(SECRET))?)
}

/// Checks that no other user can replace this keystore. A directory that does not exist yet is fine.
pub(super) fn check_parent(dir: &Path) -> Result<()> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match disk::look(parent)? {
        // If it is a link, the directory that it leads to is checked.
        Some(found) if found.kind == Kind::Link => check_parent(&disk::resolved(dir)),
        Some(found) if found.mode.lets_all_rename() => {
            let parent = parent.display();
            Err(Failure::unsafe_to(format!(
                "{parent} has mode {}: every user can replace {}; close it with `chmod o-w \
                 {parent}`",
                found.mode,
                dir.display()
            )))
        }
        _ => Ok(()),
    }
}

/// Checks that the directory contains only the keystore.
///
/// # Errors
/// `Exit::Unsafe` with the name of another file: it would be lost when the directory is replaced whole.
pub(super) fn refuse_strangers(dir: &Path) -> Result<()> {
    let strangers: Vec<String> = disk::list(dir)?.into_iter().filter(|name| !is_part(name)).collect();
    match strangers[..] {
        [] => Ok(()),
        [ref first, ref others @ ..] => Err(Failure::unsafe_to(format!(
            "{} holds {}{}, which is not part of a keystore; move it elsewhere first",
            dir.display(),
            printable(first),
            if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) }
        ))),
    }
}

/// `dir` is the keystore; its parts are opened to others together, more often than not.
fn check_private(path: &Path, found: &Found, dir: &Path) -> Result<()> {
    let (path, dir) = (path.display(), dir.display());
    if found.owner != disk::user() && found.owner != 0 {
        return Err(Failure::unsafe_to(format!(
            "{path} belongs to another user (UID {}), who may read and change the keys; run kiln as that user, or take it \
             over as root (chown -R {} {dir})",
            found.owner,
            disk::user()
        )));
    }
    if found.mode.bits() & 0o077 == 0 {
        return Ok(());
    }
    Err(Failure::unsafe_to(format!(
        "{path} has mode {}: other users can read the keys; close it with `chmod -R go= {dir}`, and if one of them may have done \
         so, create a new keystore for a new cluster",
        found.mode
    )))
}

/// One file of a keystore.
pub(super) fn part(dir: &Path, name: &str) -> Result<Zeroizing<Vec<u8>>> {
    let path = dir.join(name);
    if disk::look(&path)?.is_none() {
        return Err(Failure::untrusted(format!("its file {name} is missing; restore it from a backup")));
    }
    disk::read(&path, MAX_PART_BYTES).map(Zeroizing::new).map_err(|failure| failure.wrong_is(Exit::Untrusted))
}

/// The lock that `Staging` takes too, so that no run replaces a keystore while it is read.
pub(super) fn lock_path(dir: &Path) -> Result<PathBuf> {
    match dir.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok(dir.with_file_name(format!(".{name}.lock"))),
        None => Err(Failure::new(
            Exit::Usage,
            format!("{} has no name of its own; give the keystore's directory by its name", on_one_line(dir)),
        )),
    }
}
