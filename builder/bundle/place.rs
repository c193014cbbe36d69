//! Where a build's output appears: one bundle, or a fleet of them, whole or not at all.

use std::path::{Path, PathBuf, absolute};

use super::files::below;
use super::fleet::Index;
use super::layout::{INDEX, MANIFEST, MAX_MANIFEST_BYTES, SUMS};
use super::manifest::Manifest;
use super::seen::Seen;
use super::write::Writer;
use crate::digest;
use crate::disk::{self, Directory, Kind, Staging};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::values::{ClusterName, Mode};

/// A directory in the making. Its lock is held until it is published or dropped.
pub struct Place {
    staging: Staging,
    target: PathBuf,
    holds: Holds,
    seen: Seen,
}

/// What a place holds, and so what it may take the place of.
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
    /// `Exit::Unsafe` when something else stands at the target, `Exit::Locked` when another run is writing it.
    pub fn begin(target: &Path, holds: Holds) -> Result<Self> {
        // So that messages name what is meant: a link on the way may lead elsewhere later.
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let has_link =
            |real: &PathBuf| parent.and_then(|parent| absolute(parent).ok()).as_ref() != Some(real);
        let target = match (parent.map(disk::resolved).filter(has_link), target.file_name()) {
            (Some(real), Some(name)) => real.join(name),
            _ => target.to_owned(),
        };
        let staging = begin(&target, holds)?;
        Ok(Self { staging, target, holds, seen: Seen::default() })
    }

    /// With what is known of the files of the place that this one replaces.
    pub fn having_seen(self, seen: Seen) -> Self {
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

    /// Where the bundle with this name stands now, which may be taken over from; the only one has no name.
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

    /// Takes a file over from another place, by another name for it or as a copy; the caller has checked it.
    pub fn take(&self, from: &Path, path: &str, mode: Mode) -> Result<()> {
        interrupt::check()?;
        let mut input = disk::Input::open(from)?;
        if self.staging.link(&input, path)? {
            return Ok(());
        }
        let mut output = self.staging.create(path, mode)?;
        digest::each_piece_of(&mut input, |bytes| output.write(bytes))
    }

    pub fn directory(&self, path: &str, mode: Mode) -> Result<()> {
        self.staging.directory(path, mode)
    }

    /// `last` runs when every byte is on the disk and nothing is left that could be refused, just before all of it appears.
    /// What `Seen` has noted down of it comes back.
    pub fn publish(self, last: impl FnOnce() -> Result<()>) -> Result<Vec<u8>> {
        interrupt::check()?;
        // Once more: somebody may have put something into it meanwhile.
        let look_again = |staging: &Staging| check_replaceable(staging, self.holds);
        self.staging.publish_as(Mode::DIRECTORY, look_again, last)?;
        Ok(self.seen.note(&self.target))
    }
}

/// A bundle may stand in the place of a bundle, a fleet in that of a fleet, and nothing in that of anything else.
///
/// # Errors
/// `Exit::Unsafe` when something else stands there, `Exit::Locked` when another run is writing it.
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
        "{shown} is {what}, and kiln replaces nothing but {}; choose another --out",
        holds.name()
    )))
}

/// Whether all that is in what is replaced was put there by a build. Something that is no directory is never replaced.
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
            // It has the name of one in it, but cannot be read as one.
            what if what == holds.name() => {
                refuse(target, &format!("not {what} that this kiln can read"), holds)
            }
            what => refuse(target, &what, holds),
        },
        Odd::Path(path) => Err(Failure::unsafe_to(format!(
            "{} holds {}, which no build put there and which would be lost; move it elsewhere, or choose another --out",
            target.display(),
            path.display()
        ))),
    }
}

/// What keeps a directory from being replaced. The old one goes when the new one is in its place, and whatever lies in it
/// would go along: somebody's notes, or a keystore.
enum Odd {
    Nothing,
    /// It is not what it should be at all.
    All,
    Path(PathBuf),
}

/// `None` where there is none that this Kiln can read.
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
