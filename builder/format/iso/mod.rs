//! Files as a CD image that every guest reads: ISO 9660 (ECMA-119) at interchange level 2, with the real names and
//! modes of Rock Ridge (SUSP 1.12, RRIP 1.12) and with the names of Joliet for systems without Rock Ridge.
//!
//! This is Kiln's own code because the one crate that writes such images without a clock is a release candidate with
//! four major versions in a year, and a flat image of a few files needs little of the standards.
//!
//! A seed contains private keys, so everything in it belongs to root and only root may read it: Linux takes modes and
//! owners from Rock Ridge and then ignores Joliet (fs/isofs/inode.c). That protects the mounted files. Access to the
//! device itself is up to the guest, where the group `cdrom` reads optical drives and `disk` reads the others.

use std::collections::BTreeSet;

use super::{Joiner, Stream, length};
use crate::failure::{Exit, Failure, Result};
use crate::values::Epoch;

pub(super) const SECTOR: usize = 2048;

/// The sector of the first descriptor (ECMA-119 6.2.1: sectors 0 to 15 are the system's).
pub(super) const FIRST_DESCRIPTOR: u32 = 16;

/// Descriptors, their terminator, and the four path tables, a sector each.
const PATH_TABLES: u32 = FIRST_DESCRIPTOR + 3;
const DIRECTORIES: u32 = PATH_TABLES + 4;

/// A path table with only the root in it.
const PATH_TABLE_SIZE: u32 = 10;

/// The length of a directory record without the additions of Rock Ridge (ECMA-119 9.1).
pub(super) const RECORD: usize = 33;

/// `st_mode` of the root directory and of each file (RRIP 1.12 4.1.1).
const DIRECTORY_MODE: u32 = 0o040_500;
const FILE_MODE: u32 = 0o100_400;

/// The flag of a directory's record (ECMA-119 9.1.6).
const IS_DIRECTORY: u8 = 2;

/// The most characters that ECMA-119 7.5.1 allows for a name and its extension together.
const IDENTIFIER: usize = 30;

/// The image: all files in its root directory, all dates `epoch` in UTC, no path and no clock.
///
/// `volume` is the label, 1 to 16 of `[A-Z0-9_]`: `CIDATA`. Names are 1 to 64 of `[A-Za-z0-9._-]`, which
/// Rock Ridge and Joliet hold in full. Files are at most 4 GiB - 1 byte long.
///
/// # Errors
/// `Exit::Unsafe` for a label, name or size that does not fit, or a duplicate name. `Exit::Profile` for an epoch after
/// 2155, the end of the dates of directories.
pub fn iso(files: &[(String, Stream)], volume: &str, epoch: Epoch) -> Result<Stream> {
    check_volume(volume)?;
    let date = Date::of(epoch)?;
    let mut files = place(files)?;

    // The length of a directory does not depend on where files are: build it once to learn its length.
    let mut primary = Extent { sector: DIRECTORIES, size: 0 };
    primary.size =
        size_field("the directory", directory(&files, primary, &date, Names::RockRidge).len() as u64)?;
    let mut joliet = Extent { sector: primary.end(), size: 0 };
    joliet.size = size_field("the directory", directory(&files, joliet, &date, Names::Joliet).len() as u64)?;

    let mut next = joliet.end();
    for file in &mut files {
        // An empty file occupies no sector.
        if file.extent.size > 0 {
            file.extent.sector = next;
            next = next.checked_add(file.extent.sectors()).ok_or_else(|| {
                Failure::unsafe_to("the files are too large for one image; remove some of them")
            })?;
        }
    }

    let mut image = Joiner::default();
    image.bytes(&[0; FIRST_DESCRIPTOR as usize * SECTOR]);
    image.bytes(&descriptor(Names::RockRidge, volume, next, primary, &date));
    image.bytes(&descriptor(Names::Joliet, volume, next, joliet, &date));
    image.bytes(b"\xffCD001\x01");
    image.pad(SECTOR as u64);
    for root in [primary, joliet] {
        image.bytes(&path_table(root.sector.to_le_bytes(), 1_u16.to_le_bytes()));
        image.pad(SECTOR as u64);
        image.bytes(&path_table(root.sector.to_be_bytes(), 1_u16.to_be_bytes()));
        image.pad(SECTOR as u64);
    }
    image.bytes(&directory(&files, primary, &date, Names::RockRidge));
    image.bytes(&directory(&files, joliet, &date, Names::Joliet));
    for file in &files {
        file.stream.iter().for_each(|piece| image.piece(piece));
        image.pad(SECTOR as u64);
    }
    Ok(image.finish())
}

