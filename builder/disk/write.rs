//! Making, naming and removing files and directories.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::directory::Directory;
use super::look::{Kind, gone, look, parent_of};
use super::swap;
use crate::failure::{Doing, Failure, Result};
use crate::values::Mode;

/// What the names of files begin with that `write_whole` has not put in their place yet.
pub const TEMPORARY: &str = ".kiln-";

/// Makes a directory and those above it; an existing one stays as it is.
pub fn make_directories(path: &Path, mode: Mode) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode.bits())
        .create(path)
        .doing(|| format!("making the directory {}", path.display()))
}

/// Writes a file so that it appears whole, with this mode, or not at all; synced before it appears.
pub fn write_whole(path: &Path, bytes: &[u8], mode: Mode) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let parent = parent_of(path);
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(fs::Permissions::from_mode(mode.bits()))
        .tempfile_in(parent)
        .doing(writing)?;
    file.write_all(bytes).doing(writing)?;
    // The umask has cut the mode that the file was made with.
    file.as_file().set_permissions(fs::Permissions::from_mode(mode.bits())).doing(writing)?;
    file.as_file().sync_all().doing(writing)?;
    // What had the name before goes with the temporary one; so does the new file where the disk does not confirm its name.
    let file = file.into_temp_path();
    rename(&file, path)
}

/// Writes a file that appears whole, or not at all, but may be short after a power cut: for what is checked when it is read.
/// It is written in another directory of the same file system.
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

/// Puts a finished file in its place, in the directory that it is in.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    let above = Directory::above(to)?;
    let [from, to] = [from, to].map(|path| path.file_name().unwrap_or_default());
    swap::confirm(&[swap::Swap::file(&above, from, to)?])
}

/// Removes a directory and what is in it, links not followed; nothing there is fine.
///
/// # Errors
/// `Exit::Io`, also where a link is in the directory's place: what it leads to would stay.
pub fn remove_directory(path: &Path) -> Result<()> {
    if look(path)?.is_some_and(|found| found.kind == Kind::Link) {
        return Err(Failure::io("it is a symbolic link, and what it leads to is left as it is")
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

/// Removes a file; nothing there is fine.
pub fn remove_file(path: &Path) -> Result<()> {
    gone(rustix::fs::unlink(path)).doing(|| format!("removing {}", path.display()))
}
