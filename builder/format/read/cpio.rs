//! The members of a cpio archive (`newc`).

use std::io::Read;
use std::ops::ControlFlow;

use ::cpio::NewcReader;

use super::super::cpio::{DIRECTORY, FILE, LINK, TRAILER};
use super::member::{Body, Member, MemberKind, SeenMembers, Visit, damaged, path};
use super::source::Budget;
use crate::failure::{Failure, Result};
use crate::values::Mode;

/// The magic number and thirteen numbers of eight hex digits.
const HEADER: usize = 110;

/// The field of the header with the length of the name.
const NAME_SIZE: std::ops::Range<usize> = 94..102;

/// The limit on a member's name, with its NUL; paths of nodes are shorter.
const MAX_NAME_BYTES: u64 = 4096;

/// The limit on a link's target, as in Linux (init/initramfs.c).
const MAX_TARGET_BYTES: u64 = 4096;

/// The file type in a mode (inode(7)).
const TYPE: u32 = 0o170_000;

/// Leaves the reader after the trailer.
pub fn read(reader: &mut impl Read, budget: &Budget, visit: &mut Visit) -> Result<ControlFlow<()>> {
    let mut seen = SeenMembers::new(budget);
    loop {
        // Checked before the crate parses it, which would read a name of any length into memory.
        let mut header = [0; HEADER];
        reader.read_exact(&mut header).map_err(damaged)?;
        check_name_size(&header)?;
        let mut entry = NewcReader::new(header.chain(&mut *reader)).map_err(damaged)?;
        if entry.entry().name() == TRAILER {
            entry.finish().map_err(damaged)?;
            return Ok(ControlFlow::Continue(()));
        }
        let member = member(&mut entry)?;
        seen.check(&member)?;
        let size = member.size;
        if visit(&member, &mut Body { reader: &mut entry, size })?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        // The crate takes an end of the archive within the content for the end of the content; the next header is then
        // missing.
        entry.finish().map_err(damaged)?;
    }
}

fn check_name_size(header: &[u8; HEADER]) -> Result<()> {
    let size =
        std::str::from_utf8(&header[NAME_SIZE]).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
    match size {
        Some(size) if size <= MAX_NAME_BYTES => Ok(()),
        _ => Err(Failure::wrong("a member's name has no length, or one that no path has")),
    }
}

fn member(reader: &mut NewcReader<impl Read>) -> Result<Member> {
    let entry = reader.entry().clone();
    let path = path(entry.name().as_bytes())?;
    let mut size = u64::from(entry.file_size());
    let kind = match entry.mode() & TYPE {
        FILE => MemberKind::File,
        DIRECTORY if size == 0 => MemberKind::Directory,
        LINK => {
            let target = Body { reader, size }.whole(MAX_TARGET_BYTES)?;
            size = 0;
            let target = String::from_utf8(target).ok().filter(|text| !text.is_empty());
            MemberKind::Link(
                target.ok_or_else(|| Failure::wrong(format!("the link {path} has no readable target")))?,
            )
        }
        _ => {
            return Err(Failure::wrong(format!("{path} is neither a file, a directory nor a symbolic link")));
        }
    };
    Ok(Member {
        kind,
        mode: Mode::from_bits(entry.mode()),
        uid: entry.uid().into(),
        gid: entry.gid().into(),
        mtime: entry.mtime().into(),
        size,
        path,
    })
}
