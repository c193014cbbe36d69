//! Replaces files and directories so that it can be undone until the disk has confirmed it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode as Bits, OFlags, RenameFlags};
use rustix::io::Errno;

use super::Kind;
use super::directory::{Directory, MAX_SYNCED_ONE_BY_ONE};
use crate::failure::{Doing, Failure, Result};

/// A new entry, and the place of the old entry of that name. Both names are in one directory.
pub(super) struct Swap<'a> {
    directory: &'a Directory,
    /// The previous name of the new entry.
    from: OsString,
    to: OsString,
    old: Old<'a>,
}

enum Old<'a> {
    /// There was no old entry.
    Absent,
    /// A file, now at `from`.
    File,
    /// A file that was overwritten, because the file system cannot exchange two names.
    Gone,
    /// Now at `from`, or for the same reason at a name of its own.
    Directory(&'a Directory, Option<OsString>),
}

impl<'a> Swap<'a> {
    /// Replaces a file, or creates it where there is none.
    pub fn file(directory: &'a Directory, from: &OsStr, to: &OsStr) -> Result<Self> {
        let writing = || format!("writing {}", directory.path().join(to).display());
        let rename = |flags| directory.rename(from, to, flags);
        let swapped = |old| Ok(Self { directory, from: from.to_owned(), to: to.to_owned(), old });
        match rename(RenameFlags::NOREPLACE) {
            Ok(()) => return swapped(Old::Absent),
            Err(Errno::EXIST | Errno::INVAL) => {}
            Err(error) => return Err(io::Error::from(error)).doing(writing),
        }
        let (flags, old) = match directory.look(to)?.map(|found| found.kind) {
            Some(Kind::Directory) => return Err(Failure::io("it is a directory").while_doing(writing())),
            Some(_) => (RenameFlags::EXCHANGE, Old::File),
            // Some file systems support no rename flags.
            None => (RenameFlags::empty(), Old::Absent),
        };
        match rename(flags) {
            Ok(()) => swapped(old),
            Err(Errno::INVAL) => {
                rename(RenameFlags::empty()).map_err(io::Error::from).doing(writing)?;
                swapped(Old::Gone)
            }
            Err(error) => Err(io::Error::from(error)).doing(writing),
        }
    }

