//! Reading a file that another program appends to.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Input;
use crate::failure::{Doing, Result};

/// The number of bytes read at once.
const PIECE_BYTES: u64 = 1 << 20;

/// A file that grows, and how far it has been read.
pub struct Follow {
    path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
    at: u64,
}

/// Bytes appended since the last read.
pub struct More {
    pub bytes: Vec<u8>,
    /// They are the beginning of a file: of the first one, of one that has replaced it, or of one that was truncated
    /// meanwhile.
    pub anew: bool,
}

impl Follow {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: None, at: 0 }
    }

    /// The next bytes, at most a mebibyte; none when there are no new ones yet, or no file.
    ///
    /// # Errors
    /// `Exit::Io` when it cannot be read, or is not a regular file.
    pub fn more(&mut self) -> Result<More> {
        let reading = || format!("reading {}", self.path.display());
        if super::look(&self.path)?.is_none() {
            return Ok(More { bytes: Vec::new(), anew: false });
        }
        let mut file: File = Input::open(&self.path)?.file;
        let meta = file.metadata().doing(reading)?;
        let identity = Some((meta.dev(), meta.ino()));
        let anew = identity != self.identity || meta.len() < self.at;
        let at = if anew { 0 } else { self.at };
        file.seek(SeekFrom::Start(at)).doing(reading)?;
        let mut bytes = Vec::new();
        file.take(PIECE_BYTES).read_to_end(&mut bytes).doing(reading)?;
        self.identity = identity;
        self.at = at + bytes.len() as u64;
        Ok(More { bytes, anew })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn only_what_is_new_is_read_and_a_shortened_file_from_its_beginning() {
        let scratch = crate::disk::Scratch::new("test").unwrap();
        let path = scratch.path().join("console.log");
        let mut follow = Follow::new(&path);
        let mut next = || {
            let More { bytes, anew } = follow.more().unwrap();
            (String::from_utf8(bytes).unwrap(), anew)
        };
        assert_eq!(next(), (String::new(), false));
        std::fs::write(&path, "one ").unwrap();
        assert_eq!(next(), ("one ".into(), true));
        assert_eq!(next(), (String::new(), false));
        std::fs::File::options().append(true).open(&path).unwrap().write_all(b"two").unwrap();
        assert_eq!(next(), ("two".into(), false));
        // Truncated, as by logrotate's copytruncate.
        std::fs::write(&path, "3").unwrap();
        assert_eq!(next(), ("3".into(), true));
        // Another file of the same name, longer than what was read.
        std::fs::rename(&path, scratch.path().join("console.before.log")).unwrap();
        std::fs::write(&path, "another").unwrap();
        assert_eq!(next(), ("another".into(), true));
    }
}
