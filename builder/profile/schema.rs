//! Every key that a profile may have, as data: the source of the reader, "did you mean", the README's table and the
//! JSON Schema.

use super::backup;
use super::key::{Key, Usual, ValueKind, key, number};
use super::machine_keys;
use super::network_keys;
use super::pki::keys;
use super::types::{
    Algorithm, Certificates, ConfigStyle, NodeCaConstraints, RenewedBy, Restart, Service, UnitSettings,
    UrlHost,
};
use crate::values::Arch;

use Usual::{Follows, Is, Required};
use ValueKind::{Bool, Choice, Lines, Nodes, Options, Schema, Table, Text, Texts};

/// In the order in which they are listed: these, then those of the network.
static FIRST: &[Key] = &[
    key("", "schema", Schema, Required("schema = 1"), "version of this format: 1"),
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
        "a DNS label; names keystore and token (the bundle has the file's name)",
    ),
    key("[cluster]", "domain", Text, Usual::None, "adds `cp-a.DOMAIN` to the certificates"),
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
        "accept two members: quorum 2, no failure tolerated",
    ),
];

static LATER: &[Key] = &[
    key(
        "[[host]]",
        "name",
        Text,
        Required("name = \"pve1\""),
        "name of a machine, rack or site whose failure stops all of its nodes",
    ),
    key(
        "[[host]]",
        "connect",
        Text,
        Usual::None,
        "the libvirt for `kiln up`, as in `qemu+ssh://root@pve1/system`",
    ),
    key(
        "[[file]]",
        "path",
        Text,
        Required("path = \"/etc/sysctl.d/90-etcd.conf\""),
        "a file of the nodes' own: its absolute path (\"Files\")",
    ),
    key("[[file]]", "text", Text, Usual::None, "what is in it; one of `text`, `source`, `link`, `directory`"),
    key("[[file]]", "source", Text, Usual::None, "a file with that, relative to the profile"),
    key("[[file]]", "link", Text, Usual::None, "the target of a symbolic link"),
    key("[[file]]", "directory", Bool, Usual::None, "`true`: a directory, which may be empty"),
    key(
        "[[file]]",
        "template",
        Bool,
        Follows("of `*.hbs`"),
        "whether it is filled in for each node, as in overlays",
    ),
    key("[[file]]", "mode", Text, Follows("0644; `source`'s own"), "as in `\"0640\"`; a directory has 0755"),
    key("[[file]]", "owner", Text, Follows("`root`"), "an account of the node, such as etcd's"),
    key("[[file]]", "group", Text, Follows("`owner`'s name"), "a group of the node"),
    key("[[file]]", "nodes", Nodes, Follows("`true`"), "the nodes that have it"),
    key(
        "[[client]]",
        "name",
        Text,
        Required("name = \"kube-apiserver\""),
        "name of a client certificate besides the one for etcdctl",
    ),
    key("[[client]]", "common-name", Text, Follows("its name"), "etcd's user"),
    key(
        "[[client]]",
        "organization",
        Texts,
        Follows("of `[pki.subject]`"),
        "`O`, for other programs: etcd ignores it",
    ),
    key("[[client]]", "cert", Text, Follows("`NAME.pem`"), "name of the certificate's file"),
    key("[[client]]", "key", Text, Follows("`NAME-key.pem`"), "name of the key's file"),
    key("[[client]]", "lifetime", Text, Follows("`leaf-lifetime`"), "as in `12h`, `90d`, `2y`"),
    key("[[client]]", "names", Texts, Usual::None, "subject alternative names, as in `[pki.server]`"),
    key("[[client]]", "copies", Texts, Usual::None, "the same pair again: `x` for `x.pem` and `x-key.pem`"),
    key("[[client]]", "nodes", Nodes, Usual::None, "nodes that have its files, too, for root"),
    key("[pki]", "algorithm", Choice(Algorithm::NAMES), Is("p256"), "key algorithm of the CA and the leaves"),
    key("[pki]", "ca-algorithm", Choice(Algorithm::NAMES), Follows("`algorithm`"), "key algorithm of the CA"),
    key(
        "[pki]",
        "leaf-algorithm",
        Choice(Algorithm::NAMES),
        Follows("`algorithm`"),
        "key algorithm of the leaves",
    ),
    key("[pki]", "ca-lifetime", Text, Is("10y"), "as in `12h`, `90d`, `2y`"),
    key("[pki]", "leaf-lifetime", Text, Is("1y"), "as in `12h`, `90d`, `2y`"),
    key(
        "[pki]",
        "directory",
        Text,
        Is("/etc/etcd/pki"),
        "directory of keys and certificates on a node (below)",
    ),
    key(
        "[pki]",
        "certificates",
        Choice(Certificates::NAMES),
        Is("per-use"),
        "`one-per-node`: etcd.pem for all uses",
    ),
    key(
        "[pki]",
        "renewal",
        Choice(RenewedBy::NAMES),
        Follows("keystore's; at first `\"node\"`"),
        "`node`: each node renews those of its member",
    ),
    key("[pki]", "node-leaf-lifetime", Text, Is("90d"), "of the certificates that a node makes"),
    key("[pki]", "node-ca-lifetime", Text, Is("5y"), "of the CAs with which a node makes them"),
    key(
        "[pki]",
        "node-ca-constraints",
        Choice(NodeCaConstraints::NAMES),
        Is("strict"),
        "`names`: for BoringSSL (grpcio, Envoy)",
    ),
    key(
        "[pki]",
        "links",
        Options,
        Usual::None,
        "a table, `[pki.links]`: `\"client-ca.crt\" = \"ca\"`, `\"peer-ca\"` or a file",
    ),
    key("[etcd]", "arch", Choice(Arch::NAMES), Is("amd64"), "CPU architecture of the nodes"),
    key("[etcd]", "version", Text, Follows("newest imported"), "`\"3.5.33\"`"),
    key("[etcd]", "sha256", Texts, Usual::None, "SHA-256 digests of accepted release files"),
    key(
        "[etcd]",
        "config-style",
        Choice(ConfigStyle::NAMES),
        Is("file"),
        "YAML, the unit (for kube-bench), or `etcd.env`",
    ),
    key(
        "[etcd]",
        "data-dir",
        Text,
        Is("/var/lib/etcd"),
        "in `/data`, or below `/var/lib`, `/srv`, `/mnt` or `/opt`",
    ),
    key(
        "[etcd]",
        "bin-dir",
        Text,
        Is("/usr/local/bin"),
        "directory of etcd and etcdctl; also `/opt/bin` or `/opt/NAME/bin`",
    ),
    key(
        "[etcd]",
        "unit",
        Text,
        Is("etcd"),
        "unit without `.service`; fills in `{{node}}`, `{{index}}`, `{{cluster}}`",
    ),
    key("[etcd]", "user", Text, Is("etcd"), "account that etcd runs as, made on the node"),
    key(
        "[etcd]",
        "instance",
        Text,
        Is("etcd"),
        "name of its part of the nodes, where those have several (\"Side by side\")",
    ),
    key("[etcd]", "client-port", number(Service::PORTS), Is("2379"), "port for clients"),
    key("[etcd]", "peer-port", number(Service::PORTS), Is("2380"), "port for the other members"),
    key(
        "[etcd]",
        "metrics-port",
        number(Service::PORTS),
        Usual::None,
        "port for metrics and health by HTTP, on address and loopback",
    ),
    key(
        "[etcd]",
        "client-url",
        Choice(UrlHost::NAMES),
        Is("address"),
        "host in URLs for clients (\"Network\")",
    ),
    key(
        "[etcd]",
        "peer-url",
        Choice(UrlHost::NAMES_OF_PEERS),
        Is("address"),
        "host in the URL for its peers",
    ),
    key(
        "[etcd]",
        "initial-cluster",
        Choice(UrlHost::NAMES_OF_PEERS),
        Follows("`peer-url`"),
        "hosts in that option; the members' IDs follow from it",
    ),
    key(
        "[etcd]",
        "config-dir",
        Text,
        Is("/etc/etcd"),
        "directory of etcd.conf or etcd.env: /etc/etcd-b and the like",
    ),
    key(
        "[etcd]",
        "wal-dir",
        Text,
        Usual::None,
        "etcd's log, in a directory of etcd's own: `/var/lib/etcd-wal/wal`",
    ),
    key("[etcd]", "service", Table, Usual::None, "a table, `[etcd.service]`: settings of etcd's unit"),
    key("[etcd]", "accept-risk", Texts, Usual::None, "refused releases to build with anyway"),
    key(
        "[etcd]",
        "config",
        Options,
        Usual::None,
        "a table, `[etcd.config]`: any option of exactly that release, by etcd's own name",
    ),
    key(
        "[etcd.service]",
        "restart",
        Choice(Restart::NAMES),
        Is("always"),
        "systemd's `Restart=`: `always`, `on-failure`, `no` and so on",
    ),
    key("[etcd.service]", "restart-sec", Text, Is("5s"), "time before that, as in `500ms`, `10s`, `1min`"),
    key(
        "[etcd.service]",
        "limit-nofile",
        number(UnitSettings::LIMIT_NOFILE),
        Is("65536"),
        "open files and connections",
    ),
    key("[etcd.service]", "description", Text, Follows("from the names"), "description of the unit"),
    key(
        "[etcd.service]",
        "unit",
        Lines,
        Usual::None,
        "further lines for `[Unit]`: a string for each key, or a list",
    ),
    key("[etcd.service]", "service", Lines, Usual::None, "the same for `[Service]`, as in `Nice = \"-5\"`"),
    key("[etcd.service]", "install", Lines, Usual::None, "the same for `[Install]`"),
];

