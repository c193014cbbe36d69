//! Picking files out of a tar archive by exact name, without ever writing one.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::limits::{Gauge, Unpacked};
use crate::failure::{Failure, Result};
use crate::format::read::{End, RawEntry, Rules, entries};

/// Reads a compressed tar archive to its very end and returns the files that `wanted` gives a name for.
///
/// `wanted` sees every path of the archive, without a leading `./`. A file of at most `limit` bytes is returned whole.
/// Everything else is skipped, except for entries that no release file contains.
///
/// # Errors
/// `Exit::Untrusted` for an absolute path or a `..` anywhere, a wanted name that is not a regular file or is a
/// duplicate, false sizes, exceeded limits, damage, and bytes after the end.
pub fn pick<T: Ord + Display>(
    packed: &mut impl BufRead,
    gauge: &Gauge<'_>,
    limit: u64,
    wanted: impl FnMut(&[u8]) -> Result<Option<T>>,
) -> Result<BTreeMap<T, Vec<u8>>> {
    let files = {
        let decoder = decoder(packed, gauge)?;
        pick_unpacked(Unpacked::new(decoder, gauge), gauge, limit, wanted)?
    };
    if !packed.fill_buf().map_err(|error| gauge.explain(error))?.is_empty() {
        return Err(Failure::untrusted("trailing bytes follow its compressed data"));
    }
    Ok(files)
}

/// The compression is detected from the first bytes, not from the name.
fn decoder<'p>(packed: &'p mut impl BufRead, gauge: &Gauge<'_>) -> Result<Box<dyn Read + 'p>> {
    let start = packed.fill_buf().map_err(|error| gauge.explain(error))?;
    if start.starts_with(&[0x1f, 0x8b]) {
        // RFC 1952 2.2: consecutive members are one file.
        Ok(Box::new(MultiGzDecoder::new(packed)))
    } else if start.starts_with(b"\xfd7zXZ\0") {
        Ok(Box::new(XzReader::new_mem_limit(packed, true, gauge.limits.xz_kib)))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::Decoder::with_buffer(packed).map_err(|error| gauge.explain(error))?;
        decoder.window_log_max(gauge.limits.zstd_window).map_err(|error| gauge.explain(error))?;
        Ok(Box::new(decoder))
    } else {
        Err(Failure::untrusted("its compression is not gzip, xz or zstd"))
    }
}

fn pick_unpacked<T: Ord + Display>(
    unpacked: impl Read,
    gauge: &Gauge<'_>,
    limit: u64,
    mut wanted: impl FnMut(&[u8]) -> Result<Option<T>>,
) -> Result<BTreeMap<T, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let end = entries(unpacked, gauge, |mut entry| {
        if let Some(name) = wanted(inside(&entry.path)?)? {
            if files.contains_key(&name) {
                return Err(Failure::untrusted(format!("it has {name} twice")));
            }
            let bytes = take(&mut entry, &name, gauge, limit)?;
            files.insert(name, bytes);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    match end {
        End::Whole | End::BrokenOff => Ok(files),
        End::Missing => Err(Failure::untrusted("it is truncated: its end is missing; get the file again")),
        End::Followed => Err(Failure::untrusted("trailing bytes follow its archive")),
    }
}

/// Extended headers are read, because other people's programs make release files.
impl Rules for Gauge<'_> {
    const EXTENDED: bool = true;

    fn count(&self) -> Result<()> {
        self.entry()
    }

    fn damaged(&self, error: io::Error) -> Failure {
        self.explain(error)
    }

    fn refused(&self, reason: String) -> Failure {
        Failure::untrusted(reason)
    }
}

/// The path without a leading `./`, as `tar -C dir .` writes it.
fn inside(path: &[u8]) -> Result<&[u8]> {
    if path.starts_with(b"/") || path.split(|byte| *byte == b'/').any(|part| part == b"..") {
        let shown = String::from_utf8_lossy(path);
        return Err(Failure::untrusted(format!("it has the path {shown:?}, which leads out of the archive")));
    }
    Ok(path.strip_prefix(b"./").unwrap_or(path))
}

fn take(entry: &mut RawEntry<'_>, name: &impl Display, gauge: &Gauge<'_>, limit: u64) -> Result<Vec<u8>> {
    if !entry.header.entry_type().is_file() {
        return Err(Failure::untrusted(format!("{name} in the archive is not a regular file")));
    }
    let size = entry.size;
    if size > limit {
        return Err(Failure::untrusted(format!(
            "{name} claims to have {size} bytes; at most {limit} are allowed"
        )));
    }
    // The size is a claim: memory is allocated only for bytes that have arrived.
    let mut bytes = Vec::with_capacity(size.min(32 << 20) as usize);
    entry.content.read_to_end(&mut bytes).map_err(|error| gauge.explain(error))?;
    if bytes.len() as u64 != size {
        return Err(Failure::untrusted(format!(
            "it is truncated: {name} has {} of {size} bytes; get the file again",
            bytes.len()
        )));
    }
    Ok(bytes)
}
