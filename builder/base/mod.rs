//! The base system that machines start: a directory with `vmlinux` or `vmlinuz`, `initrd.img`, `cmdline` and, for the
//! carriers that need one, `disk.qcow2`. `ci/base` makes such directories.

mod bases;
mod system;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{self, Input};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::format::DiskFile;
use crate::values::{Arch, Carrier, Line};

pub use bases::Bases;
pub use system::System;

const MAX_CMDLINE_BYTES: u64 = 64 << 10;
/// The magic number of a packed x86 kernel at 0x202, and where it ends (kernel documentation, arch/x86/boot).
const X86_KERNEL: &[u8] = b"HdrS";
const KERNEL_HEADER: u64 = 0x206;

/// Files from which the machines of all nodes boot when only a boot loader starts them.
pub struct BootFiles {
    /// In the form that boot loaders need.
    pub kernel: Arc<DiskFile>,
    /// The base system's, without any node's files.
    pub initrd: Arc<DiskFile>,
    /// The kernel's command line.
    pub cmdline: Line,
}

/// Files from which every machine is started.
pub struct Base {
    /// In the form that QEMU starts fastest: unpacked, if there is one.
    pub kernel: PathBuf,
    /// In the form that boot loaders need.
    pub packed_kernel: Option<PathBuf>,
    pub initrd: PathBuf,
    pub cmdline: String,
    /// Read by all machines, never written.
    pub disk: Option<PathBuf>,
    /// Whether it has a disk at all, even if the carrier does not use it: such a system does not run from RAM.
    pub has_disk: bool,
}

impl Base {
    /// # Errors
    /// `Exit::Usage` when the directory is not a base system for this carrier.
    pub fn open(directory: &Path, carrier: Carrier) -> Result<Self> {
        let directory =
            std::path::absolute(directory).doing(|| format!("finding {}", directory.display()))?;
        let lacks = |what: &str| {
            let (at, base) = (directory.display(), carrier.base().unwrap_or("live"));
            let reason = format!(
                "{at} is not a base system for {}: it has no {what}; ci/base {base} creates one, and --base names it",
                carrier
            );
            Failure::new(Exit::Usage, reason)
        };
        let there = |name: &str| -> Result<Option<PathBuf>> {
            let file = directory.join(name);
            Ok(disk::look(&file)?.map(|_| file))
        };
        // The unpacked kernel is preferred: QEMU starts it without decompression in the guest.
        let packed_kernel = there("vmlinuz")?;
        let kernel = match there("vmlinux")? {
            Some(kernel) => kernel,
            None => packed_kernel.clone().ok_or_else(|| lacks("vmlinuz"))?,
        };
        let initrd = there("initrd.img")?.ok_or_else(|| lacks("initrd.img"))?;
        let cmdline = there("cmdline")?.ok_or_else(|| lacks("cmdline"))?;
        let cmdline = String::from_utf8_lossy(&disk::read(&cmdline, MAX_CMDLINE_BYTES)?).trim().to_owned();
        let disk = there("disk.qcow2")?;
        if !carrier.runs_from_ram() && disk.is_none() {
            return Err(lacks("disk.qcow2"));
        }
        let has_disk = disk.is_some();
        let disk = disk.filter(|_| !carrier.runs_from_ram());
        Ok(Self { kernel, packed_kernel, initrd, cmdline, disk, has_disk })
    }

    /// Checks that a boot loader can start its packed kernel on machines of this architecture.
    ///
    /// # Errors
    /// `Exit::Usage` when there is none, or when it is for another architecture.
    pub fn check_kernel(&self, arch: Arch) -> Result<&Path> {
        let Some(kernel) = &self.packed_kernel else {
            let reason = format!(
                "{} has no vmlinuz beside it, the packed kernel that boot loaders start; ci/base live creates both",
                self.kernel.display()
            );
            return Err(Failure::new(Exit::Usage, reason));
        };
        let mut header = Vec::new();
        Input::open(kernel)?
            .take(KERNEL_HEADER)
            .read_to_end(&mut header)
            .doing(|| format!("reading {}", kernel.display()))?;
        if header.ends_with(X86_KERNEL) == (arch == Arch::Amd64) {
            return Ok(kernel);
        }
        let reason = format!(
            "{} is not a Linux kernel for {arch}; name a base system for it with --base",
            kernel.display()
        );
        Err(Failure::new(Exit::Usage, reason))
    }

    /// The kernel's command line: Ignition runs at the first start only.
    pub fn cmdline(&self, first_start: bool) -> String {
        let keep = |word: &&str| first_start || *word != "ignition.firstboot";
        self.cmdline.split(' ').filter(keep).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignition_runs_at_the_first_start_only() {
        let base = Base {
            kernel: PathBuf::new(),
            packed_kernel: None,
            initrd: PathBuf::new(),
            cmdline: "root=/dev/vda ignition.firstboot quiet".into(),
            disk: None,
            has_disk: true,
        };
        assert_eq!(base.cmdline(true), "root=/dev/vda ignition.firstboot quiet");
        assert_eq!(base.cmdline(false), "root=/dev/vda quiet");
    }
}
