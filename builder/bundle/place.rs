//! Where a build's output appears: one bundle, or a fleet of them, atomically.

use std::path::{Path, PathBuf, absolute};

use super::files::below;
use super::fleet::Index;
use super::layout::{INDEX, MANIFEST, MAX_MANIFEST_BYTES, SUMS};
use super::manifest::Manifest;
use super::seen::SeenFiles;
use super::write::Writer;
use crate::digest;
use crate::disk::{self, Directory, Kind, Staging};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::values::{ClusterName, Mode};

/// A directory that is being made. Its lock is held until it is published or dropped.
pub struct Place {
    staging: Staging,
    target: PathBuf,
    holds: Holds,
    seen: SeenFiles,
}

/// The kind of output in a place, and so the kind that it may replace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Bundle,
    Fleet,
}

impl Holds {
    fn name(self) -> &'static str {
        match self {
            Holds::Bundle => "a bundle",
            Holds::Fleet => "a fleet's directory",
        }
    }
}

impl Place {
    /// # Errors
    /// `Exit::Unsafe` when something else is at the target, `Exit::Locked` when another run is writing it.
    pub fn begin(target: &Path, holds: Holds) -> Result<Self> {
        // Resolved once, so that messages name the actual directory: a link in the path may lead elsewhere later.
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let has_link =
            |real: &PathBuf| parent.and_then(|parent| absolute(parent).ok()).as_ref() != Some(real);
        let target = match (parent.map(disk::resolved).filter(has_link), target.file_name()) {
            (Some(real), Some(name)) => real.join(name),
            _ => target.to_owned(),
        };
        let staging = begin(&target, holds)?;
        Ok(Self { staging, target, holds, seen: SeenFiles::default() })
    }

    /// With the recorded digests of the files of the place that this one replaces.
    pub fn having_seen(self, seen: SeenFiles) -> Self {
        Self { seen, ..self }
    }

    /// The bundle that this place is.
    pub fn bundle(&self) -> Writer<'_> {
        Writer::new(&self.staging, &self.seen, String::new())
    }

    /// One bundle of the fleet that this place is.
    pub fn bundle_of_fleet(&self, name: &ClusterName) -> Result<Writer<'_>> {
        self.staging.directory(name.as_str(), Mode::DIRECTORY)?;
        Ok(Writer::new(&self.staging, &self.seen, format!("{name}/")))
    }

    /// The current path of the bundle with this name, whose files may be reused; a single bundle has no name.
    pub fn replaced(&self, name: Option<&ClusterName>) -> PathBuf {
        name.map_or_else(|| self.target.clone(), |name| self.target.join(name.as_str()))
    }

    /// The fleet's index, and the list for `sha256sum -c` of it and of its bundles' lists.
    pub fn index(&self, index: &Index) -> Result<()> {
        let writer = self.bundle();
        let text = index.to_json()?;
        writer.put(INDEX, Mode::FILE, &[crate::format::Piece::Own(text)])?;
        writer.put(SUMS, Mode::FILE, &[crate::format::Piece::Own(index.sums()?.into_bytes())])?;
        Ok(())
    }

    /// Takes a file over from another place, as a hard link or a copy; the caller has checked it.
    pub fn take(&self, from: &Path, path: &str, mode: Mode) -> Result<()> {
        interrupt::check()?;
        take(&self.staging, from, path, mode)
    }

    pub fn directory(&self, path: &str, mode: Mode) -> Result<()> {
        self.staging.directory(path, mode)
    }

    /// `last` runs when every byte is on the disk and every check has passed, just before the output appears. Returns
    /// the data that `SeenFiles` records about it.
    pub fn publish(self, last: impl FnOnce() -> Result<()>) -> Result<Vec<u8>> {
        interrupt::check()?;
        // Checked again: another process may have added a file meanwhile.
        let look_again = |staging: &Staging| check_replaceable(staging, self.holds);
        self.staging.publish_as(Mode::DIRECTORY, look_again, last)?;
        Ok(self.seen.note(&self.target))
    }
}

/// A file with the content of another one: the same one, where the file system allows it.
///
/// # Errors
/// Of the system.
pub fn take(staging: &Staging, from: &Path, path: &str, mode: Mode) -> Result<()> {
    let mut input = disk::Input::open(from)?;
    match staging.link(&input, path)? {
        true => Ok(()),
        false => copied(staging, &mut input, path, mode),
    }
}

