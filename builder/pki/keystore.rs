//! The directory that keeps a cluster's secret, its dates of issue, and the CA that was imported, if one was.
//!
//! It is the one place where chance and today's date enter: from the same keystore come the same bytes.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::chain::{Chain, OVER};
use super::damage::changed;
use super::import;
use super::keyfile;
use super::list::{Issue, Issues, List, Origin, RECORDED, SCHEMA};
use super::place::{
    CA, CA_KEY, LIMIT, LIST, PARTS, SECRET, check_parent, check_place, is_there, lock_path, part,
    refuse_existing, refuse_strangers, sweep,
};
use super::record::{self, Fixed, Formed, Signer};
use super::secret::{Secret, hex};
use crate::disk::{self, Lock, Staging};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::{ClusterName, Digest, Epoch, Mode, Token};

/// A keystore, checked and locked: no other run of Kiln uses it while this value lives.
pub struct Keystore {
    cluster: ClusterName,
    secret: Secret,
    issues: Issues,
    imported: Option<Imported>,
    token: Token,
    /// The tokens of clusters that have formed.
    sealed: BTreeSet<Token>,
    /// Absent until the first build.
    fixed: Option<Fixed>,
    /// Sorted by token; of the sealed ones, those that are recorded.
    formed: Vec<Formed>,
    /// The fingerprint of what is in the directory; absent while it is in memory only.
    stored: Option<Digest>,
    /// Whether this user may write where it lies.
    is_writable: bool,
    lock: Option<Lock>,
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
    /// Each takes three open files while it is written, of which a process may have 1024.
    const SAVED_AT_ONCE: usize = 200;

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

    /// Whether there is something to write down, and a place for it.
    pub fn is_unsaved(&self) -> bool {
        match self.stored {
            None => true,
            Some(stored) => self.is_writable && self.fingerprint().is_ok_and(|now| now != stored),
        }
    }

    /// Lets other runs use it until it is saved.
    pub fn release(&mut self) {
        self.lock = None;
    }

    /// Writes down a draft, or what has been recorded since it was opened: whole, or not at all.
    ///
    /// # Errors
    /// `Exit::Locked` when another run makes or changes the same keystore, or did so since it was looked for.
    pub fn save(&mut self, dir: &Path) -> Result<()> {
        if self.stored.is_some() {
            self.lock_again(dir)?;
            disk::replace_all(&[(dir.join(LIST), self.render()?.into_bytes())], Mode::SECRET)?;
        } else {
            self.lock = self.store(begin_new(dir)?)?;
        }
        self.stored = Some(self.fingerprint()?);
        Ok(())
    }

