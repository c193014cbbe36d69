//! What build and check have in common: everything up to the first baked byte.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::note::Note;
use super::session::{Overlays, Session, StoredRelease};
use super::witness::witness;
use crate::base::BootFiles;
use crate::bundle::Manifest;
use crate::bundle::{self, Bundle};
use crate::failure::{Exit, Failure, Result};
use crate::pki::{Authorities, Keystore, Remark};
use crate::plan::{self, Plan};
use crate::profile::Profile;
use crate::values::{Epoch, Token};

/// All that one bundle follows from, checked as far as it can be without baking.
pub struct Prepared {
    pub plan: Plan,
    pub keystore: Keystore,
    pub keystore_path: PathBuf,
    /// The keystore is in memory only so far.
    pub keystore_is_new: bool,
    pub release: Arc<StoredRelease>,
    pub overlays: Arc<Overlays>,
    /// What the boot files are made with, where the bundle has them.
    pub boot: Arc<Option<BootFiles>>,
    pub epoch: Epoch,
    authorities: OnceLock<Authorities>,
}

impl Prepared {
    /// `out` is where the bundle stands that is to be replaced, if there is one.
    ///
    /// # Errors
    /// The first of: a missing release, a missing base system, a keystore that cannot be trusted, a cluster that the keystore
    /// says has formed as another one, a formed cluster's bundle at `out` that this one is not of.
    pub fn new(profile: &Profile, session: &Session<'_>, keystore_path: PathBuf, out: &Path) -> Result<Self> {
        let release = session.release(profile)?;
        let boot = session.boot(profile)?;
        let found = Keystore::find(&keystore_path, &profile.cluster.name)?;
        let keystore_is_new = found.is_none();
        let mut keystore = match found {
            Some(keystore) => keystore,
            None => Keystore::draft(&profile.cluster.name, None, session.today()?)?,
        };
        let plan = plan_of(profile, Some(&keystore));
        if adopt(&mut keystore, &keystore_path, &plan, out)?
            && let Some(formed) = keystore.formed(&plan.cluster.token)
        {
            let members: Vec<_> = formed.members.iter().map(|member| member.name.as_str()).collect();
            (session.tell)(Note::announcement(format_args!(
                "{} was sealed before kiln recorded what formed; from {} it is taken to be the cluster {} of {}. If the nodes \
                 run another bundle, stop here, restore {} from a backup and name that bundle: kiln seal --adopt BUNDLE",
                plan.cluster.name,
                out.display(),
                formed.id,
                members.join(", "),
                keystore_path.display()
            )));
        }
        for remark in keystore.admit(&keystore_path, &plan)? {
            match remark {
                Remark::Note(text) => (session.tell)(Note::Detail(text)),
                Remark::Warning(text) => (session.tell)(Note::Warning(text)),
            }
        }
        look_at_replaced(out, &plan, session)?;
        if plan.cluster.formed {
            let name = &plan.cluster.name;
            let why = if keystore.is_sealed(&plan.cluster.token) {
                format!("{name} is sealed in {}", keystore_path.display())
            } else {
                format!("the profile says that {name} has formed")
            };
            (session.tell)(Note::detail(format_args!(
                "{why}: a node of this build whose disk is empty founds nothing"
            )));
        }
        let overlays = session.overlays(profile)?;
        Ok(Self {
            plan,
            epoch: session.options.epoch.unwrap_or_else(|| keystore.issued()),
            keystore,
            keystore_path,
            keystore_is_new,
            release,
            overlays,
            boot,
            authorities: OnceLock::new(),
        })
    }

    /// The cluster's authorities, made at the first call: a build in which nothing is new needs none.
    ///
    /// # Errors
    /// `Exit::Untrusted` when one cannot be trusted.
    pub fn authorities(&self) -> Result<&Authorities> {
        if let Some(authorities) = self.authorities.get() {
            return Ok(authorities);
        }
        let authorities = Authorities::new(&self.keystore, &self.plan.authorities)?;
        Ok(self.authorities.get_or_init(|| authorities))
    }

    /// The end of the first leaf that ends sooner than its lifetime asks, because the CA does.
    pub fn shortened(&self, manifest: &Manifest) -> Option<Epoch> {
        let asked = self.keystore.issued().plus(self.plan.pki.leaf_lifetime);
        let authorities: Vec<_> =
            self.plan.authorities.iter().map(|one| bundle::client_file(&one.file())).collect();
        let leaves = manifest.certificates.iter().filter(|one| !authorities.contains(&one.file.to_string()));
        leaves.map(|leaf| leaf.not_after).filter(|end| *end < asked).min()
    }
}

/// The plan of a profile, with what its keystore remembers. Without one any token serves: what follows from it is not
/// shown.
pub fn plan_of(profile: &Profile, keystore: Option<&Keystore>) -> Plan {
    let token = keystore.map_or_else(Token::placeholder, |keystore| keystore.token().clone());
    let mut plan = plan::resolve(profile, &token);
    plan.cluster.formed |= keystore.is_some_and(|keystore| keystore.is_sealed(&plan.cluster.token));
    plan
}

/// The bundle that is to be replaced may be another cluster's: one of the same name from another keystore.
///
/// # Errors
/// `Exit::Unsafe` when that one has formed, and this build does not know of it.
fn look_at_replaced(out: &Path, plan: &Plan, session: &Session<'_>) -> Result<()> {
    // What stands there instead is said by whoever is to replace it.
    let Ok(there) = Bundle::open(out) else { return Ok(()) };
    let (old, new) = (&there.manifest.cluster, &plan.cluster);
    let shown = out.display();
    if old.formed && old.id != new.id {
        return Err(Failure::unsafe_to(format!(
            "{shown} is the bundle of a cluster that has formed ({}, {}), and this build would replace it by that of another \
             one, {} ({}): name the keystore that it was built from with --keystore, bring back what has changed in the \
             profile, or choose another --out",
            old.name, old.id, new.name, new.id
        )));
    }
    if old.id != new.id && old.token != new.token {
        (session.tell)(Note::announcement(format_args!(
            "{shown} is the bundle of another cluster, {} ({}); {} ({}) takes its place",
            old.name, old.id, new.name, new.id
        )));
    }
    Ok(())
}

/// Learns what a cluster is that was sealed before keystores recorded it: from the bundle that stands at the output, and never
/// from the profile that is being built. Says whether there was something to learn.
///
/// # Errors
/// `Exit::Unsafe` when no bundle of the cluster stands there.
fn adopt(keystore: &mut Keystore, dir: &Path, plan: &Plan, out: &Path) -> Result<bool> {
    let (name, token) = (&plan.cluster.name, &plan.cluster.token);
    if !keystore.lacks_record(token) {
        return Ok(false);
    }
    let mut read = || {
        let (of, witness) = witness(&Bundle::open(out)?)?;
        match of == *name && witness.token == *token {
            true => keystore.adopt(dir, &witness),
            false => Err(Failure::wrong(format!("{} is a bundle of another cluster", out.display()))),
        }
    };
    read().map(|()| true).map_err(|failure| match failure.exit() {
        Exit::Interrupted => failure,
        _ => Failure::unsafe_to(format!(
            "{name} ({token}) was sealed in {} before kiln recorded what formed, and {} does not say it ({failure}); record it \
             from the bundle that the nodes run: kiln seal --adopt BUNDLE --keystore {}",
            dir.display(),
            out.display(),
            dir.display()
        )),
    })
}
