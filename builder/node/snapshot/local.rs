//! The directory of snapshots: root's alone. Below it lie `CLUSTER/YYYY/MM/NAME.db.age` and `NAME.json`, the queue
//! (`queue/NAME`, empty files), and `work/`, which is of no worth once a run has ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_wire::{BODY, Backup, LONGEST_ENVELOPE, RECORD, Record, SnapshotName, open};

use super::ring::{Kept, by_worth, leaving};
use super::trailer::whole;
use crate::disk::{self, Lock};
use crate::failure::{Failure, Result};
use crate::large;
use crate::say::{Level, say};

/// Nobody else has anything to look for there.
const MODE: u32 = 0o700;
const QUEUE: &str = "queue";
const WORK: &str = "work";
/// A run takes longer than anybody waits; the timer comes again.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is left free beside a snapshot and its encrypted copy: a twentieth of the file system, but not less than two
/// segments of etcd's log, which lies on the same disk as a rule, nor more than etcd's usual quota.
const RESERVE_PART: u64 = 20;
const RESERVE_LEAST: u64 = 128 << 20;
const RESERVE_MOST: u64 = 2 << 30;

/// The directory, which is locked.
pub struct Local<'p> {
    policy: &'p Backup,
    directory: PathBuf,
    _lock: Lock,
}

impl<'p> Local<'p> {
    /// Locks it, and removes what a killed run has left.
    ///
    /// # Errors
    /// Where another account can change it, or another run has locked it.
    pub fn open(policy: &'p Backup) -> Result<Self> {
        let directory = PathBuf::from(policy.directory.as_str());
        disk::own_directory(&directory, MODE)?;
        let lock = disk::lock(&directory.join("lock"), PATIENCE)?;
        let local = Self { policy, directory, _lock: lock };
        for name in [QUEUE, WORK] {
            disk::own_directory(&local.directory.join(name), MODE)?;
        }
        local.sweep()?;
        Ok(local)
    }

    /// Empties `work`, and the queue of what is not there.
    ///
    /// # Errors
    /// Of the system.
    pub fn sweep(&self) -> Result<()> {
        let work = self.directory.join(WORK);
        for name in disk::names(&work)? {
            disk::remove(&work.join(name))?;
        }
        for name in self.queue()? {
            if large::size(&self.path(&name, RECORD)).is_none() {
                self.unqueue(&name)?;
            }
        }
        Ok(())
    }

    /// A place for something unfinished.
    pub fn work(&self, name: &str) -> PathBuf {
        self.directory.join(WORK).join(name)
    }

    /// Where a file of this snapshot is.
    pub fn path(&self, name: &SnapshotName, ending: &str) -> PathBuf {
        self.directory.join(name.path(ending))
    }

    /// Makes the directories of a snapshot.
    ///
    /// # Errors
    /// Where one is a link, or another account can change it.
    pub fn prepare(&self, name: &SnapshotName) -> Result<()> {
        let mut path = self.directory.clone();
        name.directory().split('/').try_for_each(|part| {
            path.push(part);
            disk::own_directory(&path, MODE)
        })
    }

