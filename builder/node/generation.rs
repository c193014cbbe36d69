//! Generations of certificates and keys: a directory each, which is complete before it has its name, and the link
//! `live` to the one that etcd reads. The first is the one that Kiln has issued, elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_wire::{Policy, Validity};
use zeroize::Zeroizing;

use crate::disk::{self, Lock, Owner};
use crate::failure::{Failure, Result};
use crate::issuer::{Minted, Trust};
use crate::key::Key;
use crate::leaf::Leaf;
use crate::pem;
use crate::steps::reached;

/// The link.
const LIVE: &str = "live";
/// What it was before a renewal that is not proven yet.
const BEFORE: &str = "before";
/// Others may pass, to reach the files of etcd's account.
const MODE: u32 = 0o711;
/// As many stay: the live one, and those before it.
const KEPT: usize = 3;
/// Longer than any run takes, with its proofs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// The one that Kiln has issued.
    First,
    /// One that this node has made, from 1.
    Own(u32),
}

/// The directory with all of them.
pub struct Generations<'p> {
    policy: &'p Policy,
    directory: PathBuf,
    owner: Owner,
    trusts: Vec<Trust>,
}

/// One that etcd can use: keys and certificates belong together, and its CAs are those that are trusted.
pub struct Generation {
    /// In the order of the policy's pairs, each with its key in DER.
    pub leaves: Vec<(Leaf, Zeroizing<Vec<u8>>)>,
    /// Its first difference from what the policy wants.
    pub unlike: Option<Failure>,
}

impl Generation {
    /// The time in which all its certificates are valid.
    pub fn validity(&self) -> Validity {
        Validity::of_all(self.leaves.iter().map(|(leaf, _)| leaf.validity))
    }
}

impl<'p> Generations<'p> {
    /// Those of this policy, whether or not there are any.
    ///
    /// # Errors
    /// Where what the members trust cannot be read.
    pub fn new(policy: &'p Policy, owner: Owner) -> Result<Self> {
        let trusts = policy.pairs.iter().map(Trust::load).collect::<Result<_>>()?;
        Ok(Self { policy, directory: PathBuf::from(policy.directory.as_str()), owner, trusts })
    }

    /// Whether they are forgotten with the next start of the machine.
    pub fn are_in_memory(&self) -> bool {
        disk::is_in_memory(&self.directory)
    }

    /// Locks the directory, creates it where it is missing, and removes what a killed run has left.
    ///
    /// # Errors
    /// Where others can write there, or another run has the lock all the time.
    pub fn open(&self) -> Result<Lock> {
        disk::own_directory(&self.directory, MODE)?;
        let lock = disk::lock(&self.directory.join("lock"), PATIENCE)?;
        for name in disk::names(&self.directory)? {
            if name.starts_with('.') && name.ends_with(".partial") || name.ends_with(".new") {
                disk::remove(&self.directory.join(name))?;
            }
        }
        Ok(lock)
    }

    /// The numbers that are taken, in their order: those that this node has made, and whatever has the name of one.
    ///
    /// # Errors
    /// Of the system.
    pub fn own(&self) -> Result<Vec<u32>> {
        let names = disk::names(&self.directory)?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| number(name)).collect();
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

    /// The one that a renewal has replaced and that may have to come back: the new one is not proven yet.
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
            own => number(own).map(Which::Own),
        }))
    }

    fn path(&self, which: Which) -> PathBuf {
        self.directory.join(self.target(which))
    }

    /// What a link to it contains; an absolute path stays one when it is joined.
    fn target(&self, which: Which) -> String {
        match which {
            Which::First => self.policy.first.to_string(),
            Which::Own(number) => number.to_string(),
        }
    }

    /// Reads one, and checks everything but its dates.
    ///
    /// # Errors
    /// Where a file is missing or damaged, or etcd could not use it.
    pub fn load(&self, which: Which) -> Result<Generation> {
        let directory = self.path(which);
        disk::check_directory(&directory)?;
        let (mut leaves, mut unlike) = (Vec::new(), None);
        for (pair, trust) in self.policy.pairs.iter().zip(&self.trusts) {
            let (cert, key) = (directory.join(pair.cert.as_str()), directory.join(pair.key.as_str()));
            let leaf = Leaf::from_pem(&disk::read(&cert, false)?).map_err(|why| at(&cert, &why))?;
            let mut keys = pem::blocks(pem::PRIVATE_KEY, &disk::read_given(&key, self.owner)?)
                .map_err(|why| at(&key, &why))?;
            let own = Key::read(keys.swap_remove(0)).map_err(|why| at(&key, &why))?;
            leaf.check(pair, &trust.anchors, &own).map_err(|why| at(&cert, &why))?;
            let compared = leaf.compare(pair, trust.issuer.as_deref());
            unlike = unlike.or(compared.err().map(|why| at(&cert, &why)));
            leaves.push((leaf, own.into_pkcs8()));
        }
        Ok(Generation { leaves, unlike })
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
                reached("half-written");
                let key = partial.join(pair.key.as_str());
                disk::write_new(&key, minted.key.as_bytes(), 0o400, Some(self.owner))?;
            }
            disk::sync(&partial)?;
            reached("written");
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

    /// Removes one that this node has made.
    ///
    /// # Errors
    /// Of the system, and for the first, which is Kiln's.
    pub fn discard(&self, which: Which) -> Result<()> {
        match which {
            Which::First => Err(Failure::new("the generation that Kiln has issued is not removed")),
            Which::Own(_) => disk::remove(&self.path(which)),
        }
    }

    /// Removes the oldest ones, but never one that may still be needed.
    ///
    /// # Errors
    /// Of the system.
    pub fn prune(&self) -> Result<()> {
        let (own, needed) = (self.own()?, [self.live()?, self.before()?]);
        let old = own.len().saturating_sub(KEPT);
        for which in own.into_iter().take(old).map(Which::Own).filter(|which| !needed.contains(&Some(*which)))
        {
            self.discard(which)?;
        }
        Ok(())
    }
}

/// As this program writes it: `7`, not `07` or `+7`.
fn number(name: &str) -> Option<u32> {
    name.parse().ok().filter(|number: &u32| number.to_string() == name)
}

fn at(path: &Path, why: &Failure) -> Failure {
    Failure::new(format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_name() {
        assert_eq!(number("7"), Some(7));
        assert_eq!(number("4294967295"), Some(u32::MAX));
        for name in ["07", "+7", "-7", "", "7 ", "4294967296", ".7", "7/../8", "live"] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
