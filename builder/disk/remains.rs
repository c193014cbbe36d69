//! Remains of killed runs beside the directory that they were making: finds them, restores the old directory, and
//! removes the rest.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::RenameFlags;

use super::look::parent_of;
use super::{Directory, Kind, look};
use crate::failure::{Doing, Failure, Result};

/// The names of a directory that is being made, and of the one that it replaces.
pub(super) fn remains(name: &str) -> [String; 2] {
    ["partial", "replaced"].map(|ending| format!(".{name}.{ending}"))
}

/// The remains of a killed run beside a target.
pub fn left_of(target: &Path) -> Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for name in remains(&target.file_name().unwrap_or_default().to_string_lossy()) {
        let path = parent_of(target).join(name);
        if look(&path)?.is_some() {
            left.push(path);
        }
    }
    Ok(left)
}

/// Restores the directory that a killed run was replacing, and removes the one that it was making. The caller holds
/// the target's lock.
pub fn recover(target: &Path) -> Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    recover_in(&Directory::above(target)?, &name)
}

/// # Errors
/// `Exit::Unsafe` where another user may have given the name to a directory that no run of Kiln made.
pub(super) fn recover_in(above: &Directory, name: &str) -> Result<()> {
    let [partial, replaced] = remains(name);
    // A run that was killed between two renames left the valid one under the other name.
    if above.look(&replaced)?.is_some() && above.look(name)?.is_none() {
        above
            .rename(replaced.as_ref(), name.as_ref(), RenameFlags::empty())
            .map_err(io::Error::from)
            .doing(|| format!("bringing back {}", above.path().join(name).display()))?;
    }
    for left in [&partial, &replaced] {
        match above.look(left)?.map(|found| found.kind) {
            Some(Kind::Directory) => {
                if let Some(why) = above.open_to_others()? {
                    return Err(Failure::unsafe_to(format!(
                        "{why}; so {} may be left from a killed run of kiln, with keys in it, or belong to another program: \
                         inspect it, and move it elsewhere",
                        above.path().join(left).display()
                    )));
                }
                above.remove(left.as_ref())?;
            }
            Some(_) => above.remove_file(left.as_ref())?,
            None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::{Scratch, list, set_mode};
    use crate::failure::Exit;
    use crate::values::Mode;

    #[test]
    fn what_a_killed_run_left_is_cleaned_up() {
        let scratch = Scratch::new("test").unwrap();
        let target = scratch.path().join("ha3");
        fs::create_dir_all(scratch.path().join(".ha3.partial/deep/er")).unwrap();
        fs::create_dir_all(scratch.path().join(".ha3.replaced")).unwrap();
        fs::write(scratch.path().join(".ha3.replaced/good"), "x").unwrap();
        recover(&target).unwrap();
        assert_eq!(list(&target).unwrap(), ["good"], "the bundle that was being replaced is back");
        assert_eq!(list(scratch.path()).unwrap(), ["ha3"]);
    }

    #[test]
    fn what_others_may_have_put_there_is_not_cleaned_up() {
        let scratch = Scratch::new("test").unwrap();
        let left = scratch.path().join(".ha3.partial");
        fs::create_dir_all(left.join("precious")).unwrap();
        let set_mode = |bits| set_mode(scratch.path(), Mode::from_bits(bits)).unwrap();
        set_mode(0o777);
        let target = scratch.path().join("ha3");
        let refused = recover(&target).unwrap_err();
        assert_eq!(refused.exit(), Exit::Unsafe, "{refused}");
        assert_eq!(list(&left).unwrap(), ["precious"]);
        // There they cannot rename this user's files.
        set_mode(0o1777);
        recover(&target).unwrap();
        assert!(list(scratch.path()).unwrap().is_empty());
    }
}
