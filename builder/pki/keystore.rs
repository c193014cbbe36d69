//! The directory that keeps a cluster's secret, its dates of issue, and the CA that was imported, if one was.
//!
//! It is the one place where chance and today's date enter: from the same keystore come the same bytes.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::chain::Chain;
use super::import;
use super::key::Key;
use super::keyfile;
use super::list::{Issue, Issues, List, Origin, SCHEMA, changed};
use super::place::{CA, CA_KEY, LIST, SECRET, check_place, lock_path, part, refuse_existing};
use super::secret::{Secret, hex};
use crate::disk::{Lock, Staging};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::plan;
use crate::profile::Algorithm;
use crate::values::{ClusterName, Digest, Epoch, Mode, Token};

/// Each takes two open files while it is written, of which a process may have 1024.
const SAVED_AT_ONCE: usize = 200;

/// A keystore, checked and locked: no other run of Kiln uses it while this value lives.
pub struct Keystore {
    cluster: ClusterName,
    secret: Secret,
    issues: Issues,
    imported: Option<Imported>,
    token: Token,
    /// The tokens of clusters that have formed.
    sealed: BTreeSet<Token>,
    _lock: Option<Lock>,
}

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
    /// A new keystore in memory, with a secret from the kernel, or with one given (`--seed-file`).
    ///
    /// # Errors
    /// `Exit::Io` when the kernel gives no random bytes.
    pub fn draft(cluster: &ClusterName, seed: Option<&[u8; 32]>, issued: Epoch) -> Result<Self> {
        let secret = match seed {
            Some(seed) => Secret::new(seed),
            None => Secret::random()?,
        };
        Self::assemble(cluster.clone(), secret, Issues::begin(issued), None)
    }

    /// Writes a draft down: whole, or not at all.
    ///
    /// # Errors
    /// `Exit::Locked` when another run makes the same keystore, or made it since it was looked for.
    pub fn save(&mut self, dir: &Path) -> Result<()> {
        let staging = Staging::begin(dir)?;
        self.refuse_other(dir)?;
        self._lock = self.store(staging)?;
        Ok(())
    }

    /// The same for many, with one wait for the disk for every few of them.
    pub fn save_all(drafts: Vec<(Self, PathBuf)>) -> Result<()> {
        for some in drafts.chunks(SAVED_AT_ONCE) {
            let mut staged = Vec::with_capacity(some.len());
            for (keystore, dir) in some {
                let staging = Staging::begin(dir)?;
                keystore.refuse_other(dir)?;
                keystore.write(&staging)?;
                staged.push(staging);
            }
            Staging::publish_all(staged, Mode::SECRET_DIRECTORY)?;
        }
        Ok(())
    }

    fn refuse_other(&self, dir: &Path) -> Result<()> {
        refuse_existing(dir).map_err(|_| {
            let reason =
                format!("another run made {} meanwhile; do the same once more with it", dir.display());
            Failure::new(Exit::Locked, reason)
        })
    }

    /// A draft that is written down at once.
    ///
    /// # Errors
    /// As `draft` and `save`; `Exit::Unsafe` when something is at the path already.
    pub fn create(dir: &Path, cluster: &ClusterName, seed: Option<&[u8; 32]>, issued: Epoch) -> Result<Self> {
        refuse_existing(dir)?;
        let mut keystore = Self::draft(cluster, seed, issued)?;
        keystore.save(dir)?;
        Ok(keystore)
    }

    /// Reads a keystore and checks every byte of it.
    ///
    /// # Errors
    /// `Exit::Unsafe` when others may read or write it, or it is another cluster's; `Exit::Untrusted` when it, or
    /// a part of it, is missing or changed; `Exit::Locked` when another run uses it.
    pub fn open(dir: &Path, cluster: &ClusterName) -> Result<Self> {
        check_place(dir)?;
        let lock = Lock::exclusive_where_writable(&lock_path(dir)?)?;
        let mut keystore = Self::load(dir, cluster)?;
        keystore._lock = lock;
        Ok(keystore)
    }

    /// Begins a new round: from now on leaves have new keys, new dates and the next number. The CA stays.
    ///
    /// # Errors
    /// As `open`, and `Exit::Unsafe` when the date lies before the latest issue.
    pub fn renew(dir: &Path, cluster: &ClusterName, issued: Epoch) -> Result<Self> {
        check_place(dir)?;
        let staging = Staging::begin(dir)?;
        let mut keystore = Self::load(dir, cluster)?;
        keystore.issues = keystore.issues.and(issued)?;
        keystore._lock = keystore.store(staging)?;
        Ok(keystore)
    }

    /// Takes over a CA: its certificate first, then the chain above it up to the root, all PEM, and its key.
    /// Begins a new round of leaves, for none may carry over from another CA.
    ///
    /// # Errors
    /// As `renew`; `Exit::Untrusted` when the CA is not fit to issue, with a sentence for each reason;
    /// `Exit::Unsafe` when a CA has been imported before.
    pub fn import_ca(
        dir: &Path,
        cluster: &ClusterName,
        certificates: &[u8],
        key: &[u8],
        passphrase: Option<&str>,
        issued: Epoch,
    ) -> Result<Self> {
        let chain = Chain::from_pem(certificates).doing(|| "reading the CA's certificate".into())?;
        import::check(&chain)?;
        chain.check_dates(issued)?;
        let key = keyfile::read(key, passphrase, chain.ca().public_key())
            .doing(|| "reading the CA's key".into())?;
        chain.check_key(&key)?;

        check_place(dir)?;
        let staging = Staging::begin(dir)?;
        let mut keystore = Self::load(dir, cluster)?;
        if keystore.imported.is_some() {
            return Err(Failure::unsafe_to(format!(
                "{} has an imported CA already, and nodes trust it; make another keystore for another CA",
                dir.display()
            )));
        }
        keystore.issues = keystore.issues.and(issued)?;
        keystore.imported = Some(Imported {
            chain: chain.pem()?.into_bytes(),
            key: ImportedKey {
                der: key.to_pkcs8()?.to_bytes(),
                pem: Zeroizing::new(key.to_pem()?.as_bytes().to_vec()),
            },
        });
        keystore._lock = keystore.store(staging)?;
        Ok(keystore)
    }

    /// Writes down that the cluster with this token has formed: from now on nothing that is built for it founds it. Says
    /// whether that is new; what is sealed already is not written again.
    ///
    /// The certificate, PEM, is the one for etcdctl in the cluster's bundle. It shows whose bundle that is: a token does not,
    /// because a profile may set it, and a CA does not, because two keystores may have imported the same one.
    ///
    /// # Errors
    /// As `open`; `Exit::Untrusted` when the certificate is none; `Exit::Unsafe` when it has a key that this keystore
    /// has never given.
    pub fn seal(dir: &Path, cluster: &ClusterName, token: &Token, certificate: &[u8]) -> Result<bool> {
        check_place(dir)?;
        let staging = Staging::begin(dir)?;
        let mut keystore = Self::load(dir, cluster)?;
        let certificate =
            Certificate::from_pem(certificate).doing(|| "reading the bundle's certificate".into())?;
        if !keystore.has_keyed(&plan::operator().label, &certificate)? {
            return Err(Failure::unsafe_to(format!(
                "no key in the bundle comes from {}: the bundle was built with another keystore, so name that with \
                 --keystore",
                dir.display()
            )));
        }
        let is_new = keystore.sealed.insert(token.clone());
        if is_new {
            keystore.store(staging)?;
        }
        Ok(is_new)
    }

    /// Whether the key of this certificate was derived here under this label, at any issue.
    fn has_keyed(&self, label: &str, certificate: &Certificate) -> Result<bool> {
        for issue in self.issues.all() {
            let label = [self.cluster.as_str(), &issue.label(), label];
            for algorithm in [Algorithm::P256, Algorithm::P384, Algorithm::P521, Algorithm::Ed25519] {
                if Key::derive(&self.secret, algorithm, &label)?.public()? == *certificate.public_key() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether the cluster with this token has formed.
    pub fn is_sealed(&self, token: &Token) -> bool {
        self.sealed.contains(token)
    }

    /// The tokens of clusters that have formed, sorted.
    pub fn sealed(&self) -> impl Iterator<Item = &Token> {
        self.sealed.iter()
    }

    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// The date of the latest issue: what build takes for today.
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

    pub fn has_imported_ca(&self) -> bool {
        self.imported.is_some()
    }

    /// Tells it from every other keystore, and from itself before it was changed, and nothing of its secret.
    ///
    /// # Errors
    /// As `save`.
    pub fn fingerprint(&self) -> Result<Digest> {
        // What `render` writes has a check in it that is derived from the secret and covers all the rest.
        self.render().map(|text| Digest::of(text.as_bytes()))
    }

    /// etcd's initial-cluster-token, `<cluster>-<8 hex digits>`: another keystore, another cluster ID. A renewal
    /// does not change it.
    pub fn token(&self) -> &Token {
        &self.token
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

    /// The imported CA: its chain in PEM, its key in PKCS#8 DER.
    pub(super) fn imported(&self) -> Option<(&[u8], &[u8])> {
        self.imported.as_ref().map(|ca| (&*ca.chain, &**ca.key.der))
    }

    fn assemble(
        cluster: ClusterName,
        secret: Secret,
        issues: Issues,
        imported: Option<Imported>,
    ) -> Result<Self> {
        let digits = hex(&*secret.derive::<4>(&["token", cluster.as_str()])?);
        let token = format!("{cluster}-{digits}")
            .parse()
            .map_err(|why| Failure::untrusted(format!("the cluster's token is wrong: {why}")))?;
        Ok(Self { cluster, secret, issues, imported, token, sealed: BTreeSet::new(), _lock: None })
    }

    fn load(dir: &Path, cluster: &ClusterName) -> Result<Self> {
        Self::read(dir, cluster).doing(|| format!("reading the keystore {}", dir.display()))
    }

    fn read(dir: &Path, cluster: &ClusterName) -> Result<Self> {
        let text = part(dir, LIST)?;
        let secret = Secret::from_text(&part(dir, SECRET)?).ok_or_else(|| {
            Failure::untrusted("the file secret is not 64 lower-case hex digits and a newline; restore it")
        })?;
        let text = std::str::from_utf8(&text).map_err(|_| changed())?;
        let list = List::parse(text)?;
        let imported = match list.ca {
            Origin::Derived => None,
            Origin::Imported => {
                let (chain, pem) = (part(dir, CA)?, part(dir, CA_KEY)?);
                let der = super::pem::blocks(&pem).ok().and_then(|blocks| blocks.into_iter().next());
                let der = der.ok_or_else(changed)?.der;
                Some(Imported { chain: chain.to_vec(), key: ImportedKey { der, pem } })
            }
        };
        let issues = list.issues()?;
        let name: ClusterName = list.cluster.parse().map_err(|_| changed())?;
        let mut keystore = Self::assemble(name, secret, issues, imported)?;
        let sealed: std::result::Result<_, _> = list.sealed.iter().map(|token| token.parse()).collect();
        keystore.sealed = sealed.map_err(|_| changed())?;
        // The file may say nothing but what Kiln would write: then a changed byte has no place to hide.
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

    /// Puts it in its place, whole; the lock stays with it.
    /// The lock goes on being held, where the staging directory's is the keystore's.
    fn store(&self, staging: Staging) -> Result<Option<Lock>> {
        self.write(&staging)?;
        staging.publish_as(Mode::SECRET_DIRECTORY, || Ok(()))
    }

    fn write(&self, staging: &Staging) -> Result<()> {
        let write = |name: &str, bytes: &[u8]| staging.create(name, Mode::SECRET)?.write(bytes);
        write(LIST, self.render()?.as_bytes())?;
        write(SECRET, self.secret.to_text().as_bytes())?;
        if let Some(ca) = &self.imported {
            write(CA, &ca.chain)?;
            write(CA_KEY, &ca.key.pem)?;
        }
        Ok(())
    }

    /// `keystore.toml`.
    fn render(&self) -> Result<String> {
        let ca = if self.imported.is_some() { "imported" } else { "derived" };
        let mut head = format!("schema = {SCHEMA}\ncluster = \"{}\"\nca = \"{ca}\"\n", self.cluster);
        if !self.sealed.is_empty() {
            let tokens: Vec<_> = self.sealed.iter().map(|token| format!("\"{token}\"")).collect();
            head.push_str(&format!("sealed = [{}]\n", tokens.join(", ")));
        }
        let mut rounds = String::new();
        for issue in self.issues.all() {
            rounds.push_str(&format!("\n[[issue]]\nnumber = {}\ndate = \"{}\"\n", issue.number, issue.date));
        }
        let key = self.secret.derive::<32>(&["check"])?;
        let mut check = Hmac::<Sha256>::new_from_slice(&*key)
            .map_err(|_| Failure::untrusted("the keystore's check cannot be computed"))?;
        check.update(head.as_bytes());
        check.update(rounds.as_bytes());
        if let Some(ca) = &self.imported {
            check.update(Digest::of(&ca.chain).bytes());
            check.update(Digest::of(&ca.key.pem).bytes());
        }
        let check = hex(&check.finalize().into_bytes());
        Ok(format!(
            "# Written by kiln, and read only as it wrote it: a change by hand is refused.\n\
             {head}check = \"{check}\"\n{rounds}"
        ))
    }
}

impl fmt::Debug for Keystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystore")
            .field("cluster", &self.cluster)
            .field("latest", self.latest())
            .field("imported", &self.imported.is_some())
            .finish_non_exhaustive()
    }
}
