//! The values of a template's variables.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::owners::{self, Owned};
use super::renderer::Renderer;
use super::variables::VARIABLES;
use super::{config, logs, systemd};
use crate::plan::{self, CertificateSpec, Earlier, Instance, Node, Owner, Plan, Role, Setting};
use crate::values::{Bond, By, Card, Carried, Dhcp, HashPolicy, LacpRate, Purpose, Route};

/// Those of `VARIABLES`, for one node.
pub fn of_node(renderer: &Renderer<'_>, node: &Node, config: &config::Config) -> Value {
    let plan = renderer.plan;
    let parts = [
        of_cluster(plan, node),
        of_network(plan, node),
        of_members(renderer, node),
        of_unit(plan, node),
        of_files(plan, node, config),
        json!({ "owned": of_profile(renderer, node) }),
    ];
    let mut values = Map::new();
    for part in parts {
        if let Value::Object(part) = part {
            values.extend(part);
        }
    }
    debug_assert!(
        values.keys().eq(VARIABLES.iter().map(|(name, _)| name)),
        "the table of variables has others, or in another order"
    );
    Value::Object(values)
}

fn of_cluster(plan: &Plan, node: &Node) -> Value {
    json!({
        "cluster": plan.cluster.name,
        "domain": plan.cluster.domain.as_ref().map_or("", |domain| domain.as_str()),
        "token": plan.cluster.token,
        "version": plan.release,
        "node": node.name,
        "fqdn": node.fqdn,
    })
}

fn of_network(plan: &Plan, node: &Node) -> Value {
    let network = &plan.network;
    let main = node.cards.first();
    let routes = main.map(|card| card.routes.as_slice()).unwrap_or_default();
    let more = main.and_then(|card| card.addresses.get(1));
    let link = main.and_then(|card| card.addresses.first());
    json!({
        "address": node.address,
        "ipv4": node.address.is_ipv4(),
        "ipv6_address": more.map_or(String::new(), ToString::to_string),
        "mac": node.mac,
        "interface": main.map_or(String::new(), |card| interface(card, 0)),
        "bond": main.map_or(Value::Null, bond),
        "prefix": link.map(IpNet::prefix_len),
        "gateways": vias(routes, false),
        "on_link_gateways": vias(routes, true),
        "dhcp": main.and_then(|card| card.dhcp).map_or("", Dhcp::networkd),
        "dhcp6": main.is_some_and(|card| card.asks(false)),
        "peer_routes": peer_routes(plan, node),
        "dns": network.dns,
        "dns_search": network.dns_search,
        "ntp": network.ntp,
        "mtu": network.mtu.map_or(String::new(), |mtu| mtu.to_string()),
        "vlan": main.map_or(Value::Null, |card| vlan(card, 0)),
        "carried": carried(&node.cards, 0),
        "peer_card": node.cards.get(1).map_or(Value::Null, |card| peer_card(card, &node.cards)),
    })
}

/// The gateways of the routes that are on-link, or of the others.
fn vias(routes: &[Route], on_link: bool) -> Vec<IpAddr> {
    routes.iter().filter(|route| route.on_link == on_link).map(|route| route.via).collect()
}

/// What the files match it by; empty for one that is matched by its MAC address.
fn interface(card: &Card, at: usize) -> String {
    if card.by.is_mac() { String::new() } else { card.interface(at) }
}

fn bond(card: &Card) -> Value {
    let By::Bond(bond) = &card.by else { return Value::Null };
    json!({
        "names": bond.names(),
        "macs": bond.macs(),
        "mode": bond.mode,
        "monitor_ms": Bond::MONITOR_MS,
        "lacp_rate": bond.lacp_rate.map_or("", LacpRate::as_str),
        "hash_policy": bond.hash_policy.map_or("", HashPolicy::as_str),
    })
}

/// The VLANs on the card at this place.
fn carried(cards: &[Card], at: usize) -> Value {
    let mtu = |carried: &Carried| carried.mtu.map_or(String::new(), |mtu| mtu.to_string());
    Card::carried(cards, at).map_or(Value::Null, |all| json!({ "names": all.names, "mtu": mtu(&all) }))
}

fn vlan(card: &Card, at: usize) -> Value {
    card.vlan_name(at).map_or(Value::Null, |name| json!({ "id": card.vlan, "name": name }))
}

