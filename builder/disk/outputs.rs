//! The rule for every place that Kiln writes to: not into something that it has made for another purpose, and not
//! into directories of other programs.

use std::path::Path;

use super::list::list;
use super::look::{Kind, look};
use super::what::{made, resolved, what};
use crate::failure::{Exit, Failure, Result};

/// Names that a directory may contain and still be as good as empty: a new file system, marks for backups and git.
const NEUTRAL: [&str; 3] = ["lost+found", "CACHEDIR.TAG", ".gitignore"];

/// The name of a cache, of those that `made` returns.
pub const CACHE: &str = "a cache";
/// The name of an artifact store, of those that `made` returns.
pub const STORE: &str = "an artifact store";

/// Checks a place for a file or directory. `own` is the kind of directory that it may be itself; `way_out` ends the
/// message: `choose another --out`.
///
/// # Errors
/// `Exit::Unsafe` when it is, or is inside, something else that Kiln has made: that could be damaged, or replaced
/// whole together with what is written.
pub fn refuse_in_made(path: &Path, own: Option<&str>, way_out: &str) -> Result<()> {
    let real = resolved(path);
    if let Some(what) = made(&real).filter(|what| own != Some(what)) {
        return Err(Failure::unsafe_to(format!("{} is {what}; {way_out}", path.display())));
    }
    let above = real.ancestors().skip(1).find_map(|above| Some((above, made(above)?)));
    match above {
        None => Ok(()),
        Some((above, what)) => Err(Failure::unsafe_to(format!(
            "{} is in {}, which is {what}; {way_out}",
            path.display(),
            above.display()
        ))),
    }
}

/// As [`refuse_in_made`], where what is at the path itself is judged by those who replace or read it.
///
/// # Errors
/// As [`refuse_in_made`].
pub fn refuse_around(path: &Path, way_out: &str) -> Result<()> {
    refuse_in_made(path, made(&resolved(path)), way_out)
}

/// As [`refuse_in_made`], for a directory that belongs to Kiln alone, such as a cache.
///
/// # Errors
/// Also `Exit::Unsafe` when other files are there already, and `Exit::Usage` when it is no directory.
pub fn refuse_foreign(path: &Path, own: &str, way_out: &str) -> Result<()> {
    refuse_in_made(path, Some(own), way_out)?;
    let real = resolved(path);
    match look(&real)? {
        None => Ok(()),
        Some(found) if found.kind != Kind::Directory => {
            let reason = format!("{} is {}, not a directory; {way_out}", path.display(), what(&real));
            Err(Failure::new(Exit::Usage, reason))
        }
        Some(_) if made(&real) == Some(own) || is_unused(&real)? => Ok(()),
        Some(_) => Err(Failure::unsafe_to(format!(
            "{} is {}, neither {own} nor empty; {way_out}",
            path.display(),
            what(&real)
        ))),
    }
}

/// Whether a directory contains no files, except neutral ones and what a run leaves that is killed while it makes the
/// directories of a cache (`1`) or a store (`blobs`).
fn is_unused(directory: &Path) -> Result<bool> {
    for name in list(directory)? {
        let path = directory.join(&name);
        let is_begun = matches!(name.as_str(), "1" | "blobs")
            && look(&path)?.is_some_and(|found| found.kind == Kind::Directory)
            && list(&path)?.is_empty();
        if !is_begun && !NEUTRAL.contains(&name.as_str()) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Scratch, make_directories};
    use crate::values::Mode;

    #[test]
    fn only_its_own_kind_or_nothing_is_written_to() {
        let scratch = Scratch::new("test").unwrap();
        let place = |name: &str| {
            let path = scratch.path().join(name);
            make_directories(&path, Mode::DIRECTORY).unwrap();
            path
        };
        let exit = |path: &Path| refuse_foreign(path, CACHE, "x").err().map(|failure| failure.exit());
        place("ks/keystore.toml");
        place("cache/1/packed");
        place("both/bundle.json");
        place("both/1/packed");
        place("begun/1");
        place("other/1/part");
        let top = scratch.path();
        for good in ["none", "none/deeper", "cache", "begun"] {
            assert_eq!(exit(&top.join(good)), None, "{good}");
        }
        for bad in ["ks", "ks/a/b", "both", "both/1/packed", "other", ""] {
            assert_eq!(exit(&top.join(bad)), Some(Exit::Unsafe), "{bad}");
        }
        assert_eq!(exit(&place("lost/lost+found").with_file_name("")), None);
        std::os::unix::fs::symlink("ks", top.join("link")).unwrap();
        assert_eq!(exit(&top.join("link")), Some(Exit::Unsafe));
        assert_eq!(exit(&top.join("link/new")), Some(Exit::Unsafe));
    }
}
