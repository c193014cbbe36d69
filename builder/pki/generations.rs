//! Generations of a cluster: a keystore begins one with each restore, and takes the last one back.

use std::path::Path;

use super::damage::changed;
use super::keystore::Keystore;
use super::record::Formed;
use super::restores::Restore;
use crate::etcd::Release;
use crate::failure::{Failure, Result};
use crate::plan::{Earlier, Restored};
use crate::values::{ClusterName, Digest, Epoch, NodeName, Token, Url};

/// From what a cluster is restored.
#[derive(Clone, Copy, Debug)]
pub struct RestoredFrom {
    /// The SHA-256 of the snapshot, in plain.
    pub sha256: Digest,
    /// Its highest revision.
    pub revision: u64,
    /// Today.
    pub date: Epoch,
    /// That of the bundle whose cluster is restored.
    pub release: Release,
}

impl Keystore {
    /// All restores, in their order for each cluster.
    pub fn restores(&self) -> &[Restore] {
        &self.restores
    }

    /// The generation that the cluster with this token, that of its first one, is in.
    pub fn generation(&self, first: &Token) -> u32 {
        self.last_restore(first).map_or(1, |restore| restore.generation)
    }

    fn last_restore(&self, first: &Token) -> Option<&Restore> {
        self.restores.iter().rfind(|restore| restore.token == *first)
    }

    /// The restore that made the cluster with this token, if one did.
    pub fn restore_of(&self, token: &Token) -> Option<&Restore> {
        let is =
            |restore: &&Restore| token_of(&restore.token, restore.generation).is_ok_and(|own| own == *token);
        self.restores.iter().find(is)
    }

    /// The token of the first generation, and the number of the one with this token.
    fn generation_of(&self, token: &Token) -> (Token, u32) {
        let found = self.restore_of(token);
        found.map_or_else(|| (token.clone(), 1), |restore| (restore.token.clone(), restore.generation))
    }

    /// What plans need to know of each cluster that was restored, by the token of its first generation.
    ///
    /// # Errors
    /// `Exit::Untrusted` where the record of a generation is missing.
    pub(super) fn restored(&self) -> Result<Vec<(Token, Restored)>> {
        let mut all: Vec<(Token, Restored)> = Vec::new();
        for restore in &self.restores {
            let token = token_of(&restore.token, restore.generation - 1)?;
            let id = self.formed(&token).ok_or_else(changed)?.id;
            let earlier = match all.iter().position(|(token, _)| *token == restore.token) {
                Some(at) => all.remove(at).1.earlier,
                None => Vec::new(),
            };
            let restored = Restored {
                generation: restore.generation,
                id: restore.id,
                token: token_of(&restore.token, restore.generation)?,
                earlier: earlier.into_iter().chain([Earlier { token, id }]).collect(),
            };
            all.push((restore.token.clone(), restored));
        }
        Ok(all)
    }

    /// Whether each restore has its number and its record: what `open` checks.
    pub(super) fn check_restores(&self) -> Result<()> {
        for (at, restore) in self.restores.iter().enumerate() {
            let before = self.restores[..at].iter().filter(|other| other.token == restore.token).count();
            let has_number = u32::try_from(before).is_ok_and(|before| before + 2 == restore.generation);
            let own = token_of(&restore.token, restore.generation)?;
            if !has_number || self.formed(&own).is_none() {
                return Err(changed());
            }
        }
        self.restored().map(drop)
    }

