//! The root directory of an image.

use std::ops::Range;

use super::super::iso::{FIRST_DESCRIPTOR, RECORD, SECTOR};
use crate::failure::{Failure, Result};
use crate::values::Mode;

/// An image that `format::iso` wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iso {
    /// The label: `CIDATA`.
    pub volume: String,
    /// In the order of the directory.
    pub files: Vec<IsoFile>,
}

/// A file in the root directory of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsoFile {
    /// By Rock Ridge.
    pub name: String,
    /// Permission bits, by Rock Ridge.
    pub mode: Mode,
    /// The offset of its content in the image, in bytes.
    pub content: Range<usize>,
}

impl Iso {
    /// The file with this Rock Ridge name; upper and lower case differ.
    pub fn file(&self, name: &str) -> Option<&IsoFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// Reads the primary descriptor and the root directory with its Rock Ridge names.
///
/// # Errors
/// `Exit::Wrong` when it is not an image, or one that Kiln would not have written.
pub fn iso(image: &[u8]) -> Result<Iso> {
    let descriptor = cut(image, FIRST_DESCRIPTOR as usize * SECTOR, SECTOR)?;
    if !descriptor.starts_with(b"\x01CD001\x01") {
        return Err(Failure::wrong("it is not an ISO 9660 image"));
    }
    let volume = String::from_utf8_lossy(&descriptor[40..72]).trim_end_matches(' ').to_owned();
    let root = &image[extent(image, &descriptor[156..156 + RECORD + 1])?];
    let mut files = Vec::new();
    for sector in root.chunks(SECTOR) {
        let mut rest = sector;
        // Zeros fill a sector after its last record.
        while let Some(&length) = rest.first().filter(|length| **length != 0) {
            let record = cut(rest, 0, usize::from(length))?;
            rest = &rest[record.len()..];
            // The first two are the directory itself and its parent, which for the root is itself.
            match record.get(RECORD - 1..=RECORD) {
                Some([1, 0 | 1]) => {}
                Some(_) => files.push(file(image, record)?),
                None => return Err(damaged()),
            }
        }
    }
    Ok(Iso { volume, files })
}

fn file(image: &[u8], record: &[u8]) -> Result<IsoFile> {
    let identifier = usize::from(record[RECORD - 1]);
    let mut rest = record.get((RECORD + identifier).next_multiple_of(2)..).unwrap_or_default();
    let (mut name, mut mode) = (None, None);
    // Fewer than four bytes are not an entry (SUSP 1.12 4).
    while rest.len() >= 4 {
        let entry = cut(rest, 0, usize::from(rest[2]).max(4))?;
        rest = &rest[entry.len()..];
        match (&entry[..2], &entry[4..]) {
            (b"NM", [0, text @ ..]) => name = String::from_utf8(text.to_vec()).ok(),
            (b"PX", body) => mode = Some(Mode::from_bits(number(body, 0)?)),
            _ => {}
        }
    }
    match (name, mode) {
        (Some(name), Some(mode)) => Ok(IsoFile { name, mode, content: extent(image, record)? }),
        _ => Err(Failure::wrong("a file of the image has no Rock Ridge name and mode")),
    }
}

/// The position of the content according to a directory record.
fn extent(image: &[u8], record: &[u8]) -> Result<Range<usize>> {
    let (sector, size) = (number(record, 2)? as usize, number(record, 10)? as usize);
    let start = if size == 0 { 0 } else { sector.checked_mul(SECTOR).ok_or_else(damaged)? };
    cut(image, start, size)?;
    Ok(start..start + size)
}

/// The little-endian half of a number in both orders.
fn number(bytes: &[u8], at: usize) -> Result<u32> {
    match cut(bytes, at, 4)? {
        &[a, b, c, d] => Ok(u32::from_le_bytes([a, b, c, d])),
        _ => Err(damaged()),
    }
}

fn cut(bytes: &[u8], at: usize, length: usize) -> Result<&[u8]> {
    at.checked_add(length).and_then(|end| bytes.get(at..end)).ok_or_else(damaged)
}

fn damaged() -> Failure {
    Failure::wrong("the image is truncated or damaged")
}
