//! Writes a keystore atomically, and never over another one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Keystore;
use crate::disk::{self, Lock, Staging};
use crate::failure::{Exit, Failure, Result};
use crate::pki::place::{
    FOREIGN, LIST, MAX_PART_BYTES, SECRET, check_parent, is_part, lock_path, refuse_existing,
};
use crate::pki::secret::Secret;
use crate::pki::successor;
use crate::values::{ClusterName, Digest, Epoch, Mode};

impl Keystore {
    /// Each needs three open files while it is written, of which a process may have 1024.
    const SAVED_AT_ONCE: usize = 200;

    /// Whether there is something to save, and a place for it.
    pub fn is_unsaved(&self) -> bool {
        match self.stored {
            None => true,
            Some(stored) => self.is_writable && self.fingerprint().is_ok_and(|now| now != stored),
        }
    }

    /// Whether this user may change it.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// Lets other runs use it until it is saved.
    pub fn release(&mut self) {
        self.lock = None;
    }

    /// Saves a draft, or the changes since it was opened, atomically.
    ///
    /// # Errors
    /// `Exit::Locked` when another run makes or changes the same keystore, or did so since it was read.
    pub fn save(&mut self, dir: &Path) -> Result<()> {
        if self.stored.is_some() {
            self.lock_again(dir)?;
            self.save_successors(dir)?;
            disk::replace_all(&[(dir.join(LIST), self.render()?.into_bytes())], Mode::SECRET)?;
            self.has_stored_successors = !self.successors.is_empty();
        } else {
            self.lock = self.store(begin_new(dir)?)?;
        }
        self.stored = Some(self.fingerprint()?);
        Ok(())
    }

    /// The same for many keystores, with one sync for every few of them.
    ///
    /// # Errors
    /// Also those of `between`, which is called before each of those syncs: the keystores before it are then saved.
    pub fn save_all(keystores: Vec<(Self, PathBuf)>, between: impl Fn() -> Result<()>) -> Result<()> {
        let (mut there, drafts): (Vec<_>, Vec<_>) =
            keystores.into_iter().partition(|(keystore, _)| keystore.stored.is_some());
        for some in drafts.chunks(Self::SAVED_AT_ONCE) {
            between()?;
            let mut staged = Vec::with_capacity(some.len());
            for (keystore, dir) in some {
                let staging = begin_new(dir)?;
                keystore.write(&staging)?;
                staged.push(staging);
            }
            Staging::publish_all(staged, Mode::SECRET_DIRECTORY)?;
        }
        for some in there.chunks_mut(Self::SAVED_AT_ONCE) {
            between()?;
            let mut lists = Vec::with_capacity(some.len());
            for (keystore, dir) in &mut *some {
                keystore.lock_again(dir)?;
                keystore.save_successors(dir)?;
                lists.push((dir.join(LIST), keystore.render()?.into_bytes()));
            }
            disk::replace_all(&lists, Mode::SECRET)?;
            some.iter_mut().for_each(|(keystore, _)| keystore.release());
        }
        Ok(())
    }

    /// Holds the lock, and the directory is unchanged since it was read.
    fn lock_again(&mut self, dir: &Path) -> Result<()> {
        if self.lock.is_none() {
            let lock = Lock::exclusive(&lock_path(dir)?)?;
            if Some(Self::load(dir, &self.cluster)?.fingerprint()?) != self.stored {
                return Err(changed_meanwhile(dir, "changed"));
            }
            self.lock = Some(lock);
        }
        Ok(())
    }

    /// A draft that is saved at once, with the secret of the CAs that follow: of a seed, so that the same seed gives
    /// the same bundles, else of the kernel.
    ///
    /// # Errors
    /// As `draft` and `save`; `Exit::Unsafe` when something is at the path already.
    pub fn create(dir: &Path, cluster: &ClusterName, seed: Option<&[u8; 32]>, issued: Epoch) -> Result<Self> {
        refuse_existing(dir)?;
        refuse_around(dir)?;
        let mut keystore = Self::draft(cluster, seed, issued)?;
        match seed {
            Some(_) => {
                let own = keystore.secret.derive::<32>(&["successor", cluster.as_str()])?;
                keystore.successor = Some(Secret::new(&own));
            }
            None => keystore.draw_successors_secret()?,
        }
        keystore.save(dir)?;
        Ok(keystore)
    }

