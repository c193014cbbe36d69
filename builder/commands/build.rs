//! `kiln build`.

use std::path::PathBuf;

use serde_json::json;

use super::bake;
use super::output::Output;
use super::prepare::Prepared;
use super::sink::Sink;
use crate::bundle::{Manifest, Writer};
use crate::cli;
use crate::clock;
use crate::failure::Result;

pub fn run(args: &cli::Build, out: &Output) -> Result<()> {
    let prepared = Prepared::new(&args.source.profile, &args.ingredients, out)?;
    let target = args.out.clone().unwrap_or_else(|| PathBuf::from("out").join(prepared.plan.name.as_str()));
    let writer = Writer::begin(&target)?;
    let manifest = bake::bake(&prepared.inputs(), Sink::Bundle(&writer))?;
    if !prepared.plan.peers_by_name {
        out.warn(format_args!(
            "etcd {} cannot be told the peers' names this way: any certificate of the CA gets onto the peer port; \
             use config-style = \"flags\" with certificates = \"per-use\", or a release from 3.5.15 on",
            prepared.plan.release
        ));
    }
    let (ca_end, leaf_end) = ends(&manifest);
    if leaf_end >= ca_end {
        out.warn("certificates end with the CA, sooner than leaf-lifetime says");
    }
    let expires = manifest.certificates.iter().map(|certificate| certificate.not_after).min();

    let Prepared { plan, mut keystore, keystore_path, keystore_is_new, .. } = prepared;
    // The keystore is saved when nothing is left that could be refused: a bundle whose keys nobody has any
    // more could never be built again.
    writer.publish(manifest, || if keystore_is_new { keystore.save(&keystore_path) } else { Ok(()) })?;
    if keystore_is_new {
        out.say(format_args!(
            "made the keystore {}: every key of this cluster comes from it; keep it safe and back it up",
            keystore_path.display()
        ));
    }
    if expires.is_some_and(|expires| expires <= clock::now().seconds()) {
        out.warn(format_args!(
            "certificates in this bundle have expired; kiln keystore renew {} --keystore {} and build again",
            plan.cluster.name,
            keystore_path.display()
        ));
    }
    if args.ingredients.json {
        return out.json(&json!({
            "bundle": target,
            "cluster": {
                "name": plan.cluster.name, "token": plan.cluster.token, "id": plan.cluster.id,
                "formed": plan.cluster.formed,
            },
            "etcd": plan.release,
            "nodes": plan.nodes.iter().map(|node| &node.name).collect::<Vec<_>>(),
            "keystore": keystore_path,
            "keystore_made": keystore_is_new,
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

/// When the CA, which is listed first, and the last of the leaves end.
fn ends(manifest: &Manifest) -> (u64, u64) {
    let mut ends = manifest.certificates.iter().map(|certificate| certificate.not_after);
    let ca = ends.next().unwrap_or(u64::MAX);
    (ca, ends.max().unwrap_or(0))
}
