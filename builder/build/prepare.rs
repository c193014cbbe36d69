//! The common part of build and check: everything before the first byte is built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::note::Note;
use super::once::Once;
use super::session::{Overlays, Session, StoredRelease};
use super::witness::witness;
use crate::base::BootFiles;
use crate::bundle::Manifest;
use crate::bundle::manifest::{Certificate, Node};
use crate::bundle::{self, Bundle, MANIFEST};
use crate::disk;
use crate::failure::{Exit, Failure, Result};
use crate::pki::{Authorities, Keystore, Remark};
use crate::plan::{self, Named, Plan};
use crate::profile::{Ca, Profile};
use crate::values::{Epoch, Token};

/// All inputs of one bundle, checked as far as possible without building it.
pub struct Prepared {
    pub plan: Plan,
    pub keystore: Keystore,
    pub keystore_path: PathBuf,
    /// The keystore exists only in memory so far.
    pub keystore_is_new: bool,
    pub release: Arc<StoredRelease>,
    pub overlays: Arc<Overlays>,
    /// The inputs of the boot files, if the bundle has them.
    pub boot: Arc<Option<BootFiles>>,
    pub epoch: Epoch,
    authorities: Once<(), Authorities>,
}

impl Prepared {
    /// `out` is the path of the bundle to be replaced, if there is one.
    ///
    /// # Errors
    /// The first of: a missing release, a missing base system, a keystore that cannot be trusted, a cluster that
    /// according to the keystore has formed as another one, a bundle of another, formed cluster at `out`.
    pub fn new(profile: &Profile, session: &Session<'_>, keystore_path: PathBuf, out: &Path) -> Result<Self> {
        let find = || Keystore::find(&keystore_path, &profile.cluster.name);
        Self::with(profile, session, (&keystore_path, &find), out)
    }

