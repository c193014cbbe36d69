//! Finding a keystore, and reading it: every byte is checked.

use std::path::Path;

use zeroize::Zeroizing;

use super::source::{Source, secret_of};
use super::{Foreign, Imported, ImportedKey, Keystore};
use crate::disk::{self, Lock};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::pki::copies::Exported;
use crate::pki::damage::changed;
use crate::pki::list::{List, Origin};
use crate::pki::pem;
use crate::pki::place::{FOREIGN, check_place, is_there, lock_path, refuse_strangers, sweep};
use crate::pki::successor::{self, Successors};
use crate::values::{ClusterName, Digest};

impl Keystore {
    /// Reads a keystore and checks every byte of it. Remains of killed runs are removed.
    ///
    /// # Errors
    /// `Exit::Usage` when there is none; `Exit::Unsafe` when other users may read or write it, or it is another
    /// cluster's; `Exit::Untrusted` when a part of it is missing or changed; `Exit::Locked` when another run uses it.
    pub fn open(dir: &Path, cluster: &ClusterName) -> Result<Self> {
        match Self::find(dir, cluster)? {
            Some(keystore) => Ok(keystore),
            None => Err(Failure::new(
                Exit::Usage,
                format!(
                    "there is no keystore at {}; name that of {cluster} with --keystore, or create one with kiln keystore init \
                     {cluster}",
                    dir.display()
                ),
            )),
        }
    }

    /// The same; `None` when there is nothing at the path.
    pub fn find(dir: &Path, cluster: &ClusterName) -> Result<Option<Self>> {
        if !is_there(dir)? {
            return Ok(None);
        }
        let lock = Lock::exclusive_where_writable(&lock_path(dir)?)?;
        if lock.is_some() {
            sweep(dir)?;
        }
        if disk::look(dir)?.is_none() {
            return Ok(None);
        }
        check_place(dir)?;
        let mut keystore = Self::load(dir, cluster)?;
        keystore.is_writable = lock.is_some();
        keystore.lock = lock;
        Ok(Some(keystore))
    }

    /// As `open`, for a verb that changes it.
    ///
    /// # Errors
    /// Also `Exit::Io` where it cannot be written, and `Exit::Unsafe` when other files are in its directory.
    pub(in crate::pki) fn open_to_change(dir: &Path, cluster: &ClusterName) -> Result<Self> {
        let keystore = Self::open(dir, cluster)?;
        if !keystore.is_writable {
            return Err(Failure::io(format!("{} is read-only here", dir.display())));
        }
        refuse_strangers(dir)?;
        Ok(keystore)
    }

    pub(super) fn load(dir: &Path, cluster: &ClusterName) -> Result<Self> {
        Self::read(&Source::Directory(dir), cluster)
            .doing(|| format!("reading the keystore {}", dir.display()))
    }

    /// Reads it, and checks every byte.
    pub(super) fn read(source: &Source<'_>, cluster: &ClusterName) -> Result<Self> {
        let text = source.list()?;
        let list = List::parse(&text)?;
        let name: ClusterName = list.cluster.parse().map_err(|_| changed())?;
        let (exported, encrypted) = list.copies()?;
        let is_encrypted = encrypted.is_some();
        let (secret, is_elsewhere) = source.secret(is_encrypted, &name)?;
        let mut imported = Foreign::new();
        for (authority, chain, key) in FOREIGN {
            if matches!(list.origin(authority), Origin::Imported) {
                let (chain, pem) = (source.get(chain)?, source.secret_part(key, is_encrypted, &name)?);
                let der = pem::blocks(&pem).ok().and_then(|blocks| blocks.into_iter().next());
                let der = der.ok_or_else(changed)?.der;
                imported.insert(authority, Imported { chain: chain.to_vec(), key: ImportedKey { der, pem } });
            }
        }
        let mut keystore = Self::assemble(name, secret, list.issues()?, imported)?;
        let sealed: std::result::Result<_, _> = list.sealed.iter().map(|token| token.parse()).collect();
        keystore.sealed = sealed.map_err(|_| changed())?;
        (keystore.fixed, keystore.formed) = list.record()?;
        keystore.restores = list.restores()?;
        (keystore.exported, keystore.encrypted) = (exported, encrypted);
        keystore.is_secret_elsewhere = is_elsewhere;
        keystore.read_successors(source)?;
        if !keystore.formed.iter().all(|formed| keystore.sealed.contains(&formed.token)) {
            return Err(changed());
        }
        keystore.check_restores()?;
        if let (Source::Page(_), Some(exported)) = (source, &keystore.exported) {
            keystore.exported = Some(Exported { state: keystore.state()?, ..exported.clone() });
        }
        let rendered = keystore.render()?;
        keystore.stored = Some(Digest::of(rendered.as_bytes()));
        if !source.is_as_written(&rendered)? {
            return Err(match is_elsewhere {
                true => Failure::untrusted(
                    "the secret that the command of --secret-from printed is another keystore's, or keystore.toml was changed \
                     since Kiln wrote it; check the command, or restore the whole directory from a backup",
                ),
                false => changed(),
            });
        }
        if keystore.cluster != *cluster {
            let of = &keystore.cluster;
            let way_out = match source {
                Source::Directory(_) => "every cluster has its own, so choose another --keystore".to_owned(),
                Source::Export(_) | Source::Page(_) => format!("restore it as {of}"),
            };
            return Err(Failure::unsafe_to(format!(
                "it is the keystore of cluster {of}, not of {cluster}; {way_out}"
            )));
        }
        Ok(keystore)
    }

    fn read_successors(&mut self, source: &Source<'_>) -> Result<()> {
        let is_encrypted = self.encrypted.is_some();
        let secret = match source.has_secret(successor::SECRET, is_encrypted)? {
            true => {
                let text = source.secret_part(successor::SECRET, is_encrypted, &self.cluster)?;
                Some(secret_of(successor::SECRET, &text)?)
            }
            false => None,
        };
        if let Some(fixed) = &self.fixed {
            // On a page their certificates are left out where they follow from their secret.
            let again = match &secret {
                Some(secret) if matches!(source, Source::Page(_)) => {
                    Successors::make_again(secret, &self.cluster, &fixed.authorities, self.first_issued())?
                }
                _ => Successors::default(),
            };
            let read = |file: &str| match again.files().find(|(name, _)| *name == file) {
                Some((_, text)) if !source.has(file)? => Ok(Zeroizing::new(text.as_bytes().to_vec())),
                _ => source.get(file),
            };
            self.successors = Successors::read(&fixed.successors, read)?;
            self.has_stored_successors = !self.successors.is_empty();
            if let Some(secret) = &secret {
                self.successors.check_secret(secret, &self.cluster, &fixed.authorities)?;
            }
        }
        self.successor = secret;
        Ok(())
    }
}
