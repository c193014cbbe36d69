//! The only access to files. This program is root: it follows no link but `live`, reads only what is root's, writes
//! only where root alone can write, and gives files away only after they are complete.

#![allow(clippy::disallowed_methods, reason = "this is the access")]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::clock::Deadline;
use crate::failure::{Failure, Result};
use crate::steps::reached;

/// Longer than every file that is read here.
const MAX_BYTES: u64 = 1 << 20;
/// Of directories above that are missing.
const PARENT_MODE: u32 = 0o755;

/// Where what is written belongs.
#[derive(Clone, Copy)]
pub struct Owner {
    /// Of the account.
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
}

/// This program's user.
pub fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Opens what is there, without following a link, or waiting for the other end of a FIFO.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// The content of a file, if `judge` finds nothing wrong with it.
fn content(path: &Path, judge: impl Fn(&fs::Metadata) -> Option<&'static str>) -> Result<Zeroizing<Vec<u8>>> {
    let file = open(path).map_err(|error| Failure::io("opening", path, &error))?;
    let found = file.metadata().map_err(|error| Failure::io("reading", path, &error))?;
    let wrong = match () {
        () if !found.is_file() => Some("is not a file"),
        () if found.len() > MAX_BYTES => Some("is too long"),
        () => judge(&found),
    };
    if let Some(why) = wrong {
        return Err(Failure::new(format!("{} {why}", path.display())));
    }
    // With its whole length reserved, no copy of a key is left where the buffer was before.
    let length = usize::try_from(found.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    file.take(found.len()).read_to_end(&mut bytes).map_err(|error| Failure::io("reading", path, &error))?;
    Ok(bytes)
}

/// A file of this program's user that nobody else can write; `secret`: nor read.
///
/// # Errors
/// Where it is anything else, or too long.
pub fn read(path: &Path, secret: bool) -> Result<Zeroizing<Vec<u8>>> {
    content(path, |found| match () {
        () if found.uid() != own() => Some("belongs to another account"),
        () if found.mode() & 0o022 != 0 => Some("can be written by other accounts"),
        () if secret && found.mode() & 0o077 != 0 => Some("can be read by other accounts"),
        () => None,
    })
}

/// A file that this program has written for another account.
///
/// # Errors
/// As `read`.
pub fn read_given(path: &Path, owner: Owner) -> Result<Zeroizing<Vec<u8>>> {
    content(path, |found| {
        let is_given = found.uid() == owner.uid && found.mode() & 0o777 == 0o400;
        (!is_given).then_some("is not of mode 0400 and etcd's account")
    })
}

/// A file that another account has written: nothing in it is believed.
///
/// # Errors
/// Where it is not a file, or too long.
pub fn read_others(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    content(path, |_| None)
}

/// What the kernel says in a file of proc(5), which has no length; empty where it does not.
pub fn of_kernel(path: &Path) -> String {
    let mut text = String::new();
    let read = open(path).and_then(|file| file.take(4096).read_to_string(&mut text));
    read.map(|_| text).unwrap_or_default()
}

/// Creates the directory and those above it where they are missing, and sees to it that no other account can put
/// something else there.
///
/// # Errors
/// Where it is a link, or another account can change it or one above it.
pub fn own_directory(path: &Path, mode: u32) -> Result<()> {
    for above in path.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
        create_directory(above, PARENT_MODE)?;
        // Links are followed here: whoever can change one can change its directory, which was looked at before.
        let found = fs::metadata(above).map_err(|error| Failure::io("reading", above, &error))?;
        let is_safe =
            [0, own()].contains(&found.uid()) && (found.mode() & 0o022 == 0 || found.mode() & 0o1000 != 0);
        if !is_safe {
            return Err(Failure::new(format!("{} can be changed by other accounts", above.display())));
        }
    }
    create_directory(path, mode)?;
    check_directory(path)?;
    // One that was made by a killed run has no mode of its own yet.
    let found = fs::symlink_metadata(path).map_err(|error| Failure::io("reading", path, &error))?;
    if found.mode() & 0o777 == mode {
        return Ok(());
    }
    let done = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    done.map_err(|error| Failure::io("setting the mode of", path, &error))
}