/// Which of the two directory trees; both lead to the same files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    RockRidge,
    Joliet,
}

#[derive(Clone, Copy)]
struct Extent {
    sector: u32,
    /// In bytes.
    size: u32,
}

impl Extent {
    fn sectors(self) -> u32 {
        self.size.div_ceil(SECTOR as u32)
    }

    fn end(self) -> u32 {
        self.sector + self.sectors()
    }
}

struct File<'a> {
    name: &'a str,
    /// The name in the character set of ECMA-119: `USER_DATA.;1`.
    identifier: String,
    extent: Extent,
    stream: &'a Stream,
}

fn check_volume(volume: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if volume.is_empty() || volume.len() > 16 || !volume.chars().all(fine) {
        return Err(Failure::unsafe_to(format!(
            "{volume:?} is not a volume label; use 1 to 16 of A-Z, 0-9 and _, such as CIDATA"
        )));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(fine) || name == "." || name == ".." {
        return Err(Failure::unsafe_to(format!(
            "{name:?} is not a valid file name for an image; use 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'"
        )));
    }
    Ok(())
}

fn size_field(name: &str, size: u64) -> Result<u32> {
    u32::try_from(size).map_err(|_| {
        Failure::unsafe_to(format!(
            "{name} has 4 GiB or more, which is too large for a file on an image; make it smaller"
        ))
    })
}

/// Checks the files and gives each an identifier; sorted by it, as ECMA-119 9.3 requires.
fn place(files: &[(String, Stream)]) -> Result<Vec<File<'_>>> {
    let mut names = BTreeSet::new();
    let mut taken = BTreeSet::new();
    let mut placed = Vec::with_capacity(files.len());
    for (name, stream) in files {
        check_name(name)?;
        if !names.insert(name) {
            return Err(Failure::unsafe_to(format!("{name} is in one image twice; rename one of the two")));
        }
        let size = size_field(name, length(stream))?;
        let parts = identifier(name, &mut taken);
        placed.push((
            parts,
            File { name, identifier: String::new(), extent: Extent { sector: 0, size }, stream },
        ));
    }
    // Compared part by part, as if padded with spaces, which sort before every allowed character.
    placed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let finish = |((name, extension), file)| File { identifier: format!("{name}.{extension};1"), ..file };
    Ok(placed.into_iter().map(finish).collect())
}

/// A name and an extension of `[A-Z0-9_]`, with a number where another file already has the same ones.
fn identifier(name: &str, taken: &mut BTreeSet<(String, String)>) -> (String, String) {
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    };
    let (name, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let (name, mut extension) = (plain(name), plain(extension));
    extension.truncate(8);
    let mut number = 0;
    loop {
        let tail = if number == 0 { String::new() } else { number.to_string() };
        let room = IDENTIFIER - extension.len() - tail.len();
        let pair = (format!("{}{tail}", &name[..name.len().min(room)]), extension.clone());
        if taken.insert(pair.clone()) {
            return pair;
        }
        number += 1;
    }
}

/// A date in the two forms of ECMA-119.
struct Date {
    /// Sixteen digits, and the offset from UTC in quarters of an hour (8.4.26.1).
    long: [u8; 17],
    /// Years since 1900, month, day, hour, minute, second, and the offset (9.1.5).
    short: [u8; 7],
}

