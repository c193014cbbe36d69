//! The names of the parts of a cluster on this host: interfaces, networks, domains, volumes.

use crate::etcd::ids::ClusterId;
use crate::values::{ClusterName, Digest, NodeName, Volume, libvirt_name, short_id};

/// The cluster, and the scheme of its names on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub cluster: ClusterName,
    pub id: ClusterId,
    /// Made by Kiln 0.1, which used the cluster's name.
    pub by_name: bool,
}

impl Names {
    /// Interfaces have at most 15 characters (IFNAMSIZ).
    pub fn bridge(&self) -> String {
        format!("kiln-{}", self.interface_part())
    }

    /// The interface of a node's machine.
    pub fn tap(&self, node: &NodeName) -> String {
        let digest = Digest::of(format!("{}/{node}", self.id).as_bytes()).to_string();
        format!("kt{}", &digest[..12])
    }

    /// The interface that Kiln 0.1 gave to the node at this index in the manifest.
    pub fn numbered_tap(&self, at: usize) -> String {
        format!("kt{at}-{}", self.interface_part())
    }

    fn interface_part(&self) -> String {
        match self.by_name {
            true => Digest::of(self.cluster.as_str().as_bytes()).to_string()[..8].to_owned(),
            false => short_id(&self.id.to_string()),
        }
    }

    /// libvirt's network and pool.
    pub fn libvirt(&self) -> String {
        match self.by_name {
            true => self.cluster.to_string(),
            false => libvirt_name(self.cluster.as_str(), &self.id.to_string()),
        }
    }

    pub fn domain(&self, node: &NodeName) -> String {
        format!("{}-{node}", self.libvirt())
    }

    pub fn volume(&self, node: &NodeName, volume: Volume) -> String {
        match (self.by_name, volume) {
            (true, Volume::Data) => format!("{node}-data.qcow2"),
            (true, Volume::Initrd) => format!("{node}-initrd.img"),
            (true, Volume::Seed) => format!("{node}-seed.iso"),
            (_, volume) => volume.name(node.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_have_names_that_linux_takes() {
        let id = "e33f550df7f5d6bb".parse().unwrap();
        let names = Names { cluster: "ha3".parse().unwrap(), id, by_name: false };
        let tap = |node: &str| names.tap(&node.parse().unwrap());
        assert_eq!(names.bridge(), "kiln-e33f550d");
        assert_eq!(tap("a").len(), 14);
        assert_ne!(tap("a"), tap("a-data"));
    }
}
