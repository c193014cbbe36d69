//! `kiln seal`.

use serde_json::json;

use super::{inputs, output::Output};
use crate::bundle::Bundle;
use crate::cli;
use crate::disk;
use crate::failure::Result;
use crate::pki::Keystore;
use crate::plan;

/// The largest certificate file that is read, in bytes: a leaf and the CAs above it.
const LIMIT: u64 = 1 << 20;

pub fn run(args: &cli::Seal, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let cluster = &bundle.manifest.cluster;
    let (name, token) = (&cluster.name, &cluster.token);
    let certificate = bundle.path.join("client").join(format!("{}.pem", plan::operator().file));
    let path = inputs::keystore_path(args.keys.keystore.as_ref(), name);
    let is_new = Keystore::seal(&path, name, token, &disk::read(&certificate, LIMIT)?)?;
    if args.json {
        return out.json(&json!({ "keystore": path, "cluster": name, "token": token, "new": is_new }));
    }
    let path = path.display();
    if is_new {
        out.print(format_args!(
            "sealed {name} ({token}) in {path}: back the keystore up, build again, and bring the nodes the new bundle; \
             whoever founds a cluster in its place makes another keystore, or sets another token in the profile"
        ))
    } else {
        out.print(format_args!("{name} ({token}) was sealed in {path} already"))
    }
}
