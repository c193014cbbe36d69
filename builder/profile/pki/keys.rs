//! The keys of the tables below `[pki]`, and of the subject of a client, as data.

use crate::profile::key::Usual::{self, Follows, Is};
use crate::profile::key::ValueKind::{Bool, Choice, Text, Texts};
use crate::profile::key::{Key, key};
use crate::profile::types::Algorithm;
use crate::values::{CA_FILES, NODE_FILES, OPERATOR_FILES, PEER_FILES, PemPair, SERVER_FILES};

/// In the order in which they are listed.
pub static KEYS: &[&[Key]] = &[
    &subject(
        "[client.subject]",
        OF_LEAVES,
        "`C` in the subject of this client: two letters",
        "`O`, instead of `[[client]] organization`",
    ),
    &subject("[pki.subject]", Usual::None, "`C` in the subject of all leaves: two letters", "`O`"),
    &leaf(
        "[pki.server]",
        SERVER_FILES,
        "certificate for members' client ports: its file (\"Certificates\")",
        "its key's file, as in `{{node}}-server.key`",
        "`{{node}}`",
    ),
    &leaf(
        "[pki.peer]",
        PEER_FILES,
        "certificate for members' peer ports: its file (\"Certificates\")",
        "its key's file, as in `{{node}}-peer.key`",
        "`etcd-peer`",
    ),
    &leaf(
        "[pki.client]",
        OPERATOR_FILES,
        "certificate for root's etcdctl on a node: its file (\"Certificates\")",
        "its key's file, as in `{{node}}-client.key`",
        "`etcdctl`; `etcdctl@{{node}}` where nodes renew",
    ),
    &leaf(
        "[pki.node]",
        NODE_FILES,
        "certificate for all uses, with `one-per-node`: its file (\"Certificates\")",
        "its key's file, as in `{{node}}-node.key`",
        "`{{node}}`",
    ),
    &subject("[pki.server.subject]", OF_LEAVES, OF_A_LEAF, "`O`"),
    &subject("[pki.peer.subject]", OF_LEAVES, OF_A_LEAF, "`O`"),
    &subject("[pki.client.subject]", OF_LEAVES, OF_A_LEAF, "`O`"),
    &subject("[pki.node.subject]", OF_LEAVES, OF_A_LEAF, "`O`"),
    &[key(
        "[pki.ca]",
        "source",
        Choice(&["derived", "imported"]),
        Is("derived"),
        "`imported`: the keystore must have one",
    )],
    &authority(
        "[pki.ca]",
        "key algorithm of the CA",
        "common name of the CA",
        [Is("10y"), Is("false"), Is(CA_FILES.cert)],
    ),
    &subject("[pki.ca.subject]", Usual::None, "`C` in the subject of the CA: two letters", "`O`"),
    &[key(
        "[pki.peer-ca]",
        "source",
        Choice(&["derived", "imported"]),
        Follows("`derived`"),
        "`imported`: the keystore must have one for peers",
    )],
    // None is a default: one that is written makes the table, and with it the CA.
    &authority(
        "[pki.peer-ca]",
        "a CA for the peer port alone: its key",
        "common name of the peers' CA",
        [Follows("`10y`"), Usual::None, Follows("`peer-ca.pem`")],
    ),
    &subject("[pki.peer-ca.subject]", Usual::None, "`C` in the subject of the peers' CA: two letters", "`O`"),
];

const OF_LEAVES: Usual = Follows("of `[pki.subject]`");
const OF_A_LEAF: &str = "`C` in its subject: two letters";

/// The attributes of a subject, with the texts about the country and the organization.
const fn subject(
    table: &'static str,
    usual: Usual,
    country: &'static str,
    organization: &'static str,
) -> [Key; 5] {
    [
        key(table, "country", Text, usual, country),
        key(table, "state", Text, usual, "`ST`"),
        key(table, "locality", Text, usual, "`L`"),
        key(table, "organization", Texts, usual, organization),
        key(table, "organizational-unit", Text, usual, "`OU`"),
    ]
}

/// A kind of certificate, with the texts about its files.
const fn leaf(
    table: &'static str,
    usual: PemPair,
    cert: &'static str,
    of_key: &'static str,
    common_name: &'static str,
) -> [Key; 7] {
    [
        key(table, "cert", Text, Is(usual.cert), cert),
        key(table, "key", Text, Is(usual.key), of_key),
        key(table, "common-name", Text, Follows(common_name), "common name of its subject"),
        key(table, "lifetime", Text, Follows("`leaf-lifetime`"), "as in `12h`, `90d`, `2y`"),
        key(table, "cert-mode", Choice(&["0444", "0644"]), Is("0644"), "mode of the certificate's file"),
        key(table, "key-mode", Choice(&["0400", "0600", "0640"]), Is("0600"), "mode of the key's file"),
        key(table, "names", Texts, Usual::None, "more names and addresses in it, also `*.example.com`"),
    ]
}

/// A CA, besides its source: the usual values of its lifetime, of its two switches, and of its file.
const fn authority(
    table: &'static str,
    algorithm: &'static str,
    common_name: &'static str,
    [lifetime, switch, file]: [Usual; 3],
) -> [Key; 9] {
    let from_the_cluster = Follows("from the cluster");
    [
        key(table, "algorithm", Choice(Algorithm::NAMES), Follows("`algorithm`"), algorithm),
        key(table, "lifetime", Text, lifetime, "as in `12h`, `90d`, `20y`"),
        key(table, "common-name", Text, from_the_cluster, common_name),
        key(table, "intermediate", Bool, switch, "a root, and a CA below it that issues"),
        key(table, "intermediate-common-name", Text, from_the_cluster, "common name of the issuing CA"),
        key(table, "intermediate-lifetime", Text, Follows("`lifetime`"), "lifetime of the issuing CA"),
        key(table, "name-constraints", Bool, switch, "it may issue for the cluster's own names only"),
        key(table, "file", Text, file, "file with the certificate that members trust"),
        key(table, "root-file", Text, Usual::None, "another file, with the certificate that clients trust"),
    ]
}
