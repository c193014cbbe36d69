//! Every key that a profile may have, as data: the reader, "did you mean", the README's table and the JSON Schema come out of it.

use super::types::{Algorithm, Binaries, Certificates, Compression, ConfigStyle, Machine};
use crate::values::Arch;

/// A key of a profile.
pub struct Key {
    /// The table that it is in, as its header is written: `[cluster]`, `[[node]]`; empty for the top of the file.
    pub table: &'static str,
    pub name: &'static str,
    pub kind: Kind,
    pub usual: Usual,
    /// What it is for; Markdown without a line end.
    pub about: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy)]
pub enum Kind {
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    Bool,
    /// A whole number, from the one to the other.
    Number(u32, u32),
    /// The number of the schema.
    Schema,
    /// Several texts; one alone may be written without the list.
    Texts,
    /// Several of the carriers.
    Carriers,
    /// A table of etcd's own options.
    Options,
}

/// What counts where a key is not written.
#[derive(Clone, Copy)]
pub enum Usual {
    /// The profile is wrong without it. An example of the whole line.
    Required(&'static str),
    /// As it would be written, without quotes.
    Is(&'static str),
    /// In words.
    Follows(&'static str),
    None,
}

use Kind::{Bool, Carriers, Choice, Number, Options, Schema, Text, Texts};
use Usual::{Follows, Is, Required};

const fn key(table: &'static str, name: &'static str, kind: Kind, usual: Usual, about: &'static str) -> Key {
    Key { table, name, kind, usual, about }
}

const fn number(of: (u32, u32)) -> Kind {
    Number(of.0, of.1)
}

/// In the order in which they are listed.
pub static KEYS: &[Key] = &[
    key("", "schema", Schema, Required("schema = 1"), "1"),
    key(
        "",
        "extends",
        Text,
        Usual::None,
        "path of a base profile (`*.toml`), relative to this file; keys set here override it",
    ),
    key(
        "[cluster]",
        "name",
        Text,
        Required("name = \"ha3\""),
        "a DNS label; names keystore and token (the file's name names the bundle)",
    ),
    key("[cluster]", "domain", Text, Usual::None, "then `cp-a.DOMAIN` is in the certificates too"),
    key("[cluster]", "token", Text, Follows("from the keystore"), "etcd's `initial-cluster-token`"),
    key(
        "[cluster]",
        "formed",
        Bool,
        Is("false"),
        "the cluster exists: no empty disk bootstraps it (as `kiln seal`)",
    ),
    key(
        "[cluster]",
        "allow-two-members",
        Bool,
        Is("false"),
        "two members are worse than one: either's loss stops both",
    ),
    key(
        "[network]",
        "cidr",
        Text,
        Required("cidr = \"10.240.0.0/16\""),
        "one network, IPv4 or IPv6; static addresses",
    ),
    key("[network]", "gateway", Text, Usual::None, "an address of the network"),
    key("[[node]]", "name", Text, Required("name = \"cp-a\""), "a DNS label"),
    key("[[node]]", "address", Text, Required("address = \"10.240.16.10\""), "an address of the network"),
    key("[[node]]", "mac", Text, Follows("derived"), "the card that the baked network files match"),
    key(
        "[[client]]",
        "name",
        Text,
        Required("name = \"kube-apiserver\""),
        "a client certificate besides the one for etcdctl",
    ),
    key("[pki]", "algorithm", Choice(Algorithm::NAMES), Is("p256"), "of the CA's key and of the leaves'"),
    key("[pki]", "ca-algorithm", Choice(Algorithm::NAMES), Follows("`algorithm`"), "of the CA's key"),
    key("[pki]", "leaf-algorithm", Choice(Algorithm::NAMES), Follows("`algorithm`"), "of the leaves' keys"),
    key("[pki]", "ca-lifetime", Text, Is("10y"), "`12h`, `90d`, `2y`"),
    key("[pki]", "leaf-lifetime", Text, Is("1y"), "`12h`, `90d`, `2y`"),
    key("[pki]", "directory", Text, Is("/etc/etcd/pki"), "where keys and certificates lie on a node (below)"),
    key(
        "[pki]",
        "certificates",
        Choice(Certificates::NAMES),
        Is("per-use"),
        "`one-per-node`: etcd.pem for everything",
    ),
    key("[etcd]", "arch", Choice(Arch::NAMES), Is("amd64"), "of the nodes"),
    key("[etcd]", "version", Text, Follows("newest imported"), "`\"3.5.33\"`"),
    key("[etcd]", "sha256", Texts, Usual::None, "digests of the release files that are accepted"),
    key(
        "[etcd]",
        "config-style",
        Choice(ConfigStyle::NAMES),
        Is("file"),
        "YAML, the unit (kube-bench looks there), or `etcd.env`",
    ),
    key(
        "[etcd]",
        "data-dir",
        Text,
        Is("/var/lib/etcd"),
        "`/data`, or one below `/var/lib`, `/srv`, `/mnt` or `/opt`",
    ),
    key(
        "[etcd]",
        "bin-dir",
        Text,
        Is("/usr/local/bin"),
        "of etcd and etcdctl; also `/opt/bin` or `/opt/NAME/bin`",
    ),
    key("[etcd]", "accept-risk", Texts, Usual::None, "releases that Kiln refuses and you want all the same"),
    key(
        "[etcd]",
        "config",
        Options,
        Usual::None,
        "a table, `[etcd.config]`: any option of exactly that release, by etcd's own name",
    ),
    key(
        "[machine]",
        "base",
        Text,
        Usual::None,
        "`live`, `cloud`, `ignition` (by `ci/base`) or an absolute path (\"Boot files\")",
    ),
    key("[machine]", "memory-mib", number(Machine::MEMORY_MIB), Is("1024"), "for `domain.xml` and `kiln up`"),
    key("[machine]", "vcpus", number(Machine::VCPUS), Is("2"), "for `domain.xml` and `kiln up`"),
    key(
        "[machine]",
        "data-disk-mib",
        number(Machine::DATA_DISK_MIB),
        Is("8192"),
        "the disk for etcd's data that `kiln up` makes",
    ),
    key(
        "[machine]",
        "login-user",
        Text,
        Usual::None,
        "an account with sudo for `ssh-keys`, which go with it (\"A login\")",
    ),
    key("[machine]", "ssh-keys", Texts, Usual::None, "public keys, as in `authorized_keys`"),
    key("[bundle]", "carriers", Carriers, Follows("all"), "the tarball is always there"),
    key(
        "[bundle]",
        "binaries",
        Choice(Binaries::NAMES),
        Is("embedded"),
        "`shared`: one layer for all hosts instead",
    ),
    key(
        "[bundle]",
        "initramfs-compression",
        Choice(Compression::NAMES),
        Is("gzip"),
        "`zstd`: smaller, faster; needs `CONFIG_RD_ZSTD`",
    ),
    key("[bundle]", "overlays", Texts, Usual::None, "directories of your own, relative to the profile"),
    key(
        "[bundle]",
        "replace",
        Texts,
        Usual::None,
        "guest paths that an overlay may put in the place of Kiln's",
    ),
];

/// The tables at the top of a profile, as their headers name them.
const TABLES: [&str; 8] = ["cluster", "network", "node", "client", "pki", "etcd", "machine", "bundle"];

/// `None` where there is no such key.
pub(super) fn find(table: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.table == table && key.name == name)
}

/// What a table takes, by its header.
pub(super) fn names(table: &str) -> Vec<&'static str> {
    let own = KEYS.iter().filter(|key| key.table == table).map(|key| key.name);
    let tables = TABLES.iter().copied().filter(|_| table.is_empty());
    own.chain(tables).collect()
}

impl Key {
    /// `[cluster] name`, or `schema` alone.
    pub fn path(&self) -> String {
        format!("{} {}", self.table, self.name).trim_start().to_owned()
    }
}