/// A file of its own with the content of another one.
///
/// # Errors
/// Of the system.
pub fn copy(staging: &Staging, from: &Path, path: &str, mode: Mode) -> Result<()> {
    copied(staging, &mut disk::Input::open(from)?, path, mode)
}

fn copied(staging: &Staging, input: &mut disk::Input, path: &str, mode: Mode) -> Result<()> {
    let mut output = staging.create(path, mode)?;
    digest::each_piece_of(input, |bytes| output.write(bytes))
}

/// A bundle may replace a bundle, a fleet a fleet; neither may replace anything else.
///
/// # Errors
/// `Exit::Unsafe` when something else is there, `Exit::Locked` when another run is writing it.
pub(super) fn begin(target: &Path, holds: Holds) -> Result<Staging> {
    // Before anything is made beside it.
    if disk::look(target)?.is_some() && disk::made(target) != Some(holds.name()) {
        return refuse(target, &disk::what(target), holds);
    }
    let staging = Staging::begin(target)?;
    check_replaceable(&staging, holds)?;
    Ok(staging)
}

fn refuse<T>(target: &Path, what: &str, holds: Holds) -> Result<T> {
    let shown = target.display();
    Err(Failure::unsafe_to(format!(
        "{shown} is {what}, but Kiln replaces only {}; choose another --out",
        holds.name()
    )))
}

/// Whether everything in the directory to be replaced was put there by a build. Anything that is not a directory is
/// never replaced.
pub(super) fn check_replaceable(staging: &Staging, holds: Holds) -> Result<()> {
    let Some(old) = staging.old() else { return Ok(()) };
    let target = staging.target();
    let odd = match holds {
        Holds::Bundle => odd_in_bundle(old)?,
        Holds::Fleet => odd_in_fleet(old)?,
    };
    match odd {
        Odd::Nothing => Ok(()),
        Odd::All => match disk::what(target) {
            // It contains a file with the name of a manifest or an index, but the file cannot be read as one.
            what if what == holds.name() => {
                refuse(target, &format!("not {what} that this version of Kiln can read"), holds)
            }
            what => refuse(target, &what, holds),
        },
        Odd::Path(path) => Err(Failure::unsafe_to(format!(
            "{} contains {}, which is not part of the bundle and would be lost; move it elsewhere, or choose another --out",
            target.display(),
            path.display()
        ))),
    }
}

/// Reasons not to replace a directory. The old one is removed once the new one is in its place, and everything in it
/// would be removed with it: a user's notes, or a keystore.
enum Odd {
    Nothing,
    /// The directory is not of the expected kind at all.
    All,
    Path(PathBuf),
}

/// `None` where there is none that this version of Kiln can read.
fn read_as<T>(directory: &Directory, name: &str, parse: fn(&[u8]) -> Result<T>) -> Option<T> {
    let bytes = directory.input(name).and_then(|input| input.whole(MAX_MANIFEST_BYTES)).ok()?;
    parse(&bytes).ok()
}

fn odd_in_bundle(bundle: &Directory) -> Result<Odd> {
    let Some(manifest) = read_as(bundle, MANIFEST, Manifest::from_json) else { return Ok(Odd::All) };
    let odd = bundle.find(&|path, kind| match (kind, path.to_str()) {
        (Kind::Directory, Some(path)) => below(&manifest.files, path).next().is_none(),
        (Kind::File, Some(path)) => path != MANIFEST && path != SUMS && !manifest.files.contains_key(path),
        _ => true,
    })?;
    Ok(odd.map_or(Odd::Nothing, Odd::Path))
}

fn odd_in_fleet(fleet: &Directory) -> Result<Odd> {
    let Some(index) = read_as(fleet, INDEX, Index::from_json) else { return Ok(Odd::All) };
    for (name, kind) in fleet.entries()? {
        interrupt::check()?;
        if name == INDEX || name == SUMS {
            continue;
        }
        let path = Path::new(&name);
        if kind != Kind::Directory || !index.bundles.iter().any(|bundle| name == bundle.name.as_str()) {
            return Ok(Odd::Path(path.into()));
        }
        match odd_in_bundle(&fleet.below(path)?)? {
            Odd::Nothing => {}
            Odd::All => return Ok(Odd::Path(path.into())),
            Odd::Path(odd) => return Ok(Odd::Path(path.join(odd))),
        }
    }
    Ok(Odd::Nothing)
}
