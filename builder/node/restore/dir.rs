//! Directories of etcd's account, in which root works: each is opened once, no link is followed from there on, and what
//! is in it is named relative to it. Whatever the account does meanwhile, nothing elsewhere is changed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::disk::{Owner, own};
use crate::failure::{Failure, Result};

/// Of directories and files that are made here.
const DIRECTORY: Mode = Mode::RWXU;
const FILE: Mode = Mode::RUSR.union(Mode::WUSR);
const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o022;
/// Deeper than anything that etcd makes.
const DEEPEST: u32 = 16;

/// An open directory.
pub struct Dir {
    fd: OwnedFd,
    /// For messages.
    path: PathBuf,
}

fn failure(what: &str, path: &Path, error: Errno) -> Failure {
    match error {
        Errno::LOOP | Errno::NOTDIR => Failure::new(format!(
            "{} is a link, or no directory; neither Kiln nor etcd made it",
            path.display()
        )),
        Errno::BUSY | Errno::XDEV => Failure::new(format!(
            "{} is a mount point, and what is mounted cannot be renamed; mount it above etcd's directory, with \
             etcd's files moved there",
            path.display()
        )),
        error => Failure::io(what, path, &error.into()),
    }
}

fn kind(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

impl Dir {
    /// Opens a directory that root or `account` has made, in directories that only they can change. Links of root above
    /// it are followed; it is none itself.
    ///
    /// # Errors
    /// Where it is missing, or another account can put something else there.
    pub fn open(path: &Path, account: Owner) -> Result<Self> {
        let root = Path::new("/");
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let fd = fs::open(root, flags, Mode::empty()).map_err(|error| failure("opening", root, error))?;
        let mut at = Self { fd, path: root.to_owned() };
        let mut parts = path.components().filter_map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        });
        let mut next = parts.next();
        while let Some(name) = next {
            let found = at.stat()?;
            let is_closed = found.st_mode & OTHERS_WRITE == 0;
            let is_known = [0, own(), account.uid].contains(&found.st_uid);
            if !is_known || !is_closed && found.st_mode & STICKY == 0 {
                return Err(Failure::new(format!("{} can be changed by other accounts", at.path.display())));
            }
            next = parts.next();
            let is_roots = is_closed && [0, own()].contains(&found.st_uid);
            at =
                at.enter(name, if is_roots && next.is_some() { OFlags::empty() } else { OFlags::NOFOLLOW })?;
        }
        Ok(at)
    }

    fn enter(&self, name: &str, more: OFlags) -> Result<Self> {
        let path = self.at(name);
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY | more;
        let opened = fs::openat(&self.fd, name, flags, Mode::empty());
        opened.map(|fd| Self { fd, path: path.clone() }).map_err(|error| failure("opening", &path, error))
    }

    /// Where that is, for messages.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For what wants a file.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Of itself.
    ///
    /// # Errors
    /// Of the system.
    pub fn stat(&self) -> Result<Stat> {
        fs::fstat(&self.fd).map_err(|error| failure("reading", &self.path, error))
    }

    /// What has this name; of a link, the link.
    ///
    /// # Errors
    /// Of the system.
    pub fn find(&self, name: &str) -> Result<Option<Stat>> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failure("reading", &self.at(name), error)),
        }
    }

    /// The directory of this name, where there is one.
    ///
    /// # Errors
    /// Where it is not a directory.
    pub fn sub(&self, name: &str) -> Result<Option<Self>> {
        match self.find(name)? {
            Some(_) => self.enter(name, OFlags::NOFOLLOW).map(Some),
            None => Ok(None),
        }
    }

    /// Makes a directory that nobody else can enter.
    ///
    /// # Errors
    /// Where there is something of this name.
    pub fn make(&self, name: &str) -> Result<Self> {
        fs::mkdirat(&self.fd, name, DIRECTORY).map_err(|error| failure("creating", &self.at(name), error))?;
        self.enter(name, OFlags::NOFOLLOW)
    }

    /// All names that are UTF-8.
    ///
    /// # Errors
    /// Of the system.
    pub fn names(&self) -> Result<Vec<String>> {
        let failed = |error| failure("listing", &self.path, error);
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.extend(
                entry.file_name().to_str().ok().filter(|name| ![".", ".."].contains(name)).map(str::to_owned),
            );
        }
        Ok(names)
    }

    /// The regular file of this name, where there is one, to be read.
    ///
    /// # Errors
    /// Where it is anything else.
    pub fn file(&self, name: &str) -> Result<Option<File>> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::RDONLY;
        let file = match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failure("opening", &self.at(name), error)),
        };
        match file.metadata() {
            Ok(found) if found.is_file() => Ok(Some(file)),
            _ => Err(Failure::new(format!("{} is not a file", self.at(name).display()))),
        }
    }

    /// The text of a short file that only `uid` and root can write, where there is one.
    ///
    /// # Errors
    /// Where it is anything else.
    pub fn text(&self, name: &str, uid: u32) -> Result<Option<String>> {
        const LONGEST: u64 = 1 << 10;
        let Some(file) = self.file(name)? else { return Ok(None) };
        let found = file.metadata().map_err(|error| Failure::io("reading", &self.at(name), &error))?;
        let mut text = String::new();
        let is_own =
            [uid, own()].contains(&found.uid()) && found.mode() & OTHERS_WRITE == 0 && found.len() <= LONGEST;
        match is_own && file.take(LONGEST).read_to_string(&mut text).is_ok() {
            true => Ok(Some(text)),
            false => Err(Failure::new(format!(
                "{} is not a short text that only the account {uid} can write; inspect it",
                self.at(name).display()
            ))),
        }
    }

    /// Writes a new file, synced; at last it is given to `owner`.
    ///
    /// # Errors
    /// Where there is something of this name.
    pub fn write(&self, name: &str, text: &str, mode: u32, owner: Option<Owner>) -> Result<()> {
        let path = self.at(name);
        let failed = |error| failure("writing", &path, error);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
        let mut file = File::from(fs::openat(&self.fd, name, flags, FILE).map_err(failed)?);
        file.write_all(text.as_bytes()).map_err(|error| Failure::io("writing", &path, &error))?;
        fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed)?;
        if let Some(owner) = owner {
            chown(&file, owner).map_err(failed)?;
        }
        fs::fsync(&file).map_err(failed)
    }

    /// A new file that has no name, and so is gone with this program (open(2), O_TMPFILE).
    ///
    /// # Errors
    /// Of the system; a file system that has no such files is one.
    pub fn unnamed(&self) -> Result<File> {
        let flags = OFlags::TMPFILE | OFlags::CLOEXEC | OFlags::RDWR;
        let made = fs::openat(&self.fd, ".", flags, FILE);
        made.map(File::from).map_err(|error| failure("creating a file in", &self.path, error))
    }

    /// Gives it, and all that is in it, to an account alone, and syncs it.
    ///
    /// # Errors
    /// Where there are other things than directories and files.
    pub fn give(&self, owner: Owner) -> Result<()> {
        for name in self.names()? {
            let path = self.at(&name);
            let failed = |error| failure("giving away", &path, error);
            match self.find(&name)?.map(|found| kind(&found)) {
                Some(FileType::Directory) => self.enter(&name, OFlags::NOFOLLOW)?.give(owner)?,
                _ => {
                    let Some(file) = self.file(&name)? else { continue };
                    fs::fchmod(&file, FILE).map_err(failed)?;
                    chown(&file, owner).map_err(failed)?;
                    fs::fsync(&file).map_err(failed)?;
                }
            }
        }
        self.give_alone(owner)
    }

    /// Gives it to an account alone; what is in it stays whose it is.
    ///
    /// # Errors
    /// Of the system.
    pub fn give_alone(&self, owner: Owner) -> Result<()> {
        let given = fs::fchmod(&self.fd, DIRECTORY).and_then(|()| chown(&self.fd, owner));
        given.map_err(|error| failure("giving away", &self.path, error))?;
        self.sync()
    }

    /// Syncs the names in it.
    ///
    /// # Errors
    /// Of the system.
    pub fn sync(&self) -> Result<()> {
        fs::fsync(&self.fd).map_err(|error| failure("syncing", &self.path, error))
    }

    /// Renames a directory, or a file, and syncs both directories. A directory replaces at most an empty one.
    ///
    /// # Errors
    /// Of the system; a mount point is one.
    pub fn rename(&self, name: &str, to: &Self, new: &str) -> Result<()> {
        let renamed = fs::renameat(&self.fd, name, &to.fd, new);
        renamed.map_err(|error| match error {
            Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR => {
                Failure::new(format!("{} is there already, and is not replaced", to.at(new).display()))
            }
            error => failure("renaming", &self.at(name), error),
        })?;
        to.sync()?;
        self.sync()
    }

    /// Removes a directory if it is empty; whether it did.
    ///
    /// # Errors
    /// Of the system; what is no directory is one.
    pub fn remove_empty(&self, name: &str) -> Result<bool> {
        match fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) => self.sync().map(|()| true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(error) => Err(failure("removing", &self.at(name), error)),
        }
    }

    /// Removes a file or a link, where there is one.
    ///
    /// # Errors
    /// Of the system; a directory is one.
    pub fn remove_file(&self, name: &str) -> Result<()> {
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => self.sync(),
            Err(error) => Err(failure("removing", &self.at(name), error)),
        }
    }

    /// Removes the directory of this name with all that is in it, on its own file system.
    ///
    /// # Errors
    /// Of the system.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.remove_within(name, DEEPEST)
    }

    fn remove_within(&self, name: &str, left: u32) -> Result<()> {
        let Some(inner) = self.sub(name)? else { return Ok(()) };
        if left == 0 || inner.stat()?.st_dev != self.stat()?.st_dev {
            return Err(Failure::new(format!(
                "{} is too deep, or a mount point; nothing in it was removed",
                self.at(name).display()
            )));
        }
        for entry in inner.names()? {
            match inner.find(&entry)?.map(|found| kind(&found)) {
                Some(FileType::Directory) => inner.remove_within(&entry, left - 1)?,
                _ => inner.remove_file(&entry)?,
            }
        }
        let removed = fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR);
        removed.map_err(|error| failure("removing", &self.at(name), error))?;
        self.sync()
    }

    /// Bytes that are free on its file system.
    ///
    /// # Errors
    /// Of the system.
    pub fn free(&self) -> Result<u64> {
        let found = fs::fstatvfs(&self.fd);
        let found = found.map_err(|error| failure("asking for free space in", &self.path, error))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

fn chown(fd: impl AsFd, owner: Owner) -> rustix::io::Result<()> {
    fs::fchown(fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
}
