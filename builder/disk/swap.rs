//! Putting something new in the place of something old so that it can be undone, until the disk has confirmed it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode as Bits, OFlags, RenameFlags};

use super::{Kind, look, parent_of, remove_directory, remove_file};
use crate::failure::{Doing, Failure, Result};

/// More directories than this are synced with their whole file systems: one wait instead of one for each.
const SYNCED_ONE_BY_ONE: usize = 4;

/// What has a new name, and where that which had the name before is now.
pub(super) struct Swap {
    /// The name that the new one had.
    from: PathBuf,
    to: PathBuf,
    old: Old,
}

enum Old {
    /// There was none.
    Absent,
    /// At `from`.
    Exchanged,
    /// At a name of its own, because the file system cannot exchange two names.
    Beside(PathBuf),
    /// A file that is gone, for the same reason.
    Gone,
}

impl Swap {
    /// Both paths are in one directory, and what is at `to`, if anything, is of the same kind as what is at `from`. A
    /// directory that cannot be exchanged is moved to the name of `from` with the ending `replaced`.
    pub fn make(from: &Path, to: &Path) -> Result<Self> {
        let writing = || format!("writing {}", to.display());
        let is_directory = |path: &Path| Ok(look(path)?.map(|found| found.kind == Kind::Directory));
        let new_is_directory = is_directory(from)? == Some(true);
        let swapped = |old| Ok(Self { from: from.to_owned(), to: to.to_owned(), old });
        let rename = |flags| rustix::fs::renameat_with(CWD, from, CWD, to, flags);
        match rename(RenameFlags::NOREPLACE) {
            Ok(()) => return swapped(Old::Absent),
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(io::Error::from(error)).doing(writing),
        }
        match is_directory(to)? {
            // Some file systems know no flags.
            None => {
                fs::rename(from, to).doing(writing)?;
                return swapped(Old::Absent);
            }
            Some(old_is_directory) if old_is_directory != new_is_directory => {
                let what = if old_is_directory { "a directory" } else { "not a directory" };
                return Err(Failure::io(format!("it is {what}")).while_doing(writing()));
            }
            Some(_) => {}
        }
        match rename(RenameFlags::EXCHANGE) {
            Ok(()) => swapped(Old::Exchanged),
            Err(rustix::io::Errno::INVAL) if new_is_directory => {
                let beside = from.with_extension("replaced");
                fs::rename(to, &beside).doing(writing)?;
                if let Err(error) = fs::rename(from, to) {
                    let _ = fs::rename(&beside, to);
                    return Err(error).doing(writing);
                }
                swapped(Old::Beside(beside))
            }
            Err(rustix::io::Errno::INVAL) => {
                fs::rename(from, to).doing(writing)?;
                swapped(Old::Gone)
            }
            Err(error) => Err(io::Error::from(error)).doing(writing),
        }
    }

    fn undo(&self) -> io::Result<()> {
        match &self.old {
            Old::Absent => fs::rename(&self.to, &self.from),
            Old::Exchanged => {
                Ok(rustix::fs::renameat_with(CWD, &self.from, CWD, &self.to, RenameFlags::EXCHANGE)?)
            }
            Old::Beside(beside) => {
                fs::rename(&self.to, &self.from)?;
                fs::rename(beside, &self.to)
            }
            Old::Gone => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Best effort: what cannot be removed now is removed by the next run.
    fn remove_old(&self) {
        let old = match &self.old {
            Old::Exchanged => &self.from,
            Old::Beside(beside) => beside,
            Old::Absent | Old::Gone => return,
        };
        let _ = match look(old) {
            Ok(Some(found)) if found.kind == Kind::Directory => remove_directory(old),
            _ => remove_file(old),
        };
    }
}

/// Waits until the disk has the new names, and removes what had them before.
///
/// # Errors
/// `Exit::Io` when the disk does not confirm it: then everything is as it was, or the message says what is not.
pub(super) fn confirm(swaps: &[Swap]) -> Result<()> {
    match sync_parents(swaps) {
        Ok(()) => {
            swaps.iter().for_each(Swap::remove_old);
            Ok(())
        }
        Err(failure) => Err(undo(swaps, failure)),
    }
}

/// Takes every swap back, and adds to the failure whether that was done.
pub(super) fn undo(swaps: &[Swap], failure: Failure) -> Failure {
    let stuck: Vec<_> = swaps
        .iter()
        .rev()
        .filter(|swap| swap.undo().is_err())
        .map(|swap| swap.to.display().to_string())
        .collect();
    let how = match (swaps, stuck.is_empty()) {
        ([], _) => return failure,
        ([one], true) => format!("{} is as it was before", one.to.display()),
        (all, true) => format!("all {} are as they were before", all.len()),
        (_, false) => format!("{} is written, but may not be there after a power cut", stuck.join(" and ")),
    };
    failure.while_doing(how)
}

fn sync_parents(swaps: &[Swap]) -> Result<()> {
    let parents: BTreeSet<&Path> = swaps.iter().map(|swap| parent_of(&swap.to)).collect();
    if parents.len() <= SYNCED_ONE_BY_ONE {
        return parents.into_iter().try_for_each(sync_directory);
    }
    sync_file_systems(parents)
}

/// Syncs the file systems that these directories are on, each once.
fn sync_file_systems<'a>(directories: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    let mut devices = BTreeSet::new();
    for directory in directories {
        let syncing = || format!("syncing {}", directory.display());
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let opened =
            rustix::fs::open(directory, flags, Bits::empty()).map_err(io::Error::from).doing(syncing)?;
        if devices.insert(rustix::fs::fstat(&opened).map_err(io::Error::from).doing(syncing)?.st_dev) {
            rustix::fs::syncfs(&opened).map_err(io::Error::from).doing(syncing)?;
        }
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "this is the door")]
fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|d| d.sync_all()).doing(|| format!("syncing {}", path.display()))
}

