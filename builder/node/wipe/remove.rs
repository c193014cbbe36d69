//! What goes, and how: relative to directories that are open, through no link, and not into another file system. What
//! is not as the list says stays.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use kiln_wire::{Account, FilePath, Id, Wipe};
use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, ResolveFlags, Stat, flock, fstat, openat, openat2, stat,
    unlinkat,
};
use rustix::io::Errno;

use crate::account::account;
use crate::disk;
use crate::failure::{Failure, Result};

/// Directories in each other: neither etcd nor Kiln makes as many.
const DEEPEST: usize = 64;
/// Of ext4's own, in the top directory of each.
const OF_EXT4: &CStr = c"lost+found";

fn failed(what: &str, path: &Path, errno: Errno) -> Failure {
    Failure::io(what, path, &errno.into())
}

fn parts(path: &FilePath) -> (&Path, &Path) {
    let path = Path::new(path.as_str());
    (path.parent().unwrap_or(path), path.file_name().map_or(path, Path::new))
}

/// A directory below another one, and no link to one.
fn below(directory: impl AsFd, name: impl rustix::path::Arg) -> std::result::Result<OwnedFd, Errno> {
    openat(directory, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// The directory that a path is in, if it is there. Its own links were looked at by `check`.
fn parent(path: &FilePath) -> Result<Option<OwnedFd>> {
    let (parent, _) = parts(path);
    match openat(CWD, parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(failed("opening", parent, errno)),
    }
}

fn is_kind(found: &Stat, kind: rustix::fs::FileType) -> bool {
    rustix::fs::FileType::from_raw_mode(found.st_mode) == kind
}

/// Looks at all of it before anything goes: whether root alone decides where each path leads, and whether each tree is
/// a directory.
///
/// # Errors
/// The first that is not so.
pub fn check(list: &Wipe) -> Result<()> {
    let all = list.files.iter().chain(&list.trees).chain(&list.shared).chain(&list.directories);
    all.map(|path| Path::new(path.as_str())).try_for_each(is_roots)?;
    for tree in &list.trees {
        let path = Path::new(tree.as_str());
        let link = disk::link(path).is_ok_and(|link| link.is_some());
        let is_directory = stat(path).is_ok_and(|found| is_kind(&found, rustix::fs::FileType::Directory));
        if disk::is_there(path) && (link || !is_directory) {
            return Err(Failure::new(format!(
                "{tree} is not a directory, but Kiln makes one there; inspect it, and where it leads"
            )));
        }
    }
    Ok(())
}

/// No other account can make the directory that something is in another one.
fn is_roots(path: &Path) -> Result<()> {
    for above in path.ancestors().skip(2) {
        match stat(above) {
            Ok(found) if found.st_uid == 0 && (found.st_mode & 0o022 == 0 || found.st_mode & 0o1000 != 0) => {
            }
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Ok(_) => {
                let (above, path) = (above.display(), path.display());
                return Err(Failure::new(format!(
                    "{above} can be changed by other accounts, so that {path} may be anywhere; make it root's alone"
                )));
            }
            Err(errno) => return Err(failed("reading", above, errno)),
        }
    }
    Ok(())
}

/// # Errors
/// Where etcd has its data open, whoever has started it.
pub fn is_closed(list: &Wipe) -> Result<()> {
    let path = Path::new(list.data.as_str()).join("member/snap/db");
    let Some(parent) = parent(&list.data)? else { return Ok(()) };
    let opened = below(&parent, parts(&list.data).1)
        .and_then(|data| below(&data, "member"))
        .and_then(|member| below(&member, "snap"))
        .and_then(|snap| {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            openat(&snap, "db", flags, Mode::empty())
        });
    let locked = match opened {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockExclusive),
        // Then there is no database, or what etcd would not open.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
        Err(errno) => Err(errno),
    };
    match locked {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => {
            Err(Failure::new(format!("etcd still has {} open; stop it, and run this again", path.display())))
        }
        Err(errno) => Err(failed("opening", &path, errno)),
    }
}

/// Removes a file or a link, whose target stays. What stays is returned, with the reason.
///
/// # Errors
/// Of the system.
pub fn file(path: &FilePath) -> Result<Option<String>> {
    let Some(directory) = parent(path)? else { return Ok(None) };
    match unlinkat(&directory, parts(path).1, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(None),
        Err(Errno::ISDIR) => Ok(Some(format!("{path}: it is a directory, and Kiln has a file there"))),
        Err(Errno::BUSY) => Ok(Some(format!("{path}: something is mounted there"))),
        Err(errno) => Err(failed("removing", Path::new(path.as_str()), errno)),
    }
}

/// Removes a directory that is empty. What stays is returned, with what is in it.
///
/// # Errors
/// Of the system.
pub fn directory(path: &FilePath) -> Result<Option<String>> {
    let Some(above) = parent(path)? else { return Ok(None) };
    match unlinkat(&above, parts(path).1, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(None),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            let names = disk::names(Path::new(path.as_str())).unwrap_or_default();
            let shown: Vec<_> = names.iter().take(3).map(|name| name.escape_default().to_string()).collect();
            Ok(Some(format!("{path}: it has what is not Kiln's, as {}", shown.join(", "))))
        }
        Err(Errno::NOTDIR) => Ok(Some(format!("{path}: it is not a directory"))),
        Err(Errno::BUSY) => Ok(Some(format!("{path}, which is empty: something is mounted there"))),
        Err(errno) => Err(failed("removing", Path::new(path.as_str()), errno)),
    }
}

