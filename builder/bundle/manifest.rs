//! `bundle.json`: what the bundle promises about the cluster, and what every file in it is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::values::{GuestPath, Invalid, NodeName};

/// The only manifest schema that this Kiln writes and reads.
pub const SCHEMA: u32 = 1;

/// The largest manifest or list of sums that is read, in bytes: ten thousand nodes take about 40 MB.
pub const LIMIT: u64 = 256 << 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub schema: u32,
    /// `kiln 0.1.0`.
    pub builder: String,
    /// Seconds since 1970 that every timestamp in the archives has.
    pub epoch: u64,
    pub cluster: Cluster,
    pub etcd: Etcd,
    pub network: Network,
    /// Absent in bundles of Kiln 0.1 from before it started machines.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub machine: Option<Machine>,
    /// Absent where the bundle has no boot files.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base: Option<Base>,
    /// In the order of the profile.
    pub nodes: Vec<Node>,
    /// `tar`, `initramfs`, `cloud-init`, `ignition`.
    pub carriers: Vec<String>,
    /// `embedded` or `shared`.
    pub binaries: String,
    pub certificates: Vec<Certificate>,
    /// Every file of the bundle but this one and SHA256SUMS, by its path in the bundle.
    pub files: BTreeMap<String, File>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cluster {
    pub name: String,
    pub token: String,
    /// Hex without leading zeros, as `etcdctl` prints it.
    pub id: String,
    /// Whether its nodes were told that the cluster has served before, so that an empty disk founds nothing. Absent in
    /// bundles of Kiln 0.1 from before it told them.
    #[serde(default)]
    pub formed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Etcd {
    /// `3.5.16`.
    pub version: String,
    pub arch: String,
    /// `etcd`, `etcdctl`, `etcdutl`.
    pub binaries: BTreeMap<String, Binary>,
    /// Whether the peer port lets in the members' certificates only, or any of this CA's.
    pub peers_by_name: bool,
    /// The release files that the binaries were taken from.
    pub sources: Vec<Source>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Binary {
    /// Where it lies in the guest: `usr/local/bin/etcdctl`.
    pub path: String,
    pub size: u64,
    pub sha256: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Source {
    pub file: String,
    pub sha256: String,
    /// `catalogue`, `profile` or `trusted by hand`.
    pub trust: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Network {
    /// `10.240.0.0/16`.
    pub cidr: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gateway: Option<IpAddr>,
}

/// What a node's machine is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub memory_mib: u32,
    pub vcpus: u16,
    pub data_disk_mib: u32,
    /// `live`, `cloud`, `ignition`, or an absolute path.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base: Option<String>,
}

/// The base system that `boot/` and the nodes' `initrd.img` were made with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Base {
    pub kernel: Input,
    /// As it was: in a node's `initrd.img`, zeros up to a multiple of four and the node's own files follow it.
    pub initrd: Input,
    pub cmdline: String,
}

/// A file that the bundle was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    pub size: u64,
    pub sha256: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    pub address: IpAddr,
    pub mac: String,
    /// Hex without leading zeros.
    pub member_id: String,
    pub peer_urls: Vec<String>,
    pub client_urls: Vec<String>,
    /// Files in `nodes/NAME/`, by name.
    pub files: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// The path in the guest (`etc/etcd/pki/server.pem`), or in the bundle for `client/…`.
    pub file: String,
    /// The node whose files hold it; absent for the CA and for the client certificates of the bundle.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    pub subject: String,
    pub sans: Vec<String>,
    /// Hex.
    pub serial: String,
    /// Seconds since 1970.
    pub not_before: u64,
    pub not_after: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub size: u64,
    /// Four octal digits.
    pub mode: String,
    pub sha256: String,
}

impl Manifest {
    /// Pretty JSON with a newline at its end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// # Errors
    /// `Exit::Wrong` when it is not a manifest of this schema.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let Schema { schema } = serde_json::from_slice(bytes)
            .map_err(|error| Failure::wrong(format!("it is not a bundle's manifest: {error}")))?;
        if schema != SCHEMA {
            return Err(Failure::wrong(format!(
                "manifest schema {schema} is not supported; this kiln reads schema {SCHEMA}"
            )));
        }
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| Failure::wrong(format!("it is not a whole manifest: {error}")))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Names become paths when a bundle is read, so that they must be what Kiln writes.
    fn check(&self) -> Result<()> {
        let refuse = |what: &str, error: Invalid| {
            Failure::wrong(format!("{what:?} in the manifest is nothing that kiln writes: {error}"))
        };
        for node in &self.nodes {
            node.name.parse::<NodeName>().map_err(|error| refuse(&node.name, error))?;
        }
        let paths = self.files.keys().chain(self.etcd.binaries.values().map(|binary| &binary.path));
        for path in paths {
            path.parse::<GuestPath>().map_err(|error| refuse(path, error))?;
        }
        Ok(())
    }
}
