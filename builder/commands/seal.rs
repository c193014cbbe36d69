//! `kiln seal`.

use serde_json::json;

use super::keystore::and_said;
use super::{inputs, output::Output};
use crate::bundle::Bundle;
use crate::cli;
use crate::disk;
use crate::etcd::ids::{MemberId, cluster_id, member_id};
use crate::failure::{Failure, Result};
use crate::pki::{Keystore, Sealed, Witness};
use crate::plan;
use crate::values::{ClusterName, Invalid};

/// The largest certificate file that is read, in bytes: a leaf and the CAs above it.
const LIMIT: u64 = 1 << 20;

pub fn run(args: &cli::Seal, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let (name, witness) = witness(&bundle)?;
    let path = inputs::keystore_path(args.keys.keystore.as_ref(), &name);
    let sealed = Keystore::seal(&path, &name, &witness, args.adopt)?;
    let (shown, token, members) = (path.display(), &witness.token, witness.members.len());
    let members = if members == 1 { "1 member".to_owned() } else { format!("{members} members") };
    let done = match sealed {
        Sealed::New => format!("sealed {name} ({token}, {members}) in {shown}"),
        Sealed::Adopted => format!("recorded in {shown} what {name} ({token}) is: {members}"),
        Sealed::Newer => format!("recorded in {shown} that {name} ({token}) runs etcd {}", witness.release),
        Sealed::Already => format!("{name} ({token}) was sealed in {shown} already"),
        Sealed::Unrecorded => format!("{name} ({token}) was sealed in {shown} already, without a record"),
    };
    if args.json {
        let said = out.json(&json!({
            "keystore": path, "cluster": name, "token": token,
            "new": sealed == Sealed::New,
            "recorded": matches!(sealed, Sealed::New | Sealed::Adopted | Sealed::Newer),
        }));
        return and_said(&done, said);
    }
    let advice = match sealed {
        Sealed::New => {
            ": back the keystore up, build again, and bring the nodes the new bundle; to found a cluster in its place, make \
             another keystore"
        }
        Sealed::Adopted | Sealed::Newer => ": back the keystore up",
        Sealed::Already => "",
        Sealed::Unrecorded => {
            "; if this is the bundle that its nodes run, record what the cluster is: kiln seal --adopt BUNDLE"
        }
    };
    and_said(&done, out.print(format_args!("{done}{advice}")))
}

/// What a bundle says of its cluster; the IDs in it have to be those that follow from the rest.
pub fn witness(bundle: &Bundle) -> Result<(ClusterName, Witness)> {
    let manifest = &bundle.manifest;
    let cluster = &manifest.cluster;
    let wrong = |what: &str, why: &str| {
        let path = bundle.path.display();
        Failure::wrong(format!("the {what} in {path}/bundle.json is nothing that kiln writes: {why}"))
    };
    let parse = |what: &'static str| move |error: Invalid| (what, error.to_string());
    let refuse = |(what, why): (&str, String)| wrong(what, &why);
    let name: ClusterName = cluster.name.parse().map_err(parse("cluster's name")).map_err(refuse)?;
    let token: crate::values::Token = cluster.token.parse().map_err(parse("token")).map_err(refuse)?;
    let release = manifest.etcd.version.parse().map_err(parse("release")).map_err(refuse)?;
    let mut members = Vec::with_capacity(manifest.nodes.len());
    let mut ids: Vec<MemberId> = Vec::with_capacity(manifest.nodes.len());
    for node in &manifest.nodes {
        let [url] = &node.peer_urls[..] else { return Err(wrong("peer URLs", "there is one of each node")) };
        let id = member_id(std::slice::from_ref(url), token.as_str());
        if id.to_string() != node.member_id {
            return Err(wrong("member IDs", "they do not follow from the peer URLs and the token"));
        }
        ids.push(id);
        members.push((node.name.parse().map_err(parse("node's name")).map_err(refuse)?, url.clone()));
    }
    if cluster_id(&ids).to_string() != cluster.id {
        return Err(wrong("cluster ID", "it does not follow from the members' IDs"));
    }
    let client = |file: &str| disk::read(&bundle.path.join("client").join(file), LIMIT);
    let certificate = client(&format!("{}.pem", plan::operator().file))?;
    Ok((name, Witness { token, release, members, certificate, trust: client("ca.pem")? }))
}
