//! Picking files out of a tar archive by exact name, without ever writing one.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use tar::{Archive, Entry, PaxExtensions};

use super::limits::{Gauge, Limits, Unpacked};
use crate::failure::{Failure, Result};

/// Reads a compressed tar archive to its very end and returns the files that `wanted` gives a name for.
///
/// `wanted` sees every path of the archive, without a leading `./`. A file of at most `limit` bytes is
/// returned whole. Everything else is skipped, except for what no release file has any use for.
///
/// # Errors
/// `Exit::Untrusted` for an absolute path or a `..` anywhere, a wanted name that is not a regular file or is
/// there twice, sizes that lie, what the limits forbid, damage, and bytes after the end.
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
        return Err(Failure::untrusted("it has bytes after the end of its compressed data"));
    }
    Ok(files)
}

/// The compression is told from the first bytes, not from a name.
fn decoder<'p>(packed: &'p mut impl BufRead, gauge: &Gauge<'_>) -> Result<Box<dyn Read + 'p>> {
    let start = packed.fill_buf().map_err(|error| gauge.explain(error))?;
    if start.starts_with(&[0x1f, 0x8b]) {
        // RFC 1952 2.2: members one after another are one file.
        Ok(Box::new(MultiGzDecoder::new(packed)))
    } else if start.starts_with(b"\xfd7zXZ\0") {
        Ok(Box::new(XzReader::new_mem_limit(packed, true, gauge.limits.xz_kib)))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::Decoder::with_buffer(packed).map_err(|error| gauge.explain(error))?;
        decoder.window_log_max(gauge.limits.zstd_window).map_err(|error| gauge.explain(error))?;
        Ok(Box::new(decoder))
    } else {
        Err(Failure::untrusted("it is compressed in a way that is neither gzip, nor xz, nor zstd"))
    }
}

fn pick_unpacked<T: Ord + Display>(
    unpacked: impl Read,
    gauge: &Gauge<'_>,
    limit: u64,
    mut wanted: impl FnMut(&[u8]) -> Result<Option<T>>,
) -> Result<BTreeMap<T, Vec<u8>>> {
    let mut archive = Archive::new(unpacked);
    let mut files = BTreeMap::new();
    let mut long = None;
    // Raw, because the tar crate would read a long name of any size into memory.
    for entry in archive.entries().map_err(|error| gauge.explain(error))?.raw(true) {
        let mut entry = entry.map_err(|error| gauge.explain(error))?;
        gauge.entry()?;
        if is_extension(&entry) {
            if let Some(path) = long_path(&mut entry, gauge)?
                && long.replace(path).is_some()
            {
                return Err(Failure::untrusted("it names an entry twice"));
            }
            continue;
        }
        let path = long.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let Some(name) = wanted(inside(&path)?)? else { continue };
        if files.contains_key(&name) {
            return Err(Failure::untrusted(format!("{name} is in it twice")));
        }
        let bytes = take(&mut entry, &name, gauge, limit)?;
        files.insert(name, bytes);
    }
    check_end(archive.into_inner(), gauge)?;
    Ok(files)
}

/// The path without a leading `./`, as `tar -C dir .` writes it.
fn inside(path: &[u8]) -> Result<&[u8]> {
    if path.starts_with(b"/") || path.split(|byte| *byte == b'/').any(|part| part == b"..") {
        let shown = String::from_utf8_lossy(path);
        return Err(Failure::untrusted(format!("it has the path {shown:?}, which leads out of it")));
    }
    Ok(path.strip_prefix(b"./").unwrap_or(path))
}

fn take(
    entry: &mut Entry<'_, impl Read>,
    name: &impl Display,
    gauge: &Gauge<'_>,
    limit: u64,
) -> Result<Vec<u8>> {
    if !entry.header().entry_type().is_file() {
        return Err(Failure::untrusted(format!("{name} in it is not a regular file")));
    }
    let size = entry.header().entry_size().map_err(|error| gauge.explain(error))?;
    if size > limit {
        return Err(Failure::untrusted(format!(
            "{name} in it is said to have {size} bytes; at most {limit} are allowed"
        )));
    }
    // The size is a claim: memory is only set aside for what has really come.
    let mut bytes = Vec::with_capacity(size.min(32 << 20) as usize);
    entry.read_to_end(&mut bytes).map_err(|error| gauge.explain(error))?;
    if bytes.len() as u64 != size {
        return Err(Failure::untrusted(format!(
            "it is cut short: {name} in it has {} of {size} bytes; get the file again",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// GNU tar's long names and POSIX's extended headers say something about the entry after them.
fn is_extension(entry: &Entry<'_, impl Read>) -> bool {
    let kind = entry.header().entry_type();
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

/// The path that an extension gives to the next entry, if it gives one.
fn long_path(entry: &mut Entry<'_, impl Read>, gauge: &Gauge<'_>) -> Result<Option<Vec<u8>>> {
    let kind = entry.header().entry_type();
    if kind.is_gnu_longlink() {
        return Ok(None);
    }
    let mut bytes = take_extension(entry, gauge)?;
    if kind.is_gnu_longname() {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        return Ok(Some(bytes));
    }
    let mut path = None;
    for extension in PaxExtensions::new(&bytes) {
        let extension = extension.map_err(|error| gauge.explain(error))?;
        match extension.key_bytes() {
            // Programs differ in which of the two sizes they believe, so an archive that has both can look
            // different to each of them.
            b"size" => return Err(Failure::untrusted("it gives the size of an entry twice")),
            b"path" if kind.is_pax_global_extensions() || path.is_some() => {
                return Err(Failure::untrusted("it names an entry twice"));
            }
            b"path" => path = Some(extension.value_bytes().to_vec()),
            _ => {}
        }
    }
    Ok(path)
}

fn take_extension(entry: &mut Entry<'_, impl Read>, gauge: &Gauge<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(Limits::SMALL + 1).read_to_end(&mut bytes).map_err(|error| gauge.explain(error))?;
    if bytes.len() as u64 > Limits::SMALL {
        return Err(Failure::untrusted("it has a path that is longer than any file system's"));
    }
    Ok(bytes)
}

/// An archive ends with two blocks of zeros, of which the first has been read, and zeros after them.
fn check_end(mut rest: impl Read, gauge: &Gauge<'_>) -> Result<()> {
    let mut buffer = [0; 8 << 10];
    let mut seen = false;
    loop {
        match rest.read(&mut buffer).map_err(|error| gauge.explain(error))? {
            0 if seen => return Ok(()),
            0 => return Err(Failure::untrusted("it is cut short: its end is missing; get the file again")),
            count if buffer[..count].iter().any(|byte| *byte != 0) => {
                return Err(Failure::untrusted("it has bytes after the end of its archive"));
            }
            _ => seen = true,
        }
    }
}