/// With DHCP, a way to each other member that has the static address as its source. Nothing that a server says is as
/// exact as one address.
fn peer_routes(plan: &Plan, node: &Node) -> Vec<Value> {
    let Some(card) = node.cards.first().filter(|card| card.dhcp.is_some() && node.cards.len() == 1) else {
        return Vec::new();
    };
    let others = plan.nodes.iter().filter(|other| other.name != node.name).map(|other| other.peer_address);
    let to_one = |to: IpAddr| {
        let is_near = card.addresses.iter().any(|link| link.contains(&to));
        let route = card.routes.iter().find(|route| !is_near && route.to.contains(&to));
        json!({
            "to": IpNet::from(to).to_string(),
            "via": route.map_or(String::new(), |route| route.via.to_string()),
            "on_link": route.is_some_and(|route| route.on_link),
            "source": card.of_family(to),
        })
    };
    others.map(to_one).collect()
}

fn route(route: &Route) -> Value {
    json!({ "to": route.to.to_string(), "via": route.via, "on_link": route.on_link })
}

/// The card for the peers' network.
fn peer_card(card: &Card, cards: &[Card]) -> Value {
    json!({
        "mac": card.mac,
        "interface": interface(card, 1),
        "bond": if card.shared { Value::Null } else { bond(card) },
        "ipv4": !card.has_ipv6(),
        "vlan": vlan(card, 1),
        "carried": carried(cards, 1),
        "address": card.addresses.first().map(ToString::to_string),
        "mtu": card.mtu.map_or(String::new(), |mtu| mtu.to_string()),
        "routes": card.routes.iter().map(route).collect::<Vec<_>>(),
    })
}

fn of_members(renderer: &Renderer<'_>, node: &Node) -> Value {
    let plan = renderer.plan;
    json!({
        "client_url": node.client_url,
        "peer_url": node.peer_url,
        "nodes": plan.nodes.iter().map(of_list).collect::<Vec<_>>(),
        "peers": peers(plan, node),
        "program": renderer.program(),
        "bin_dir": plan.bin_dir.absolute(),
        "member_id": node.member_id.to_string(),
        "cluster_id": plan.cluster.id.to_string(),
        "cluster_record": plan.cluster.id.in_log(),
        "formed": plan.cluster.formed,
        "generation": plan.cluster.generation(),
        "restore": plan.cluster.restored.as_ref().map_or(String::new(), |restored| restored.id.to_string()),
        "attached": attached(plan),
        "earlier": earlier(plan),
        "epoch": renderer.epoch.seconds(),
        "data_serial": node.disk_serial,
    })
}

fn of_unit(plan: &Plan, node: &Node) -> Value {
    let instance = &plan.instance;
    json!({
        "instance": instance.name,
        "owns_host": instance.name.owns_host(),
        "suffix": instance.name.suffix(),
        "kiln": instance.name.directory(),
        "unit": node.unit,
        "user": instance.user,
        "data_dir": plan.data_dir.absolute(),
        "wal": wal(instance),
        "config_dir": instance.config_directory.absolute(),
        "endpoint": node.endpoint,
    })
}

fn of_files(plan: &Plan, node: &Node, config: &config::Config) -> Value {
    let logs = logs::of_node(node);
    let of_role = |role| plan::of_role(&node.certificates, role);
    let cert = |role| of_role(role).map(|spec| spec.cert_path.as_str());
    let key = |role| of_role(role).map(|spec| spec.key_path.as_str());
    let ca = |role| {
        let authority = of_role(role).and_then(|spec| plan.authority(spec.authority));
        authority.map(|authority| authority.file.as_str())
    };
    let etcdctl = plan::of_purpose(&node.certificates, Purpose::Etcdctl);
    let paths = |owner| keys(plan, node, owner).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    json!({
        "pki_dir": plan.pki.directory.absolute(),
        "client_cert": etcdctl.map(|spec| spec.cert_path.as_str()),
        "client_key": etcdctl.map(|spec| spec.key_path.as_str()),
        "client_ca": ca(Role::Server),
        "peer_cert": cert(Role::Peer),
        "peer_key": key(Role::Peer),
        "peer_ca": ca(Role::Peer),
        "renewal": renewal(plan, node),
        "backup": backup(plan),
        "exec_start": config.exec_start,
        "environment_files": config.environment_files,
        "unset": systemd::UNSET.join(" "),
        "etcd_unset": systemd::unset(plan.instance.wal_directory.is_some()),
        "service": service(&plan.instance),
        "log_directories": logs.directories,
        "log_files": logs.files,
        "etcd_keys": paths(Owner::Etcd),
        "root_keys": paths(Owner::Root),
        "keys": owned(plan, node),
    })
}

/// The paths of the keys of this account, each with its certificate.
fn keys<'n>(plan: &Plan, node: &'n Node, owner: Owner) -> Vec<(String, &'n CertificateSpec)> {
    let pki = plan.pki.directory.absolute();
    let wanted = node.certificates.iter().filter(|spec| spec.owner == owner);
    let pairs = wanted.flat_map(|spec| spec.pairs().map(move |(_, key)| (key, spec)));
    pairs.map(|(key, spec)| (format!("{pki}/{key}"), spec)).collect()
}

