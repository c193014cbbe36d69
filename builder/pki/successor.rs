//! The successors of a cluster's CAs. Their certificates are in the trust files from the first build on, so that
//! every member and client trusts them long before they issue anything; their keys derive from a secret of their own,
//! which no build needs.

use std::collections::BTreeMap;

use super::certificate::Certificate;
use super::damage::changed;
use super::key::Key;
use super::made::derived;
use super::public;
use super::recorded::Recorded;
use super::secret::Secret;
use crate::failure::{Failure, Result};
use crate::plan::{AuthoritySpec, CA, Made, PEER_CA};
use crate::values::{ClusterName, Digest, Epoch};

/// The file with their secret, which may be kept elsewhere.
pub(super) const SECRET: &str = "successor";

/// Each authority with the file of its successor's certificate.
pub(super) const FILES: [(&str, &str); 2] = [(CA, "ca-next.pem"), (PEER_CA, "peer-ca-next.pem")];

/// By the names of the authorities that they follow.
#[derive(Clone, Default)]
pub(super) struct Successors(BTreeMap<&'static str, String>);

impl Successors {
    /// Those of these authorities. They live twice as long, so that each outlives the one before it by its whole life.
    pub fn make(
        secret: &Secret,
        cluster: &ClusterName,
        specs: &[AuthoritySpec],
        first: Epoch,
    ) -> Result<Self> {
        Self::of_all(secret, cluster, specs.iter().map(|spec| (spec.name, &spec.made)), first)
    }

    /// The same of authorities as they are recorded.
    pub fn make_again(
        secret: &Secret,
        cluster: &ClusterName,
        recorded: &[Recorded],
        first: Epoch,
    ) -> Result<Self> {
        Self::of_all(secret, cluster, recorded.iter().map(|(name, made)| (*name, made)), first)
    }

    fn of_all<'a>(
        secret: &Secret,
        cluster: &ClusterName,
        authorities: impl Iterator<Item = (&'static str, &'a Made)>,
        first: Epoch,
    ) -> Result<Self> {
        let make = |(name, made): (&'static str, &Made)| {
            let made = Made { lifetime: made.lifetime.twice(), ..made.next() };
            let (_, chain) = derived(secret, cluster, name, &made, first)?;
            Ok((name, chain.top().pem()?))
        };
        authorities.map(make).collect::<Result<_>>().map(Self)
    }

    /// From the files of a keystore, each held against what is recorded of it.
    ///
    /// # Errors
    /// `Exit::Untrusted` where one is another one, or cannot be read; those of `read`.
    pub fn read<T: AsRef<[u8]>>(
        recorded: &[(&'static str, Digest)],
        read: impl Fn(&str) -> Result<T>,
    ) -> Result<Self> {
        let mut all = BTreeMap::new();
        for (name, sha256) in recorded {
            let (_, file) = FILES.into_iter().find(|(of, _)| of == name).ok_or_else(changed)?;
            let text = read(file)?;
            if Digest::of(text.as_ref()) != *sha256 {
                return Err(Failure::untrusted(format!(
                    "its file {file} is not the one that it has recorded; restore it from a backup"
                )));
            }
            let text = String::from_utf8(text.as_ref().to_vec()).map_err(|_| changed())?;
            Certificate::from_pem(text.as_bytes())?;
            all.insert(*name, text);
        }
        Ok(Self(all))
    }

    /// Whether this is their secret.
    ///
    /// # Errors
    /// `Exit::Untrusted` where it is not.
    pub fn check_secret(&self, secret: &Secret, cluster: &ClusterName, made: &[Recorded]) -> Result<()> {
        for (name, made) in made {
            let Some(text) = self.0.get(name) else { continue };
            let key = Key::derive(secret, made.algorithm, &[cluster.as_str(), name])?;
            if !public::same(&key.public()?, Certificate::from_pem(text.as_bytes())?.public_key()) {
                return Err(Failure::untrusted(format!(
                    "the file {SECRET} is not the secret of the successor of {name}; restore it from a backup, or keep it elsewhere: \
                     builds do not need it"
                )));
            }
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is recorded of them: the digest of each file.
    pub fn record(&self) -> Vec<(&'static str, Digest)> {
        self.0.iter().map(|(name, text)| (*name, Digest::of(text.as_bytes()))).collect()
    }

    /// The names of the files, and their texts.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &str)> {
        FILES.into_iter().filter_map(|(name, file)| Some((file, self.0.get(name)?.as_str())))
    }

    /// The certificate of the one that follows this authority, in PEM; nothing where there is none.
    pub fn of(&self, authority: &str) -> &str {
        self.0.get(authority).map_or("", String::as_str)
    }
}
