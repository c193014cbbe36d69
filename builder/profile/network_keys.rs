//! The keys of `[network]` and of what is below it, and of `[[node]]`.

use super::key::{Key, Usual, ValueKind, key, number};
use super::topology::Network;
use crate::values::Card;

use Usual::{Follows, Is, Required};
use ValueKind::{Bool, Options, Text, Texts};

pub(super) static KEYS: &[Key] = &[
    key(
        "[network]",
        "cidr",
        Text,
        Required("cidr = \"10.240.0.0/16\""),
        "the nodes' network, IPv4 or IPv6; addresses are static",
    ),
    key("[network]", "gateway", Text, Usual::None, "an address of the network"),
    key(
        "[network]",
        "on-link",
        Bool,
        Is("false"),
        "`true`: a gateway outside of the network, which the nodes reach on their link all the same",
    ),
    key("[network]", "dns", Texts, Usual::None, "addresses of DNS servers"),
    key("[network]", "dns-search", Texts, Usual::None, "domains in which short names are looked up"),
    key("[network]", "ntp", Texts, Usual::None, "addresses or names of time servers, for systemd-timesyncd"),
    key("[network]", "ipv6-cidr", Text, Usual::None, "an IPv6 network beside the IPv4 one (\"Network\")"),
    key("[network]", "ipv6-gateway", Text, Usual::None, "an address of that"),
    key("[network]", "mtu", number(Network::MTU), Follows("the card's"), "bytes of the largest packet"),
    key("[network]", "vlan", number(Card::VLAN), Usual::None, "the VLAN ID with which the node tags frames"),
    key(
        "[network.peer]",
        "cidr",
        Text,
        Required("cidr = \"10.241.0.0/24\""),
        "a network of the peers' own, on a second card of each node (\"Network\")",
    ),
    key("[network.peer]", "mtu", number(Network::MTU), Follows("the card's"), "as in `[network]`"),
    key("[network.peer]", "vlan", number(Card::VLAN), Usual::None, "as in `[network]`, on the second card"),
    key(
        "[[network.subnet]]",
        "cidr",
        Text,
        Required("cidr = \"10.240.16.0/20\""),
        "a link in `[network] cidr`, or in the peers'",
    ),
    key(
        "[[network.subnet]]",
        "gateway",
        Text,
        Required("gateway = \"10.240.16.1\""),
        "its nodes' way to the other subnets",
    ),
    key(
        "[[network.subnet]]",
        "on-link",
        Bool,
        Is("false"),
        "as in `[network]`: the gateway is outside of the subnet",
    ),
    key("[[node]]", "name", Text, Required("name = \"cp-a\""), "a DNS label"),
    key("[[node]]", "address", Text, Required("address = \"10.240.16.10\""), "an address of the network"),
    key(
        "[[node]]",
        "host",
        Text,
        Usual::None,
        "the `[[host]]` that it runs on; all nodes name one, or none (\"Hosts\")",
    ),
    key(
        "[[node]]",
        "peer-address",
        Text,
        Usual::None,
        "its address in `[network.peer]`; required with that, refused without",
    ),
    key("[[node]]", "peer-mac", Text, Follows("derived"), "MAC address of its second card"),
    key("[[node]]", "ipv6-address", Text, Usual::None, "its address in `ipv6-cidr`; required with that"),
    key(
        "[[node]]",
        "public-address",
        Text,
        Usual::None,
        "address by which others reach it through NAT; certificates name it",
    ),
    key("[[node]]", "mac", Text, Follows("derived"), "MAC address that the node's network files match"),
    key(
        "[[node]]",
        "config",
        Options,
        Usual::None,
        "a table, `[node.config]`: options of this member, before those of `[etcd.config]`",
    ),
];
