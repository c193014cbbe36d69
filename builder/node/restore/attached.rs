//! A disk that the host attaches to a machine until its member has served: its orders, and behind them the snapshot.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use kiln_wire::ATTACHED_ORDERS;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::orders::Orders;
use super::place::Place;
use crate::disk::own;
use crate::failure::{Failure, Result};

/// Open; its path is for messages.
pub struct Attached {
    file: File,
    path: PathBuf,
}

impl Attached {
    /// `None` where there is no such disk. Its name is a link that udev has made.
    ///
    /// # Errors
    /// Where it is anything else.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::RDONLY;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(Failure::io("opening", path, &error.into())),
        };
        let found = file.metadata().map_err(|error| Failure::io("reading", path, &error))?;
        let is_disk = found.file_type().is_block_device() || found.is_file();
        match is_disk && found.uid() == own() && found.mode() & 0o002 == 0 {
            true => Ok(Some(Self { file, path: path.to_owned() })),
            false => Err(Failure::new(format!("{} is not a disk that only root can write", path.display()))),
        }
    }

    /// What is written at its beginning; zeros follow.
    ///
    /// # Errors
    /// Where it is no orders.
    pub fn orders(&self) -> Result<Orders> {
        let mut text = vec![0; ATTACHED_ORDERS];
        let read = (&self.file).seek(SeekFrom::Start(0)).and_then(|_| (&self.file).read_exact(&mut text));
        read.map_err(|error| self.unreadable(&error))?;
        let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        text.truncate(end);
        Orders::parse(&self.path, &text)
    }

    /// The snapshot, as a file of etcd's file system that has no name, so that nothing of it stays: etcd's program
    /// takes its end for that of the file, and a disk is longer.
    ///
    /// # Errors
    /// Where the disk ends before it, or there is no room.
    pub fn snapshot(&self, place: &Place<'_>) -> Result<File> {
        let size = place.policy.snapshot.size;
        let mut copy = place.data().unnamed()?;
        let copied = (&self.file)
            .seek(SeekFrom::Start(ATTACHED_ORDERS as u64))
            .and_then(|_| io::copy(&mut (&self.file).take(size), &mut copy));
        let copied = copied.map_err(|error| self.unreadable(&error))?;
        copy.rewind().map_err(|error| self.unreadable(&error))?;
        match copied == size {
            true => Ok(copy),
            false => Err(Failure::new(format!(
                "{} has {copied} bytes behind its orders, and the snapshot has {size}; attach it whole",
                self.path.display()
            ))),
        }
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::io("copying the snapshot from", &self.path, error)
    }
}
