//! The CAs whose certificates a member accepts, by the names in its certificate request. Kiln has no key of a sibling
//! of this cluster's CA, so it cannot probe with a certificate of one; but where a CA above this one is named,
//! certificates of its other CAs are accepted. Only names are compared here, not keys; the probes of `look` show that
//! names alone do not open a port.

use x509_cert::der::Decode;
use x509_cert::name::Name;

use super::look::Observed;
use crate::bundle::Manifest;
use crate::causes::Fault;
use crate::cluster::{CaNames, Patience, Socket, asked_for};
use crate::parallel;
use crate::pki::Presented;
use crate::report::Check;
use crate::values::printable;

/// A row for each port of each node; and a note where more than one CA is trusted, according to the bundle. `own` is
/// the bundle's client certificate; `at_once` members are asked at a time.
pub fn check(
    manifest: &Manifest,
    own: &Presented,
    seen: &[Observed<'_>],
    patience: Patience,
    at_once: usize,
) -> (Vec<Check>, Option<String>) {
    let issuer = own.issuer_der();
    let asked = parallel::all(seen, at_once, |one| {
        let peer = one.target.peer.ok_or_else(|| "this node has only a client port to check".to_owned());
        let ask = |address| asked_for(Socket::new(address, patience));
        (ask(one.target.client), peer.and_then(ask))
    });
    let mut above = CaNames::new();
    let (mut checks, mut of_peers) = (Vec::new(), Vec::new());
    for (one, (client, peer)) in seen.iter().zip(asked) {
        let names = |cas: &[Presented]| cas.iter().map(|ca| ca.subject_der().to_vec()).collect::<CaNames>();
        let (baked, of_peer) = (names(&one.baked.trust), names(&one.baked.peer_trust));
        // A root that Kiln made has no other CA below it.
        let roots = manifest.etcd.trusts_own_roots;
        let peers_issuer = one.baked.peer.first().map_or(issuer, Presented::issuer_der);
        for (is_own, names, issuer) in [(roots.ca, &baked, issuer), (roots.peer_ca, &of_peer, peers_issuer)] {
            let others = names.iter().filter(|name| !is_own && name.as_slice() != issuer);
            above.extend(others.cloned());
        }
        checks.push(judge("client port trusts the baked CA", one, &baked, client));
        of_peers.push(judge("peer port trusts the baked CA", one, &of_peer, peer));
    }
    checks.append(&mut of_peers);
    let note = (!above.is_empty()).then(|| {
        format!(
            "the members of this bundle also accept certificates of every CA below {}; build it again with this version of Kiln \
             and copy the new files to the nodes",
            list(&above)
        )
    });
    (checks, note)
}

fn judge(check: &str, one: &Observed<'_>, baked: &CaNames, named: Result<CaNames, String>) -> Check {
    let node = Some(one.name());
    match named {
        _ if one.status.is_err() => Check::skipped(check, node, one.silence()),
        _ if baked.is_empty() => Check::skipped(check, node, "the bundle holds no ca.pem for it"),
        Err(why) => Check::skipped(check, node, why),
        Ok(named) if named.is_empty() => Check::skipped(check, node, "it names none"),
        Ok(named) if named == *baked => Check::ok(check, node, format!("it names {}", list(&named))),
        Ok(named) => {
            let detail = format!("it names {}; the bundle has {}", list(&named), list(baked));
            Check::failed(check, node, Fault::OtherTrust, detail)
        }
    }
}

fn list(names: &CaNames) -> String {
    let readable = |der: &Vec<u8>| match Name::from_der(der) {
        Ok(name) => printable(&name.to_string()).into_owned(),
        Err(_) => "a name that cannot be read".to_owned(),
    };
    names.iter().map(readable).collect::<Vec<_>>().join(" and ")
}
