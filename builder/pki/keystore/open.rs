//! Finding a keystore, and reading it: every byte is checked.

use std::path::Path;

use super::{Foreign, Imported, ImportedKey, Keystore};
use crate::disk::{self, Lock};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::pki::damage::changed;
use crate::pki::list::{List, Origin};
use crate::pki::pem;
use crate::pki::place::{
    FOREIGN, LIST, SECRET, check_place, is_there, lock_path, part, refuse_strangers, sweep,
};
use crate::pki::secret::Secret;
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
        Self::read(dir, cluster).doing(|| format!("reading the keystore {}", dir.display()))
    }

    fn read(dir: &Path, cluster: &ClusterName) -> Result<Self> {
        let text = part(dir, LIST)?;
        let secret = secret_of(dir, SECRET)?;
        let text = std::str::from_utf8(&text).map_err(|_| changed())?;
        let list = List::parse(text)?;
        let mut imported = Foreign::new();
        for (authority, chain, key) in FOREIGN {
            if matches!(list.origin(authority), Origin::Imported) {
                let (chain, pem) = (part(dir, chain)?, part(dir, key)?);
                let der = pem::blocks(&pem).ok().and_then(|blocks| blocks.into_iter().next());
                let der = der.ok_or_else(changed)?.der;
                imported.insert(authority, Imported { chain: chain.to_vec(), key: ImportedKey { der, pem } });
            }
        }
        let issues = list.issues()?;
        let name: ClusterName = list.cluster.parse().map_err(|_| changed())?;
        let mut keystore = Self::assemble(name, secret, issues, imported)?;
        let sealed: std::result::Result<_, _> = list.sealed.iter().map(|token| token.parse()).collect();
        keystore.sealed = sealed.map_err(|_| changed())?;
        (keystore.fixed, keystore.formed) = list.record()?;
        if let Some(fixed) = &keystore.fixed {
            keystore.successors = Successors::read(&fixed.successors, |file| part(dir, file))?;
        }
        if disk::look(&dir.join(successor::SECRET))?.is_some() {
            let secret = secret_of(dir, successor::SECRET)?;
            keystore.successors.check_secret(&secret, &keystore.cluster)?;
            keystore.successor = Some(secret);
        }
        if !keystore.formed.iter().all(|formed| keystore.sealed.contains(&formed.token)) {
            return Err(changed());
        }
        keystore.stored = Some(Digest::of(text.as_bytes()));
        // The file must be exactly as Kiln would write it, so that every changed byte is detected.
        if keystore.render()? != text {
            return Err(changed());
        }
        if keystore.cluster != *cluster {
            return Err(Failure::unsafe_to(format!(
                "it is the keystore of cluster {}, not of {cluster}; every cluster has its own, so choose another \
                 --keystore",
                keystore.cluster
            )));
        }
        Ok(keystore)
    }
}

fn secret_of(dir: &Path, file: &str) -> Result<Secret> {
    Secret::from_text(&part(dir, file)?).ok_or_else(|| {
        Failure::untrusted(format!(
            "the file {file} is not 64 lower-case hex digits and a newline; restore it"
        ))
    })
}
