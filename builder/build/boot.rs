//! The base system that a bundle's boot files are made from.

use std::path::Path;
use std::sync::Arc;

use crate::base::{Base, Bases, BootFiles};
use crate::carrier::{self, ipxe};
use crate::disk::{self, Input, Kind};
use crate::failure::{Exit, Failure, Result};
use crate::format::DiskFile;
use crate::profile::Profile;
use crate::values::{BaseSystem, Digest};

/// The boot files of the base system that the command line names, else of the profile's. `None` where neither names
/// one that runs from RAM, or where no carrier puts a node's files into an initrd. `digest` returns the SHA-256 of a
/// file.
///
/// # Errors
/// As `base`, and `Exit::Io` when its files cannot be read.
pub fn files(
    profile: &Profile,
    given: Option<&Path>,
    bases: &Bases,
    digest: impl Fn(&Path) -> Result<Digest>,
) -> Result<Option<BootFiles>> {
    if !profile.etcd.service.instance.owns_host() {
        return refuse(profile, given).map(|()| None);
    }
    let Some(base) = base(profile, given, bases)? else { return Ok(None) };
    let file = |path: &Path| -> Result<Arc<DiskFile>> {
        let size = Input::open(path)?.size();
        Ok(Arc::new(DiskFile { path: path.to_owned(), size, sha256: digest(path)? }))
    };
    let cmdline = base
        .cmdline
        .parse()
        .map_err(|why| Failure::new(Exit::Usage, format!("the kernel command line is not valid: {why}")))?;
    let kernel = file(base.check_kernel(profile.etcd.arch)?)?;
    Ok(Some(BootFiles { kernel, initrd: file(&base.initrd)?, cmdline }))
}

/// The sentence about the base system that a profile names for its boot files, and that is missing.
///
/// # Errors
/// `Exit::Io` when its place cannot be looked at.
pub fn missing(profile: &Profile, given: Option<&Path>, bases: &Bases) -> Result<Option<String>> {
    let is_used = given.is_none()
        && profile.etcd.service.instance.owns_host()
        && profile.bundle.carriers.iter().any(|carrier| carrier.runs_from_ram());
    match &profile.machine.base {
        Some(name) if is_used => missing_named(name, bases),
        _ => Ok(None),
    }
}

/// The sentence about a base system that is named for boot files, and that is missing.
///
/// # Errors
/// `Exit::Io` when its place cannot be looked at.
pub fn missing_named(name: &BaseSystem, bases: &Bases) -> Result<Option<String>> {
    if starts_from_disk(name.as_str()) || disk::look(&bases.directory(name))?.is_some() {
        return Ok(None);
    }
    Ok(Some(bases.missing(Exit::Profile, name).to_string()))
}

/// The base system whose kernel and initrd go into the bundle: the command line's, else the profile's. `None` where
/// neither names one that runs from RAM, or where no carrier puts a node's files into an initrd.
///
/// # Errors
/// `Exit::Profile` when the profile's base system is missing; `Exit::Usage` when boot files cannot be made from it.
fn base(profile: &Profile, given: Option<&Path>, bases: &Bases) -> Result<Option<Base>> {
    let Some(carrier) = profile.bundle.carriers.iter().copied().find(|carrier| carrier.runs_from_ram())
    else {
        return match given {
            None => Ok(None),
            Some(_) => {
                let known: Vec<_> =
                    carrier::all().iter().filter(|one| one.runs_from_ram()).map(|one| one.name).collect();
                let reason = format!(
                    "--base is for boot files, which need the carrier {}; add it to [bundle] carriers",
                    known.join(" or ")
                );
                Err(Failure::new(Exit::Usage, reason))
            }
        };
    };
    let directory = match (given, &profile.machine.base) {
        (Some(given), _) => bases.named(given)?,
        (None, None) => return Ok(None),
        (None, Some(name)) => {
            let directory = bases.directory(name);
            match disk::look(&directory)? {
                // An image starts its own kernel.
                Some(found) if found.kind == Kind::File => return Ok(None),
                Some(_) => directory,
                // A machine that starts from a disk does not need boot files.
                None if starts_from_disk(name) => return Ok(None),
                None => return Err(bases.missing(Exit::Profile, name)),
            }
        }
    };
    // A directory that the profile names is the profile's mistake.
    let exit = if given.is_some() { Exit::Usage } else { Exit::Profile };
    let as_named = |failure: Failure| match failure.exit() {
        Exit::Usage => failure.with_exit(exit),
        _ => failure,
    };
    let base = Base::open(&directory, carrier).map_err(as_named)?;
    if base.has_disk {
        return match given {
            None => Ok(None),
            Some(_) => Err(Failure::new(
                Exit::Usage,
                format!(
                    "{} boots from its disk.qcow2, but boot files need a base system that runs from RAM; omit \
                     --base, or name one made by ci/base live",
                    directory.display()
                ),
            )),
        };
    }
    base.check_kernel(profile.etcd.arch).map_err(as_named)?;
    ipxe::check_cmdline(&base.cmdline).map_err(|why| {
        Failure::new(
            exit,
            format!("{} is not a valid kernel command line: {why}", directory.join("cmdline").display()),
        )
    })?;
    Ok(Some(base))
}

/// A cluster on machines that another one sets up has no boot files; a base system of its profile is for nothing.
///
/// # Errors
/// `Exit::Usage` when the command line names a base system.
fn refuse(profile: &Profile, given: Option<&Path>) -> Result<()> {
    match given {
        None => Ok(()),
        Some(_) => Err(Failure::new(
            Exit::Usage,
            format!(
                "--base is for boot files, and {} has none: it is the instance {} on machines that another cluster sets up; \
                 omit --base",
                profile.name, profile.etcd.service.instance
            ),
        )),
    }
}

/// Whether it is the base system of `ci/base` for machines that start from a disk.
fn starts_from_disk(base: &str) -> bool {
    carrier::all().iter().any(|carrier| carrier.has_seed() && carrier.base() == Some(base))
}