/// All keys; a table comes before the tables in it.
pub fn all() -> impl Iterator<Item = &'static Key> {
    FIRST
        .iter()
        .chain(network_keys::KEYS)
        .chain(LATER)
        .chain(machine_keys::KEYS)
        .chain(backup::keys::KEYS)
        .chain(keys::KEYS.iter().copied().flatten())
}

/// What a table is about, for editors. One whose own row is a key of another table, as `[etcd.service]`, has words
/// there.
pub fn about(header: &str) -> Option<&'static str> {
    const SUBJECT: &str = "attributes of the subject, beside the common name";
    let words = match header {
        "[cluster]" => "the cluster: its name and its identity",
        "[network]" => "the network of the members and their clients",
        "[network.bond]" => "several cards as one",
        "[network.peer]" => "a network of their own for the members among themselves",
        "[network.peer.bond]" => "several cards as one, for that network",
        "[[network.subnet]]" => "a part of the network with a gateway of its own",
        "[[node]]" => "a host with a member on it",
        "[[host]]" => "a machine that nodes run on, for the failure of one",
        "[[file]]" => "a file, link or directory of the nodes",
        "[[client]]" => "a client's certificate, and where its files are",
        "[pki]" => "certificates: algorithms, lifetimes and files",
        "[pki.server]" => "the certificate for clients' connections, one for each node",
        "[pki.peer]" => "the certificate among members, one for each node",
        "[pki.client]" => "the certificate of etcdctl on nodes, one for each node",
        "[pki.node]" => "the one certificate of each node, where certificates is one-per-node",
        "[pki.ca]" => "the CA that issues to members and clients",
        "[pki.peer-ca]" => "a CA of its own for the members among themselves",
        "[etcd]" => "the release of etcd, its files and its unit",
        "[backup]" => "snapshots that each node takes of its member",
        "[backup.s3]" => "a bucket to which they go, too",
        "[machine]" => "the machines that kiln up starts",
        "[bundle]" => "the forms in which the bundle has the nodes",
        _ if header.ends_with("subject]") => SUBJECT,
        _ => return None,
    };
    Some(words)
}

