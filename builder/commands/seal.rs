//! `kiln seal`.

use serde_json::json;

use super::{inputs, output::Output};
use crate::bundle::Bundle;
use crate::cli;
use crate::failure::{Failure, Result};
use crate::pki::Keystore;
use crate::values::{ClusterName, Token};

pub fn run(args: &cli::Seal, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let cluster = &bundle.manifest.cluster;
    let wrong =
        |what: &str| Failure::wrong(format!("the {what} in {}/bundle.json is none", bundle.path.display()));
    let name: ClusterName = cluster.name.parse().map_err(|_| wrong("cluster's name"))?;
    let token: Token = cluster.token.parse().map_err(|_| wrong("token"))?;
    let path = inputs::keystore_path(args.keys.keystore.as_ref(), &name);
    let (_, is_new) = Keystore::seal(&path, &name, &token)?;
    if args.json {
        return out.json(&json!({ "keystore": path, "cluster": name, "token": token, "new": is_new }));
    }
    let path = path.display();
    if is_new {
        out.print(format_args!(
            "sealed {name} ({token}) in {path}: build again, and bring the nodes the new bundle; whoever founds a cluster \
             in its place makes another keystore"
        ))
    } else {
        out.print(format_args!("{name} ({token}) was sealed in {path} already"))
    }
}
