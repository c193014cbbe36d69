//! The directory with a cluster's secret, its dates of issue, and the imported CA, if there is one.
//!
//! It is the one place where randomness and today's date enter: the same keystore gives the same bytes.

mod change;
mod encrypt;
mod export;
mod open;
mod page;
mod restore;
mod save;
mod source;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use zeroize::Zeroizing;

use super::copies::{Encrypted, Exported};
use super::list::{Issue, Issues};
use super::record::{Fixed, Formed};
use super::restores::Restore;
use super::secret::Secret;
use super::successor::Successors;
use crate::disk::Lock;
use crate::failure::{Failure, Result};
use crate::plan::{AuthoritySpec, CA, Named};
use crate::values::{ClusterName, Digest, Epoch, PeerTag, Token, hex};

pub use change::Import;
pub use export::Exports;
pub use restore::Restored;
pub use text::resealed;

/// A keystore, checked and locked: no other run of Kiln uses it while this value lives.
pub struct Keystore {
    cluster: ClusterName,
    secret: Secret,
    issues: Issues,
    /// By the names of the authorities that they are.
    imported: Foreign,
    token: Token,
    /// The secret of the CAs that follow, where it is kept here.
    successor: Option<Secret>,
    /// Their certificates; none where the desk renews.
    successors: Successors,
    /// Whether the list in the directory names them.
    has_stored_successors: bool,
    /// The tokens of clusters that have formed.
    sealed: BTreeSet<Token>,
    /// Absent until the first build.
    fixed: Option<Fixed>,
    /// Sorted by token; those of the sealed clusters that are recorded.
    formed: Vec<Formed>,
    /// Sorted by the token of the first generation, and by number.
    pub(super) restores: Vec<Restore>,
    exported: Option<Exported>,
    /// How its secrets lie in the directory; absent where they do in plain.
    encrypted: Option<Encrypted>,
    /// Whether the secret is not in the directory: a command has printed it.
    is_secret_elsewhere: bool,
    /// The fingerprint of the files in the directory; absent while it is in memory only.
    stored: Option<Digest>,
    /// Whether this user may write to its directory.
    is_writable: bool,
    lock: Option<Lock>,
}

/// The imported CAs, by name: `ca`, `peer-ca`.
type Foreign = BTreeMap<&'static str, Imported>;

struct Imported {
    /// PEM.
    chain: Vec<u8>,
    key: ImportedKey,
}

/// PKCS#8, DER and PEM.
struct ImportedKey {
    der: Zeroizing<Vec<u8>>,
    pem: Zeroizing<Vec<u8>>,
}

impl Keystore {
    /// A new keystore in memory, with a secret from the kernel, or a given one (`--seed-file`).
    ///
    /// # Errors
    /// `Exit::Io` when the kernel returns no random bytes.
    pub fn draft(cluster: &ClusterName, seed: Option<&[u8; 32]>, issued: Epoch) -> Result<Self> {
        let secret = match seed {
            Some(seed) => Secret::new(seed),
            None => Secret::random()?,
        };
        Self::assemble(cluster.clone(), secret, Issues::begin(issued), Foreign::new())
    }

    /// Gives it the secret of the successors of its CAs, if it has none.
    ///
    /// # Errors
    /// `Exit::Io` when the kernel returns no random bytes.
    pub fn draw_successors_secret(&mut self) -> Result<()> {
        if self.successor.is_none() {
            self.successor = Some(Secret::random()?);
        }
        Ok(())
    }

    /// The certificates of the successors, made once.
    ///
    /// # Errors
    /// As `draw_successors_secret`.
    pub(super) fn make_successors(&mut self, specs: &[AuthoritySpec]) -> Result<()> {
        self.draw_successors_secret()?;
        if let Some(secret) = &self.successor {
            self.successors = Successors::make(secret, &self.cluster, specs, self.first_issued())?;
        }
        Ok(())
    }

    /// Whether nodes renew the certificates that were issued; `None` before the first build.
    pub fn renews_on_nodes(&self) -> Option<bool> {
        self.fixed.as_ref().map(Fixed::renews_on_nodes)
    }

    /// Whether it is on a disk, as one that was made before this run is.
    pub(super) fn is_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// Whether the secret of the successors of its CAs is in its directory.
    pub fn has_successors_secret(&self) -> bool {
        self.successor.is_some()
    }

