//! Where a path really leads.

use std::io;
use std::path::{Path, PathBuf};

use crate::failure::{Doing, Result};

/// The path without links and `..`, also of something that is not there yet: what of it is there is followed, and the rest is
/// taken as it is written.
///
/// # Errors
/// `Exit::Io` when something on the way cannot be looked at.
pub fn real(path: &Path) -> Result<PathBuf> {
    let looking = || format!("looking at {}", path.display());
    let absolute = std::path::absolute(path).doing(looking)?;
    let mut there = absolute.as_path();
    loop {
        match std::fs::canonicalize(there) {
            Ok(real) => {
                let rest = absolute.strip_prefix(there).unwrap_or(Path::new(""));
                return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                match there.parent() {
                    Some(parent) => there = parent,
                    None => return Err(error).doing(looking),
                }
            }
            Err(error) => return Err(error).doing(looking),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Scratch, make_directories};
    use crate::values::Mode;

    #[test]
    fn links_are_followed_and_what_is_not_there_is_kept() {
        let scratch = Scratch::new("test").unwrap();
        let top = std::fs::canonicalize(scratch.path()).unwrap();
        make_directories(&top.join("a/b"), Mode::DIRECTORY).unwrap();
        rustix::fs::symlink("a/b", top.join("link")).unwrap();
        assert_eq!(real(&top.join("link/new/one")).unwrap(), top.join("a/b/new/one"));
        assert_eq!(real(&top.join("a/../link")).unwrap(), top.join("a/b"));
        assert_eq!(real(&top.join("nothing")).unwrap(), top.join("nothing"));
    }
}
