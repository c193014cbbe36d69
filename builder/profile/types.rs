//! A profile as values.

use std::collections::BTreeSet;

use serde::Serialize;

use super::unit_values::UnitLine;
use crate::etcd::{Release, Value, judge, keys};
use crate::values::{
    Arch, BaseSystem, Carrier, ClusterName, Connect, Domain, GuestPath, HostName, InstallLine, InstanceName,
    Invalid, Link, LoginName, NodeName, ServiceUser, SshKey, Token, UnitName, deserialize_parsed,
    serialize_displayed,
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
    /// Unit, account, ports, URLs and directories of the members.
    pub service: Service,
    /// The `[etcd.config]` table in the order of the file, checked against the keys of this release.
    pub options: Vec<OptionSet>,
}

/// One option of `[etcd.config]`, or of a `[node.config]`.
#[derive(Clone, Debug)]
pub struct OptionSet {
    /// By etcd's own name; nested ones with a dot: `peer-transport-security.allowed-hostname`.
    pub key: String,
    /// With etcd's type for the key.
    pub value: Value,
    /// The table that it is in: `[etcd.config]`, `[node.config]`.
    pub table: &'static str,
    /// Line in the profile, from 1; `None` where `--set` gives it.
    pub line: Option<usize>,
    /// `FILE:LINE` of its value, or the setting.
    pub place: String,
    /// Where its value is in the profile's whole text, in bytes.
    pub at: usize,
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

/// How etcd runs on the nodes.
#[derive(Clone, Debug)]
pub struct Service {
    /// Names Kiln's own part of the nodes.
    pub instance: InstanceName,
    /// The unit of each node, in the order of the nodes.
    pub units: Vec<UnitName>,
    /// The account that etcd runs as.
    pub user: ServiceUser,
    pub client_port: u16,
    pub peer_port: u16,
    /// Of the HTTP listener for metrics and health, where there is one.
    pub metrics_port: Option<u16>,
    /// The host in `advertise-client-urls`.
    pub client_url: UrlHost,
    /// The host in `initial-advertise-peer-urls`.
    pub peer_url: UrlHost,
    /// The hosts in `initial-cluster`, from which the members' IDs follow.
    pub initial_cluster: UrlHost,
    /// The directory of etcd's configuration in the guest: `etc/etcd`.
    pub config_dir: GuestPath,
    /// The directory of etcd's log, where it is not in the data directory.
    pub wal_dir: Option<GuestPath>,
    /// `[etcd.service]`.
    pub unit: UnitSettings,
}

impl Service {
    /// The lowest port that an account without privileges can open, and the highest.
    pub const PORTS: (u32, u32) = (1024, 65535);
}

/// The unit's settings that a profile decides.
#[derive(Clone, Debug)]
pub struct UnitSettings {
    pub restart: Restart,
    /// A time span of systemd's: `5s`.
    pub restart_sec: String,
    pub limit_nofile: u32,
    /// `None` for Kiln's own.
    pub description: Option<String>,
    /// Further lines for `[Unit]`, in the order of the profile.
    pub unit: Vec<UnitLine>,
    /// Those for `[Service]`: `KEY=VALUE`.
    pub service: Vec<String>,
    /// Those for `[Install]`.
    pub install: Vec<InstallLine>,
}

impl UnitSettings {
    /// The smallest and the largest LimitNOFILE=: etcd needs a file per connection and per segment; the kernel's own
    /// limit (fs.nr_open) is 2^30 at the most.
    pub const LIMIT_NOFILE: (u32, u32) = (1024, 1 << 30);
}

/// The host in a member's URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlHost {
    /// The node's address.
    Address,
    /// `NODE.DOMAIN`.
    Fqdn,
    /// The node's address outside of its network, for clients only.
    Public,
}

impl UrlHost {
    /// Those that a peer's URL may have: etcd resolves and compares these at its start, and members listen there.
    pub const OF_PEERS: &[(&str, Self)] = &[("address", Self::Address), ("fqdn", Self::Fqdn)];
    /// The words alone.
    pub const NAMES_OF_PEERS: &[&str] = &["address", "fqdn"];
}

/// When systemd starts etcd again after it has ended (systemd.service(5), `Restart=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    Always,
    OnFailure,
    OnAbnormal,
    OnAbort,
    OnWatchdog,
    OnSuccess,
    No,
}

/// A `[[host]]`.
#[derive(Clone, Debug)]
pub struct Host {
    /// Unique in the profile.
    pub name: HostName,
    /// The libvirt that runs its nodes; `None` where `kiln up` is told.
    pub connect: Option<Connect>,
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

/// Who renews the certificates of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewedBy {
    /// Whoever builds the bundle.
    Desk,
    /// Each node, by itself.
    Node,
}

/// Who removes old snapshots from the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrunedBy {
    /// Whoever calls `kiln snapshots prune`, or a rule of the bucket.
    Desk,
    /// Each node, after a snapshot of its own.
    Node,
}

/// What the CA of a node for its client port may issue for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeCaConstraints {
    /// The node's own names and addresses.
    Strict,
    /// The same names, and any address: BoringSSL refuses constraints of addresses.
    Names,
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
    /// What its network card is connected to.
    #[serde(skip_serializing_if = "Link::is_own")]
    pub link: Link,
    /// The account for logging in; `None` where logging in is not possible.
    pub login: Option<Login>,
}

impl Machine {
    /// The smallest and the largest memory. With less, a Linux distribution with systemd does not boot.
    pub const MEMORY_MIB: (u32, u32) = (256, 4_194_304);
    /// The smallest and the largest number of CPUs.
    pub const VCPUS: (u32, u32) = (1, 512);
    /// The smallest and the largest data disk. etcd writes its log in files of 64 MB, makes the next one ahead of time
    /// and keeps five.
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
    RenewedBy { Desk = "desk", Node = "node" }
    NodeCaConstraints { Strict = "strict", Names = "names" }
    PrunedBy { Desk = "desk", Node = "node" }
    Compression { Gzip = "gzip", Zstd = "zstd" }
    UrlHost { Address = "address", Fqdn = "fqdn", Public = "public-address" }
    Restart {
        Always = "always", OnFailure = "on-failure", OnAbnormal = "on-abnormal", OnAbort = "on-abort",
        OnWatchdog = "on-watchdog", OnSuccess = "on-success", No = "no"
    }
    Binaries { Embedded = "embedded", Shared = "shared" }
}