    /// The same with the keystore that `find` returns: one that the caller has changed. `None` makes a new one.
    ///
    /// # Errors
    /// As `new`, and those of `find`.
    pub fn with(
        profile: &Profile,
        session: &Session<'_>,
        (keystore_path, find): (&Path, &dyn Fn() -> Result<Option<Keystore>>),
        out: &Path,
    ) -> Result<Self> {
        let keystore_path = keystore_path.to_owned();
        let mut release = session.release(profile)?;
        let boot = session.boot(profile)?;
        let found = find()?;
        let keystore_is_new = found.is_none();
        let mut keystore = match found {
            Some(keystore) => keystore,
            None => Keystore::draft(&profile.cluster.name, None, session.today()?)?,
        };
        refuse_own_ca(profile, &keystore, &keystore_path)?;
        let plan = without_strange_peers(plan_of(profile, Some(&keystore))?)?;
        // Machines that begin with a snapshot have it restored by that program.
        if plan.cluster.restored.is_some() && release.node.is_none() {
            release = session.with_node_program(&release, profile.etcd.arch)?;
        }
        if adopt(&mut keystore, &keystore_path, &plan, out)? {
            tell_adopted(&keystore, &keystore_path, &plan, out, session);
        }
        for remark in keystore.admit(&keystore_path, &plan)? {
            match remark {
                Remark::Note(text) => (session.tell)(Note::Detail(text)),
                Remark::Warning(text) => (session.tell)(Note::Warning(text)),
            }
        }
        if !keystore_is_new && !keystore.is_unsaved() {
            // Other runs may use it meanwhile: it is only read.
            keystore.release();
        }
        look_at_replaced(out, &plan, keystore_is_new.then_some(&keystore_path), session)?;
        if plan.cluster.formed {
            let name = &plan.cluster.name;
            let why = if keystore.is_sealed(&plan.cluster.token) {
                format!("{name} is sealed in {}", keystore_path.display())
            } else {
                format!("the profile marks {name} as formed")
            };
            (session.tell)(Note::detail(format_args!(
                "{why}: nodes of this build never bootstrap a new cluster from an empty disk"
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
            authorities: Once::default(),
        })
    }

    /// The cluster's authorities, made once at the first call: a build in which nothing has changed does not need
    /// them.
    ///
    /// # Errors
    /// `Exit::Untrusted` when one cannot be trusted.
    pub fn authorities(&self) -> Result<Arc<Authorities>> {
        self.authorities.get((), || Authorities::new(&self.keystore, &self.plan.authorities))
    }

    /// The end of the earliest leaf whose lifetime is shortened by the end of the CA.
    pub fn shortened(&self, manifest: &Manifest) -> Option<Epoch> {
        let plan = &self.plan;
        let mut lifetimes = BTreeMap::new();
        for node in &plan.nodes {
            for spec in &node.certificates {
                let file = format!("{}/{}", plan.pki.directory, spec.cert_path);
                lifetimes.insert((Some(node.name.as_str()), file), spec.lifetime);
            }
        }
        for spec in &plan.clients {
            lifetimes.insert((None, bundle::client_file(&spec.cert_path)), spec.lifetime);
        }
        let is_shortened = |leaf: &&Certificate| {
            let lifetime = lifetimes.get(&(leaf.node.as_deref(), leaf.file.to_string()));
            lifetime.is_some_and(|lifetime| leaf.not_after < self.keystore.issued().plus(*lifetime))
        };
        manifest.certificates.iter().filter(is_shortened).map(|leaf| leaf.not_after).min()
    }
}

/// The plan of a profile, with the state in its keystore. Without a keystore a placeholder token is used: nothing that
/// depends on it is shown.
///
/// # Errors
/// As `Keystore::names`.
pub fn plan_of(profile: &Profile, keystore: Option<&Keystore>) -> Result<Plan> {
    let named = keystore.map_or_else(|| Ok(Named::by(&Token::placeholder())), Keystore::names)?;
    let mut plan = plan::resolve(profile, &named);
    plan.cluster.formed |= keystore.is_some_and(|keystore| keystore.is_sealed(&plan.cluster.token));
    Ok(plan)
}

/// # Errors
/// `Exit::Unsafe` where a member would connect to another from an address that its certificate does not name.
pub fn check_peers(plan: &Plan) -> Result<()> {
    let refused = plan::refused(plan);
    if refused.is_empty() {
        return Ok(());
    }
    Err(Failure::unsafe_to(format!(
        "members would refuse each other's connections: {}; give each pair a route on which the source is the address of \
         its peer URL",
        refused.join("; ")
    )))
}

fn without_strange_peers(plan: Plan) -> Result<Plan> {
    check_peers(&plan).map(|()| plan)
}

/// A cluster that runs with another CA is not given certificates that its members do not trust. Before it has formed,
/// the keystore alone is at fault (`Keystore::admit`, 4).
///
/// # Errors
/// `Exit::Unsafe` for a formed cluster whose CA is to be imported, and has not been.
fn refuse_own_ca(profile: &Profile, keystore: &Keystore, path: &Path) -> Result<()> {
    let (cluster, pki) = (&profile.cluster, &profile.pki);
    let is_missing =
        |name: &str, ca: Option<&Ca>| ca.is_some_and(|ca| ca.is_imported) && !keystore.has_imported(name);
    let of = match () {
        () if !cluster.formed => return Ok(()),
        () if is_missing(plan::CA, Some(&pki.ca)) => plan::CA,
        () if is_missing(plan::PEER_CA, pki.peer_ca.as_ref()) => plan::PEER_CA,
        () => return Ok(()),
    };
    let (name, mut way_out) = (&cluster.name, keystore.way_to_import(path, of)?);
    if keystore.has_issued() && cluster.token.is_none() {
        way_out.push_str(", and write the running cluster's initial-cluster-token in [cluster] token");
    }
    Err(Failure::unsafe_to(format!(
        "{name} has formed with a CA of its own ([pki.{of}] source is \"imported\"), and no such CA has been imported into {}: its \
         members would not trust the certificates of this build; {way_out}",
        path.display()
    )))
}

/// Checks the bundle that is to be replaced: it may be another cluster's, one of the same name from another keystore.
///
/// # Errors
/// `Exit::Unsafe` when that cluster has formed, and this build is of another one; or when this build would create the
/// keystore `new`: then the bundle's own keystore may be lost, and the bundle may have the only copy of its keys.
fn look_at_replaced(out: &Path, plan: &Plan, new: Option<&PathBuf>, session: &Session<'_>) -> Result<()> {
    // `Place::begin` reports anything else that is at the path.
    let Ok(there) = Bundle::open(out) else { return Ok(()) };
    let (old, now) = (&there.manifest.cluster, &plan.cluster);
    let shown = out.display();
    let other = format!("{} ({})", old.name, old.id);
    let is_earlier = now.restored.as_ref().is_some_and(|restored| restored.comes_after(old.id));
    if old.formed && old.id != now.id && !is_earlier {
        if old.generation() > now.generation() && old.name == now.name {
            return Err(Failure::unsafe_to(format!(
                "{shown} is the bundle of generation {} of {}, and this keystore knows only {}: it is older than the cluster, which was \
                 restored from a snapshot since; use the present keystore",
                old.generation(),
                old.name,
                now.generation()
            )));
        }
        return Err(Failure::unsafe_to(format!(
            "{shown} is the bundle of a formed cluster ({}, {}), and this build would replace it with another cluster's, {} ({}): \
             name its keystore with --keystore, undo the change to the profile, or choose another --out",
            old.name, old.id, now.name, now.id
        )));
    }
    if let Some(keystore) = new.filter(|_| old.token != now.token) {
        return Err(Failure::unsafe_to(format!(
            "{shown} is the bundle of another cluster, {other}, and there is no keystore {} to build it again: it may have \
             the only copy of its keys. Restore its keystore or name it with --keystore, or choose another --out",
            keystore.display()
        )));
    }
    if old.id != now.id && !is_earlier {
        (session.tell)(Note::warning(format_args!(
            "{shown} is the bundle of another cluster, {other}; it is replaced by {} ({}){}",
            now.name,
            now.id,
            changed_members(&there.manifest, plan, out)
        )));
    }
    Ok(())
}

/// How the members differ, for a cluster whose name and token are the same: with other names or peer URLs etcd forms
/// another cluster. Empty where the token differs.
fn changed_members(old: &Manifest, plan: &Plan, out: &Path) -> String {
    if old.cluster.token != plan.cluster.token {
        return String::new();
    }
    let urls = |node: &Node| node.peer_urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let there: BTreeSet<_> = old.nodes.iter().map(|node| format!("{}={}", node.name, urls(node))).collect();
    let now: BTreeSet<_> = plan.nodes.iter().map(|node| format!("{}={}", node.name, node.peer_url)).collect();
    let listed =
        |members: Vec<&String>| members.iter().map(|member| member.as_str()).collect::<Vec<_>>().join(", ");
    let (gone, new): (Vec<_>, Vec<_>) = (there.difference(&now).collect(), now.difference(&there).collect());
    let change = match (gone.is_empty(), new.is_empty()) {
        (true, _) => format!("The new members {} make it", listed(new)),
        (_, true) => format!("Without the members {} it is", listed(gone)),
        _ => format!("With {} instead of {} it is", listed(new), listed(gone)),
    };
    format!(
        ". {change} another cluster to etcd, which does not match the data of nodes that run the old bundle. If they do, \
         build the old profile again and seal that bundle (kiln seal {}), and builds like this are refused",
        out.display()
    )
}

/// Warns of a bundle beside `out` that another profile has made from the same keystore: a copied profile that kept its
/// cluster's name.
pub fn warn_of_same_keystore(out: &Path, plan: &Plan, session: &Session<'_>) {
    // Nothing depends on the warning, so what cannot be read is passed over.
    let beside = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(names) = disk::list(beside) else { return };
    if names.len() > MOST_BESIDE {
        return;
    }
    for path in names.iter().map(|name| beside.join(name)).filter(|path| path.file_name() != out.file_name())
    {
        // Reading is cheap, and parsing the manifests of neighbours is not: hardly any has this token in it.
        let Ok(text) = disk::read(&path.join(MANIFEST), MAX_MANIFEST_BYTES) else { continue };
        let token = plan.cluster.token.as_str().as_bytes();
        if !text.windows(token.len()).any(|there| there == token) {
            continue;
        }
        let Ok(there) = Bundle::open(&path) else { continue };
        let (other, now) = (&there.manifest.cluster, &plan.cluster);
        if other.token == now.token && other.id != now.id {
            (session.tell)(Note::warning(format_args!(
                "{} is the bundle of another cluster, {} ({}), with the CA and the token of this one, because both profiles have \
                 the same [cluster] name and so one keystore: each accepts the other's clients; give one of them another \
                 name, or another --keystore",
                path.display(),
                other.name,
                other.id
            )));
        }
    }
}

/// Far above the manifests that Kiln writes.
const MAX_MANIFEST_BYTES: u64 = 96 << 20;

/// In a directory with more entries no neighbours are read.
const MOST_BESIDE: usize = 64;

fn tell_adopted(keystore: &Keystore, dir: &Path, plan: &Plan, out: &Path, session: &Session<'_>) {
    let Some(formed) = keystore.formed(&plan.cluster.token) else { return };
    let members: Vec<_> = formed.members.iter().map(|member| member.name.as_str()).collect();
    (session.tell)(Note::announcement(format_args!(
        "{} was sealed by a Kiln that did not record the cluster; from {}, it is taken to be the cluster {} of {}. If the nodes \
         run another bundle, stop here, restore {} from a backup and name that bundle: kiln seal --adopt BUNDLE",
        plan.cluster.name,
        out.display(),
        formed.id,
        members.join(", "),
        dir.display()
    )));
}

/// Records the cluster of a keystore that was sealed before keystores recorded it: from the bundle at the output,
/// never from the profile that is being built. Returns whether there was something to record.
///
/// # Errors
/// `Exit::Unsafe` when there is no bundle of the cluster at the output.
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
            "{name} ({token}) was sealed in {} by a Kiln that did not record the cluster, and {} does not record it ({failure}); \
             record it from the bundle that the nodes run: kiln seal --adopt BUNDLE --keystore {}",
            dir.display(),
            out.display(),
            dir.display()
        )),
    })
}
