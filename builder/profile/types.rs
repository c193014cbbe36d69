//! A profile as values.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::etcd::{Release, Value, judge, keys};
use crate::values::{
    self, Arch, BaseSystem, Carrier, ClusterName, Domain, GuestPath, Invalid, LoginName, Mac, NodeName,
    SshKey, Token, deserialize_parsed, serialize_displayed,
};

/// `[cluster]`.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Keys derive from it.
    pub name: ClusterName,
    /// Appended to node names: `kloud.lan`.
    pub domain: Option<Domain>,
    /// Otherwise derived from the keystore.
    pub token: Option<Token>,
    /// The cluster already exists: a node with an empty disk never bootstraps a new one.
    pub formed: bool,
}

impl Cluster {
    /// `cp-a.kloud.lan` where there is a domain, else the name alone.
    pub fn fqdn(&self, node: &NodeName) -> String {
        match &self.domain {
            Some(domain) => format!("{node}.{domain}"),
            None => node.to_string(),
        }
    }
}

/// `[etcd]`.
#[derive(Clone, Debug)]
pub struct Etcd {
    /// The one that all members run.
    pub release: Release,
    /// Whether the profile names the release, or it is the newest in the artifact store.
    pub pinned: bool,
    /// The architecture of the nodes.
    pub arch: Arch,
    /// Digests of the release files that the profile accepts; empty: those that the store has accepted.
    pub sha256: Vec<crate::values::Digest>,
    /// How etcd gets its options.
    pub config_style: ConfigStyle,
    /// `/var/lib/etcd`, as a guest path.
    pub data_dir: GuestPath,
    /// The directory of etcd, etcdctl and etcdutl in the guest: `usr/local/bin`.
    pub bin_dir: GuestPath,
    /// The `[etcd.config]` table in the order of the file, checked against the keys of this release.
    pub options: Vec<OptionSet>,
}

/// One option of `[etcd.config]`.
#[derive(Clone, Debug)]
pub struct OptionSet {
    /// By etcd's own name; nested ones with a dot: `peer-transport-security.allowed-hostname`.
    pub key: String,
    /// With etcd's type for the key.
    pub value: Value,
    /// Line in the profile, from 1.
    pub line: usize,
    /// `FILE:LINE` of its value.
    pub place: String,
}

impl OptionSet {
    /// The files in the guest that etcd reads because of it.
    pub fn reads(&self) -> Vec<&str> {
        match &self.value {
            Value::Text(text) if self.key == "auth-token" => judge::token_files(text).unwrap_or_default(),
            Value::Text(path) if keys::reads(&self.key) && !path.is_empty() => vec![path],
            _ => Vec::new(),
        }
    }
}

/// How etcd gets its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigStyle {
    /// `--config-file /etc/etcd/etcd.conf`, YAML.
    File,
    /// Every option as a flag in the unit's ExecStart, where kube-bench looks for them.
    Flags,
    /// `ETCD_*` variables in `/etc/etcd/etcd.env`.
    Env,
}

/// `[network]`.
#[derive(Clone, Debug, Serialize)]
pub struct Network {
    /// The network itself, without host bits: `10.240.16.0/24`.
    #[serde(serialize_with = "values::as_text")]
    pub cidr: IpNet,
    /// The default route; `None` for nodes without one.
    pub gateway: Option<IpAddr>,
}

/// A `[[node]]`.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique in the profile.
    pub name: NodeName,
    /// In the network, and unique in the profile.
    pub address: IpAddr,
    /// From the profile, or derived from the cluster's and the node's name.
    pub mac: Mac,
}

/// A key's algorithm; the signature hash follows from it (RFC 5480, RFC 8410).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256, with SHA-256.
    P256,
    /// ECDSA on P-384, with SHA-384.
    P384,
    /// ECDSA on P-521, with SHA-512.
    P521,
    /// Hashes by itself (RFC 8032).
    Ed25519,
}

