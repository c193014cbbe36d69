//! `kiln build`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::bake::{self, Inputs, Sink};
use super::{inputs, output::Output};
use crate::artifact::Store;
use crate::bundle::Writer;
use crate::cli;
use crate::clock;
use crate::failure::Result;
use crate::pki::{Authority, Keystore};
use crate::plan;
use crate::values::ClusterName;

pub fn run(args: &cli::Build, out: &Output) -> Result<()> {
    let store = Store::at(&args.store.artifacts);
    let profile = inputs::profile(&args.source.profile, &store, out, args.json)?;
    if !profile.etcd.pinned {
        out.say(format_args!(
            "etcd {}: the newest in {}",
            profile.etcd.release,
            args.store.artifacts.display()
        ));
    }
    let binaries = store.load(profile.etcd.release, profile.etcd.arch, &profile.etcd.sha256)?;
    if let Some(loader) = binaries.record.binaries.values().find_map(|binary| binary.interpreter.as_ref()) {
        out.say(format_args!(
            "these programs are linked dynamically: the nodes need {loader} and its C library"
        ));
    }
    let overlays = inputs::overlays(&profile, &args.overlays)?;
    let keystore_path = inputs::keystore_path(args.keys.keystore.as_ref(), &profile.cluster.name);
    let (keystore, is_new) = keystore(&keystore_path, &profile.cluster.name)?;
    let authority = Authority::new(&keystore, profile.pki.ca_algorithm, profile.pki.ca_lifetime)?;
    let plan = plan::resolve(&profile, keystore.token());
    let epoch = inputs::source_date_epoch()?.unwrap_or_else(|| keystore.issued());

    let target = args.out.clone().unwrap_or_else(|| PathBuf::from("out").join(plan.name.as_str()));
    let writer = Writer::begin(&target)?;
    let inputs =
        Inputs { plan: &plan, authority: &authority, overlays: &overlays, binaries: &binaries, epoch };
    let manifest = bake::bake(&inputs, Sink::Bundle(&writer))?;
    let expires = manifest.certificates.iter().map(|certificate| certificate.not_after).min();
    // The keystore is saved when nothing is left that could be refused: a bundle whose keys nobody has any
    // more could never be built again.
    writer.publish(manifest, || if is_new { keystore.save(&keystore_path).map(drop) } else { Ok(()) })?;

    if is_new {
        out.say(format_args!(
            "made the keystore {}: every key of this cluster comes from it; keep it safe and back it up",
            keystore_path.display()
        ));
    }
    if expires.is_some_and(|expires| expires <= clock::now().seconds()) {
        out.warn(format_args!(
            "certificates in this bundle have expired; kiln keystore renew {} and build again",
            plan.cluster.name
        ));
    }
    if args.json {
        return out.json(&json!({
            "bundle": target,
            "cluster": { "name": plan.cluster.name, "token": plan.cluster.token, "id": plan.cluster.id },
            "etcd": plan.release,
            "nodes": plan.nodes.iter().map(|node| &node.name).collect::<Vec<_>>(),
            "keystore": keystore_path,
            "keystore_made": is_new,
        }));
    }
    out.print(format_args!(
        "{}: {} member{} of etcd {} {}, cluster ID {}, token {}",
        target.display(),
        plan.nodes.len(),
        if plan.nodes.len() == 1 { "" } else { "s" },
        plan.release,
        plan.arch,
        plan.cluster.id,
        plan.cluster.token
    ))
}

/// The cluster's keystore, and whether it is new and still in memory only.
pub fn keystore(path: &Path, cluster: &ClusterName) -> Result<(Keystore, bool)> {
    Ok(match inputs::keystore(path, cluster)? {
        Some(keystore) => (keystore, false),
        None => (Keystore::draft(cluster, None, inputs::date_of_issue(None)?)?, true),
    })
}