/// Replaces files, each whole or not at all, with one wait for the disk for all of them. They have this mode; nobody else
/// writes in their directories meanwhile.
///
/// # Errors
/// `Exit::Io`: then every file is as it was, or the message says which is not.
pub fn replace_all(files: &[(PathBuf, Vec<u8>)], mode: crate::values::Mode) -> Result<()> {
    let mut new = Vec::with_capacity(files.len());
    let made = write_beside(files, mode, &mut new);
    let swapped = made.and_then(|()| {
        let mut swaps = Vec::with_capacity(files.len());
        for ((path, _), new) in files.iter().zip(&new) {
            match Swap::make(new, path) {
                Ok(swap) => swaps.push(swap),
                Err(failure) => return Err(undo(&swaps, failure)),
            }
        }
        confirm(&swaps)
    });
    if swapped.is_err() {
        new.iter().for_each(|path| drop(remove_file(path)));
    }
    swapped
}

/// The name that a file has while it is written.
pub fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial"))
}

fn write_beside(
    files: &[(PathBuf, Vec<u8>)],
    mode: crate::values::Mode,
    new: &mut Vec<PathBuf>,
) -> Result<()> {
    use std::io::Write;
    let one_by_one = files.len() <= SYNCED_ONE_BY_ONE;
    for (path, bytes) in files {
        let writing = || format!("writing {}", path.display());
        let partial = beside(path);
        remove_file(&partial)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&partial, flags, Bits::from_raw_mode(0o600));
        let mut file = File::from(fd.map_err(io::Error::from).doing(writing)?);
        new.push(partial);
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
        false => sync_file_systems(files.iter().map(|(path, _)| parent_of(path)).collect::<BTreeSet<_>>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Scratch, list, read};
    use crate::values::Mode;

    fn text(path: &Path) -> Vec<u8> {
        read(path, 100).unwrap()
    }

    #[test]
    fn a_swap_of_any_kind_can_be_undone() {
        let scratch = Scratch::new("test").unwrap();
        let new = scratch.path().join("new");
        let old = scratch.path().join("old");
        for there in [false, true] {
            scratch.write("new", b"new", Mode::FILE).unwrap();
            if there {
                scratch.write("old", b"old", Mode::FILE).unwrap();
            }
            let swap = Swap::make(&new, &old).unwrap();
            assert_eq!(text(&old), b"new");
            swap.undo().unwrap();
            assert_eq!(text(&new), b"new");
            assert_eq!(look(&old).unwrap().map(|_| text(&old)), there.then(|| b"old".to_vec()));
            confirm(&[Swap::make(&new, &old).unwrap()]).unwrap();
            assert_eq!(list(scratch.path()).unwrap(), ["old"]);
        }
        // A directory moved aside, as on a file system that cannot exchange.
        let [one, two] = ["one", "two"].map(|name| scratch.path().join(name));
        for path in [&one, &two] {
            fs::rename(&old, path).ok();
            super::super::make_directories(path, Mode::DIRECTORY).ok();
        }
        remove_file(&one).unwrap();
        super::super::make_directories(&one, Mode::DIRECTORY).unwrap();
        fs::rename(&one, scratch.path().join("aside")).unwrap();
        fs::rename(&two, &one).unwrap();
        let swap =
            Swap { from: two.clone(), to: one.clone(), old: Old::Beside(scratch.path().join("aside")) };
        swap.undo().unwrap();
        assert_eq!(list(scratch.path()).unwrap(), ["one", "two"]);
    }

    #[test]
    fn a_file_takes_no_directorys_place() {
        let scratch = Scratch::new("test").unwrap();
        let new = scratch.write("new", b"new", Mode::FILE).unwrap();
        let directory = scratch.path().join("directory");
        super::super::make_directories(&directory, Mode::DIRECTORY).unwrap();
        for (from, to) in [(&new, &directory), (&directory, &new)] {
            assert!(Swap::make(from, to).is_err());
        }
        assert_eq!(text(&new), b"new");
    }

    #[test]
    fn what_cannot_be_undone_is_said() {
        let scratch = Scratch::new("test").unwrap();
        let path = scratch.write("a", b"new", Mode::FILE).unwrap();
        let swap = Swap { from: scratch.path().join("b"), to: path, old: Old::Gone };
        let said = undo(&[swap], Failure::io("Input/output error")).to_string();
        assert!(
            said.contains("/a is written, but may not be there after a power cut: Input/output"),
            "{said}"
        );
    }

    #[test]
    fn many_files_are_replaced_or_none() {
        let scratch = Scratch::new("test").unwrap();
        let mut files = Vec::new();
        for number in 0..9 {
            let directory = scratch.path().join(number.to_string());
            super::super::make_directories(&directory, Mode::DIRECTORY).unwrap();
            files.push((directory.join("list"), b"one".to_vec()));
        }
        replace_all(&files, Mode::SECRET).unwrap();
        files.iter_mut().for_each(|(_, bytes)| *bytes = b"two".to_vec());
        // The last one cannot take its place.
        remove_file(&files[8].0).unwrap();
        super::super::make_directories(&files[8].0, Mode::DIRECTORY).unwrap();
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
