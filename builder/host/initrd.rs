//! The initramfs of a node's machine.

use std::io::{self, Read, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::base::Base;
use crate::bundle::Manifest;
use crate::disk::{self, Input};
use crate::failure::{Doing, Failure, Result};
use crate::values::{Mode, NodeName};

/// A limit: an initramfs is unpacked into memory, and none is this large.
const MAX_INITRD_BYTES: u64 = 2 << 30;

/// Writes the base system's initramfs followed by the node's own files. These are not compressed: a guest without KVM
/// takes longer to unpack them than QEMU to read them.
///
/// # Errors
/// `Exit::Io` when one of the files cannot be read.
pub fn write(base: &Base, bundle: &Path, manifest: &Manifest, node: &NodeName, to: &Path) -> Result<()> {
    let mut segments = Vec::new();
    if manifest.shares_binaries() {
        segments.push("layers/etcd.cpio".to_owned());
    }
    segments.push(format!("nodes/{node}/overlay.cpio"));
    disk::write_streamed(to, Mode::SECRET, |file| {
        let mut size = append(file, Input::open(&base.initrd)?, &base.initrd)?;
        for segment in &segments {
            let zstd = format!("{segment}.zst");
            let is_zstd = manifest.files.contains_key(zstd.as_str());
            let segment = bundle.join(if is_zstd { zstd } else { format!("{segment}.gz") });
            let input = Input::open(&segment)?;
            // Both decoders read consecutive frames or members.
            let unpacked: Box<dyn Read> = match is_zstd {
                true => {
                    Box::new(zstd::Decoder::new(input).doing(|| format!("reading {}", segment.display()))?)
                }
                false => Box::new(MultiGzDecoder::new(input)),
            };
            // The kernel finds an uncompressed archive only at a multiple of four bytes (init/initramfs.c,
            // unpack_to_rootfs).
            let padding = size.next_multiple_of(4) - size;
            file.write_all(&[0; 3][..padding as usize]).doing(|| format!("writing {}", to.display()))?;
            size += padding;
            size += append(file, unpacked, &segment)?;
        }
        Ok(())
    })
}

/// Copies a stream and returns its size in bytes.
///
/// # Errors
/// `Exit::Wrong` when it is larger than [`MAX_INITRD_BYTES`].
fn append(file: &mut dyn Write, stream: impl Read, path: &Path) -> Result<u64> {
    let reading = || format!("reading {}", path.display());
    let size = io::copy(&mut stream.take(MAX_INITRD_BYTES + 1), file).doing(reading)?;
    match size > MAX_INITRD_BYTES {
        true => {
            Err(Failure::wrong(format!("it is larger than {MAX_INITRD_BYTES} bytes")).while_doing(reading()))
        }
        false => Ok(size),
    }
}
