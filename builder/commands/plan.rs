//! `kiln plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::json;

use super::build::default_out;
use super::output::Output;
use super::places::Places;
use super::{inputs, overlays};
use crate::build::{Options, Overlays, Session, plan_of};
use crate::cli;
use crate::failure::Result;
use crate::pki::Keystore;
use crate::plan::View;
use crate::render::{Overlay, Replaced};

pub fn run(args: &cli::Plan, out: &Output) -> Result<()> {
    let options = Options {
        artifacts: args.store.artifacts.clone(),
        overlays: args.overlays.clone(),
        base: None,
        bases: inputs::bases(),
        jobs: None,
        epoch: None,
    };
    let tell = |note| out.tell(note);
    let session = Session::new(options, &tell)?;
    let profile = inputs::profile(args.source.name(), &args.source.settings, &session.store, out)?;
    let path = inputs::keystore_path(args.keys.keystore.as_ref(), &profile.cluster.name);
    let places = Places::new(&args.store.artifacts, None, &default_out(&profile.name))?.and_keystore(&path);
    let replaced = overlays::check(&[&profile], &session, &places)?;
    let overlays = session.overlays(&profile)?;
    let mut keystore = Keystore::find(&path, &profile.cluster.name)?;
    let plan = plan_of(&profile, keystore.as_ref());
    // Changed in memory only.
    if let Some(Err(failure)) = keystore.as_mut().map(|keystore| keystore.admit(&path, &plan)) {
        out.warn(format_args!("kiln build refuses this: {failure}"));
    }
    let mut imported = BTreeMap::new();
    for authority in &plan.authorities {
        let ca = keystore.as_ref().map(|keystore| keystore.imported_authority(authority.name)).transpose()?;
        imported.extend(ca.flatten().map(|ca| (authority.name, ca)));
    }
    let identity_known = keystore.is_some() || profile.cluster.token.is_some();
    let view = View { plan: &plan, identity_known, imported };
    if args.json {
        let mut view = view.json();
        view["overlays"] = own(&overlays)
            .map(|overlay| {
                json!({ "directory": overlay.directory, "files": overlay.count(), "replaces": of(overlay, &replaced)
                    .map(|replaced| replaced.path.absolute()).collect::<Vec<_>>() })
            })
            .collect();
        return out.json(&view);
    }
    out.print(view.to_string() + &shown(&overlays, &replaced))
}

/// The user's overlays, for people.
fn shown(overlays: &Overlays, replaced: &BTreeSet<Replaced>) -> String {
    let mut text = String::new();
    for (at, overlay) in own(overlays).enumerate() {
        if at == 0 {
            text.push_str("\noverlays\n");
        }
        let directory = overlay.directory.iter().map(|path| path.display().to_string()).collect::<String>();
        let _ = writeln!(text, "  {directory}  {}", overlay.contents());
        for replaced in of(overlay, replaced) {
            let _ = writeln!(text, "    {}  replaces that of {}", replaced.path.absolute(), replaced.of);
        }
    }
    text
}

/// The user's own overlays.
fn own(overlays: &Overlays) -> impl Iterator<Item = &Overlay> {
    overlays.list.iter().map(AsRef::as_ref).filter(|overlay| overlay.directory.is_some())
}

fn of<'r>(overlay: &'r Overlay, replaced: &'r BTreeSet<Replaced>) -> impl Iterator<Item = &'r Replaced> {
    replaced.iter().filter(|replaced| replaced.by == overlay.origin)
}
