//! The directories that a build reads and writes: none of them may be inside another.

use std::path::{Path, PathBuf};

use super::cache;
use crate::cli::BuildInputs;
use crate::disk;
use crate::failure::{Failure, Result};

/// The default directory of the keystores.
pub const KEYSTORES: &str = "keystore";

/// A directory: its name on the command line, its path, and its path without links.
struct Place {
    name: &'static str,
    path: PathBuf,
    resolved: PathBuf,
}

/// The relation of one directory to another, both without links.
enum Lies {
    Same,
    Above,
    Below,
}

/// `None` when neither contains the other.
fn lies(one: &Path, other: &Path) -> Option<Lies> {
    match (other.starts_with(one), one.starts_with(other)) {
        (true, true) => Some(Lies::Same),
        (true, false) => Some(Lies::Above),
        (false, true) => Some(Lies::Below),
        (false, false) => None,
    }
}

/// # Errors
/// `Exit::Unsafe` when the output would be inside something that Kiln has made, which is replaced whole, or where the
/// keystores are by default.
pub fn refuse_inside(out: &Path) -> Result<()> {
    disk::refuse_around(out, "choose another --out")?;
    let keystores = disk::resolved(Path::new(KEYSTORES));
    let real = disk::resolved(out);
    if real == keystores || !real.starts_with(&keystores) {
        return Ok(());
    }
    Err(Failure::unsafe_to(format!(
        "{} is in {}, the directory of the keystores; choose another --out",
        out.display(),
        KEYSTORES
    )))
}

/// The directories of one build except its keystores.
pub struct Places(Vec<Place>);

impl Places {
    /// The directories that a command line names.
    ///
    /// # Errors
    /// As `new`, and `Exit::Unsafe` for a cache in a directory of something else.
    pub fn of(args: &BuildInputs, out: &Path) -> Result<Self> {
        let places = Self::new(&args.store.artifacts, cache::place(&args.cache)?.as_deref(), out)?;
        cache::refuse_foreign(&args.cache)?;
        Ok(places)
    }

    /// # Errors
    /// `Exit::Unsafe` when one of them is inside another: the output and a keystore are replaced whole, with
    /// everything in them.
    pub fn new(artifacts: &Path, cache: Option<&Path>, out: &Path) -> Result<Self> {
        if disk::resolved(out) == Path::new("/") {
            let reason = format!("{} is the root directory; choose another --out", out.display());
            return Err(Failure::unsafe_to(reason));
        }
        refuse_inside(out)?;
        let all = [("--out", Some(out)), ("--artifacts", Some(artifacts)), ("the cache", cache)];
        let mut places = Self(Vec::new());
        for (name, path) in all {
            if let Some(path) = path {
                let place = Place { name, path: path.to_owned(), resolved: disk::resolved(path) };
                places.refuse_nested(&place)?;
                places.0.push(place);
            }
        }
        Ok(places)
    }

    /// # Errors
    /// As `new`, for the keystore of one cluster.
    pub fn refuse_keystore(&self, path: &Path) -> Result<()> {
        let place = Place { name: "--keystore", path: path.to_owned(), resolved: disk::resolved(path) };
        self.refuse_nested(&place)?;
        disk::refuse_around(path, "choose another --keystore")
    }

    /// Adds the keystores, each of which was checked against the others.
    pub fn and_keystore(mut self, path: &Path) -> Self {
        let resolved = disk::resolved(path);
        self.0.insert(0, Place { name: "--keystore", path: path.to_owned(), resolved });
        self
    }

    /// How a directory and one of these contain each other, if they do: `holds --out (out/ha3)`.
    pub fn around(&self, path: &Path) -> Option<String> {
        let resolved = disk::resolved(path);
        self.0.iter().find_map(|place| {
            let how = match lies(&resolved, &place.resolved)? {
                Lies::Same => "is",
                Lies::Above => "holds",
                Lies::Below => "is in",
            };
            Some(format!("{how} {} ({})", place.name, place.path.display()))
        })
    }

    fn refuse_nested(&self, new: &Place) -> Result<()> {
        for there in &self.0 {
            let (inner, outer) = match lies(&new.resolved, &there.resolved) {
                None => continue,
                Some(Lies::Same) => {
                    return Err(Failure::unsafe_to(format!(
                        "{} and {} are both {}; each needs a directory of its own",
                        there.name,
                        new.name,
                        new.path.display()
                    )));
                }
                Some(Lies::Below) => (new, there),
                Some(Lies::Above) => (there, new),
            };
            return Err(Failure::unsafe_to(format!(
                "{} ({}) is in {} ({}); each needs a directory of its own, so that replacing one does not remove another",
                inner.name,
                inner.path.display(),
                outer.name,
                outer.path.display()
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_lie_in_one_another_by_whole_parts() {
        let how = |one: &str, other: &str| lies(Path::new(one), Path::new(other));
        assert!(matches!(how("/a/real", "/a/real"), Some(Lies::Same)));
        assert!(matches!(how("/a/real/a", "/a/real"), Some(Lies::Below)));
        assert!(matches!(how("/a", "/a/real"), Some(Lies::Above)));
        assert!(how("/a/real2", "/a/real").is_none());
    }
}