    /// Replaces a directory that the caller has checked and holds open, or creates it where there is none. A directory
    /// that cannot be exchanged is moved to the name of `from` with the ending `replaced`.
    ///
    /// # Errors
    /// `Exit::Unsafe` when something else is there: it stays.
    pub fn directory(
        directory: &'a Directory,
        from: &OsStr,
        to: &OsStr,
        old: Option<&'a Directory>,
    ) -> Result<Self> {
        let path = || directory.path().join(to);
        let writing = || format!("writing {}", path().display());
        let rename = |from: &OsStr, to: &OsStr, flags| {
            directory.rename(from, to, flags).map_err(io::Error::from).doing(writing)
        };
        let swapped = |old| Ok(Self { directory, from: from.to_owned(), to: to.to_owned(), old });
        let changed = || {
            Failure::unsafe_to(format!(
                "{} was replaced by another program during this run; the replacement was kept. Run kiln again",
                path().display()
            ))
        };
        let is_at = |name: &OsStr, old: &Directory| directory.has(name, old.fd()).doing(writing);
        match directory.rename(from, to, RenameFlags::NOREPLACE) {
            Ok(()) => return swapped(Old::Absent),
            Err(Errno::EXIST | Errno::INVAL) => {}
            Err(error) => return Err(io::Error::from(error)).doing(writing),
        }
        let old = match (directory.look(to)?, old) {
            // Some file systems support no rename flags.
            (None, _) => {
                return rename(from, to, RenameFlags::empty()).and_then(|()| swapped(Old::Absent));
            }
            (Some(_), Some(old)) if is_at(to, old)? => old,
            (Some(_), _) => return Err(changed()),
        };
        // Another process may have replaced it after that check, so the exchanged directory is checked again.
        match directory.rename(from, to, RenameFlags::EXCHANGE) {
            Ok(()) => match is_at(from, old) {
                Ok(true) => swapped(Old::Directory(old, None)),
                looked => {
                    rename(from, to, RenameFlags::EXCHANGE)?;
                    Err(looked.err().unwrap_or_else(changed))
                }
            },
            Err(Errno::INVAL) => {
                let beside = PathBuf::from(from).with_extension("replaced").into_os_string();
                rename(to, &beside, RenameFlags::empty())?;
                let moved = match is_at(&beside, old) {
                    Ok(true) => rename(from, to, RenameFlags::empty()),
                    Ok(false) => Err(changed()),
                    Err(failure) => Err(failure),
                };
                match moved {
                    Ok(()) => swapped(Old::Directory(old, Some(beside))),
                    Err(failure) => rename(&beside, to, RenameFlags::empty()).and(Err(failure)),
                }
            }
            Err(error) => Err(io::Error::from(error)).doing(writing),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(&self.to)
    }

    fn undo(&self) -> io::Result<()> {
        let rename = |from: &OsStr, to: &OsStr, flags| Ok(self.directory.rename(from, to, flags)?);
        match &self.old {
            Old::Absent => rename(&self.to, &self.from, RenameFlags::empty()),
            Old::File | Old::Directory(_, None) => rename(&self.from, &self.to, RenameFlags::EXCHANGE),
            Old::Directory(_, Some(beside)) => {
                rename(&self.to, &self.from, RenameFlags::empty())?;
                rename(beside, &self.to, RenameFlags::empty())
            }
            Old::Gone => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Best effort: the next run removes what cannot be removed now.
    fn remove_old(&self) {
        let _ = match &self.old {
            Old::File => self.directory.remove_file(&self.from),
            Old::Directory(old, beside) => {
                self.directory.remove_held(old, beside.as_ref().unwrap_or(&self.from))
            }
            Old::Absent | Old::Gone => return,
        };
    }
}

/// Waits until the new names are on disk, and removes the old entries.
///
/// # Errors
/// `Exit::Io` when the disk does not confirm it: the old entries are then restored, or the message names those that
/// are not.
pub(super) fn confirm(swaps: &[Swap]) -> Result<()> {
    match Directory::sync_all(swaps.iter().map(|swap| swap.directory)) {
        Ok(()) => {
            swaps.iter().for_each(Swap::remove_old);
            Ok(())
        }
        Err(failure) => Err(undo(swaps, failure)),
    }
}

/// Undoes every swap, and adds to the failure whether that succeeded.
pub(super) fn undo(swaps: &[Swap], failure: Failure) -> Failure {
    let stuck: Vec<_> = swaps
        .iter()
        .rev()
        .filter(|swap| swap.undo().is_err())
        .map(|swap| swap.path().display().to_string())
        .collect();
    let how = match (swaps, stuck.is_empty()) {
        ([], _) => return failure,
        ([one], true) => format!("{} is as it was before", one.path().display()),
        (all, true) => format!("all {} are as they were before", all.len()),
        (_, false) => format!("{} is written, but may be lost in a power failure", stuck.join(" and ")),
    };
    failure.while_doing(how)
}

/// Replaces files, each atomically, with one sync for all of them. All get this mode; no other process writes in their
/// directories meanwhile.
///
/// # Errors
/// `Exit::Io`: the old files are then restored, or the message names those that are not.
pub fn replace_all(files: &[(PathBuf, Vec<u8>)], mode: crate::values::Mode) -> Result<()> {
    let mut directories = Vec::with_capacity(files.len());
    for (path, _) in files {
        directories.push(Directory::above(path)?);
    }
    let mut new = Vec::with_capacity(files.len());
    let made = write_beside(files, mode, &directories, &mut new);
    let swapped = made.and_then(|()| {
        let mut swaps = Vec::with_capacity(files.len());
        for ((directory, new), (path, _)) in new.iter().zip(files) {
            match Swap::file(directory, new, path.file_name().unwrap_or_default()) {
                Ok(swap) => swaps.push(swap),
                Err(failure) => return Err(undo(&swaps, failure)),
            }
        }
        confirm(&swaps)
    });
    if swapped.is_err() {
        new.iter().for_each(|(directory, name)| drop(directory.remove_file(name)));
    }
    swapped
}

/// The name of a file while it is written.
pub fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

fn write_beside<'a>(
    files: &[(PathBuf, Vec<u8>)],
    mode: crate::values::Mode,
    directories: &'a [Directory],
    new: &mut Vec<(&'a Directory, OsString)>,
) -> Result<()> {
    use std::io::Write;
    let one_by_one = files.len() <= MAX_SYNCED_ONE_BY_ONE;
    for ((path, bytes), directory) in files.iter().zip(directories) {
        let writing = || format!("writing {}", path.display());
        let partial = beside(path).file_name().unwrap_or_default().to_owned();
        directory.remove_file(&partial)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(directory.fd(), &partial, flags, Bits::from_raw_mode(0o600));
        let mut file = File::from(fd.map_err(io::Error::from).doing(writing)?);
        new.push((directory, partial));
        rustix::fs::fchmod(&file, Bits::from_raw_mode(mode.bits()))
            .map_err(io::Error::from)
            .doing(writing)?;
        file.write_all(bytes).doing(writing)?;
        if one_by_one {
            file.sync_all().doing(writing)?;
        }
    }
    match one_by_one {
        true => Ok(()),
        false => Directory::sync_file_systems(directories),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Scratch, list, look, make_directories, read, remove_file};
    use crate::values::Mode;

    fn text(path: &Path) -> Vec<u8> {
        read(path, 100).unwrap()
    }

    fn swap<'a>(directory: &'a Directory, from: &str, to: &str) -> Result<Swap<'a>> {
        Swap::file(directory, from.as_ref(), to.as_ref())
    }

    #[test]
    fn a_swap_of_any_kind_can_be_undone() {
        let scratch = Scratch::new("test").unwrap();
        let top = Directory::open(scratch.path()).unwrap();
        let [new, old] = ["new", "old"].map(|name| scratch.path().join(name));
        for there in [false, true] {
            scratch.write("new", b"new", Mode::FILE).unwrap();
            if there {
                scratch.write("old", b"old", Mode::FILE).unwrap();
            }
            let swapped = swap(&top, "new", "old").unwrap();
            assert_eq!(text(&old), b"new");
            swapped.undo().unwrap();
            assert_eq!(text(&new), b"new");
            assert_eq!(look(&old).unwrap().map(|_| text(&old)), there.then(|| b"old".to_vec()));
            confirm(&[swap(&top, "new", "old").unwrap()]).unwrap();
            assert_eq!(list(scratch.path()).unwrap(), ["old"]);
        }
        remove_file(&old).unwrap();
        // A directory moved aside, as on a file system that cannot exchange.
        for name in ["one", "aside"] {
            make_directories(&scratch.path().join(name), Mode::DIRECTORY).unwrap();
        }
        let held = Directory::open(&scratch.path().join("aside")).unwrap();
        let swapped = Swap {
            directory: &top,
            from: "two".into(),
            to: "one".into(),
            old: Old::Directory(&held, Some("aside".into())),
        };
        swapped.undo().unwrap();
        assert_eq!(list(scratch.path()).unwrap(), ["one", "two"]);
        assert!(top.has("one".as_ref(), held.fd()).unwrap());
    }

    #[test]
    fn a_file_takes_no_directorys_place_and_no_directory_a_files() {
        let scratch = Scratch::new("test").unwrap();
        let top = Directory::open(scratch.path()).unwrap();
        let new = scratch.write("new", b"new", Mode::FILE).unwrap();
        make_directories(&scratch.path().join("directory"), Mode::DIRECTORY).unwrap();
        assert!(swap(&top, "new", "directory").is_err());
        for old in [None, Some(&top)] {
            assert!(Swap::directory(&top, "directory".as_ref(), "new".as_ref(), old).is_err());
        }
        assert_eq!(text(&new), b"new");
        assert_eq!(list(scratch.path()).unwrap(), ["directory", "new"]);
    }

    #[test]
    fn a_directory_takes_the_place_of_the_one_that_was_looked_at_and_of_no_other() {
        let scratch = Scratch::new("test").unwrap();
        let top = Directory::open(scratch.path()).unwrap();
        for name in ["new", "old", "other"] {
            make_directories(&scratch.path().join(name).join(format!("in-{name}")), Mode::DIRECTORY).unwrap();
        }
        let held = Directory::open(&scratch.path().join("old")).unwrap();
        // Something was created where there was nothing; the old one was replaced by another one.
        for (to, old) in [("old", None), ("other", Some(&held))] {
            let swapped = Swap::directory(&top, "new".as_ref(), to.as_ref(), old);
            assert_eq!(swapped.err().unwrap().exit(), crate::failure::Exit::Unsafe);
            for name in ["new", "old", "other"] {
                assert_eq!(list(&scratch.path().join(name)).unwrap(), [format!("in-{name}")]);
            }
        }
        let swapped = Swap::directory(&top, "new".as_ref(), "old".as_ref(), Some(&held)).unwrap();
        // Another process moves it away before it is removed, and gives its name to something else.
        top.rename("new".as_ref(), "moved".as_ref(), RenameFlags::NOREPLACE).unwrap();
        top.rename("other".as_ref(), "new".as_ref(), RenameFlags::NOREPLACE).unwrap();
        swapped.remove_old();
        assert_eq!(list(&scratch.path().join("new")).unwrap(), ["in-other"]);
        assert_eq!(list(&scratch.path().join("old")).unwrap(), ["in-new"]);
        assert!(list(&scratch.path().join("moved")).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_undone_is_said() {
        let scratch = Scratch::new("test").unwrap();
        let top = Directory::open(scratch.path()).unwrap();
        scratch.write("a", b"new", Mode::FILE).unwrap();
        let swap = Swap { directory: &top, from: "b".into(), to: "a".into(), old: Old::Gone };
        let said = undo(&[swap], Failure::io("Input/output error")).to_string();
        assert!(said.contains("/a is written, but may be lost in a power failure: Input/output"), "{said}");
    }

    #[test]
    fn many_files_are_replaced_or_none() {
        let scratch = Scratch::new("test").unwrap();
        let mut files = Vec::new();
        for number in 0..9 {
            let directory = scratch.path().join(number.to_string());
            make_directories(&directory, Mode::DIRECTORY).unwrap();
            files.push((directory.join("list"), b"one".to_vec()));
        }
        replace_all(&files, Mode::SECRET).unwrap();
        files.iter_mut().for_each(|(_, bytes)| *bytes = b"two".to_vec());
        // The last one cannot replace its target.
        remove_file(&files[8].0).unwrap();
        make_directories(&files[8].0, Mode::DIRECTORY).unwrap();
        assert!(replace_all(&files, Mode::SECRET).is_err());
        for (path, _) in &files[..8] {
            assert_eq!(text(path), b"one");
            assert_eq!(list(path.parent().unwrap()).unwrap(), ["list"]);
            assert_eq!(look(path).unwrap().unwrap().mode, Mode::SECRET);
        }
        replace_all(&files[..8], Mode::SECRET).unwrap();
        assert_eq!(text(&files[0].0), b"two");
        assert_eq!(list(files[0].0.parent().unwrap()).unwrap(), ["list"]);
    }
}