    /// Publishes it atomically. The staging directory's lock is the keystore's, and stays held.
    pub(super) fn store(&self, staging: Staging) -> Result<Option<Lock>> {
        self.write(&staging)?;
        staging.publish_as(Mode::SECRET_DIRECTORY, |staging| self.check_old(staging), || Ok(()))
    }

    /// Checks that the replaced directory is this keystore as it was read; a new one replaces nothing.
    fn check_old(&self, staging: &Staging) -> Result<()> {
        let Some(old) = staging.old() else { return Ok(()) };
        let Some(stored) = self.stored else { return Err(changed_meanwhile(staging.target(), "made")) };
        let list = Digest::of(&old.input(LIST)?.whole(MAX_PART_BYTES)?);
        let is_ours = |name: &OsString| name.to_str().is_some_and(is_part);
        match list == stored && old.entries()?.iter().all(|(name, _)| is_ours(name)) {
            true => Ok(()),
            false => Err(changed_meanwhile(staging.target(), "changed")),
        }
    }

    /// Before the list, which names them: without it they mean nothing, whatever a killed run has left of them. Their
    /// secret is the first.
    fn save_successors(&self, dir: &Path) -> Result<()> {
        if self.has_stored_successors {
            return Ok(());
        }
        if self.successors.is_empty() {
            return Ok(());
        }
        if let Some(own) = &self.successor {
            let (file, bytes) = self.kept(successor::SECRET, own.to_text().as_bytes())?;
            disk::replace_all(&[(dir.join(file), bytes)], Mode::SECRET)?;
        }
        for (file, text) in self.successors.files() {
            disk::replace_all(&[(dir.join(file), text.as_bytes().to_vec())], Mode::SECRET)?;
        }
        Ok(())
    }

    fn write(&self, staging: &Staging) -> Result<()> {
        let write = |name: &str, bytes: &[u8]| staging.create(name, Mode::SECRET)?.write(bytes);
        let keep = |name: &str, bytes: &[u8]| {
            let (name, bytes) = self.kept(name, bytes)?;
            write(&name, &bytes)
        };
        write(LIST, self.render()?.as_bytes())?;
        if !self.is_secret_elsewhere {
            keep(SECRET, self.secret.to_text().as_bytes())?;
        }
        if let Some(secret) = &self.successor {
            keep(successor::SECRET, secret.to_text().as_bytes())?;
        }
        for (file, text) in self.successors.files() {
            write(file, text.as_bytes())?;
        }
        for (authority, chain, key) in FOREIGN {
            if let Some(ca) = self.imported.get(authority) {
                write(chain, &ca.chain)?;
                keep(key, &ca.key.pem)?;
            }
        }
        Ok(())
    }
}

/// Begins a keystore at a path where there is none.
pub(super) fn begin_new(dir: &Path) -> Result<Staging> {
    refuse_around(dir)?;
    check_parent(dir)?;
    let staging = Staging::begin(dir)?;
    match (staging.old(), refuse_existing(dir)) {
        (None, Ok(())) => Ok(staging),
        _ => Err(changed_meanwhile(dir, "made")),
    }
}

/// # Errors
/// `Exit::Unsafe` when a keystore would be inside something that Kiln has made: it would be lost with it.
fn refuse_around(dir: &Path) -> Result<()> {
    disk::refuse_around(dir, "choose another --keystore")
}

fn changed_meanwhile(dir: &Path, what: &str) -> Failure {
    let reason = format!("another run {what} {} at the same time; run kiln again", dir.display());
    Failure::new(Exit::Locked, reason)
}
