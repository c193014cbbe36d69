//! Taking programs of etcd out of a bundle.

use std::path::{Path, PathBuf};

use crate::bundle::manifest::EtcdProgram;
use crate::bundle::{LAYER_ARCHIVE, Manifest, NODE_ARCHIVE, node_file};
use crate::disk::{self, Input};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::format::read::Archive;
use crate::values::{Arch, Digest, Mode};

/// A generous limit: each is some 20 MB.
const MAX_PROGRAM_BYTES: u64 = 256 << 20;

/// Programs of the bundle run on machines of its architecture only.
///
/// # Errors
/// `Exit::Usage` on another one; `what` is to be done elsewhere: "rehearse it".
pub fn refuse_foreign(manifest: &Manifest, what: &str) -> Result<()> {
    let arch = manifest.etcd.arch;
    match Some(arch) == Arch::host() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Usage,
            format!(
                "the bundle is for {arch} and this machine is {}; {what} on a machine of its architecture",
                std::env::consts::ARCH
            ),
        )),
    }
}

/// Writes a program of the bundle into `scratch`, executable, after checking its digest.
///
/// # Errors
/// `Exit::Wrong` when the bundle does not contain it; `Exit::Untrusted` when it does not match the manifest.
pub fn bundled_program(
    bundle: &Path,
    manifest: &Manifest,
    program: EtcdProgram,
    scratch: &Path,
) -> Result<PathBuf> {
    let binary = manifest.etcd.binaries.get(&program);
    let binary = binary
        .ok_or_else(|| Failure::wrong(format!("the bundle has no {program}; build it again with one")))?;
    let archive = if manifest.shares_binaries() {
        bundle.join(LAYER_ARCHIVE)
    } else {
        let first = manifest.nodes.first().ok_or_else(|| Failure::wrong("the bundle has no node"))?;
        bundle.join(node_file(&first.name, NODE_ARCHIVE))
    };
    let taking = || format!("taking {} out of {}", binary.path, archive.display());
    let bytes = take_out(&archive, &binary.path).doing(taking)?;
    let digest = Digest::of(&bytes);
    if digest != binary.sha256 {
        return Err(Failure::untrusted(format!(
            "its SHA-256 is {digest}, but the manifest has {}; the bundle was changed, build it again",
            binary.sha256
        ))
        .while_doing(taking()));
    }
    let path = scratch.join(program.as_str());
    disk::write_whole(&path, &bytes, Mode::PROGRAM)?;
    Ok(path)
}

fn take_out(archive: &Path, path: &str) -> Result<Vec<u8>> {
    let found = Archive::TarGz.file(Input::open(archive)?, path, MAX_PROGRAM_BYTES)?;
    found.ok_or_else(|| Failure::wrong("it is missing there; build the bundle again"))
}
