//! `kiln plan`.

use super::{inputs, output::Output};
use crate::artifact::Store;
use crate::cli;
use crate::failure::Result;
use crate::plan::View;

pub fn run(args: &cli::Plan, out: &Output) -> Result<()> {
    let store = Store::at(&args.store.artifacts);
    let profile = inputs::profile(args.source.name(), &store, out)?;
    let path = inputs::keystore_path(args.keys.keystore.as_ref(), &profile.cluster.name);
    let mut keystore = inputs::keystore(&path, &profile.cluster.name)?;
    let plan = inputs::plan(&profile, keystore.as_ref());
    // In memory only.
    if let Some(Err(failure)) = keystore.as_mut().map(|keystore| keystore.admit(&path, &plan)) {
        out.warn(format_args!("kiln build refuses this: {failure}"));
    }
    let imported_ca = match &keystore {
        Some(keystore) => keystore.imported_ca()?,
        None => None,
    };
    let identity_known = keystore.is_some() || profile.cluster.token.is_some();
    let view = View { plan: &plan, identity_known, imported_ca };
    if args.json { out.json(&view.json()) } else { out.print(&view) }
}