/// The tables at the top of a profile, and whether each is a list of them: `node` of `[[node]]`.
pub(super) fn tables() -> impl Iterator<Item = (&'static str, bool)> {
    let mut seen = Vec::new();
    all().filter_map(move |key| {
        let name = key.table.trim_matches(['[', ']']);
        let is_new = !name.is_empty() && !name.contains('.') && !seen.contains(&name);
        is_new.then(|| {
            seen.push(name);
            (name, key.table.starts_with("[["))
        })
    })
}

/// Whether a profile without this table is complete, although the table has keys that are required in it.
pub(super) fn may_be_omitted(header: &str) -> bool {
    header == "[backup]"
}

/// `None` where there is no such key.
pub(super) fn find(table: &str, name: &str) -> Option<&'static Key> {
    all().find(|key| key.table == table && key.name == name)
}

/// The value of a key that is not written, where it is the same in all profiles.
pub fn usual(table: &str, name: &str) -> Option<&'static str> {
    match find(table, name)?.usual {
        Is(value) => Some(value),
        _ => None,
    }
}

/// The keys of a table, by its header.
pub(super) fn names(table: &str) -> Vec<&'static str> {
    let own = all().filter(|key| key.table == table).map(|key| key.name);
    let tables = tables().map(|(name, _)| name).filter(|_| table.is_empty());
    let mut names: Vec<_> = own.chain(tables).collect();
    for below in all().filter_map(|key| below(key.table, table)) {
        if !names.contains(&below) {
            names.push(below);
        }
    }
    names
}

/// The other tables that have a key with this name, at most three: more are no help.
pub(super) fn elsewhere(table: &str, name: &str) -> Vec<&'static str> {
    let mut tables: Vec<_> =
        all().filter(|key| key.name == name && key.table != table).map(|key| key.table).collect();
    // That the kinds of certificates have the same keys is told by one of them.
    if tables.contains(&"[pki.server]") {
        tables.retain(|table| !["[pki.peer]", "[pki.client]", "[pki.node]", "[[client]]"].contains(table));
    }
    match tables.len() {
        1..=3 => tables,
        _ => Vec::new(),
    }
}

/// The key of a table in the one above it: `subject` of `[pki.ca.subject]` in `[pki.ca]`.
fn below<'t>(header: &'t str, above: &str) -> Option<&'t str> {
    let brackets = ['[', ']'];
    let above = Some(above.trim_matches(brackets)).filter(|above| !above.is_empty())?;
    header.trim_matches(brackets).strip_prefix(above)?.strip_prefix('.').filter(|name| !name.contains('.'))
}
