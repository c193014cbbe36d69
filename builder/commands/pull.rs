//! `kiln pull`.

use std::path::PathBuf;

use serde_json::json;

use super::output::Output;
use super::places::refuse_inside;
use super::push::{address, client, mebibytes};
use crate::cli;
use crate::failure::Result;
use crate::registry::{self, Reference};
use crate::values::counted;

pub fn run(args: &cli::Pull, out: &Output) -> Result<()> {
    let address = address(&args.from)?;
    let target = args.out.clone().unwrap_or_else(|| PathBuf::from("out").join(address.name()));
    refuse_inside(&target)?;
    let pulled = registry::pull(&client(&address, &args.registry, false, out)?, &target)?;
    let (manifest, pinned) = (&pulled.manifest, address.pinned(pulled.digest));
    if let Reference::Tag(tag) = &address.reference {
        out.warn(format_args!(
            "the tag {tag} can be moved to another bundle; pull {pinned} to get this one again"
        ));
    }
    if args.registry.json {
        return out.json(&json!({
            "bundle": target, "address": address.to_string(), "pinned": pinned.to_string(),
            "cluster": manifest.cluster, "etcd": manifest.etcd.version,
            "files": pulled.files, "bytes": pulled.bytes,
        }));
    }
    out.print(format_args!(
        "{}: {} of etcd {} {}, cluster ID {}, token {}\n{} files ({}) from {pinned}",
        target.display(),
        counted(manifest.nodes.len(), "member"),
        manifest.etcd.version,
        manifest.etcd.arch,
        manifest.cluster.id,
        manifest.cluster.token,
        pulled.files,
        mebibytes(pulled.bytes),
    ))
}
