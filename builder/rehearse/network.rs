//! A bridge for each link of the cluster's networks, and for every node a network namespace with its real addresses.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::together::{self, Cluster, Machine};
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::process::ip::address_line;
use crate::process::{self, Program};
use crate::values::{self, Card, Mode};

/// The file of a node's network namespace, for `nsenter --net=FILE`.
pub fn namespace_of(scratch: &Path, node: &str) -> PathBuf {
    scratch.join("net").join(node)
}

/// A link that cards share.
struct Wire {
    nets: Vec<IpNet>,
    /// The routers there that are outside of these.
    beyond: Vec<IpAddr>,
    /// The addresses of this host there, each with its network: those of the routers, or free ones.
    own: Vec<(IpAddr, IpNet)>,
    /// The networks in which no address is free. This host reaches them from the routers outside.
    full: Vec<IpNet>,
}

impl Wire {
    /// Chooses this host's addresses. `cards`: those of all wires.
    ///
    /// # Errors
    /// `Exit::Wrong` when none is free.
    fn address(&mut self, cards: &[&Card]) -> Result<()> {
        for net in &self.nets {
            match values::router(*net, cards) {
                Some(own) => self.own.push((own, *net)),
                None if self.beyond.iter().any(|via| via.is_ipv4() == net.addr().is_ipv4()) => {
                    self.full.push(*net);
                }
                None => {
                    let reason = format!("{net} has no free address to ask the members from");
                    return Err(Failure::wrong(reason));
                }
            }
        }
        self.own.extend(self.beyond.iter().map(|via| (*via, IpNet::from(*via))));
        Ok(())
    }
}

/// A machine's cards, each with the number of its wire.
type Wired<'m> = (&'m Machine<'m>, Vec<(Card, usize)>);

/// Makes everything inside the network namespace of this process. Each bridge has an address in the networks on it, so
/// that the members can be reached from here, and from one subnet to another.
pub fn build(scratch: &Path, clusters: &[Cluster]) -> Result<()> {
    let ip = process::find("ip")?;
    let unshare = process::find("unshare")?;
    let machines = together::machines(clusters);
    let mut wires: Vec<Wire> = Vec::new();
    let wired: Vec<Wired<'_>> = machines
        .iter()
        .map(|machine| {
            let cards = cards_of(machine, clusters).into_iter();
            (machine, cards.map(|card| (card.clone(), join(&mut wires, &card))).collect())
        })
        .collect();
    let all: Vec<&Card> = wired.iter().flat_map(|(_, cards)| cards.iter().map(|(card, _)| card)).collect();
    for wire in &mut wires {
        wire.address(&all)?;
    }
    disk::make_directories(&scratch.join("net"), Mode::SECRET_DIRECTORY)?;
    for Machine { node, .. } in &machines {
        let file = namespace_of(scratch, &node.name);
        disk::write_whole(&file, b"", Mode::SECRET)?;
        // A file that a namespace is bound to keeps it alive without a process.
        Program::new(&unshare).arg(format!("--net={}", file.display())).arg("true").must()?;
    }
    batch(Program::new(&ip), scratch, "bridge", &bridges(scratch, &wired, &wires))?;
    let nets: usize = wires.iter().map(|wire| wire.nets.len()).sum();
    if nets > 1 && all.iter().any(|card| !card.routes.is_empty()) {
        forward()?;
    }
    let nsenter = process::find("nsenter")?;
    for (Machine { node, .. }, cards) in &wired {
        let net = format!("--net={}", namespace_of(scratch, &node.name).display());
        let within = Program::new(&nsenter).arg(net).arg("--").arg(&ip);
        batch(within, scratch, &node.name, &station(cards))?;
    }
    Ok(())
}

/// Those of the cluster that sets up the machine; of several the first.
fn cards_of(machine: &Machine<'_>, clusters: &[Cluster]) -> Vec<Card> {
    let manifests = || machine.clusters.iter().map(|of| &clusters[*of].manifest);
    let owner = manifests().find(|manifest| manifest.cluster.instance.owns_host());
    let Some(manifest) = owner.or_else(|| manifests().next()) else { return Vec::new() };
    let node = manifest.nodes.iter().find(|node| node.name == machine.node.name);
    node.unwrap_or(machine.node).cards(&manifest.network)
}

/// The wire of a card: the one with a network of its addresses, to which the others are added; else a new one.
fn join(wires: &mut Vec<Wire>, card: &Card) -> usize {
    let nets: Vec<IpNet> = card.addresses.iter().map(IpNet::trunc).collect();
    let at = wires.iter().position(|wire| wire.nets.iter().any(|net| nets.contains(net)));
    let at = at.unwrap_or_else(|| {
        wires.push(Wire { nets: Vec::new(), beyond: Vec::new(), own: Vec::new(), full: Vec::new() });
        wires.len() - 1
    });
    for net in nets {
        if !wires[at].nets.contains(&net) {
            wires[at].nets.push(net);
        }
    }
    for via in card.routes.iter().filter(|route| route.on_link).map(|route| route.via) {
        if !wires[at].beyond.contains(&via) {
            wires[at].beyond.push(via);
        }
    }
    at
}

/// Lets packets from one wire to another: this process is the router between subnets.
fn forward() -> Result<()> {
    for path in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
        // A kernel without IPv6 does not have the second.
        if disk::look(Path::new(path))?.is_some() {
            disk::append_line(Path::new(path), b"1").doing(|| "routing between the subnets".to_owned())?;
        }
    }
    Ok(())
}

fn batch(program: Program, scratch: &Path, name: &str, lines: &str) -> Result<()> {
    let file = scratch.join(format!("ip-{name}"));
    disk::write_whole(&file, lines.as_bytes(), Mode::SECRET)?;
    program.arg("-batch").arg(&file).must().map(|_| ())
}

fn bridges(scratch: &Path, wired: &[Wired<'_>], wires: &[Wire]) -> String {
    let mut lines = String::from("link set lo up\n");
    // Writing to a String cannot fail.
    for (at, wire) in wires.iter().enumerate() {
        let _ = writeln!(lines, "link add kiln{at} type bridge");
        wire.own
            .iter()
            .for_each(|(own, net)| lines.push_str(&address_line(*own, *net, &format!("kiln{at}"))));
        let _ = writeln!(lines, "link set kiln{at} up");
        wire.full.iter().for_each(|net| {
            let _ = writeln!(lines, "route add {net} dev kiln{at}");
        });
    }
    for (machine, (Machine { node, .. }, cards)) in wired.iter().enumerate() {
        let file = namespace_of(scratch, &node.name);
        for (eth, (card, wire)) in cards.iter().enumerate() {
            let _ = writeln!(
                lines,
                "link add kiln-p{machine}-{eth} type veth peer name eth{eth} address {} netns {}\n\
                 link set kiln-p{machine}-{eth} master kiln{wire} up",
                card.mac,
                file.display()
            );
        }
    }
    lines
}

fn station(cards: &[(Card, usize)]) -> String {
    let mut lines = String::from("link set lo up\n");
    for (eth, (card, _)) in cards.iter().enumerate() {
        card.addresses.iter().for_each(|link| {
            lines.push_str(&address_line(link.addr(), *link, &format!("eth{eth}")));
        });
        let _ = writeln!(lines, "link set eth{eth} up");
        for route in &card.routes {
            let on_link = if route.on_link { " onlink" } else { "" };
            let _ = writeln!(lines, "route add {} via {} dev eth{eth}{on_link}", route.to, route.via);
        }
    }
    lines
}