impl Date {
    fn of(epoch: Epoch) -> Result<Self> {
        let late = || {
            Failure::new(
                Exit::Profile,
                format!(
                    "the epoch {epoch} does not fit into an image, whose dates end in 2155; choose an earlier one"
                ),
            )
        };
        let seconds = i64::try_from(epoch.seconds()).map_err(|_| late())?;
        let moment = jiff::Timestamp::from_second(seconds).map_err(|_| late())?;
        let moment = jiff::tz::Offset::UTC.to_datetime(moment);
        let year = u8::try_from(moment.year() - 1900).map_err(|_| late())?;
        let [month, day] = [moment.month(), moment.day()].map(|n| n as u8);
        let [hour, minute, second] = [moment.hour(), moment.minute(), moment.second()].map(|n| n as u8);
        let digits = format!("{:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00", moment.year());
        let mut long = [0; 17];
        put(&mut long, 0, digits.as_bytes());
        Ok(Self { long, short: [year, month, day, hour, minute, second, 0] })
    }
}

/// A 32-bit number in both byte orders (ECMA-119 7.3.3).
fn both(number: u32) -> [u8; 8] {
    let [a, b, c, d] = number.to_le_bytes();
    [a, b, c, d, d, c, b, a]
}

/// A 16-bit number in both byte orders (ECMA-119 7.2.3).
fn both_short(number: u16) -> [u8; 4] {
    let [a, b] = number.to_le_bytes();
    [a, b, b, a]
}

fn put(target: &mut [u8], at: usize, bytes: &[u8]) {
    target[at..at + bytes.len()].copy_from_slice(bytes);
}

/// UCS-2 in big-endian order, as Joliet writes all text.
fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// A volume descriptor (ECMA-119 8.4 and 8.5).
fn descriptor(names: Names, volume: &str, sectors: u32, root: Extent, date: &Date) -> [u8; SECTOR] {
    let mut all = [0; SECTOR];
    let joliet = names == Names::Joliet;
    let table = PATH_TABLES + if joliet { 2 } else { 0 };
    put(&mut all, 0, if joliet { b"\x02CD001\x01" } else { b"\x01CD001\x01" });
    // System and volume, then volume set, publisher, preparer, application and three file names: all blank.
    for (from, to) in [(8, 72), (190, 813)] {
        for (at, byte) in all[from..to].iter_mut().enumerate() {
            *byte = if joliet && at % 2 == 0 { 0 } else { b' ' };
        }
    }
    if joliet {
        put(&mut all, 40, &wide(volume));
        // UCS-2 level 3 (Joliet specification, "Escape Sequences").
        put(&mut all, 88, b"%/E");
    } else {
        put(&mut all, 40, volume.as_bytes());
    }
    put(&mut all, 80, &both(sectors));
    // One volume, the first of one, with sectors of 2048 bytes.
    put(&mut all, 120, &both_short(1));
    put(&mut all, 124, &both_short(1));
    put(&mut all, 128, &both_short(SECTOR as u16));
    put(&mut all, 132, &both(PATH_TABLE_SIZE));
    put(&mut all, 140, &table.to_le_bytes());
    put(&mut all, 148, &(table + 1).to_be_bytes());
    put(&mut all, 156, &record(&[0], root, IS_DIRECTORY, date, &[]));
    // Created, modified, never expires, effective.
    put(&mut all, 813, &date.long);
    put(&mut all, 830, &date.long);
    put(&mut all, 847, b"0000000000000000\0");
    put(&mut all, 864, &date.long);
    // The version of the structure.
    all[881] = 1;
    all
}

/// Only the root: one byte of name, no extended attributes, its sector, its parent, the name and padding (ECMA-119
/// 9.4).
fn path_table(root: [u8; 4], parent: [u8; 2]) -> Vec<u8> {
    [&[1, 0], &root[..], &parent, &[0, 0]].concat()
}