/// A directory, and no link to one, that only this program's user can change.
///
/// # Errors
/// Where it is anything else.
pub fn check_directory(path: &Path) -> Result<()> {
    let found = fs::symlink_metadata(path).map_err(|error| Failure::io("reading", path, &error))?;
    if found.is_dir() && found.uid() == own() && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(Failure::new(format!("{} is not a directory that only root can change", path.display())))
}

/// Whether it is forgotten with the next start of the machine: in tmpfs(5), or what an initramfs is unpacked into.
pub fn is_in_memory(path: &Path) -> bool {
    const RAMFS: u64 = 0x8584_58f6;
    const TMPFS: u64 = 0x0102_1994;
    // The type has different widths on different machines; of these numbers the lower half says it all.
    rustix::fs::statfs(path)
        .is_ok_and(|found| [RAMFS, TMPFS].contains(&((found.f_type as u64) & 0xffff_ffff)))
}

fn create_directory(path: &Path, mode: u32) -> Result<()> {
    match new_directory(path, mode) {
        Ok(()) => path.parent().map_or(Ok(()), sync),
        Err(_) if fs::symlink_metadata(path).is_ok() => Ok(()),
        Err(why) => Err(why),
    }
}

/// Creates the directory, which must not exist.
///
/// # Errors
/// Of the system.
pub fn new_directory(path: &Path, mode: u32) -> Result<()> {
    // Whatever the umask is, nobody else can change it at any moment.
    let created = fs::DirBuilder::new().mode(0o700).create(path);
    created
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|error| Failure::io("creating", path, &error))
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
        if let Some(Owner { uid, gid }) = owner.filter(|owner| owner.uid != own()) {
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

/// The same for a file of others: mode, owner and SELinux's label stay as they are.
///
/// # Errors
/// Of the system; then it is as before.
pub fn replace_like(path: &Path, bytes: &[u8]) -> Result<()> {
    const LABEL: &str = "security.selinux";
    let new = beside(path);
    remove_file(&new)?;
    let found = fs::symlink_metadata(path).map_err(|error| Failure::io("reading", path, &error))?;
    let owner = Owner { uid: found.uid(), gid: found.gid() };
    let written = write_new(&new, bytes, found.mode() & 0o777, Some(owner)).and_then(|()| {
        let mut label = [0; 256];
        // A system without labels gives none.
        if let Ok(length) = rustix::fs::lgetxattr(path, LABEL, &mut label[..]) {
            let set = rustix::fs::lsetxattr(&new, LABEL, &label[..length], rustix::fs::XattrFlags::empty());
            set.map_err(|errno| Failure::io("labelling", &new, &errno.into()))?;
        }
        rename(&new, path)
    });
    written.inspect_err(|_| {
        // The next run removes it.
        let _ = remove_file(&new);
    })
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
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
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
    reached("prepared");
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

/// Whether there is anything of this name.
pub fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Removes a directory with what is in it, or a file, or a link, whose target stays.
///
/// # Errors
/// Of the system.
pub fn remove(path: &Path) -> Result<()> {
    let is_directory = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let removed = if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|error| Failure::io("removing", path, &error))
}

/// Removes a file, where there is one.
///
/// # Errors
/// Of the system.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::io("removing", path, &error)),
        _ => Ok(()),
    }
}

/// Held until it is dropped: no other run of this program uses the directory.
pub struct Lock(#[expect(dead_code, reason = "the lock ends with the file")] File);

/// Waits for the lock, but not for ever.
///
/// # Errors
/// Of the system, and where another run has it all the time.
pub fn lock(path: &Path, patience: Duration) -> Result<Lock> {
    let opened = open(path).or_else(|error| match error.kind() {
        // The lock of a file that is only read is as good, also where nothing can be written.
        ErrorKind::NotFound => OpenOptions::new().write(true).create_new(true).mode(0o600).open(path),
        _ => Err(error),
    });
    // Another run may have created it in this moment.
    let opened = opened.or_else(|error| match error.kind() {
        ErrorKind::AlreadyExists => open(path),
        _ => Err(error),
    });
    let file = opened.map_err(|error| Failure::io("opening", path, &error))?;
    let deadline = Deadline::after(patience);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::Error(error)) => return Err(Failure::io("locking", path, &error)),
            Err(TryLockError::WouldBlock) if deadline.is_over() => {
                return Err(Failure::new(format!(
                    "another run of this program has locked {}",
                    path.display()
                )));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
