//! The members of a tar archive.

use std::io::Read;
use std::ops::ControlFlow;

use ::tar::{Entry, EntryType, Header};

use super::{Body, Budget, Kind, Member, Seen, Visit, damaged, path};
use crate::failure::{Failure, Result};
use crate::values::Mode;

/// A path of a node and a link's target are shorter, with the NUL behind them.
const LONG_NAME: u64 = 4096;

pub fn read(reader: &mut impl Read, budget: &Budget, visit: &mut Visit) -> Result<ControlFlow<()>> {
    let mut archive = ::tar::Archive::new(reader);
    let mut seen = Seen::new(budget);
    let (mut long_name, mut long_target) = (None, None);
    // Raw, because the crate would read a long name of any length into memory.
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        match entry.header().entry_type() {
            EntryType::GNULongName => long_name = Some(long(&mut entry, long_name.is_some())?),
            EntryType::GNULongLink => long_target = Some(long(&mut entry, long_target.is_some())?),
            _ => {
                let member = member(entry.header(), long_name.take(), long_target.take())?;
                seen.check(&member)?;
                let size = member.size;
                if visit(&member, &mut Body { reader: &mut entry, size })?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    if long_name.is_some() || long_target.is_some() {
        return Err(Failure::wrong("a long name stands before no member"));
    }
    Ok(ControlFlow::Continue(()))
}

fn long(entry: &mut Entry<impl Read>, twice: bool) -> Result<Vec<u8>> {
    if twice {
        return Err(Failure::wrong("a member has two long names"));
    }
    let size = entry.size();
    let mut name = Body { reader: entry, size }.whole(LONG_NAME)?;
    if name.pop() != Some(0) || name.contains(&0) {
        return Err(Failure::wrong("a long name does not end in one NUL"));
    }
    Ok(name)
}

fn member(header: &Header, long_name: Option<Vec<u8>>, long_target: Option<Vec<u8>>) -> Result<Member> {
    let name = long_name.unwrap_or_else(|| header.path_bytes().into_owned());
    let path = path(&name)?;
    let size = header.entry_size().map_err(damaged)?;
    let kind = match header.entry_type() {
        EntryType::Regular => Kind::File,
        EntryType::Directory if size == 0 => Kind::Directory,
        EntryType::Symlink if size == 0 => {
            let target = long_target.or_else(|| header.link_name_bytes().map(|bytes| bytes.into_owned()));
            let target = target.and_then(|bytes| String::from_utf8(bytes).ok());
            Kind::Link(
                target.ok_or_else(|| Failure::wrong(format!("the link {path} has no readable target")))?,
            )
        }
        _ => {
            return Err(Failure::wrong(format!("{path} is neither a file, a directory nor a symbolic link")));
        }
    };
    Ok(Member {
        kind,
        mode: Mode::from_bits(header.mode().map_err(damaged)?),
        uid: header.uid().map_err(damaged)?,
        gid: header.gid().map_err(damaged)?,
        mtime: header.mtime().map_err(damaged)?,
        size,
        path,
    })
}
