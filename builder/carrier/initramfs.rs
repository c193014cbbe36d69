//! `initramfs`: a segment that Linux unpacks after the base system's own initramfs; with a base system that runs from
//! RAM also the files that a boot loader or iPXE starts.

use std::sync::Arc;

use super::ipxe;
use super::row::{Files, Layer, NodeParts, Packer, Row};
use crate::base::BootFiles;
use crate::failure::Result;
use crate::format::{self, Piece, Stream, cpio, zstd};
use crate::plan::Plan;
use crate::profile::Compression;
use crate::tree::Tree;
use crate::values::{At, CarrierFacts, CarrierFile, Mode, Start};

const FACTS: CarrierFacts = CarrierFacts {
    name: "initramfs",
    about: "a segment that Linux unpacks after the initramfs of a base system",
    start: Start::Ram { base: "live" },
    makes_accounts: false,
    sets_up_host: false,
    has_read_only_usr: false,
    files: &[
        CarrierFile::new(At::Node, &["overlay.cpio.gz", "overlay.cpio.zst"], Mode::SECRET).archive(),
        CarrierFile::new(At::Layers, &["etcd.cpio.gz", "etcd.cpio.zst"], Mode::FILE).archive(),
        CarrierFile::new(At::BootNode, &[INITRD], Mode::SECRET).archive(),
        CarrierFile::new(At::Boot, &["vmlinuz"], Mode::FILE),
        CarrierFile::new(At::Boot, &["cmdline"], Mode::FILE),
        CarrierFile::new(At::Boot, &["boot.ipxe"], Mode::FILE).optional(),
    ],
};

pub const ROW: Row = Row::new(&FACTS).node(node).layer(&PROGRAMS).boot(boot);

const INITRD: &str = "initrd.img";

/// The kernel looks for an archive in an initramfs only at a multiple of it (init/initramfs.c, unpack_to_rootfs).
const UNIT: u64 = 4;

static PROGRAMS: Layer =
    Layer { name: |packer| name("etcd", packer), make: |packer, tree, _| segment(packer, tree) };

fn name(stem: &str, packer: &Packer<'_>) -> String {
    format!("{stem}.cpio.{}", packer.compression.ending())
}

/// A tree as Linux unpacks it.
fn segment(packer: &Packer<'_>, tree: &Tree) -> Result<Stream> {
    let archive = cpio::cpio(tree, packer.epoch)?;
    match packer.compression {
        Compression::Gzip => packer.compressor.compress(&archive),
        Compression::Zstd => zstd::zstd(&archive),
    }
}

fn node(parts: &NodeParts<'_>, files: &Files<'_>) -> Result<()> {
    let segments = segments(parts)?;
    files.put(&name("overlay", &parts.packer), Mode::SECRET, &segments)?;
    let Some(boot) = parts.boot else { return Ok(()) };
    let mut initrd = vec![Piece::File(Arc::clone(&boot.initrd))];
    initrd.extend(format::padding(boot.initrd.size, UNIT));
    if parts.shared.is_some() {
        initrd.extend((parts.layer)(&PROGRAMS)?.iter().cloned());
    }
    initrd.extend(segments);
    files.put(INITRD, Mode::SECRET, &initrd)
}

/// A node's files as Linux unpacks them. A gzip member can be spliced from parts, a zstd frame cannot, so with zstd
/// the programs, which are compressed once, are a separate segment.
fn segments(parts: &NodeParts<'_>) -> Result<Stream> {
    if parts.packer.compression == Compression::Gzip || parts.shared.is_some() {
        return segment(&parts.packer, parts.tree);
    }
    let mut segments = Stream::clone(&*(parts.layer)(&PROGRAMS)?);
    segments.extend(segment(&parts.packer, parts.without_programs)?);
    Ok(segments)
}

/// The boot files of all nodes: the kernel, its command line, and which machine gets which initrd.
fn boot(plan: &Plan, boot: &BootFiles, files: &Files<'_>) -> Result<()> {
    files.put("vmlinuz", Mode::FILE, &[Piece::File(Arc::clone(&boot.kernel))])?;
    files.text("cmdline", format!("{}\n", boot.cmdline))?;
    files.text("boot.ipxe", ipxe::script(plan, boot.cmdline.as_str()))
}
