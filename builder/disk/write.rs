//! Creates, renames and removes files and directories.

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode as Bits, OFlags};
use rustix::io::Errno;

use super::directory::Directory;
use super::input::Input;
use super::look::{Kind, gone, look, parent_of};
use super::swap;
use crate::failure::{Doing, Failure, Result};
use crate::values::Mode;

/// The prefix of files that `write_whole` has not yet renamed into place.
pub const TEMPORARY: &str = ".kiln-";

/// Makes a directory and its parents; an existing one is not changed.
pub fn make_directories(path: &Path, mode: Mode) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode.bits())
        .create(path)
        .doing(|| format!("creating the directory {}", path.display()))
}

/// Writes a file atomically with this mode; synced before it appears.
pub fn write_whole(path: &Path, bytes: &[u8], mode: Mode) -> Result<()> {
    write_streamed(path, mode, |file| file.write_all(bytes).doing(|| format!("writing {}", path.display())))
}

/// Writes a file atomically with this mode where there is nothing yet; synced before and after it appears.
///
/// # Errors
/// `Exit::Unsafe` when something is at the path, or comes there meanwhile: it stays.
pub fn write_new(path: &Path, bytes: &[u8], mode: Mode) -> Result<()> {
    stream_new(path, mode, |file| file.write_all(bytes).doing(|| format!("writing {}", path.display())))
}

/// The same with the content of a file.
///
/// # Errors
/// As [`write_new`]; `Exit::Io` where it cannot be read.
pub fn copy_new(from: &Path, to: &Path, mode: Mode) -> Result<()> {
    stream_new(to, mode, |file| {
        let copying = || format!("copying {} to {}", from.display(), to.display());
        let mut from = Input::open(from)?;
        std::io::copy(&mut from, file).doing(copying).map(drop)
    })
}

/// The same for contents that need not be in memory at once: `fill` writes them.
///
/// # Errors
/// As [`write_new`], and those of `fill`.
pub fn stream_new(path: &Path, mode: Mode, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let taken = || Failure::unsafe_to(format!("{} exists, and is not replaced", path.display()));
    if look(path)?.is_some() {
        return Err(taken());
    }
    let above = Directory::above(path)?;
    let name = path.file_name().unwrap_or_default();
    // Without a name, so that nothing of it stays where this run is killed (open(2), O_TMPFILE).
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mut file = match rustix::fs::openat(above.fd(), ".", flags, Bits::from_raw_mode(0o600)) {
        Ok(fd) => fs::File::from(fd),
        // A file system that knows no such files, as one over a network.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return stream_named(path, mode, fill),
        Err(error) => return Err(std::io::Error::from(error)).doing(writing),
    };
    fill(&mut file)?;
    file.set_permissions(fs::Permissions::from_mode(mode.bits())).doing(writing)?;
    file.sync_all().doing(writing)?;
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::linkat(CWD, &own, above.fd(), name, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Err(taken()),
        Err(error) => return Err(std::io::Error::from(error)).doing(writing),
    }
    Directory::sync_all([&above]).inspect_err(|_| {
        // The disk has not confirmed its name, so it must not appear to be there.
        let _ = remove_file(path);
    })
}

fn stream_named(path: &Path, mode: Mode, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let taken = || Failure::unsafe_to(format!("{} exists, and is not replaced", path.display()));
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(fs::Permissions::from_mode(mode.bits()))
        .tempfile_in(parent_of(path))
        .doing(writing)?;
    fill(&mut file)?;
    // The umask has masked the mode that the file was made with.
    file.as_file().set_permissions(fs::Permissions::from_mode(mode.bits())).doing(writing)?;
    file.as_file().sync_all().doing(writing)?;
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => taken(),
        _ => Failure::io(error.error.to_string()).while_doing(writing()),
    })?;
    Directory::sync_all([&Directory::above(path)?]).inspect_err(|_| {
        // The disk has not confirmed its name, so it must not appear to be there.
        let _ = remove_file(path);
    })
}

/// Writes bytes at a place in a file, which is made if it is missing; what is before the place stays.
pub fn write_at(path: &Path, at: u64, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
    let mode = Mode::SECRET.bits();
    let file = fs::File::options().write(true).create(true).truncate(false).mode(mode).open(path);
    file.and_then(|file| file.write_all_at(bytes, at)).doing(|| format!("writing {}", path.display()))
}

/// The same for contents that need not be in memory at once: `fill` writes them.
///
/// # Errors
/// As [`write_whole`], and those of `fill`: the old file is then unchanged.
pub fn write_streamed(
    path: &Path,
    mode: Mode,
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let parent = parent_of(path);
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(fs::Permissions::from_mode(mode.bits()))
        .tempfile_in(parent)
        .doing(writing)?;
    fill(&mut file)?;
    // The umask has masked the mode that the file was made with.
    file.as_file().set_permissions(fs::Permissions::from_mode(mode.bits())).doing(writing)?;
    file.as_file().sync_all().doing(writing)?;
    // The old file is removed with the temporary name; so is the new file where the disk does not confirm its name.
    let file = file.into_temp_path();
    rename(&file, path)
}

/// Writes a file that appears atomically, but may be truncated after a power failure: for files that are checked when
/// they are read. It is written in another directory of the same file system.
pub fn write_unsynced(path: &Path, directory: &Path, pieces: &[&[u8]], mode: Mode) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(fs::Permissions::from_mode(mode.bits()))
        .tempfile_in(directory)
        .doing(writing)?;
    pieces.iter().try_for_each(|piece| file.write_all(piece)).doing(writing)?;
    file.persist(path).map_err(|error| error.error).doing(writing)?;
    Ok(())
}

/// Renames a finished file within its directory.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    let above = Directory::above(to)?;
    let [from, to] = [from, to].map(|path| path.file_name().unwrap_or_default());
    swap::confirm(&[swap::Swap::file(&above, from, to)?])
}

/// Removes a directory and its contents, without following links; a missing one is fine.
///
/// # Errors
/// `Exit::Io`, also when the path is a link: its target would stay.
pub fn remove_directory(path: &Path) -> Result<()> {
    if look(path)?.is_some_and(|found| found.kind == Kind::Link) {
        return Err(Failure::io("it is a symbolic link; its target was not changed")
            .while_doing(format!("removing {}", path.display())));
    }
    match path.file_name() {
        Some(_) if look(path)?.is_none() => Ok(()),
        Some(name) => Directory::reached(path)?.remove(name),
        None => {
            Err(Failure::io("it has no name of its own").while_doing(format!("removing {}", path.display())))
        }
    }
}

/// Removes a file; a missing one is fine.
pub fn remove_file(path: &Path) -> Result<()> {
    gone(rustix::fs::unlink(path)).doing(|| format!("removing {}", path.display()))
}