/// The records of the root directory, in whole sectors.
fn directory(files: &[File], root: Extent, date: &Date, names: Names) -> Vec<u8> {
    let rock = |entries: &[Vec<u8>]| if names == Names::RockRidge { entries.concat() } else { Vec::new() };
    // Inode numbers: the root's is 1, and the files follow.
    let attributes = |mode, links, inode| [posix(mode, links, inode), times(date)].concat();
    let root_attributes = attributes(DIRECTORY_MODE, 2, 1);
    let itself = rock(&[entry(*b"SP", &[0xbe, 0xef, 0]), root_attributes.clone(), extension()]);
    let mut records = vec![
        record(&[0], root, IS_DIRECTORY, date, &itself),
        record(&[1], root, IS_DIRECTORY, date, &rock(&[root_attributes])),
    ];
    let mut sorted: Vec<(Vec<u8>, &File, u32)> =
        files.iter().zip(2..).map(|(file, inode)| (wide(file.name), file, inode)).collect();
    if names == Names::Joliet {
        sorted.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    }
    for (wide, file, inode) in &sorted {
        let name = if names == Names::Joliet { wide } else { file.identifier.as_bytes() };
        let alternate = entry(*b"NM", &[&[0], file.name.as_bytes()].concat());
        let system_use = rock(&[attributes(FILE_MODE, 1, *inode), alternate]);
        records.push(record(name, file.extent, 0, date, &system_use));
    }
    let mut all: Vec<u8> = Vec::new();
    for record in records {
        // A record never crosses the boundary of a sector (ECMA-119 6.8.1.1); the rest of the sector is zeros.
        if all.len() % SECTOR + record.len() > SECTOR {
            all.resize(all.len().next_multiple_of(SECTOR), 0);
        }
        all.extend(record);
    }
    all.resize(all.len().next_multiple_of(SECTOR), 0);
    all
}

/// A directory record (ECMA-119 9.1): at most 33 + 128 + 1 bytes in Joliet, 33 + 33 + 1 + 139 with Rock Ridge.
fn record(identifier: &[u8], extent: Extent, flags: u8, date: &Date, system_use: &[u8]) -> Vec<u8> {
    let mut all = vec![0, 0];
    all.extend(both(extent.sector));
    all.extend(both(extent.size));
    all.extend(date.short);
    all.extend([flags, 0, 0]);
    all.extend(both_short(1));
    all.push(identifier.len() as u8);
    all.extend(identifier);
    // The System Use field begins at an even offset, and so does the next record.
    all.resize(all.len().next_multiple_of(2), 0);
    all.extend(system_use);
    all.resize(all.len().next_multiple_of(2), 0);
    all[0] = all.len() as u8;
    all
}

/// A System Use entry of version 1 (SUSP 1.12 4).
fn entry(signature: [u8; 2], body: &[u8]) -> Vec<u8> {
    [&signature[..], &[body.len() as u8 + 4, 1], body].concat()
}

/// Mode, links, owner, group and inode number (RRIP 1.12 4.1.1).
fn posix(mode: u32, links: u32, inode: u32) -> Vec<u8> {
    let (root, group) = (0, 0);
    entry(*b"PX", &[mode, links, root, group, inode].map(both).concat())
}

/// Modified, read and changed at the same time (RRIP 1.12 4.1.6).
fn times(date: &Date) -> Vec<u8> {
    entry(*b"TF", &[&[0b1110], &date.short[..], &date.short, &date.short].concat())
}

/// Names the extension (SUSP 1.12 5.5). Without the texts that RRIP 1.12 4.3 recommends beside its name everything
/// fits into the record, and no continuation area is needed.
fn extension() -> Vec<u8> {
    let name = b"IEEE_1282";
    entry(*b"ER", &[&[name.len() as u8, 0, 0, 1], &name[..]].concat())
}

#[cfg(test)]
mod tests;
