//! The initramfs of a node's machine.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::base::Base;
use crate::bundle::Manifest;
use crate::disk::{self, Input};
use crate::failure::{Doing, Result};
use crate::values::{Mode, NodeName};

/// An initramfs is unpacked into memory; nobody has one of this size.
const MAX_INITRD_BYTES: u64 = 2 << 30;

/// Writes the base system's and behind it the node's own files.
/// They are not compressed in it: a guest without KVM takes longer to unpack them than QEMU to read them.
///
/// # Errors
/// `Exit::Io` when a file of them cannot be read.
pub fn write(base: &Base, bundle: &Path, manifest: &Manifest, node: &NodeName, to: &Path) -> Result<()> {
    let mut initrd = disk::read(&base.initrd, MAX_INITRD_BYTES)?;
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
        unpacked.take(MAX_INITRD_BYTES).read_to_end(&mut initrd).doing(reading)?;
    }
    disk::write_whole(to, &initrd, Mode::SECRET)
}