/// The number of certificates of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// server, peer and etcdctl, each with a key of its own.
    PerUse,
    /// One key and certificate per node for all uses: etcd.pem, etcd-key.pem.
    OnePerNode,
}

/// The virtual machine that `domain.xml` describes and `kiln up` makes.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// In MiB, within [`Machine::MEMORY_MIB`].
    pub memory_mib: u32,
    /// Within [`Machine::VCPUS`].
    pub vcpus: u16,
    /// The size of the disk for etcd's data. It is thin: it uses only the space that is written.
    pub data_disk_mib: u32,
    /// The base system that `kiln up` uses by default: one of those that `ci/base` makes, by its name (`live`), or the
    /// absolute path of a directory with a kernel, an initrd and a command line.
    pub base: Option<BaseSystem>,
    /// The account for logging in; `None` where logging in is not possible.
    pub login: Option<Login>,
}

impl Machine {
    /// The smallest and the largest memory. With less, a Linux distribution with systemd does not boot.
    pub const MEMORY_MIB: (u32, u32) = (256, 4_194_304);
    /// The smallest and the largest number of CPUs.
    pub const VCPUS: (u32, u32) = (1, 512);
    /// The smallest and the largest data disk. etcd writes its log in files of 64 MB, makes the next one ahead of time and
    /// keeps five.
    pub const DATA_DISK_MIB: (u32, u32) = (256, 16_777_216);
}

/// An account with sudo, without a password, on nodes whose base system has a login service.
#[derive(Clone, Debug, Serialize)]
pub struct Login {
    /// Not the name of an account that systems already have.
    pub user: LoginName,
    /// At least one.
    pub keys: Vec<SshKey>,
}

/// `[bundle]`.
#[derive(Clone, Debug, Serialize)]
pub struct Bundle {
    /// In the order of their table.
    pub carriers: Vec<Carrier>,
    /// Where the programs are.
    pub binaries: Binaries,
    /// For the segments that Linux unpacks as its initramfs; everything else is gzip, which every guest reads.
    pub initramfs_compression: Compression,
    /// The user's own overlay directories, relative to the profile's directory unless absolute; layered in this order.
    /// Their contents are identified by a digest.
    #[serde(skip)]
    pub overlays: Vec<std::path::PathBuf>,
    /// Paths at which an overlay may replace an earlier file.
    pub replace: BTreeSet<GuestPath>,
}

/// The location of etcd's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binaries {
    /// Each host's files are complete.
    Embedded,
    /// One layer for all hosts.
    Shared,
}

/// The compression of an initramfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// The kernel needs `CONFIG_RD_ZSTD` (Linux 5.9).
    Zstd,
}

impl Compression {
    /// The extension of a file that is compressed by it.
    pub fn ending(self) -> &'static str {
        match self {
            Compression::Gzip => "gz",
            Compression::Zstd => "zst",
        }
    }
}

/// Defines the word for each variant in profiles and in output.
macro_rules! choices {
    ($($name:ident { $($variant:ident = $text:literal),+ })+) => {$(
        impl $name {
            /// Each value with its word in profiles.
            pub const CHOICES: &[(&str, Self)] = &[$(($text, Self::$variant)),+];
            /// The words alone.
            pub const NAMES: &[&str] = &[$($text),+];
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self { $(Self::$variant => $text),+ })
            }
        }
        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let known = Self::CHOICES.iter().find(|(name, _)| *name == text);
                known.map(|(_, value)| *value).ok_or_else(|| Invalid(format!("it is {}", [$($text),+].join(" or "))))
            }
        }
        deserialize_parsed!($name);
        serialize_displayed!($name);
    )+};
}

choices! {
    ConfigStyle { File = "file", Flags = "flags", Env = "env" }
    Algorithm { P256 = "p256", P384 = "p384", P521 = "p521", Ed25519 = "ed25519" }
    Certificates { PerUse = "per-use", OnePerNode = "one-per-node" }
    Compression { Gzip = "gzip", Zstd = "zstd" }
    Binaries { Embedded = "embedded", Shared = "shared" }
}
