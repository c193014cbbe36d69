//! The identity of a bundle's cluster, for the keystore to record.

use crate::bundle::{Bundle, CLIENT_CA, CLIENT_PEER_CA, OPERATOR_CERT, client_file};
use crate::disk;
use crate::etcd::ids::{MemberId, cluster_id, member_id};
use crate::failure::{Failure, Result};
use crate::pki::Witness;
use crate::values::ClusterName;

/// The limit for one certificate, or a chain of them.
const MAX_CERTIFICATE_BYTES: u64 = 1 << 20;

/// The IDs in the bundle must match those computed from its members.
pub fn witness(bundle: &Bundle) -> Result<(ClusterName, Witness)> {
    let manifest = &bundle.manifest;
    let cluster = &manifest.cluster;
    let wrong =
        |why: &str| Failure::wrong(format!("{}/bundle.json is inconsistent: {why}", bundle.path.display()));
    let mut members = Vec::with_capacity(manifest.nodes.len());
    let mut ids: Vec<MemberId> = Vec::with_capacity(manifest.nodes.len());
    for node in &manifest.nodes {
        let [url] = &node.peer_urls[..] else {
            return Err(wrong("a node does not have exactly one peer URL"));
        };
        let id = member_id(&[url.to_string()], cluster.token.as_str());
        if id != node.member_id {
            return Err(wrong("a member's ID does not match its peer URL and the token"));
        }
        ids.push(id);
        members.push((node.name.clone(), url.clone()));
    }
    if cluster_id(&ids) != cluster.id {
        return Err(wrong("the cluster's ID does not match its members'"));
    }
    let client = |file: &str| disk::read(&bundle.path.join("client").join(file), MAX_CERTIFICATE_BYTES);
    let certificate = client(OPERATOR_CERT)?;
    let of_peers = client_file(CLIENT_PEER_CA);
    let has_peer_ca = manifest.certificates.iter().any(|one| *one.file == *of_peers);
    let peer_trust = has_peer_ca.then(|| client(CLIENT_PEER_CA)).transpose()?;
    let witness = Witness {
        token: cluster.token.clone(),
        release: manifest.etcd.version,
        members,
        certificate,
        trust: client(CLIENT_CA)?,
        peer_trust,
    };
    Ok((cluster.name.clone(), witness))
}
