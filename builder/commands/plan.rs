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
    let keystore = inputs::keystore(&path, &profile.cluster.name)?;
    let plan = inputs::plan(&profile, keystore.as_ref());
    let view = View { plan: &plan, identity_known: keystore.is_some() || profile.cluster.token.is_some() };
    if args.json { out.json(&view.json()) } else { out.print(&view) }
}