    pub(super) fn successors(&self) -> &Successors {
        &self.successors
    }

    /// Whether the cluster with this token has formed.
    pub fn is_sealed(&self, token: &Token) -> bool {
        self.sealed.contains(token)
    }

    /// The tokens of clusters that have formed, sorted.
    pub fn sealed(&self) -> impl Iterator<Item = &Token> {
        self.sealed.iter()
    }

    /// The record of the cluster with this token.
    pub fn formed(&self, token: &Token) -> Option<&Formed> {
        self.formed.iter().find(|formed| formed.token == *token)
    }

    pub(super) fn set_formed(&mut self, formed: Formed) {
        self.sealed.insert(formed.token.clone());
        self.formed.retain(|other| other.token != formed.token);
        self.formed.push(formed);
        self.formed.sort_by(|a, b| a.token.cmp(&b.token));
    }

    pub(super) fn unset_formed(&mut self, token: &Token) {
        self.sealed.remove(token);
        self.formed.retain(|other| other.token != *token);
    }

    pub(super) fn fixed(&self) -> Option<&Fixed> {
        self.fixed.as_ref()
    }

    pub(super) fn fix(&mut self, fixed: Fixed) {
        self.fixed = Some(fixed);
    }

    pub(super) fn all_issues(&self) -> impl Iterator<Item = &Issue> {
        self.issues.all()
    }

    /// The cluster whose keys these are; they derive from its name, too.
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// The date of the latest issue, which builds use as today's date.
    pub fn issued(&self) -> Epoch {
        self.latest().date
    }

    /// From 1; one more with each renewal.
    pub fn issue_number(&self) -> u32 {
        self.latest().number
    }

    /// Every date of issue, oldest first.
    pub fn dates(&self) -> Vec<Epoch> {
        self.issues.all().map(|issue| issue.date).collect()
    }

    /// Whether an imported CA signs. Otherwise the CA is derived from the secret.
    pub fn has_imported_ca(&self) -> bool {
        self.has_imported(CA)
    }

    /// The same of the authority with this name.
    pub fn has_imported(&self, authority: &str) -> bool {
        self.imported.contains_key(authority)
    }

    /// etcd's initial-cluster-token, `<cluster>-<8 hex digits>`: another keystore gives another cluster ID. A renewal
    /// does not change it.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The names of its cluster.
    ///
    /// # Errors
    /// `Exit::Untrusted` when nothing can be derived from the secret.
    pub fn names(&self) -> Result<Named> {
        let tag = PeerTag::of(&*self.secret.derive::<8>(&["peer tag", self.cluster.as_str()])?);
        Ok(Named { token: self.token.clone(), tag, restored: self.restored()? })
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn latest(&self) -> &Issue {
        self.issues.latest()
    }

    pub(super) fn first_issued(&self) -> Epoch {
        self.issues.first().date
    }

    /// The imported CA with this name: its chain in PEM, its key in PKCS#8 DER.
    pub(super) fn imported(&self, authority: &str) -> Option<(&[u8], &[u8])> {
        self.imported.get(authority).map(|ca| (&*ca.chain, &**ca.key.der))
    }

    fn assemble(cluster: ClusterName, secret: Secret, issues: Issues, imported: Foreign) -> Result<Self> {
        let digits = hex(&*secret.derive::<4>(&["token", cluster.as_str()])?);
        let token = format!("{cluster}-{digits}")
            .parse()
            .map_err(|why| Failure::untrusted(format!("the cluster's token is wrong: {why}")))?;
        Ok(Self {
            cluster,
            secret,
            issues,
            imported,
            token,
            successor: None,
            successors: Successors::default(),
            has_stored_successors: false,
            sealed: BTreeSet::new(),
            fixed: None,
            formed: Vec::new(),
            restores: Vec::new(),
            exported: None,
            encrypted: None,
            is_secret_elsewhere: false,
            stored: None,
            is_writable: true,
            lock: None,
        })
    }
}

impl fmt::Debug for Keystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystore")
            .field("cluster", &self.cluster)
            .field("latest", self.latest())
            .field("imported", &self.imported.keys())
            .finish_non_exhaustive()
    }
}
