//! Whether the members accept each other's connections: etcd holds the source address of a peer against the names of
//! its certificate.

use std::net::IpAddr;

use super::{CertificateSpec, Node, Plan, Role, of_role};
use crate::values;

/// Every pair of members of which one would refuse the other's connections, as a sentence.
pub fn refused(plan: &Plan) -> Vec<String> {
    let pairs = plan.nodes.iter().flat_map(|from| plan.nodes.iter().map(move |to| (from, to)));
    pairs.filter(|(from, to)| from.name != to.name).filter_map(|(from, to)| refusal(from, to)).collect()
}

fn refusal(from: &Node, to: &Node) -> Option<String> {
    let Some(source) = values::source(&from.cards, to.peer_address) else {
        return Some(format!("{} has no route to {} ({})", from.name, to.name, to.peer_address));
    };
    let certificate = of_role(&from.certificates, Role::Peer)?;
    let names = accepts(certificate, source);
    (!names).then(|| {
        format!(
            "{} connects to {} ({}) from {source}, which its peer certificate does not name",
            from.name, to.name, to.peer_address
        )
    })
}

/// Whether etcd accepts a peer with this certificate from this address (`checkCertSAN` in
/// client/pkg/transport/listener_tls.go): one without any names from everywhere. etcd also looks up the DNS names of
/// the certificate, which needs a resolver that answers; Kiln does not rely on that.
pub fn accepts(certificate: &CertificateSpec, source: IpAddr) -> bool {
    certificate.ips.contains(&source) || certificate.dns.is_empty() && certificate.ips.is_empty()
}
