//! Where a member's data is: its directory, and the one beside its log where that has a directory of its own.

use std::path::Path;
use std::time::Duration;

use kiln_wire::{LogIds, Restore};

use super::dir::Dir;
use super::log;
use super::record::{Journal, Record};
use crate::account::account;
use crate::disk::{self, Lock, Owner, own};
use crate::failure::{Failure, Result};

/// The copy that is prepared, and what it is called until it is whole.
pub const PREPARED: &str = "kiln-restore";
pub const PREPARING: &str = "kiln-restore.new";
/// In each of them: the digest of the orders that it was made for.
pub const MARKER: &str = "policy";
/// What the data has served.
pub const RECORD: &str = "kiln-cluster";
/// There while a switch goes on: etcd is not started then.
pub const JOURNAL: &str = "kiln-restoring";
/// A run of the same verb ends soon, or takes longer than anyone waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// Both, locked.
pub struct Place<'p> {
    pub policy: &'p Restore,
    /// That etcd runs as.
    pub owner: Owner,
    /// The data first.
    pub sides: Vec<Side>,
    _lock: Lock,
}

/// One of them.
pub struct Side {
    /// etcd's `data-dir`, or the directory of its `wal-dir`.
    pub dir: Dir,
    /// What etcd has in it.
    pub live: String,
    /// Whether it is the one of the `wal-dir`.
    pub is_log: bool,
}

impl Side {
    /// The directory with what was made for it, below `PREPARED` or `PREPARING`.
    ///
    /// # Errors
    /// Of the system.
    pub fn made_in(&self, top: &str) -> Result<Option<Dir>> {
        let top = self.dir.sub(top)?;
        if self.is_log {
            return Ok(top);
        }
        top.map_or(Ok(None), |top| top.sub("data"))
    }

    /// Its name there.
    pub fn made(&self) -> &'static str {
        if self.is_log { "wal" } else { "member" }
    }

    /// What was made there, if it is.
    ///
    /// # Errors
    /// Of the system.
    pub fn staged(&self, top: &str) -> Result<Option<Dir>> {
        self.made_in(top)?.map_or(Ok(None), |inner| inner.sub(self.made()))
    }
}

impl<'p> Place<'p> {
    /// Opens and locks it.
    ///
    /// # Errors
    /// Where it is not the account's, or another run has locked it.
    pub fn open(policy: &'p Restore) -> Result<Self> {
        let owner = account(policy.account.as_str())?;
        let data = Path::new(policy.data.as_str());
        let mut sides = vec![Side { dir: Dir::open(data, owner)?, live: "member".to_owned(), is_log: false }];
        if let Some(wal) = policy.wal.as_ref().map(|wal| Path::new(wal.as_str())) {
            let parent = wal.parent().unwrap_or(wal);
            let live = wal.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            sides.push(Side { dir: Dir::open(parent, owner)?, live, is_log: true });
        }
        for side in &sides {
            is_of(&side.dir, policy, owner)?;
            if let Some(live) = side.dir.sub(&side.live)? {
                is_of(&live, policy, owner)?;
            }
        }
        let lock = disk::lock(data, PATIENCE)?;
        Ok(Self { policy, owner, sides, _lock: lock })
    }

    /// The `data-dir`.
    pub fn data(&self) -> &Dir {
        &self.sides[0].dir
    }

    /// What the data says that it has served.
    ///
    /// # Errors
    /// Where that was not written by Kiln.
    pub fn record(&self) -> Result<Option<Record>> {
        let Some(text) = self.data().text(RECORD, self.owner.uid)? else { return Ok(None) };
        Record::parse(&text).map(Some).ok_or_else(|| self.strange(RECORD))
    }

    /// The switch that has begun here.
    ///
    /// # Errors
    /// Where that was not written by this program.
    pub fn journal(&self) -> Result<Option<Journal>> {
        let Some(text) = self.data().text(JOURNAL, own())? else { return Ok(None) };
        Journal::parse(&text).map(Some).ok_or_else(|| self.strange(JOURNAL))
    }

    fn strange(&self, name: &str) -> Failure {
        Failure::new(format!("Kiln did not write {}; inspect it", self.data().at(name).display()))
    }

    /// Whose the logs are that etcd has there, wherever it would look for one.
    ///
    /// # Errors
    /// Where one is a link, or no log.
    pub fn logs(&self) -> Result<Vec<LogIds>> {
        let mut all = Vec::new();
        for directory in self.log_directories()? {
            all.extend(log::segments(&directory)?);
        }
        Ok(all)
    }

    fn log_directories(&self) -> Result<Vec<Dir>> {
        let mut all = Vec::new();
        for side in &self.sides {
            let live = side.dir.sub(&side.live)?;
            all.extend(if side.is_log { live } else { live.map_or(Ok(None), |member| member.sub("wal"))? });
        }
        Ok(all)
    }

    /// Locks etcd's database until what is returned is dropped.
    ///
    /// # Errors
    /// Where etcd has it, or the log, open.
    pub fn unused(&self) -> Result<Option<std::fs::File>> {
        let runs = || {
            let (unit, data) = (&self.policy.unit, &self.policy.data);
            Failure::new(format!("etcd has {data} open; stop it first: systemctl stop {unit}"))
        };
        for directory in self.log_directories()? {
            if log::are_in_use(&directory)? {
                return Err(runs());
            }
        }
        let snap = self.data().sub("member")?.map_or(Ok(None), |member| member.sub("snap"))?;
        let Some(file) = snap.map_or(Ok(None), |snap| snap.file("db"))? else { return Ok(None) };
        // As bbolt does, with flock(2).
        file.try_lock().map_err(|_| runs())?;
        Ok(Some(file))
    }

    /// Whether everything that is renamed is on the file system of its directory.
    ///
    /// # Errors
    /// Where it is not.
    pub fn can_rename(&self) -> Result<()> {
        for side in &self.sides {
            let Some(live) = side.dir.sub(&side.live)? else { continue };
            if live.stat()?.st_dev != side.dir.stat()?.st_dev {
                return Err(Failure::new(format!(
                    "{} is a mount point, which cannot be renamed; nothing was changed. Mount it above, as {}, with \
                     its files moved there",
                    live.path().display(),
                    side.dir.path().display()
                )));
            }
        }
        Ok(())
    }
}

fn is_of(directory: &Dir, policy: &Restore, owner: Owner) -> Result<()> {
    let found = directory.stat()?;
    match found.st_uid == owner.uid && found.st_mode & 0o022 == 0 {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "{} is not {}'s alone; etcd would not use it",
            directory.path().display(),
            policy.account
        ))),
    }
}
