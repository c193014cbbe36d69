//! Generations of certificates and keys: a directory each, which is complete before it has its name, and the link
//! `live` to the one that etcd reads. The first is the one that Kiln has issued, elsewhere.

use std::path::{Path, PathBuf};

use kiln_wire::{Pair, Policy};

use crate::disk::{self, Lock, Owner};
use crate::failure::{Failure, Result};
use crate::issuer::{Issuer, Minted};
use crate::key::Key;
use crate::leaf::Leaf;
use crate::pem;

/// The link.
const LIVE: &str = "live";
/// What it was before a renewal that is not proven yet.
const BEFORE: &str = "before";
/// Others may pass, to reach the files of etcd's account.
const MODE: u32 = 0o711;
/// As many stay: the live one, and those before it.
const KEPT: usize = 3;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// The one that Kiln has issued.
    First,
    /// One that this node has made, from 1.
    Own(u32),
}

/// The directory with all of them; locked while this value lives.
pub struct Generations<'p> {
    policy: &'p Policy,
    directory: PathBuf,
    owner: Owner,
    _lock: Lock,
}

/// One that is sound.
pub struct Generation {
    /// In the order of the policy's pairs.
    pub leaves: Vec<Leaf>,
}

impl Generation {
    /// The time in which all its certificates are valid, in seconds since 1970.
    pub fn validity(&self) -> (u64, u64) {
        let from = self.leaves.iter().map(|leaf| leaf.not_before).max();
        let until = self.leaves.iter().map(|leaf| leaf.not_after).min();
        (from.unwrap_or_default(), until.unwrap_or_default())
    }
}

impl<'p> Generations<'p> {
    /// Locks the directory, creates it where it is missing, and removes what a killed run has left.
    ///
    /// # Errors
    /// Where others can write there.
    pub fn open(policy: &'p Policy) -> Result<Self> {
        let directory = PathBuf::from(policy.directory.as_str());
        let owner = disk::account(policy.account.as_str())?;
        disk::own_directory(&directory, MODE)?;
        let lock = disk::lock(&directory.join("lock"))?;
        for name in disk::names(&directory)? {
            if name.starts_with('.') && name.ends_with(".partial") {
                disk::remove(&directory.join(name))?;
            }
        }
        Ok(Self { policy, directory, owner, _lock: lock })
    }

    /// Those that this node has made, the oldest first.
    ///
    /// # Errors
    /// Of the system.
    pub fn own(&self) -> Result<Vec<u32>> {
        let names = disk::names(&self.directory)?;
        let number = |name: &String| name.parse().ok().filter(|number: &u32| number.to_string() == *name);
        let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The one that etcd reads; `None` where there is no link, or it leads elsewhere.
    ///
    /// # Errors
    /// Where `live` is not a link.
    pub fn live(&self) -> Result<Option<Which>> {
        self.which(LIVE)
    }

    /// The one that a renewal has replaced and that may have to come back: the renewal was killed before its proof.
    ///
    /// # Errors
    /// As `live`.
    pub fn before(&self) -> Result<Option<Which>> {
        self.which(BEFORE)
    }

    fn which(&self, name: &str) -> Result<Option<Which>> {
        let target = disk::link(&self.directory.join(name))?;
        Ok(target.as_deref().and_then(Path::to_str).and_then(|target| match target {
            first if first == self.policy.first.as_str() => Some(Which::First),
            own => own.parse().ok().map(Which::Own),
        }))
    }

    fn path(&self, which: Which) -> PathBuf {
        match which {
            Which::First => PathBuf::from(self.policy.first.as_str()),
            Which::Own(number) => self.directory.join(number.to_string()),
        }
    }

    /// Reads one, and checks everything but its dates.
    ///
    /// # Errors
    /// Where a file is missing or damaged, or not what the policy wants now.
    pub fn load(&self, which: Which, issuers: &[Issuer]) -> Result<Generation> {
        let directory = self.path(which);
        let load = |(pair, issuer): (&Pair, &Issuer)| {
            let (cert, key) = (directory.join(pair.cert.as_str()), directory.join(pair.key.as_str()));
            let leaf = Leaf::from_pem(&disk::read(&cert, false)?).map_err(|why| at(&cert, &why))?;
            let mut keys = pem::blocks(pem::PRIVATE_KEY, &disk::read_given(&key, self.owner)?)
                .map_err(|why| at(&key, &why))?;
            let own = Key::read(keys.swap_remove(0)).map_err(|why| at(&key, &why))?;
            leaf.check(pair, issuer.der(), &issuer.anchors, &own).map_err(|why| at(&cert, &why))?;
            Ok(leaf)
        };
        let leaves = self.policy.pairs.iter().zip(issuers).map(load).collect::<Result<_>>()?;
        Ok(Generation { leaves })
    }

    /// Writes one, with all its files on the disk before it has its name.
    ///
    /// # Errors
    /// Of the system; nothing is left then.
    pub fn add(&self, number: u32, minted: &[Minted]) -> Result<()> {
        let partial = self.directory.join(format!(".{number}.partial"));
        let written = || {
            disk::new_directory(&partial, MODE)?;
            for (pair, minted) in self.policy.pairs.iter().zip(minted) {
                disk::write_new(&partial.join(pair.cert.as_str()), minted.cert.as_bytes(), 0o644, None)?;
                let key = partial.join(pair.key.as_str());
                disk::write_new(&key, minted.key.as_bytes(), 0o400, Some(self.owner))?;
            }
            disk::sync(&partial)?;
            disk::rename(&partial, &self.path(Which::Own(number)))
        };
        written().inspect_err(|_| {
            // What cannot be removed now is removed by the next run.
            let _ = disk::remove(&partial);
        })
    }

    /// Makes it the one that etcd reads.
    ///
    /// # Errors
    /// Of the system.
    pub fn point(&self, which: Which) -> Result<()> {
        disk::set_link(&self.directory.join(LIVE), &self.target(which))
    }

    fn target(&self, which: Which) -> String {
        match which {
            Which::First => self.policy.first.to_string(),
            Which::Own(number) => number.to_string(),
        }
    }

    /// Notes the one to return to, until `forget`.
    ///
    /// # Errors
    /// Of the system.
    pub fn remember(&self, which: Which) -> Result<()> {
        disk::set_link(&self.directory.join(BEFORE), &self.target(which))
    }

    /// There is nothing to return to any more.
    ///
    /// # Errors
    /// Of the system.
    pub fn forget(&self) -> Result<()> {
        disk::remove_file(&self.directory.join(BEFORE))?;
        disk::sync(&self.directory)
    }

    /// Removes the oldest ones, but never the live one.
    ///
    /// # Errors
    /// Of the system.
    pub fn prune(&self) -> Result<()> {
        let (own, live) = (self.own()?, self.live()?);
        let old = own.len().saturating_sub(KEPT);
        for number in own.into_iter().take(old).filter(|number| live != Some(Which::Own(*number))) {
            disk::remove(&self.path(Which::Own(number)))?;
        }
        Ok(())
    }
}

fn at(path: &Path, why: &Failure) -> Failure {
    Failure::new(format!("{}: {why}", path.display()))
}
