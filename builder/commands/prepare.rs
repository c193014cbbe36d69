//! What build and check have in common: everything up to the first baked byte.

use std::path::PathBuf;

use super::bake::Inputs;
use super::{base, inputs, output::Output};
use crate::artifact::{Binaries, Store};
use crate::cli::Ingredients;
use crate::failure::Result;
use crate::machine::Base;
use crate::pki::{Authority, Keystore};
use crate::plan::Plan;
use crate::render::Overlay;
use crate::values::Epoch;

/// All that a bundle follows from, checked as far as it can be without baking.
pub struct Prepared {
    pub plan: Plan,
    pub keystore: Keystore,
    pub keystore_path: PathBuf,
    /// The keystore is in memory only so far.
    pub keystore_is_new: bool,
    authority: Authority,
    overlays: Vec<Overlay>,
    binaries: Binaries,
    base: Option<Base>,
    epoch: Epoch,
}

impl Prepared {
    /// # Errors
    /// The first of: a wrong profile, a missing or damaged release, a wrong overlay, a missing base system, a
    /// keystore or a CA that cannot be trusted.
    pub fn new(profile: &str, ingredients: &Ingredients, out: &Output) -> Result<Self> {
        let store = Store::at(&ingredients.store.artifacts);
        let profile = inputs::profile(profile, &store, out, ingredients.json)?;
        let (release, arch) = (profile.etcd.release, profile.etcd.arch);
        if !profile.etcd.pinned {
            out.say(format_args!("etcd {release}: the newest in {}", store.directory().display()));
        }
        let binaries = store.load(release, arch, &profile.etcd.sha256)?;
        if let Some(loader) = binaries.record.binaries.values().find_map(|binary| binary.interpreter.as_ref())
        {
            out.say(format_args!(
                "these programs are linked dynamically: the nodes need {loader} and its C library"
            ));
        }
        let overlays = inputs::overlays(&profile, &ingredients.overlays)?;
        let base = base::of_build(&profile, ingredients.base.as_deref())?;
        let keystore_path = inputs::keystore_path(ingredients.keys.keystore.as_ref(), &profile.cluster.name);
        let found = inputs::keystore(&keystore_path, &profile.cluster.name)?;
        let keystore_is_new = found.is_none();
        let keystore = match found {
            Some(keystore) => keystore,
            None => Keystore::draft(&profile.cluster.name, None, inputs::date_of_issue(None)?)?,
        };
        let plan = inputs::plan(&profile, Some(&keystore));
        if plan.cluster.formed {
            let name = &plan.cluster.name;
            let why = if keystore.is_sealed(&plan.cluster.token) {
                format!("{name} is sealed in {}", keystore_path.display())
            } else {
                format!("the profile says that {name} has formed")
            };
            out.say(format_args!("{why}: a node of this build whose disk is empty founds nothing"));
        }
        Ok(Self {
            plan,
            authority: Authority::new(&keystore, profile.pki.ca_algorithm, profile.pki.ca_lifetime)?,
            epoch: inputs::source_date_epoch()?.unwrap_or_else(|| keystore.issued()),
            keystore,
            keystore_path,
            keystore_is_new,
            overlays,
            binaries,
            base,
        })
    }

    pub fn inputs(&self) -> Inputs<'_> {
        Inputs {
            plan: &self.plan,
            authority: &self.authority,
            overlays: &self.overlays,
            binaries: &self.binaries,
            base: self.base.as_ref(),
            epoch: self.epoch,
        }
    }
}
