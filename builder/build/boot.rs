//! The base system that a bundle's boot files are made of.

use std::path::Path;
use std::sync::Arc;

use super::session::Session;
use crate::base::{self, Base, Bases};
use crate::carrier::ipxe;
use crate::disk::{self, Input, Kind};
use crate::failure::{Exit, Failure, Result};
use crate::format::DiskFile;
use crate::profile::{Carrier, Profile};
use crate::values::Line;

/// What the machines of all hosts boot from.
pub struct BootFiles {
    /// As boot loaders want it.
    pub kernel: Arc<DiskFile>,
    /// The base system's, without any node's files.
    pub initrd: Arc<DiskFile>,
    /// The kernel's command line.
    pub cmdline: Line,
}

/// Of the base system that the command line names, else the profile: `None` where neither names one that runs from RAM,
/// or where no carrier puts a node's files into an initrd.
///
/// # Errors
/// As `base`, and `Exit::Io` when its files cannot be read.
pub fn files(profile: &Profile, session: &Session<'_>) -> Result<Option<BootFiles>> {
    let (given, bases) = (session.options.base.as_deref(), &session.options.bases);
    let Some(base) = base(profile, given, bases)? else { return Ok(None) };
    let file = |path: &Path| -> Result<Arc<DiskFile>> {
        let size = Input::open(path)?.size();
        Ok(Arc::new(DiskFile { path: path.to_owned(), size, sha256: session.digest(path)? }))
    };
    let cmdline = base
        .cmdline
        .parse()
        .map_err(|why| Failure::new(Exit::Usage, format!("the kernel command line is none: {why}")))?;
    let kernel = file(base.check_kernel(profile.etcd.arch)?)?;
    Ok(Some(BootFiles { kernel, initrd: file(&base.initrd)?, cmdline }))
}

/// The base system whose kernel and initrd go into the bundle: the command line's, else the profile's. `None` where
/// neither names one that runs from RAM, or where no carrier puts a node's files into an initrd.
///
/// # Errors
/// `Exit::Profile` when the profile's is not there; `Exit::Usage` when it is not one for boot files.
fn base(profile: &Profile, given: Option<&Path>, bases: &Bases) -> Result<Option<Base>> {
    let has_initramfs = profile.bundle.carriers.contains(&Carrier::Initramfs);
    let directory = match (given, &profile.machine.base) {
        (Some(_), _) if !has_initramfs => {
            let reason =
                "--base is for boot files, which hold the carrier initramfs; add it to [bundle] carriers";
            return Err(Failure::new(Exit::Usage, reason));
        }
        (Some(given), _) => bases.named(given)?,
        (None, Some(name)) if has_initramfs => {
            let directory = bases.directory(name);
            match disk::look(&directory)? {
                // An image starts its own kernel.
                Some(found) if found.kind == Kind::File => return Ok(None),
                Some(_) => directory,
                // These two start from a disk, whose machine has no use for boot files.
                None if ["cloud", "ignition"].contains(&name.as_str()) => return Ok(None),
                None => return Err(bases.missing(Exit::Profile, name)),
            }
        }
        (None, _) => return Ok(None),
    };
    // A directory that the profile names is the profile's mistake.
    let exit = if given.is_some() { Exit::Usage } else { Exit::Profile };
    let as_named = |failure: Failure| match failure.exit() {
        Exit::Usage => failure.with_exit(exit),
        _ => failure,
    };
    let base = Base::open(&directory, base::Carrier::Initramfs).map_err(as_named)?;
    if base.has_disk {
        return match given {
            None => Ok(None),
            Some(_) => Err(Failure::new(
                Exit::Usage,
                format!(
                    "{} starts from its disk.qcow2, and boot files are for a base system that runs from RAM; \
                     leave --base out, or name one that ci/base live makes",
                    directory.display()
                ),
            )),
        };
    }
    base.check_kernel(profile.etcd.arch).map_err(as_named)?;
    ipxe::check_cmdline(&base.cmdline).map_err(|why| {
        Failure::new(
            exit,
            format!("{} is no kernel command line: {why}", directory.join("cmdline").display()),
        )
    })?;
    Ok(Some(base))
}
