//! The members of a tar archive of Kiln's own.

use std::io::{self, Read};
use std::ops::ControlFlow;

use ::tar::{EntryType, Header};

use super::entries::{End, RawEntry, Rules, entries};
use super::member::{Body, Member, MemberKind, SeenMembers, Visit, damaged, path};
use super::source::Budget;
use crate::failure::{Failure, Result};
use crate::values::Mode;

/// Kiln reads only what it writes: no extended headers.
struct Own;

impl Rules for Own {
    const EXTENDED: bool = false;

    /// Members are counted with their names; each has at most two more headers.
    fn count(&self) -> Result<()> {
        Ok(())
    }

    fn damaged(&self, error: io::Error) -> Failure {
        damaged(error)
    }

    fn refused(&self, reason: String) -> Failure {
        Failure::wrong(reason)
    }
}

pub fn read(reader: &mut impl Read, budget: &Budget, visit: &mut Visit) -> Result<ControlFlow<()>> {
    let mut seen = SeenMembers::new(budget);
    let end = entries(reader, &Own, |entry| {
        let member = member(&entry)?;
        seen.check(&member)?;
        visit(&member, &mut Body { reader: entry.content, size: member.size })
    })?;
    match end {
        End::BrokenOff => Ok(ControlFlow::Break(())),
        End::Whole => Ok(ControlFlow::Continue(())),
        End::Missing => Err(Failure::wrong("the archive is damaged: its end is missing")),
        End::Followed => Err(Failure::wrong("trailing bytes follow the last member")),
    }
}

fn member(entry: &RawEntry) -> Result<Member> {
    let RawEntry { header, target, size, .. } = entry;
    let (path, size) = (path(&entry.path)?, *size);
    let kind = match header.entry_type() {
        EntryType::Regular => MemberKind::File,
        EntryType::Directory if size == 0 => MemberKind::Directory,
        EntryType::Symlink if size == 0 => {
            let target = target.clone().and_then(|bytes| String::from_utf8(bytes).ok());
            MemberKind::Link(
                target.ok_or_else(|| Failure::wrong(format!("the link {path} has no readable target")))?,
            )
        }
        _ => {
            return Err(Failure::wrong(format!("{path} is neither a file, a directory nor a symbolic link")));
        }
    };
    let number = |read: fn(&Header) -> io::Result<u64>| read(header).map_err(damaged);
    Ok(Member {
        kind,
        mode: Mode::from_bits(header.mode().map_err(damaged)?),
        uid: number(Header::uid)?,
        gid: number(Header::gid)?,
        mtime: number(Header::mtime)?,
        size,
        path,
    })
}