/// Where the node's program for renewals has its files; null without one.
fn renewal(plan: &Plan, node: &Node) -> Value {
    // etcd asks DNS for the names of a peer whose address does not match (checkCertSAN in client/pkg/transport): who
    // answers could let anyone in.
    let asks = |setting: &Setting| setting.key.ends_with("distributed-tracing-address");
    plan.renewal_places().map_or(Value::Null, |places| {
        json!({
            "hosts_only": !plan.dials_by_name && !node.settings.iter().any(asks),
            "policy": format!("/{}", places.policy()),
            "first": format!("/{}", places.first()),
            "generations": places.generations(),
            "status": places.status(),
        })
    })
}

/// Where the node's program for snapshots has its files; null without one.
fn backup(plan: &Plan) -> Value {
    plan.backup().map_or(Value::Null, |(backup, places)| {
        let interval = backup.interval.seconds();
        json!({
            "policy": format!("/{}", places.policy()),
            "directory": places.directory(),
            "interval": interval,
            "jitter": (interval / 10).min(120),
        })
    })
}

/// All keys with modes and owners. One that the node renews is a link in the directory of keys; the first one is
/// elsewhere.
fn owned(plan: &Plan, node: &Node) -> Vec<Value> {
    let places = plan.renewal_places();
    let of = |owner: Owner| {
        let row = |(path, spec): (String, &CertificateSpec)| {
            let first = places.as_ref().zip(spec.issuer.as_ref());
            let path = first.map_or(path, |(places, issuer)| format!("/{}", places.leaf(issuer).key));
            json!({ "path": path, "mode": spec.key_mode, "user": plan.account(owner) })
        };
        let mut rows: Vec<_> = keys(plan, node, owner).into_iter().map(row).collect();
        rows.dedup();
        rows
    };
    [Owner::Etcd, Owner::Root].map(of).concat()
}

/// The files of the profile's own with an owner.
fn of_profile(renderer: &Renderer<'_>, node: &Node) -> Vec<Value> {
    let all = owners::of_node(renderer, node);
    let row = |owned: &Owned<'_>| {
        let line = if owners::has_whole(owned, &all) { "Z" } else { "z" };
        json!({ "path": owned.path.absolute(), "user": owned.user, "group": owned.group, "line": line })
    };
    all.iter().map(row).collect()
}

/// The settings of etcd's unit.
fn service(instance: &Instance) -> Value {
    json!({
        "description": instance.description.as_deref().unwrap_or_default(),
        "restart": instance.restart,
        "restart_sec": instance.restart_sec,
        "limit_nofile": instance.limit_nofile,
        "unit": instance.unit_lines,
        "service": instance.service_lines,
        "install": instance.install_lines,
    })
}

/// The directory of etcd's log, and the one that it is in; null where it is in the data directory.
fn wal(instance: &Instance) -> Value {
    match (&instance.wal_directory, instance.wal_parent()) {
        (Some(wal), Some(parent)) => json!({ "dir": wal.absolute(), "parent": parent.absolute() }),
        _ => Value::Null,
    }
}

/// A node in the list of all nodes.
fn of_list(node: &Node) -> Value {
    json!({
        "name": node.name, "fqdn": node.fqdn, "address": node.address,
        "client_url": node.client_url, "peer_url": node.peer_url,
    })
}

/// The disk of a machine with what its member is restored from. A cluster on other machines has none of its own.
fn attached(plan: &Plan) -> String {
    match plan.cluster.restored.is_some() && plan.instance.name.owns_host() {
        true => format!("/dev/disk/by-id/virtio-{}", kiln_wire::ATTACHED_SERIAL),
        false => String::new(),
    }
}

/// The generations before that of this build.
fn earlier(plan: &Plan) -> Vec<Value> {
    let all = plan.cluster.restored.iter().flat_map(|restored| &restored.earlier);
    let row = |(generation, one): (u32, &Earlier)| json!({ "generation": generation, "cluster_id": one.id.to_string(), "cluster_record": one.id.in_log() });
    (1..).zip(all).map(row).collect()
}

/// The other nodes.
fn peers(plan: &Plan, node: &Node) -> Vec<Value> {
    let peers = plan.nodes.iter().filter(|peer| peer.name != node.name);
    let value = |peer: &Node| {
        json!({
            "name": peer.name, "peer_url": peer.peer_url,
            "member_id": peer.member_id.to_string(),
            "record": peer.member_id.in_log(plan.cluster.id),
        })
    };
    peers.map(value).collect()
}
