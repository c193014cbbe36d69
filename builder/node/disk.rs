//! The only access to files. This program is root: it follows no link but `live`, reads only what is root's, and gives
//! files away only after they are complete.

#![allow(clippy::disallowed_methods, reason = "this is the access")]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};

/// Longer than every file that is read here.
const MAX_BYTES: u64 = 1 << 20;

/// Where what is written belongs.
#[derive(Clone, Copy)]
pub struct Owner {
    /// Of the account.
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
}

/// A file of this program's user that nobody else can write; `secret`: nor read.
///
/// # Errors
/// Where it is anything else, or too long.
pub fn read(path: &Path, secret: bool) -> Result<Zeroizing<Vec<u8>>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| Failure::io("opening", path, &error))?;
    let found = file.metadata().map_err(|error| Failure::io("reading", path, &error))?;
    let wrong = |why: &str| Err(Failure::new(format!("{} {why}", path.display())));
    let own = rustix::process::geteuid().as_raw();
    match () {
        () if !found.is_file() => return wrong("is not a file"),
        () if found.uid() != own => return wrong("belongs to another account"),
        () if found.mode() & 0o022 != 0 => return wrong("can be written by other accounts"),
        () if secret && found.mode() & 0o077 != 0 => return wrong("can be read by other accounts"),
        () if found.len() > MAX_BYTES => return wrong("is too long"),
        () => {}
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default() + 1));
    (&mut file)
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io("reading", path, &error))?;
    Ok(bytes)
}

/// A file that this program has written for another account, which cannot write it either.
///
/// # Errors
/// As `read`.
pub fn read_given(path: &Path, owner: Owner) -> Result<Zeroizing<Vec<u8>>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| Failure::io("opening", path, &error))?;
    let found = file.metadata().map_err(|error| Failure::io("reading", path, &error))?;
    let is_given = found.is_file() && found.uid() == owner.uid && found.mode() & 0o777 == 0o400;
    if !is_given || found.len() > MAX_BYTES {
        return Err(Failure::new(format!("{} is not a file of mode 0400 of its account", path.display())));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default() + 1));
    (&mut file)
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io("reading", path, &error))?;
    Ok(bytes)
}

/// Creates the directory where it is missing, and sees to it that only this program's user can change it.
///
/// # Errors
/// Where it is a link, or somebody else's.
pub fn own_directory(path: &Path, mode: u32) -> Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {
            set_mode(path, mode)?;
            path.parent().map_or(Ok(()), sync)?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Failure::io("creating", path, &error)),
    }
    let found = fs::symlink_metadata(path).map_err(|error| Failure::io("reading", path, &error))?;
    let is_own =
        found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0;
    if is_own {
        return Ok(());
    }
    Err(Failure::new(format!("{} is not a directory that only this account can change", path.display())))
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|error| Failure::io("setting the mode of", path, &error))
}

/// Creates the directory, which must not exist.
///
/// # Errors
/// Of the system.
pub fn new_directory(path: &Path, mode: u32) -> Result<()> {
    fs::create_dir(path).map_err(|error| Failure::io("creating", path, &error))?;
    set_mode(path, mode)
}

/// Creates a file with its content, synced; at last it is given to `owner`.
///
/// # Errors
/// Of the system; a file of that name is one, too.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32, owner: Option<Owner>) -> Result<()> {
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        if let Some(Owner { uid, gid }) =
            owner.filter(|owner| owner.uid != rustix::process::geteuid().as_raw())
        {
            fchown(&file, Some(uid), Some(gid))?;
        }
        file.sync_all()
    };
    written().map_err(|error| Failure::io("writing", path, &error))
}

/// Replaces a file by one with this content.
///
/// # Errors
/// Of the system.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = beside(path);
    remove_file(&new)?;
    write_new(&new, bytes, 0o644, None)?;
    rename(&new, path)
}

/// Where the next content of a name is made: `NAME.new`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Where the link leads.
///
/// # Errors
/// Where it is not a link; `None`: where there is nothing.
pub fn link(path: &Path) -> Result<Option<PathBuf>> {
    match fs::read_link(path) {
        Ok(target) => Ok(Some(target)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io("reading the link", path, &error)),
    }
}

/// Makes the name a link to the target, in one step: also a reader at this moment sees the old or the new one.
///
/// # Errors
/// Of the system.
pub fn set_link(path: &Path, target: &str) -> Result<()> {
    let new = beside(path);
    remove_file(&new)?;
    symlink(target, &new).map_err(|error| Failure::io("creating", &new, &error))?;
    rename(&new, path)
}

/// Renames, and syncs the directory.
///
/// # Errors
/// Of the system.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| Failure::io("renaming to", to, &error))?;
    to.parent().map_or(Ok(()), sync)
}

/// Syncs a directory.
///
/// # Errors
/// Of the system.
pub fn sync(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Failure::io("syncing", directory, &error))
}

/// The names in a directory, those that are not UTF-8 left out.
///
/// # Errors
/// Of the system.
pub fn names(directory: &Path) -> Result<Vec<String>> {
    let failed = |error| Failure::io("listing", directory, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Removes a directory with what is in it.
///
/// # Errors
/// Of the system.
pub fn remove(directory: &Path) -> Result<()> {
    fs::remove_dir_all(directory).map_err(|error| Failure::io("removing", directory, &error))
}

/// Removes a file, where there is one.
///
/// # Errors
/// Of the system.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("removing", path, &error))
        }
        _ => Ok(()),
    }
}

/// Held until it is dropped: no other run of this program uses the directory.
pub struct Lock(#[expect(dead_code, reason = "the lock ends with the file")] File);

/// Waits for the lock.
///
/// # Errors
/// Of the system.
pub fn lock(path: &Path) -> Result<Lock> {
    let flags = (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed();
    let open = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(path);
    let file = open.map_err(|error| Failure::io("opening", path, &error))?;
    file.lock().map_err(|error| Failure::io("locking", path, &error))?;
    Ok(Lock(file))
}

/// An account of this machine, from passwd(5): this program is static, and asks no name service.
///
/// # Errors
/// Where there is none of this name.
pub fn account(name: &str) -> Result<Owner> {
    let passwd = Path::new("/etc/passwd");
    let text = read(passwd, false)?;
    let text = String::from_utf8_lossy(&text);
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (uid, gid) = (fields.next() == Some(name)).then(|| (fields.nth(1), fields.next()))?;
        Some(Owner { uid: uid?.parse().ok()?, gid: gid?.parse().ok()? })
    });
    found.ok_or_else(|| Failure::new(format!("there is no account {name} in /etc/passwd")))
}