    /// The names of which a file is there, oldest first.
    ///
    /// # Errors
    /// Of the system, and where a directory is not root's alone.
    pub fn names(&self) -> Result<Vec<SnapshotName>> {
        let mut names = Vec::new();
        let top = self.directory.join(self.policy.cluster.as_str());
        for year in subdirectories(&top)? {
            for month in subdirectories(&year)? {
                for file in disk::names(&month)? {
                    let name =
                        [BODY, RECORD].iter().find_map(|ending| file.strip_suffix(ending)?.parse().ok());
                    names.extend(
                        name.filter(|name: &SnapshotName| self.directory.join(name.directory()) == month),
                    );
                }
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The signed record of a snapshot, and its bytes as the record's file has them.
    ///
    /// # Errors
    /// Where there is none that a node of this cluster has signed.
    pub fn record(&self, name: &SnapshotName) -> Result<(Record, Vec<u8>)> {
        let path = self.path(name, RECORD);
        if large::size(&path).is_some_and(|size| size > LONGEST_ENVELOPE as u64) {
            return Err(Failure::new("its record is too long"));
        }
        let bytes = disk::read(&path, false)?.to_vec();
        let record = open(&bytes, name, &self.policy.signers).map_err(|why| Failure::new(why.to_string()))?;
        Ok((record, bytes))
    }

    /// The same, if the file beside it is the one that was signed.
    ///
    /// # Errors
    /// What is wrong with either.
    pub fn sound(&self, name: &SnapshotName) -> Result<(Record, Vec<u8>)> {
        let (record, bytes) = self.record(name)?;
        let path = self.path(name, BODY);
        let (file, size) = large::open(&path)?;
        let same = size == record.size
            && whole(file).map_err(|error| Failure::io("reading", &path, &error))? == (size, record.sha256);
        match same {
            true => Ok((record, bytes)),
            false => Err(Failure::new(format!("{} is not the file that was signed", path.display()))),
        }
    }

    /// The newest one with a signed record and a file of the right size, not from after `now`.
    ///
    /// # Errors
    /// Of the system.
    pub fn newest(&self, now: u64) -> Result<Option<Record>> {
        let names = self.names()?;
        let past = names.into_iter().rev().filter(|name| name.taken() <= now);
        Ok(past
            .filter_map(|name| {
                let record = self.record(&name).ok()?.0;
                (large::size(&self.path(&name, BODY)) == Some(record.size)).then_some(record)
            })
            .next())
    }

    /// What is still to be uploaded, oldest first.
    ///
    /// # Errors
    /// Of the system.
    pub fn queue(&self) -> Result<Vec<SnapshotName>> {
        let names = disk::names(&self.directory.join(QUEUE))?;
        let mut names: Vec<SnapshotName> = names.iter().filter_map(|name| name.parse().ok()).collect();
        names.retain(|name| *name.cluster() == self.policy.cluster);
        names.sort();
        Ok(names)
    }

    fn marker(&self, name: &SnapshotName) -> PathBuf {
        self.directory.join(QUEUE).join(name.to_string())
    }

    /// Puts a snapshot into the queue. It is there before the snapshot is: a killed run cannot forget it.
    ///
    /// # Errors
    /// Of the system.
    pub fn enqueue(&self, name: &SnapshotName) -> Result<()> {
        let marker = self.marker(name);
        disk::remove_file(&marker)?;
        disk::write_new(&marker, b"", 0o600, None)?;
        disk::sync(&self.directory.join(QUEUE))
    }

    /// Takes it out.
    ///
    /// # Errors
    /// Of the system.
    pub fn unqueue(&self, name: &SnapshotName) -> Result<()> {
        disk::remove_file(&self.marker(name))
    }

    fn kept(&self) -> Result<Vec<Kept>> {
        let queue = self.queue()?;
        let of = |name: SnapshotName| Kept { is_queued: queue.binary_search(&name).is_ok(), name };
        Ok(self.names()?.into_iter().map(of).collect())
    }

    /// Removes a snapshot: its record first, without which it is none.
    fn remove(&self, name: &SnapshotName) -> Result<()> {
        disk::remove_file(&self.path(name, RECORD))?;
        disk::remove_file(&self.path(name, BODY))?;
        self.unqueue(name)
    }

    /// Removes what is more than is kept.
    ///
    /// # Errors
    /// Of the system.
    pub fn turn(&self, now: u64) -> Result<()> {
        let all = self.kept()?;
        let newest = self.newest(now)?.map(|record| record.name);
        let keep = usize::try_from(self.policy.keep).unwrap_or(usize::MAX);
        for name in leaving(&all, keep, newest.as_ref(), now) {
            if all.iter().any(|kept| kept.is_queued && kept.name == name) {
                self.tell(&format!("removes {name} before it was uploaded: too many are waiting"));
            }
            self.remove(&name)?;
        }
        Ok(())
    }

    /// Sees to it that a database of so many bytes, its encrypted copy and the reserve have room. Where they have not,
    /// old snapshots go.
    ///
    /// # Errors
    /// Where that is not enough.
    pub fn make_room(&self, size: u64, now: u64) -> Result<()> {
        let lacks = || -> Result<Option<(u64, u64)>> {
            let room = large::room(&self.directory)?;
            let reserve = (room.total / RESERVE_PART).clamp(RESERVE_LEAST, RESERVE_MOST);
            let wanted = size.saturating_mul(2).saturating_add(reserve);
            Ok((room.free < wanted).then_some((room.free, wanted)))
        };
        if lacks()?.is_none() {
            return Ok(());
        }
        // A clock that is behind all of them does not make the newest one worthless.
        let newest = match self.newest(now)? {
            None => self.newest(u64::MAX)?,
            newest => newest,
        };
        let newest = newest.map(|record| record.name);
        for name in by_worth(&self.kept()?, newest.as_ref()) {
            self.tell(&format!("removes {name}: the disk has too little free space for a new one"));
            self.remove(&name)?;
            if lacks()?.is_none() {
                return Ok(());
            }
        }
        match lacks()? {
            None => Ok(()),
            Some((free, wanted)) => Err(Failure::new(format!(
                "{} has {free} bytes free, and {wanted} are needed: twice the database, and a reserve so that etcd can \
                 write; make room there, or set [backup] keep to less",
                self.directory.display()
            ))),
        }
    }

    fn tell(&self, text: &str) {
        say(Level::Warning, &self.policy.node, text);
    }
}

/// Those of digits in a directory that may be missing; each is root's alone.
fn subdirectories(path: &Path) -> Result<Vec<PathBuf>> {
    if !disk::is_there(path) {
        return Ok(Vec::new());
    }
    disk::check_directory(path)?;
    let names = disk::names(path)?;
    let is_number = |name: &&String| name.bytes().all(|byte| byte.is_ascii_digit());
    Ok(names.iter().filter(is_number).map(|name| path.join(name)).collect())
}