/// Records of clusters that the node has served: `served-` and an ID, also of earlier generations.
///
/// # Errors
/// Of the system.
pub fn served(state: &FilePath) -> Result<()> {
    let directory = Path::new(state.as_str());
    if !disk::is_there(directory) {
        return Ok(());
    }
    disk::check_directory(directory)?;
    for name in disk::names(directory)? {
        if name.strip_prefix("served-").and_then(Id::of_etcd).is_some() {
            disk::remove_file(&directory.join(name))?;
        }
    }
    Ok(())
}

/// Empties a directory and removes it. What stays is returned, with the reason: other file systems in it, and itself
/// where it is the top of one.
///
/// # Errors
/// Of the system; what is removed by then is gone.
pub fn tree(path: &FilePath, user: &Account) -> Result<Vec<String>> {
    let at = Path::new(path.as_str());
    let Some(above) = parent(path)? else { return Ok(Vec::new()) };
    let opened = match below(&above, parts(path).1) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(errno) => return Err(failed("opening", at, errno)),
    };
    let stats = fstat(&opened).and_then(|found| Ok((found, fstat(&above)?)));
    let (found, outside) = stats.map_err(|errno| failed("reading", at, errno))?;
    let user = account(user.as_str()).map(|owner| owner.uid);
    if found.st_uid != 0 && user.is_ok_and(|user| user != found.st_uid) {
        return Ok(vec![format!("{path}: it belongs to another account than etcd's")]);
    }
    let mut emptying = Emptying { device: found.st_dev, left: Vec::new() };
    emptying.empty(opened.as_fd(), at, (found.st_dev != outside.st_dev).then_some(OF_EXT4), 0)?;
    let mut left = emptying.left;
    match unlinkat(&above, parts(path).1, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(Errno::BUSY) => left.push(format!("{path}, which is empty: a file system is mounted there")),
        Err(Errno::NOTEMPTY | Errno::EXIST) if !left.is_empty() => {}
        Err(errno) => return Err(failed("removing", at, errno)),
    }
    Ok(left)
}

struct Emptying {
    device: u64,
    left: Vec<String>,
}

impl Emptying {
    /// Removes all that is in it, but not what has the name `spared`.
    fn empty(
        &mut self,
        directory: BorrowedFd<'_>,
        at: &Path,
        spared: Option<&CStr>,
        depth: usize,
    ) -> Result<()> {
        if depth >= DEEPEST {
            return Err(Failure::new(format!("{} is deeper than etcd makes directories", at.display())));
        }
        let listed =
            Dir::read_from(directory).and_then(|all| all.collect::<rustix::io::Result<VecDeque<_>>>());
        for entry in listed.map_err(|errno| failed("listing", at, errno))? {
            let name = entry.file_name();
            if [c".", c".."].contains(&name) || Some(name) == spared {
                continue;
            }
            let path = at.join(name.to_string_lossy().escape_default().to_string());
            match unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => self.inner(directory, name, &path, depth)?,
                Err(Errno::BUSY) => self.left.push(format!("{}: something is mounted there", path.display())),
                Err(errno) => return Err(failed("removing", &path, errno)),
            }
        }
        Ok(())
    }

    fn inner(&mut self, above: BorrowedFd<'_>, name: &CStr, path: &Path, depth: usize) -> Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Also a directory of the same file system may be mounted there; kernels before 5.6 do not tell.
        let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        let opened = match openat2(above, name, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM) => below(above, name),
            opened => opened,
        };
        let opened = match opened {
            Err(Errno::XDEV) => None,
            opened => Some(opened.map_err(|errno| failed("opening", path, errno))?),
        };
        let opened = opened.filter(|opened| fstat(opened).is_ok_and(|found| found.st_dev == self.device));
        let Some(opened) = opened else {
            self.left.push(format!("{}: another file system is mounted there", path.display()));
            return Ok(());
        };
        let before = self.left.len();
        self.empty(opened.as_fd(), path, None, depth + 1)?;
        match unlinkat(above, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.left.len() > before => Ok(()),
            Err(errno) => Err(failed("removing", path, errno)),
        }
    }
}
