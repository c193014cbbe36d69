//! The only access to the file system. Errors name the path; nothing is written through a symbolic link; files and
//! directories appear whole.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

mod directory;
mod follow;
mod input;
mod list;
mod lock;
mod look;
mod output;
mod outputs;
mod remains;
mod scratch;
mod socket;
mod staging;
mod swap;
mod what;
mod write;

pub(crate) use directory::Directory;
pub(crate) use follow::Follow;
pub(crate) use input::{Input, Stamp, read, read_and_mark, read_end};
pub(crate) use list::{Stored, Walked, list_utf8, stored};
pub use list::{list, walk};
pub use lock::Lock;
pub(crate) use look::{Found, Kind, is_directory, is_own, is_same, is_trusted_owner, look, user};
pub(crate) use output::Output;
pub(crate) use outputs::{CACHE, STORE, refuse_around, refuse_foreign, refuse_in_made};
pub(crate) use remains::{left_of, recover};
pub use scratch::Scratch;
pub(crate) use socket::{Datagrams, append_line};
pub use staging::Staging;
pub(crate) use swap::{beside, replace_all};
pub(crate) use what::{made, resolved, what};
pub(crate) use write::{
    TEMPORARY, copy_new, make_directories, remove_directory, remove_file, rename, stream_new, write_at,
    write_new, write_streamed, write_unsynced, write_whole,
};

#[cfg(test)]
pub(crate) use for_tests::{set_mode, set_modified};

#[cfg(test)]
mod for_tests {
    use std::fs;
    use std::io;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD};

    use crate::values::Mode;

    /// Sets the modification time, in seconds since 1970.
    pub fn set_modified(path: &Path, seconds: i64) -> io::Result<()> {
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    pub fn set_mode(path: &Path, mode: Mode) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode.bits()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::Mode as Bits;

    use super::*;

    #[test]
    fn a_directory_is_not_removed_through_a_link() {
        let scratch = Scratch::new("test").unwrap();
        let (real, link) = (scratch.path().join("real"), scratch.path().join("link"));
        for number in 0..9 {
            fs::create_dir_all(real.join(number.to_string())).unwrap();
        }
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(remove_directory(&link).is_err());
        assert_eq!(list(&real).unwrap().len(), 9);
        assert!(look(&link).unwrap().is_some());
        remove_directory(&real).unwrap();
        assert!(look(&real).unwrap().is_none());
    }

    #[test]
    fn a_fifo_is_no_input() {
        let scratch = Scratch::new("test").unwrap();
        let path = scratch.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            Bits::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(Input::open(&path).is_err());
    }
}
