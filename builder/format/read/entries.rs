//! The entries of any tar archive, one after another, with the names in headers before them: GNU tar's long names, and
//! POSIX's extended headers where they are allowed. The caller interprets the entries.

use std::io::{self, Read};
use std::ops::ControlFlow;

use ::tar::{Archive, Entry, EntryType, Header, PaxExtensions};

use crate::failure::{Failure, Result};

/// A path and a link's target, with the NUL: Linux accepts no longer ones (`PATH_MAX`).
const MAX_NAME_BYTES: u64 = 4096;

/// The limit on an extended header, which contains a path and other fields.
const MAX_EXTENSION_BYTES: u64 = 64 << 10;

/// The limits for an archive, and the errors for its faults.
pub trait Rules {
    /// Whether POSIX's extended headers are parsed; otherwise they are entries like any other.
    const EXTENDED: bool;

    /// Counts another header.
    ///
    /// # Errors
    /// When there are too many.
    fn count(&self) -> Result<()>;

    /// The error for a failed read.
    fn damaged(&self, error: io::Error) -> Failure;

    /// `reason` begins with "it", the archive.
    fn refused(&self, reason: String) -> Failure;
}

/// An entry as it is in the archive: only the length of its names has been checked.
pub struct RawEntry<'a> {
    pub header: Header,
    pub path: Vec<u8>,
    /// The target of a link, if it has one.
    pub target: Option<Vec<u8>>,
    /// According to the header, in bytes; the archive may end before that.
    pub size: u64,
    pub content: &'a mut dyn Read,
}

/// The end of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The visitor stopped early.
    BrokenOff,
    /// Two blocks of zeros or more, with nothing after them.
    Whole,
    /// It ends within, or directly after, its last entry.
    Missing,
    /// Bytes other than zeros follow its end.
    Followed,
}

/// Passes each entry to `visit`, in order, until it breaks off. Content that it does not read is skipped.
///
/// # Errors
/// The errors of the rules for damage and for names that are too long or duplicates; and those of `visit`.
pub fn entries<R: Rules>(
    reader: impl Read,
    rules: &R,
    mut visit: impl FnMut(RawEntry) -> Result<ControlFlow<()>>,
) -> Result<End> {
    let mut archive = Archive::new(reader);
    let mut names = Names { rules, path: None, target: None };
    // Raw, because the crate would read a long name of any length into memory.
    for entry in archive.entries().map_err(|error| rules.damaged(error))?.raw(true) {
        let mut entry = entry.map_err(|error| rules.damaged(error))?;
        rules.count()?;
        if names.take(&mut entry)? {
            continue;
        }
        let header = entry.header().clone();
        let path = names.path.take().unwrap_or_else(|| header.path_bytes().into_owned());
        let named = || header.link_name_bytes().map(|bytes| bytes.into_owned());
        let target = names.target.take().or_else(named);
        let size = header.entry_size().map_err(|error| rules.damaged(error))?;
        if visit(RawEntry { header, path, target, size, content: &mut entry })?.is_break() {
            return Ok(End::BrokenOff);
        }
    }
    if names.path.is_some() || names.target.is_some() {
        return Err(rules.refused("its last name belongs to no entry".into()));
    }
    end(archive.into_inner()).map_err(|error| rules.damaged(error))
}

/// The names that apply to the next entry.
struct Names<'r, R> {
    rules: &'r R,
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl<R: Rules> Names<'_, R> {
    /// Whether an entry only describes the one after it.
    fn take(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<bool> {
        match entry.header().entry_type() {
            EntryType::GNULongName => {
                let path = self.long_name(entry)?;
                self.set_path(path)?;
            }
            EntryType::GNULongLink => {
                let target = self.long_name(entry)?;
                self.set_target(target)?;
            }
            EntryType::XHeader if R::EXTENDED => self.extend(entry, false)?,
            EntryType::XGlobalHeader if R::EXTENDED => self.extend(entry, true)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_path(&mut self, path: Vec<u8>) -> Result<()> {
        match self.path.replace(path) {
            None => Ok(()),
            Some(_) => Err(self.twice()),
        }
    }

    fn set_target(&mut self, target: Vec<u8>) -> Result<()> {
        match self.target.replace(target) {
            None => Ok(()),
            Some(_) => Err(self.twice()),
        }
    }

    fn twice(&self) -> Failure {
        self.rules.refused("it names an entry twice".into())
    }

    fn long_name(&self, entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>> {
        let mut name = self.whole(entry, MAX_NAME_BYTES)?;
        if name.pop() != Some(0) || name.contains(&0) {
            return Err(self.rules.refused("it has a long name that does not end in one NUL".into()));
        }
        Ok(name)
    }

    fn extend(&mut self, entry: &mut Entry<'_, impl Read>, global: bool) -> Result<()> {
        let bytes = self.whole(entry, MAX_EXTENSION_BYTES)?;
        for extension in PaxExtensions::new(&bytes) {
            let extension = extension.map_err(|error| self.rules.damaged(error))?;
            match extension.key_bytes() {
                // Programs differ in which of the two sizes they use, so an archive that has both can look different
                // to each of them.
                b"size" => {
                    return Err(self.rules.refused("it gives the size of an entry twice".into()));
                }
                b"path" | b"linkpath" if global => return Err(self.twice()),
                b"path" => self.set_path(self.short(extension.value_bytes())?)?,
                b"linkpath" => self.set_target(self.short(extension.value_bytes())?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn short(&self, name: &[u8]) -> Result<Vec<u8>> {
        match name.len() as u64 {
            size if size < MAX_NAME_BYTES => Ok(name.to_vec()),
            size => Err(self.too_long(size, MAX_NAME_BYTES)),
        }
    }

    fn whole(&self, entry: &mut Entry<'_, impl Read>, limit: u64) -> Result<Vec<u8>> {
        let size = entry.size();
        if size > limit {
            return Err(self.too_long(size, limit));
        }
        // Not preallocated: the size in the header may be false, and memory is only for bytes that have arrived.
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|error| self.rules.damaged(error))?;
        match bytes.len() as u64 == size {
            true => Ok(bytes),
            false => Err(self.rules.damaged(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn too_long(&self, size: u64, limit: u64) -> Failure {
        let reason = format!(
            "it has a path that is longer than any file system's: it has {size} bytes; at most {limit} are expected"
        );
        self.rules.refused(reason)
    }
}

/// An archive ends with two blocks of zeros, of which the first has been read, and zeros after them.
fn end(mut rest: impl Read) -> io::Result<End> {
    let mut buffer = [0; 8 << 10];
    let mut end = End::Missing;
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(end),
            Ok(count) if buffer[..count].iter().any(|byte| *byte != 0) => return Ok(End::Followed),
            Ok(_) => end = End::Whole,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