    /// Opens it, to begin the next generation of the cluster with this token: `is_unsaved` says so then. The members
    /// are those that have formed it. A restore of the same snapshot that was begun already goes on.
    ///
    /// # Errors
    /// As `open`; `Exit::Unsafe` where the cluster is not sealed here, or has been restored since.
    pub fn begin_generation(
        dir: &Path,
        cluster: &ClusterName,
        token: &Token,
        from: &RestoredFrom,
    ) -> Result<Self> {
        let mut keystore = Self::open_to_change(dir, cluster)?;
        let (first, generation) = keystore.generation_of(token);
        let shown = dir.display();
        let present = keystore.generation(&first);
        let next = generation.checked_add(1).ok_or_else(changed)?;
        let new = token_of(&first, next)?;
        if keystore.has_begun(token, from)? {
            return Ok(keystore);
        }
        if present != generation {
            return Err(Failure::unsafe_to(format!(
                "the bundle is of generation {generation} of {cluster}, and {shown} says that it was restored since, as \
                 generation {present}: name a bundle of that one, or, if that restore came to no node, take it back with kiln \
                 restore --abandon"
            )));
        }
        let old = keystore.formed(token).ok_or_else(|| {
            Failure::unsafe_to(format!(
                "{cluster} ({token}) is not sealed in {shown}, so that its members are not on record; seal the bundle that \
                 the nodes run first: kiln seal BUNDLE{}",
                if keystore.is_sealed(token) { " --adopt" } else { "" }
            ))
        })?;
        if keystore.is_sealed(&new) {
            return Err(Failure::unsafe_to(format!(
                "{shown} knows a cluster with the token {new} already, which is that of generation {next} of {cluster}"
            )));
        }
        let members: Vec<(NodeName, Url)> =
            old.members.iter().map(|member| (member.name.clone(), member.peer_url.clone())).collect();
        let formed = Formed::of(&new, from.release.max(old.release), old.signer, &members)?;
        keystore.set_formed(formed);
        let id = identity(&new, from);
        let restore =
            Restore { token: first, generation: next, id, date: from.date, revision: from.revision };
        keystore.restores.push(restore);
        keystore.restores.sort_by(|a, b| (&a.token, a.generation).cmp(&(&b.token, b.generation)));
        Ok(keystore)
    }

    /// Whether the last restore of the cluster with this token is the one from this, which an earlier run has begun.
    ///
    /// # Errors
    /// As `open`.
    pub fn has_begun(&self, token: &Token, from: &RestoredFrom) -> Result<bool> {
        let (first, generation) = self.generation_of(token);
        let next = generation.checked_add(1).ok_or_else(changed)?;
        let new = token_of(&first, next)?;
        let is_same = |last: &Restore| {
            last.generation == next && last.id == identity(&new, &RestoredFrom { date: last.date, ..*from })
        };
        Ok(self.last_restore(&first).is_some_and(is_same))
    }

    /// Takes the last restore back of the cluster with this token, that of the generation before it, and returns the
    /// number that is gone. Nothing is saved yet.
    ///
    /// # Errors
    /// As `open`; `Exit::Unsafe` where the cluster was not restored from that generation.
    pub fn end_generation(dir: &Path, cluster: &ClusterName, token: &Token) -> Result<(Self, Restore)> {
        let mut keystore = Self::open_to_change(dir, cluster)?;
        let (first, generation) = keystore.generation_of(token);
        let last = keystore.last_restore(&first).filter(|last| last.generation - 1 == generation).cloned();
        let Some(last) = last else {
            return Err(Failure::unsafe_to(format!(
                "{} has no restore of generation {generation} of {cluster} to take back",
                dir.display()
            )));
        };
        let gone = token_of(&first, last.generation)?;
        keystore.unset_formed(&gone);
        keystore.restores.retain(|restore| *restore != last);
        Ok((keystore, last))
    }
}

/// etcd's token of this generation.
///
/// # Errors
/// `Exit::Unsafe` where it would be too long.
fn token_of(first: &Token, generation: u32) -> Result<Token> {
    if generation <= 1 {
        return Ok(first.clone());
    }
    format!("{first}-g{generation}").parse().map_err(|why| {
        Failure::unsafe_to(format!("the token of generation {generation} of {first} cannot be used: {why}"))
    })
}

fn identity(token: &Token, from: &RestoredFrom) -> kiln_wire::Id {
    let text = format!("{token}\n{}\n{}\n{}\n", from.sha256, from.revision, from.date.seconds());
    let mut first = [0; 8];
    first.copy_from_slice(&Digest::of(text.as_bytes()).bytes()[..8]);
    kiln_wire::Id(u64::from_be_bytes(first))
}
