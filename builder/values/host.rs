//! The names of a cluster's machines on a host, and the host's own address beside them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Digest, NodeName, hex};

/// The first eight digits of a cluster's ID as etcdctl prints it, in hexadecimal without leading zeros.
pub fn short_id(cluster_id: &str) -> String {
    cluster_id.chars().take(8).collect()
}

/// The name of a cluster's network and pool in libvirt, and the prefix of its domains' names: two clusters of one name
/// have different IDs.
pub fn libvirt_name(cluster: &str, cluster_id: &str) -> String {
    format!("{cluster}-{}", short_id(cluster_id))
}

/// A volume of one node in its cluster's pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volume {
    System,
    Data,
    Initrd,
    Seed,
    Ignition,
    Restore,
}

impl Volume {
    pub const ALL: [Volume; 6] =
        [Volume::System, Volume::Data, Volume::Initrd, Volume::Seed, Volume::Ignition, Volume::Restore];

    /// Nodes' names contain no dot, so no two nodes share a volume name.
    pub fn name(self, node: &str) -> String {
        let ending = match self {
            Volume::System => "qcow2",
            Volume::Data => "data.qcow2",
            Volume::Initrd => "initrd.img",
            Volume::Seed => "seed.iso",
            Volume::Ignition => "ign",
            Volume::Restore => "restore.img",
        };
        format!("{node}.{ending}")
    }
}

/// The UUID of a node's machine, the same for every definition: version 8 of RFC 9562, from the cluster's ID and the
/// node's name.
pub fn machine_uuid(cluster_id: &str, node: &NodeName) -> String {
    let digest = Digest::of(format!("kiln machine {cluster_id}/{node}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The address of a host in the cluster's network: the gateway's, else the first that no node has. Never the network's
/// own: it is not a host address in IPv4, and in IPv6 it belongs to every router (RFC 4291 section 2.6.1).
///
/// `None` where the nodes use all addresses.
pub fn host_address(
    network: IpNet,
    gateway: Option<IpAddr>,
    is_taken: impl Fn(&IpAddr) -> bool,
) -> Option<IpAddr> {
    let network_address = network.trunc().addr();
    let mut free = network.hosts().filter(|address| *address != network_address);
    gateway
        .filter(|gateway| network.contains(gateway) && !is_taken(gateway))
        .or_else(|| free.find(|address| !is_taken(address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_a_and_a_data_share_no_volume() {
        let mut all: Vec<_> = ["a", "a-data", "a-seed", "base", "kernel", "layer"]
            .iter()
            .flat_map(|node| Volume::ALL.map(|volume| volume.name(node)))
            .collect();
        all.extend(["base", "kernel", "layer.iso"].map(str::to_owned));
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn two_clusters_of_one_name_have_two_names() {
        assert_eq!(libvirt_name("ha3", "e33f550df7f5d6bb"), "ha3-e33f550d");
        assert_eq!(libvirt_name("ha3", "3f550df7f5d6bb"), "ha3-3f550df7");
        let node: NodeName = "cp-a".parse().unwrap();
        let uuid = machine_uuid("e33f550df7f5d6bb", &node);
        assert_eq!(uuid.len(), 36);
        assert_eq!((&uuid[14..15], "89ab".contains(&uuid[19..20])), ("8", true));
        assert_ne!(uuid, machine_uuid("e33f550df7f5d6bc", &node));
    }

    #[test]
    fn the_host_never_takes_the_subnet_router_anycast_address() {
        let address = |network: &str, gateway: Option<&str>, taken: &[&str]| {
            let taken: Vec<IpAddr> = taken.iter().map(|one| one.parse().unwrap()).collect();
            let gateway = gateway.map(|one| one.parse().unwrap());
            host_address(network.parse().unwrap(), gateway, |one| taken.contains(one))
                .map(|one| one.to_string())
        };
        assert_eq!(address("fd00:77::/64", None, &[]).unwrap(), "fd00:77::1");
        assert_eq!(address("fd00:77::/64", None, &["fd00:77::1"]).unwrap(), "fd00:77::2");
        assert_eq!(address("10.0.0.0/24", None, &["10.0.0.1"]).unwrap(), "10.0.0.2");
        assert_eq!(address("10.0.0.0/24", Some("10.0.0.254"), &["10.0.0.1"]).unwrap(), "10.0.0.254");
        assert_eq!(address("10.0.0.0/24", Some("10.0.0.1"), &["10.0.0.1"]).unwrap(), "10.0.0.2");
        assert_eq!(address("10.0.0.0/31", None, &["10.0.0.1"]), None);
    }
}
