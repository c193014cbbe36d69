//! `kiln seal`.

use serde_json::json;

use super::inputs;
use super::output::{Output, and_said};
use crate::bundle::Bundle;
use crate::cli;
use crate::disk;
use crate::etcd::ids::{MemberId, cluster_id, member_id};
use crate::failure::{Failure, Result};
use crate::pki::{Keystore, Sealed, Witness};
use crate::plan;
use crate::values::ClusterName;

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
    let wrong = |why: &str| {
        Failure::wrong(format!("{}/bundle.json says what no build does: {why}", bundle.path.display()))
    };
    let mut members = Vec::with_capacity(manifest.nodes.len());
    let mut ids: Vec<MemberId> = Vec::with_capacity(manifest.nodes.len());
    for node in &manifest.nodes {
        let [url] = node.peer_urls[..] else { return Err(wrong("a node has one peer URL")) };
        let id = member_id(&[url.to_string()], cluster.token.as_str());
        if id != node.member_id {
            return Err(wrong("a member's ID does not follow from its peer URL and the token"));
        }
        ids.push(id);
        members.push((node.name.clone(), url));
    }
    if cluster_id(&ids) != cluster.id {
        return Err(wrong("the cluster's ID does not follow from its members'"));
    }
    let client = |file: &str| disk::read(&bundle.path.join("client").join(file), LIMIT);
    let certificate = client(&format!("{}.pem", plan::operator().file))?;
    let witness = Witness {
        token: cluster.token.clone(),
        release: manifest.etcd.version,
        members,
        certificate,
        trust: client("ca.pem")?,
    };
    Ok((cluster.name.clone(), witness))
}
