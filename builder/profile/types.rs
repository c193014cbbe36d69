//! A profile as values.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use super::written::Written;
use crate::etcd::{Release, Value, judge, keys};
use crate::values::{
    self, Arch, BaseSystem, Carrier, ClientName, ClusterName, Domain, GuestPath, Invalid, Lifetime,
    LoginName, Mac, NodeName, SshKey, Token, deserialize_parsed,
};

/// A profile, as true: every value checked, every default that needs nothing but the profile filled in.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The file's stem, which also names the bundle: `ha3`.
    pub name: ClusterName,
    pub cluster: Cluster,
    pub etcd: Etcd,
    pub network: Network,
    /// At least one, in the order of the file.
    pub nodes: Vec<Node>,
    /// Besides the one for etcdctl.
    pub clients: Vec<ClientName>,
    pub pki: Pki,
    pub machine: Machine,
    pub bundle: Bundle,
    /// Its text, for what is found wrong later.
    pub written: Written,
}

#[derive(Clone, Debug)]
pub struct Cluster {
    pub name: ClusterName,
    pub domain: Option<Domain>,
    /// Otherwise derived from the keystore.
    pub token: Option<Token>,
    /// It has served before: an empty disk founds nothing any more.
    pub formed: bool,
}

#[derive(Clone, Debug)]
pub struct Etcd {
    pub release: Release,
    /// Whether the profile names the release, or it is the newest in the artifact store.
    pub pinned: bool,
    pub arch: Arch,
    /// Digests of the release files that the profile accepts; empty: those that the store has accepted.
    pub sha256: Vec<crate::values::Digest>,
    pub config_style: ConfigStyle,
    /// `/var/lib/etcd`, as a guest path.
    pub data_dir: GuestPath,
    /// Where etcd, etcdctl and etcdutl lie in the guest: `usr/local/bin`.
    pub bin_dir: GuestPath,
    /// The `[etcd.config]` table in the order of the file, checked against the keys of this release.
    pub options: Vec<OptionSet>,
}

/// One option of `[etcd.config]`.
#[derive(Clone, Debug)]
pub struct OptionSet {
    /// By etcd's own name; nested ones with a dot: `peer-transport-security.allowed-hostname`.
    pub key: String,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigStyle {
    /// `--config-file /etc/etcd/etcd.conf`, YAML.
    File,
    /// Every option as a flag in the unit's ExecStart, where kube-bench looks for them.
    Flags,
    /// `ETCD_*` variables in `/etc/etcd/etcd.env`.
    Env,
}

#[derive(Clone, Debug, Serialize)]
pub struct Network {
    #[serde(serialize_with = "values::as_text")]
    pub cidr: IpNet,
    pub gateway: Option<IpAddr>,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub name: NodeName,
    pub address: IpAddr,
    /// As the profile says, or derived from the cluster's and the node's name.
    pub mac: Mac,
}

#[derive(Clone, Debug, Serialize)]
pub struct Pki {
    pub ca_algorithm: Algorithm,
    pub leaf_algorithm: Algorithm,
    pub ca_lifetime: Lifetime,
    pub leaf_lifetime: Lifetime,
    /// Where they lie in the guest: `etc/etcd/pki`.
    pub directory: GuestPath,
    pub certificates: Certificates,
}

/// A key's algorithm; the signature hash follows from it (RFC 5480, RFC 8410).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    P256,
    P384,
    P521,
    Ed25519,
}

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
    pub memory_mib: u32,
    pub vcpus: u16,
    /// Of the disk that etcd's data is on. It takes only the space that is written to.
    pub data_disk_mib: u32,
    /// The base system that `kiln up` takes unless it is told another: one of those that `ci/base` makes, by its
    /// name (`live`), or the absolute path of a directory with a kernel, an initrd and what they are started with.
    pub base: Option<BaseSystem>,
    /// Who may log in besides nobody.
    pub login: Option<Login>,
}

impl Machine {
    // What it may have: the least, and the most.
    /// Below the least a Linux distribution with systemd does not boot.
    pub const MEMORY_MIB: (u32, u32) = (256, 4_194_304);
    pub const VCPUS: (u32, u32) = (1, 512);
    /// etcd writes its log in files of 64 MB, makes the next one ahead of time and keeps five.
    pub const DATA_DISK_MIB: (u32, u32) = (256, 16_777_216);
}

/// An account with sudo, without a password, on nodes whose base system has a login service.
#[derive(Clone, Debug, Serialize)]
pub struct Login {
    pub user: LoginName,
    /// At least one.
    pub keys: Vec<SshKey>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Bundle {
    /// In the order of their table.
    pub carriers: Vec<Carrier>,
    pub binaries: Binaries,
    /// Of the segments that Linux unpacks as its initramfs; everything else is gzip, which every guest reads.
    pub initramfs_compression: Compression,
    /// Directories of the user's own, below the profile's directory unless absolute; layered in this order.
    /// What is in them is known by its digest.
    #[serde(skip)]
    pub overlays: Vec<std::path::PathBuf>,
    /// Paths that an overlay may put in the place of an earlier one.
    pub replace: BTreeSet<GuestPath>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binaries {
    /// Each host's files are complete.
    Embedded,
    /// One layer for all hosts.
    Shared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    /// The kernel needs `CONFIG_RD_ZSTD` (Linux 5.9).
    Zstd,
}

impl Compression {
    /// The ending of a file that is compressed by it.
    pub fn ending(self) -> &'static str {
        match self {
            Compression::Gzip => "gz",
            Compression::Zstd => "zst",
        }
    }
}

/// What a profile writes for each variant, and what is printed for it.
macro_rules! choices {
    ($($name:ident { $($variant:ident = $text:literal),+ })+) => {$(
        impl $name {
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
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        deserialize_parsed!($name);
    )+};
}

choices! {
    ConfigStyle { File = "file", Flags = "flags", Env = "env" }
    Algorithm { P256 = "p256", P384 = "p384", P521 = "p521", Ed25519 = "ed25519" }
    Certificates { PerUse = "per-use", OnePerNode = "one-per-node" }
    Compression { Gzip = "gzip", Zstd = "zstd" }
    Binaries { Embedded = "embedded", Shared = "shared" }
}
