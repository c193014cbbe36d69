//! Base systems by name.

use std::path::{Path, PathBuf};

use crate::disk;
use crate::failure::{Exit, Failure, Result};

/// The directory below which `ci/base` makes base systems.
#[derive(Clone)]
pub struct Bases {
    pub lab: PathBuf,
}

/// The names that ci/base takes.
const MADE: [&str; 4] = ["live", "cloud", "ignition", "image"];

impl Bases {
    /// The directory of a base system that a profile or a carrier names: an absolute path is the directory itself, any
    /// other name is one that ci/base makes.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = Path::new(name);
        match path.is_absolute() {
            true => path.to_owned(),
            false => self.lab.join("base").join(name),
        }
    }

    /// The base system that `--base` names: an existing directory, or else a name as in a profile.
    ///
    /// # Errors
    /// `Exit::Usage` when neither exists.
    pub fn named(&self, given: &Path) -> Result<PathBuf> {
        if disk::look(given)?.is_some() {
            return Ok(given.to_owned());
        }
        match given.to_str().filter(|name| !name.contains('/')) {
            Some(name) if disk::look(&self.directory(name))?.is_some() => Ok(self.directory(name)),
            Some(name) => Err(self.missing(Exit::Usage, name)),
            None => {
                let reason = format!("there is no base system {}; ci/base live creates one", given.display());
                Err(Failure::new(Exit::Usage, reason))
            }
        }
    }

    pub fn missing(&self, exit: Exit, name: &str) -> Failure {
        let directory = self.directory(name);
        // An absolute path is not one of those that ci/base makes.
        let way_out = match Path::new(name).is_absolute() {
            true => "correct the path, or name another with --base".to_owned(),
            false if MADE.contains(&name) => {
                format!("ci/base {name} creates one, or name another with --base")
            }
            false => format!("ci/base creates {}, or name another with --base", MADE.join(", ")),
        };
        let reason = format!("there is no base system {}; {way_out}", directory.display());
        Failure::new(exit, reason)
    }
}
