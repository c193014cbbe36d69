//! The base system that machines start: a directory with `vmlinux` or `vmlinuz`, `initrd.img`, `cmdline` and, for the
//! carriers that need one, `disk.qcow2`. `ci/base` makes such directories.

mod bases;
mod system;

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use crate::bundle::Manifest;
use crate::disk::{self, Input};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::{Arch, Mode, NodeName};

pub use bases::Bases;
pub use system::{Image, System};

const CMDLINE_LIMIT: u64 = 64 << 10;
/// An initramfs is unpacked into memory; nobody has one of this size.
const INITRD_LIMIT: u64 = 2 << 30;
/// What a packed kernel for x86 has at 0x202, and where that ends (kernel documentation, arch/x86/boot).
const X86_KERNEL: &[u8] = b"HdrS";
const KERNEL_HEADER: u64 = 0x206;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    Initramfs,
    CloudInit,
    Ignition,
}

impl Carrier {
    /// As profiles and manifests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Carrier::Initramfs => "initramfs",
            Carrier::CloudInit => "cloud-init",
            Carrier::Ignition => "ignition",
        }
    }

    /// The base system of `ci/base` that goes with it.
    pub fn base(self) -> &'static str {
        match self {
            Carrier::Initramfs => "live",
            Carrier::CloudInit => "cloud",
            Carrier::Ignition => "ignition",
        }
    }
}

/// What every machine is started from.
pub struct Base {
    /// As QEMU starts it soonest: unpacked, where there is one.
    pub kernel: PathBuf,
    /// As boot loaders want it.
    pub packed_kernel: Option<PathBuf>,
    pub initrd: PathBuf,
    pub cmdline: String,
    /// Read by all machines, written by none.
    pub disk: Option<PathBuf>,
    /// Whether it has a disk at all, also where the carrier does without: it then does not run from RAM.
    pub has_disk: bool,
}

impl Base {
    /// # Errors
    /// `Exit::Usage` when the directory is not a base system for this carrier.
    pub fn open(directory: &Path, carrier: Carrier) -> Result<Self> {
        let directory =
            std::path::absolute(directory).doing(|| format!("finding {}", directory.display()))?;
        let lacks = |what: &str| {
            let (at, base) = (directory.display(), carrier.base());
            let reason = format!(
                "{at} is not a base system for {}: it has no {what}; ci/base {base} makes one, and --base names it",
                carrier.as_str()
            );
            Failure::new(Exit::Usage, reason)
        };
        let there = |name: &str| -> Result<Option<PathBuf>> {
            let file = directory.join(name);
            Ok(disk::look(&file)?.map(|_| file))
        };
        // The unpacked kernel first: QEMU starts it without a decompression in the guest.
        let packed_kernel = there("vmlinuz")?;
        let kernel = match there("vmlinux")? {
            Some(kernel) => kernel,
            None => packed_kernel.clone().ok_or_else(|| lacks("vmlinuz"))?,
        };
        let initrd = there("initrd.img")?.ok_or_else(|| lacks("initrd.img"))?;
        let cmdline = there("cmdline")?.ok_or_else(|| lacks("cmdline"))?;
        let cmdline = String::from_utf8_lossy(&disk::read(&cmdline, CMDLINE_LIMIT)?).trim().to_owned();
        let disk = there("disk.qcow2")?;
        if carrier != Carrier::Initramfs && disk.is_none() {
            return Err(lacks("disk.qcow2"));
        }
        let has_disk = disk.is_some();
        let disk = disk.filter(|_| carrier != Carrier::Initramfs);
        Ok(Self { kernel, packed_kernel, initrd, cmdline, disk, has_disk })
    }

    /// Whether its packed kernel is one that a boot loader starts on machines of this architecture.
    ///
    /// # Errors
    /// `Exit::Usage` when there is none, or when it is for another kind of machine.
    pub fn check_kernel(&self, arch: Arch) -> Result<&Path> {
        let Some(kernel) = &self.packed_kernel else {
            let reason = format!(
                "{} has no vmlinuz beside it, the packed kernel that boot loaders start; ci/base live makes both",
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
            "{} is no Linux kernel for {arch}; name a base system for it with --base",
            kernel.display()
        );
        Err(Failure::new(Exit::Usage, reason))
    }

    /// What the kernel is told: Ignition runs at the first start only.
    pub fn cmdline(&self, first_start: bool) -> String {
        let keep = |word: &&str| first_start || *word != "ignition.firstboot";
        self.cmdline.split(' ').filter(keep).collect::<Vec<_>>().join(" ")
    }

    /// Writes the initramfs of a node: the base system's and, where the carrier puts the node's files there, those.
    /// They are not compressed in it: a guest without KVM takes longer to unpack them than QEMU to read them.
    pub fn write_initrd(&self, bundle: &Path, manifest: &Manifest, node: &NodeName, to: &Path) -> Result<()> {
        let mut initrd = disk::read(&self.initrd, INITRD_LIMIT)?;
        let mut segments = Vec::new();
        if manifest.shares_binaries() {
            segments.push("layers/etcd.cpio".to_owned());
        }
        segments.push(format!("nodes/{node}/overlay.cpio"));
        for segment in segments {
            let zstd = format!("{segment}.zst");
            let is_zstd = manifest.files.contains_key(zstd.as_str());
            let segment = bundle.join(if is_zstd { zstd } else { format!("{segment}.gz") });
            let reading = || format!("reading {}", segment.display());
            let input = Input::open(&segment)?;
            // Both read what stands one behind the other.
            let unpacked: Box<dyn Read> = match is_zstd {
                true => Box::new(zstd::Decoder::new(input).doing(reading)?),
                false => Box::new(MultiGzDecoder::new(input)),
            };
            // The kernel finds an archive that is not compressed only at a multiple of four bytes
            // (init/initramfs.c, unpack_to_rootfs).
            initrd.resize(initrd.len().next_multiple_of(4), 0);
            unpacked.take(INITRD_LIMIT).read_to_end(&mut initrd).doing(reading)?;
        }
        disk::write_whole(to, &initrd, Mode::SECRET)
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