    /// The same for many, with one wait for the disk for every few of them.
    ///
    /// # Errors
    /// Also those of `between`, which is asked before each of those waits: then the keystores before it are there.
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
                lists.push((dir.join(LIST), keystore.render()?.into_bytes()));
            }
            disk::replace_all(&lists, Mode::SECRET)?;
            some.iter_mut().for_each(|(keystore, _)| keystore.release());
        }
        Ok(())
    }

    /// Holds the lock, and the directory has what was read from it.
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

    /// Reads a keystore and checks every byte of it. What a killed run has left of it goes away.
    ///
    /// # Errors
    /// `Exit::Usage` when there is none; `Exit::Unsafe` when others may read or write it, or it is another cluster's;
    /// `Exit::Untrusted` when a part of it is missing or changed; `Exit::Locked` when another run uses it.
    pub fn open(dir: &Path, cluster: &ClusterName) -> Result<Self> {
        match Self::find(dir, cluster)? {
            Some(keystore) => Ok(keystore),
            None => Err(Failure::new(
                Exit::Usage,
                format!(
                    "there is no keystore at {}; name that of {cluster} with --keystore (kiln build and kiln keystore init \
                     make one)",
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

    /// As `open`, for a verb that is there to change it.
    ///
    /// # Errors
    /// Also `Exit::Io` where it cannot be written, and `Exit::Unsafe` when something else lies in its directory.
    pub(super) fn open_to_change(dir: &Path, cluster: &ClusterName) -> Result<Self> {
        let keystore = Self::open(dir, cluster)?;
        if !keystore.is_writable {
            return Err(Failure::io(format!("{} is read-only here", dir.display())));
        }
        refuse_strangers(dir)?;
        Ok(keystore)
    }

    /// Begins a new round: from now on leaves have new keys, new dates and the next number. The CA stays.
    ///
    /// # Errors
    /// As `open`, and `Exit::Unsafe` when the date lies before the latest issue, or something else lies in its directory.
    pub fn renew(dir: &Path, cluster: &ClusterName, issued: Epoch) -> Result<Self> {
        let mut keystore = Self::open_to_change(dir, cluster)?;
        keystore.check_ca(issued)?;
        keystore.issues = keystore.issues.clone().and(issued)?;
        keystore.save(dir)?;
        Ok(keystore)
    }

    /// That the CA has not ended by then, as far as that is recorded.
    fn check_ca(&self, at: Epoch) -> Result<()> {
        if let Some(imported) = &self.imported {
            return Chain::from_pem(&imported.chain)?.check_dates(at);
        }
        let Some(Signer::Derived { lifetime, .. }) = self.fixed().map(|fixed| &fixed.signer) else {
            return Ok(());
        };
        let end = self.first_issued().plus(*lifetime);
        match end < at {
            true => {
                let cluster = &self.cluster;
                Err(Failure::untrusted(format!(
                    "the CA of {cluster} ended on {end}; {OVER}. Nothing was changed"
                )))
            }
            false => Ok(()),
        }
    }

    /// Takes over a CA: its certificate first, then the chain above it up to the root, all PEM, and its key.
    /// Begins a new round of leaves, for none may carry over from another CA.
    ///
    /// # Errors
    /// As `renew`; `Exit::Untrusted` when the CA is not fit to issue, with a sentence for each reason;
    /// `Exit::Unsafe` when a CA has been imported before, or has issued already.
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

        let mut keystore = Self::open_to_change(dir, cluster)?;
        keystore.refuse_second_ca(dir)?;
        keystore.issues = keystore.issues.clone().and(issued)?;
        keystore.imported = Some(Imported {
            chain: chain.pem()?.into_bytes(),
            key: ImportedKey {
                der: key.to_pkcs8()?.to_bytes(),
                pem: Zeroizing::new(key.to_pem()?.as_bytes().to_vec()),
            },
        });
        // Several files change, so that the whole directory is exchanged; under the same lock, which goes to the staging.
        let lock = keystore.lock.take();
        keystore.lock = keystore.store(Staging::begin_holding(dir, lock)?)?;
        keystore.stored = Some(keystore.fingerprint()?);
        Ok(keystore)
    }

    /// Nodes and clients trust the first CA that issues to them, and no other one of the same keystore.
    fn refuse_second_ca(&self, dir: &Path) -> Result<()> {
        let dir = dir.display();
        let why = if self.imported.is_some() {
            format!("{dir} has an imported CA already, and nodes trust it")
        } else if !self.sealed.is_empty() {
            format!(
                "{dir} is sealed: its cluster has formed under the CA that it has, and members would not trust another"
            )
        } else if self.fixed.is_some() {
            format!(
                "{dir} has issued certificates under its own CA, and nodes that have them would not trust another"
            )
        } else {
            return Ok(());
        };
        Err(Failure::unsafe_to(format!(
            "{why}; for a cluster under this CA make another keystore, and import the CA before the first build: kiln \
             keystore init {} --keystore DIR",
            self.cluster
        )))
    }

    /// Whether the cluster with this token has formed.
    pub fn is_sealed(&self, token: &Token) -> bool {
        self.sealed.contains(token)
    }

    /// The tokens of clusters that have formed, sorted.
    pub fn sealed(&self) -> impl Iterator<Item = &Token> {
        self.sealed.iter()
    }

    /// What is recorded of the cluster with this token.
    pub fn formed(&self, token: &Token) -> Option<&Formed> {
        self.formed.iter().find(|formed| formed.token == *token)
    }

    pub(super) fn set_formed(&mut self, formed: Formed) {
        self.sealed.insert(formed.token.clone());
        self.formed.retain(|other| other.token != formed.token);
        self.formed.push(formed);
        self.formed.sort_by(|a, b| a.token.cmp(&b.token));
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
        Ok(Self {
            cluster,
            secret,
            issues,
            imported,
            token,
            sealed: BTreeSet::new(),
            fixed: None,
            formed: Vec::new(),
            stored: None,
            is_writable: true,
            lock: None,
        })
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
        (keystore.fixed, keystore.formed) = list.record()?;
        if !keystore.formed.iter().all(|formed| keystore.sealed.contains(&formed.token)) {
            return Err(changed());
        }
        keystore.stored = Some(Digest::of(text.as_bytes()));
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

    /// Puts it in its place, whole. The staging directory's lock is the keystore's, and goes on being held.
    fn store(&self, staging: Staging) -> Result<Option<Lock>> {
        self.write(&staging)?;
        staging.publish_as(Mode::SECRET_DIRECTORY, |staging| self.check_old(staging), || Ok(()))
    }

    /// Whether what is replaced is this keystore as it was read, and nothing else; a new one replaces nothing.
    fn check_old(&self, staging: &Staging) -> Result<()> {
        let Some(old) = staging.old() else { return Ok(()) };
        let Some(stored) = self.stored else { return Err(changed_meanwhile(staging.target(), "made")) };
        let list = Digest::of(&old.input(LIST)?.whole(LIMIT)?);
        let is_part = |name: &OsString| PARTS.iter().any(|part| name == part);
        match list == stored && old.entries()?.iter().all(|(name, _)| is_part(name)) {
            true => Ok(()),
            false => Err(changed_meanwhile(staging.target(), "changed")),
        }
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
        let schema = if self.fixed.is_some() || !self.formed.is_empty() { RECORDED } else { SCHEMA };
        let ca = if self.imported.is_some() { "imported" } else { "derived" };
        let mut head = format!("schema = {schema}\ncluster = \"{}\"\nca = \"{ca}\"\n", self.cluster);
        if !self.sealed.is_empty() {
            let tokens: Vec<_> = self.sealed.iter().map(|token| format!("\"{token}\"")).collect();
            head.push_str(&format!("sealed = [{}]\n", tokens.join(", ")));
        }
        let mut rest = record::render(self.fixed.as_ref(), &self.formed);
        for issue in self.issues.all() {
            rest.push_str(&format!("\n[[issue]]\nnumber = {}\ndate = \"{}\"\n", issue.number, issue.date));
        }
        let imported = self.imported.as_ref().map(|ca| (&*ca.chain, &**ca.key.pem));
        let check = check(&self.secret, &head, &rest, imported)?;
        Ok(format!("{HEADING}{head}check = \"{check}\"\n{rest}"))
    }
}

const HEADING: &str = "# Written by kiln, and read only as it wrote it: a change by hand is refused.\n";

/// HMAC-SHA256 (RFC 2104) in hex, keyed by the secret, of the list's text before and after the line that holds it, and of
/// the imported CA's two files.
fn check(secret: &Secret, head: &str, rest: &str, imported: Option<(&[u8], &[u8])>) -> Result<String> {
    let key = secret.derive::<32>(&["check"])?;
    let mut check = Hmac::<Sha256>::new_from_slice(&*key)
        .map_err(|_| Failure::untrusted("the keystore's check cannot be computed"))?;
    check.update(head.as_bytes());
    check.update(rest.as_bytes());
    if let Some((chain, key)) = imported {
        check.update(Digest::of(chain).bytes());
        check.update(Digest::of(key).bytes());
    }
    Ok(hex(&check.finalize().into_bytes()))
}

/// A changed `keystore.toml` with the check that it would have if Kiln had written it: for tests, which want its reader to
/// refuse it, and not its check. The rest of the keystore is in this directory.
///
/// # Errors
/// `Exit::Untrusted` when a file is missing there, or the text has no line for the check.
#[doc(hidden)]
pub fn resealed(dir: &Path, text: &str) -> Result<String> {
    let secret = Secret::from_text(&part(dir, SECRET)?).ok_or_else(changed)?;
    let body = text.strip_prefix(HEADING).ok_or_else(changed)?;
    let (head, after) = body.split_once("check = ").ok_or_else(changed)?;
    let (_, rest) = after.split_once('\n').ok_or_else(changed)?;
    let imported = match disk::look(&dir.join(CA))? {
        Some(_) => Some((part(dir, CA)?, part(dir, CA_KEY)?)),
        None => None,
    };
    let imported = imported.as_ref().map(|(chain, key)| (chain.as_slice(), key.as_slice()));
    let check = check(&secret, head, rest, imported)?;
    Ok(format!("{HEADING}{head}check = \"{check}\"\n{rest}"))
}

/// Begins a keystore where none is.
fn begin_new(dir: &Path) -> Result<Staging> {
    check_parent(dir)?;
    let staging = Staging::begin(dir)?;
    match (staging.old(), refuse_existing(dir)) {
        (None, Ok(())) => Ok(staging),
        _ => Err(changed_meanwhile(dir, "made")),
    }
}

fn changed_meanwhile(dir: &Path, what: &str) -> Failure {
    let reason = format!("another run {what} {} meanwhile; do the same once more with it", dir.display());
    Failure::new(Exit::Locked, reason)
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
