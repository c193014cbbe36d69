//! The certificate authorities of a cluster.

use std::net::IpAddr;

use serde::Serialize;

use super::certificate::{CA, CertificateSpec, PEER_CA};
use super::permits::Permits;
use super::subject::fitted;
use crate::profile::{self, Algorithm, Pki, Subject};
use crate::values::{ClusterName, Domain, Lifetime, PemFile};

/// An authority, as Kiln makes it unless one was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthoritySpec {
    /// The name that certificates refer to: `ca` or `peer-ca`.
    pub name: &'static str,
    /// The file on nodes with the certificate that members trust.
    pub file: String,
    /// Another file on nodes, with the certificate that clients trust.
    pub root_file: Option<String>,
    /// Whether the keystore must have an imported one.
    pub is_imported: bool,
    /// Whether the profile says that Kiln makes it.
    #[serde(skip)]
    pub is_derived: bool,
    /// Whether the profile says of which algorithm or how long.
    #[serde(skip)]
    pub is_described: bool,
    pub made: Made,
}

/// What determines a CA that Kiln makes, with the keystore's secret and first date of issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Of its key, and of the intermediate's.
    pub algorithm: Algorithm,
    pub lifetime: Lifetime,
    /// Besides the common name; also that of the intermediate.
    pub subject: Subject,
    pub common_name: String,
    /// A CA below it, which issues instead: its common name and lifetime.
    pub intermediate: Option<(String, Lifetime)>,
    /// The only names and addresses that it may issue for.
    pub permits: Option<Permits>,
    /// Whether nodes have CAs below it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_above_nodes: bool,
}

impl Made {
    /// A CA that is like every one before profiles could say more.
    pub fn plain(cluster: &ClusterName, algorithm: Algorithm, lifetime: Lifetime) -> Self {
        let (subject, common_name) = (Subject::default(), common_name(cluster, OF_CLIENTS));
        let (intermediate, permits) = (None, None);
        Self { algorithm, lifetime, subject, common_name, intermediate, permits, is_above_nodes: false }
    }

    /// The one that follows it: `ha3 etcd CA 2`.
    pub fn next(&self) -> Self {
        Self { common_name: fitted(&self.common_name, " 2"), ..self.clone() }
    }

    /// Whether its algorithm and lifetime determine it.
    pub fn is_plain(&self, cluster: &ClusterName) -> bool {
        *self == Self::plain(cluster, self.algorithm, self.lifetime)
    }

    /// The CAs that may be below it and, where there is an intermediate, below that one: one more where nodes issue for
    /// themselves.
    pub fn path_lengths(&self) -> (u8, Option<u8>) {
        let below = u8::from(self.is_above_nodes);
        match self.intermediate {
            None => (below, None),
            Some(_) => (below + 1, Some(below)),
        }
    }
}

impl AuthoritySpec {
    /// Whether a profile says nothing of it that only a CA made by Kiln can have.
    pub fn is_usual(&self, cluster: &ClusterName) -> bool {
        let Made { algorithm, lifetime, .. } = self.made;
        let usual = if self.name == PEER_CA { OF_PEERS } else { OF_CLIENTS };
        let plain = Made::plain(cluster, algorithm, lifetime);
        let is_above_nodes = self.made.is_above_nodes;
        self.made == Made { common_name: common_name(cluster, usual), is_above_nodes, ..plain }
    }

    /// The file of its certificate in the bundle's `client/`.
    pub fn client_file(&self) -> String {
        client_file(self.name)
    }
}

/// What a message calls an authority, after `CA`.
pub fn of_peers(authority: &str) -> &'static str {
    if authority == PEER_CA { " for peers" } else { "" }
}

pub fn client_file(authority: &str) -> String {
    PemFile::Certificate.usual(authority)
}

/// The endings of usual common names.
pub const OF_CLIENTS: &str = " etcd CA";
const OF_PEERS: &str = " etcd peer CA";

/// All authorities of a cluster, the one that clients trust first. `issued` are all certificates.
pub fn of(
    pki: &Pki,
    cluster: &ClusterName,
    domain: Option<&Domain>,
    issued: &[&CertificateSpec],
) -> Vec<AuthoritySpec> {
    let one = |name: &'static str, ca: &profile::Ca, of_root: &str, of_intermediate: &str| {
        let named = |given: &Option<String>, usual: &str| {
            given.clone().unwrap_or_else(|| common_name(cluster, usual))
        };
        let below = ca.intermediate.as_ref();
        let intermediate = below.map(|below| (named(&below.common_name, of_intermediate), below.lifetime));
        AuthoritySpec {
            name,
            file: ca.file.clone(),
            root_file: ca.root_file.clone(),
            is_imported: ca.is_imported,
            is_derived: ca.is_derived,
            is_described: ca.is_described,
            made: Made {
                algorithm: ca.algorithm,
                lifetime: ca.lifetime,
                subject: ca.subject.clone(),
                common_name: named(&ca.common_name, of_root),
                intermediate,
                permits: ca.is_constrained.then(|| permits(name, domain, issued)),
                is_above_nodes: pki.renewal.is_some(),
            },
        }
    };
    let peer = pki.peer_ca.iter().map(|ca| one(PEER_CA, ca, OF_PEERS, " etcd peer issuing CA"));
    std::iter::once(one(CA, &pki.ca, OF_CLIENTS, " etcd issuing CA")).chain(peer).collect()
}

/// Everything that the authority issues for, the cluster's domain, and this machine.
fn permits(authority: &str, domain: Option<&Domain>, issued: &[&CertificateSpec]) -> Permits {
    let mut permits = Permits { dns: vec!["localhost".to_owned()], ips: Vec::new() };
    permits.dns.extend(domain.map(ToString::to_string));
    for spec in issued.iter().filter(|spec| spec.authority == authority) {
        permits.dns.extend(spec.dns.iter().map(|name| name.strip_prefix("*.").unwrap_or(name).to_owned()));
        permits.dns.extend(spec.dns_like_common_name().map(str::to_owned));
        permits.ips.extend(&spec.ips);
    }
    permits.ips.extend([IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)]);
    permits.sort();
    permits
}

/// `<cluster> etcd CA`, if that fits into the 64 characters of a common name; a longer name is truncated, and a digest
/// distinguishes it from others with the same beginning.
pub fn common_name(cluster: &ClusterName, ending: &str) -> String {
    fitted(cluster.as_str(), ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_cluster_name_is_cut_but_stays_its_own() {
        let name = |text: String| common_name(&text.parse().unwrap(), " etcd CA");
        assert_eq!(name("ha3".into()), "ha3 etcd CA");
        assert_eq!(name("a".repeat(56)), format!("{} etcd CA", "a".repeat(56)));
        assert_eq!(name("a".repeat(57)).len(), 64);
        assert_ne!(name("a".repeat(57)), name("a".repeat(58)));
    }
}
