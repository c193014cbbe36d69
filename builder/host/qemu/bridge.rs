//! The network of machines that QEMU runs: a bridge with an address in the cluster's network for this host, and a tap
//! for every node.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;

use crate::bundle::Manifest;
use crate::disk;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::host::names::Names;
use crate::host::record::MachinesRecord;
use crate::host::state::State;
use crate::process::ip::address_line;
use crate::process::{self, Program};
use crate::values::{Digest, Interface, Link, Mode};

/// The beginning of the names of bridges that Kiln makes.
const OWN: &str = "kiln-";

/// The limit on an interface's alias in bytes (IFALIASZ with its NUL).
const ALIAS: usize = 255;

#[derive(Deserialize)]
struct Port {
    ifname: String,
    #[serde(default)]
    ifalias: Option<String>,
    #[serde(default)]
    master: Option<String>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
    prefixlen: Option<u8>,
}

/// This machine's interfaces. ip returns their addresses and their aliases in two answers; `adjust` may change how it
/// is run.
fn links(adjust: fn(Program) -> Program) -> Result<Vec<Port>> {
    let ip = process::find("ip")?;
    let ask = |object: &str| -> Result<Vec<Port>> {
        let finished = adjust(Program::new(&ip)).args(["-json", object, "show"]).must()?;
        serde_json::from_slice(&finished.stdout).map_err(|error| {
            Failure::io(format!("reading what ip says of this machine's interfaces: {error}"))
        })
    };
    let mut links = ask("link")?;
    for with_addresses in ask("address")? {
        if let Some(link) = links.iter_mut().find(|link| link.ifname == with_addresses.ifname) {
            link.addr_info = with_addresses.addr_info;
        }
    }
    Ok(links)
}

/// The mark of the bridge's owner, also for people who inspect it.
fn mark(directory: &Path) -> String {
    match directory.to_str() {
        Some(path) if path.len() <= ALIAS && !path.contains(char::is_control) => path.to_owned(),
        _ => Digest::of(directory.as_os_str().as_encoded_bytes()).to_string(),
    }
}

/// # Errors
/// `Exit::Usage` when this machine has no bridge of this name.
pub fn check(bridge: &Interface) -> Result<()> {
    if disk::look(&Path::new("/sys/class/net").join(bridge.as_str()).join("bridge"))?.is_some() {
        return Ok(());
    }
    let reason = format!(
        "this machine has no bridge {bridge} ([machine] bridge); make it (ip link add {bridge} type bridge), or name \
         another one in the profile and build again"
    );
    Err(Failure::new(Exit::Usage, reason))
}

/// Makes what is missing. The intention is saved first.
///
/// # Errors
/// `Exit::Unsafe` when this machine is in the cluster's network already, or the bridge belongs to other machines;
/// `Exit::Io` when it may not make interfaces.
pub fn lay(state: &mut State, manifest: &Manifest) -> Result<()> {
    let network = manifest.network.cidr;
    let names = state.record.names.clone();
    let links = links(|ip| ip)?;
    let (bridge, is_own) = match manifest.machine().link {
        Link::Bridge(bridge) => (bridge.to_string(), false),
        Link::Own | Link::Network(_) => (names.bridge(), true),
    };
    if is_own {
        refuse_overlap(&links, &bridge, network)?;
    }
    let there: BTreeSet<_> = links.iter().map(|link| link.ifname.as_str()).collect();
    let mark = mark(&state.directory);
    if let Some(link) = links.iter().find(|link| is_own && link.ifname == bridge) {
        refuse_strangers(link, &mark, &state.record)?;
    }
    state.record.laid = true;
    state.save()?;
    let is_new = is_own && !there.contains(bridge.as_str());
    let mut lines = match is_new {
        true => format!(
            "link add {bridge} type bridge\n{}link set {bridge} up\n",
            address_line(manifest.host_address()?, network, &bridge)
        ),
        false => String::new(),
    };
    lines.push_str(&tap_lines(&links, manifest.nodes.iter().map(|node| names.tap(&node.name)), &bridge));
    // Of an ordinary user, for whom an administrator has made all of them, ip would refuse even an empty change.
    if lines.is_empty() {
        return Ok(());
    }
    let file = state.directory.join("ip-batch");
    disk::write_whole(&file, lines.as_bytes(), Mode::SECRET)?;
    let ip = process::find("ip")?;
    let finished = Program::new(&ip).arg("-batch").arg(&file).run()?;
    disk::remove_file(&file)?;
    if finished.success() {
        if is_new {
            Program::new(&ip).args(["link", "set", "dev", &bridge, "alias", &mark]).must()?;
        }
        return Ok(());
    }
    let said = finished.stderr_text();
    if said.contains("not permitted") {
        return Err(Failure::io(
            "this account cannot create network interfaces; run kiln as root, or in a network namespace of your own \
             (unshare --map-root-user --net), or use --driver libvirt",
        ));
    }
    Err(Failure::io(said).while_doing(format!("connecting the VMs to the bridge {bridge}")))
}

/// What connects these taps to a bridge, in lines for ip; none for those that are there already.
fn tap_lines(links: &[Port], taps: impl Iterator<Item = String>, bridge: &str) -> String {
    let mut lines = String::new();
    for tap in taps {
        let there = links.iter().find(|link| link.ifname == tap);
        // Writing to a String cannot fail.
        if there.is_none() {
            let _ = writeln!(lines, "tuntap add dev {tap} mode tap");
        }
        // One from an earlier run may be on another bridge.
        let is_connected = |link: &Port| {
            link.master.as_deref() == Some(bridge) && link.flags.iter().any(|flag| flag == "UP")
        };
        if !there.is_some_and(is_connected) {
            let _ = writeln!(lines, "link set {tap} master {bridge} up");
        }
    }
    lines
}

/// # Errors
/// `Exit::Unsafe` when the bridge with this cluster's name belongs to other machines.
fn refuse_strangers(link: &Port, mark: &str, record: &MachinesRecord) -> Result<()> {
    let is_ours = match &link.ifalias {
        Some(alias) => alias == mark,
        // Kiln 0.1 did not mark bridges, and another run may have been killed before it could.
        None => record.laid,
    };
    if is_ours {
        return Ok(());
    }
    let whose = link.ifalias.as_ref().map_or(String::new(), |alias| format!(": they are in {alias}"));
    Err(Failure::unsafe_to(format!(
        "the bridge {} on this host belongs to other VMs of cluster {} with the ID {}{whose}; stop those first (kiln down)",
        link.ifname, record.names.cluster, record.names.id
    )))
}

/// A second interface in a network of this machine would take over the route to its neighbours.
fn refuse_overlap(links: &[Port], bridge: &str, network: IpNet) -> Result<()> {
    for link in links.iter().filter(|link| link.ifname != bridge) {
        for address in &link.addr_info {
            let (Some(local), Some(prefix)) = (address.local, address.prefixlen) else { continue };
            let Ok(own) = IpNet::new(local, prefix) else { continue };
            if network.contains(&local) || own.contains(&network.network()) {
                return Err(Failure::unsafe_to(format!(
                    "the cluster's network {network} overlaps with {own} of this machine's interface {}; change [network] \
                     in the profile, or run kiln in a network namespace of its own",
                    link.ifname
                )));
            }
        }
    }
    Ok(())
}

/// Removes the bridge and the taps that `lay` has made for these machines; missing ones are fine. Returns the name of
/// the bridge if it stays, because other machines use it.
pub fn clear(state: &State, manifest: &Manifest) -> Result<Option<String>> {
    let names = &state.record.names;
    let of_nodes = state.record.nodes.keys().chain(manifest.nodes.iter().map(|node| &node.name));
    let mut own: BTreeSet<_> = of_nodes.map(|node| names.tap(node)).collect();
    if names.by_name {
        own.extend((0..manifest.nodes.len()).map(|at| names.numbered_tap(at)));
    }
    let all = links(Program::through_interrupt)?;
    let Doomed { taps, bridge, stays } = doomed(&all, names, &own, &mark(&state.directory));
    let ip = process::find("ip")?;
    for name in taps.into_iter().chain(bridge) {
        Program::new(&ip)
            .args(["link", "delete", "dev", name])
            .through_interrupt()
            .must()
            .doing(|| format!("removing the interface {name}"))?;
    }
    Ok(stays.map(str::to_owned))
}

/// The interfaces of this machine to remove.
#[derive(Debug, Default, PartialEq, Eq)]
struct Doomed<'a> {
    taps: Vec<&'a str>,
    bridge: Option<&'a str>,
    stays: Option<&'a str>,
}

fn doomed<'a>(links: &'a [Port], names: &Names, own: &BTreeSet<String>, mark: &str) -> Doomed<'a> {
    // A tap has a carrier as long as a program holds it, and ours have ended. Kiln 0.1 could give one name to the
    // bridges of two clusters.
    let is_used = |link: &Port| link.flags.iter().any(|flag| flag == "LOWER_UP");
    let bridge = names.bridge();
    let Some(bridge) = links.iter().find(|link| link.ifname == bridge) else {
        // Left alone, or at a bridge that the host has: those never have a name of Kiln's (`Interface`).
        let is_of_kiln = |bridge: &String| bridge.starts_with(OWN);
        let is_left = |link: &&Port| {
            own.contains(&link.ifname) && !link.master.as_ref().is_some_and(is_of_kiln) && !is_used(link)
        };
        let taps = links.iter().filter(is_left).map(|link| link.ifname.as_str()).collect();
        return Doomed { taps, ..Doomed::default() };
    };
    let name = bridge.ifname.as_str();
    if bridge.ifalias.as_ref().is_some_and(|alias| alias != mark) {
        return Doomed { stays: Some(name), ..Doomed::default() };
    }
    let ports: Vec<_> = links.iter().filter(|link| link.master.as_deref() == Some(name)).collect();
    if ports.iter().any(|link| is_used(link)) {
        return Doomed { stays: Some(name), ..Doomed::default() };
    }
    let mine = ports.iter().map(|link| link.ifname.as_str()).filter(|name| own.contains(*name));
    Doomed { taps: mine.collect(), bridge: Some(name), stays: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, local: &str, prefixlen: u8) -> Port {
        let address = Address { local: local.parse().ok(), prefixlen: Some(prefixlen) };
        Port { ifname: name.into(), addr_info: vec![address], ..none() }
    }

    fn none() -> Port {
        Port { ifname: String::new(), ifalias: None, master: None, flags: Vec::new(), addr_info: Vec::new() }
    }

    #[test]
    fn the_bridge_and_taps_of_others_stay() {
        let names = |by_name| Names {
            cluster: "ha3".parse().unwrap(),
            id: "e33f550df7f5d6bb".parse().unwrap(),
            by_name,
        };
        for by_name in [false, true] {
            let names = names(by_name);
            let tap = names.tap(&"cp-a".parse().unwrap());
            let own = BTreeSet::from([tap.clone()]);
            let make = |alias: Option<&str>, used: bool| {
                let flags = vec![if used { "LOWER_UP" } else { "NO-CARRIER" }.to_owned()];
                let master = Some(names.bridge());
                vec![
                    link("lo", "127.0.0.1", 8),
                    Port { ifname: names.bridge(), ifalias: alias.map(str::to_owned), ..none() },
                    Port { ifname: tap.clone(), flags, master, ..none() },
                    Port { ifname: "eth0".into(), flags: vec!["LOWER_UP".into()], ..none() },
                ]
            };
            let all = |alias, used| {
                let links = make(alias, used);
                let Doomed { taps, bridge, stays } = doomed(&links, &names, &own, "/out/.ha3.machines");
                (taps.len(), bridge.is_some(), stays.is_some())
            };
            assert_eq!(all(Some("/out/.ha3.machines"), false), (1, true, false));
            assert_eq!(all(None, false), (1, true, false));
            assert_eq!(all(Some("/other/.ha3.machines"), false), (0, false, true));
            assert_eq!(all(Some("/out/.ha3.machines"), true), (0, false, true));
        }
        assert_eq!(doomed(&[], &names(false), &BTreeSet::new(), "x"), Doomed::default());
    }

    /// An ordinary user was refused on a later `kiln up`, though an administrator had made all taps.
    #[test]
    fn only_taps_that_are_missing_or_elsewhere_are_connected() {
        let lines = |master: Option<&str>, flags: &[&str]| {
            let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
            let there = Port { ifname: "t1".into(), master: master.map(str::to_owned), flags, ..none() };
            tap_lines(&[there], ["t1".to_owned()].into_iter(), "br0")
        };
        let connects = "link set t1 master br0 up\n";
        assert_eq!(lines(Some("br0"), &["BROADCAST", "UP"]), "");
        assert_eq!(lines(Some("br0"), &["BROADCAST"]), connects);
        assert_eq!(lines(Some("br1"), &["UP"]), connects);
        assert_eq!(lines(None, &["UP"]), connects);
        let missing = tap_lines(&[], ["t1".to_owned()].into_iter(), "br0");
        assert_eq!(missing, format!("tuntap add dev t1 mode tap\n{connects}"));
    }

    #[test]
    fn a_network_that_this_machine_is_in_is_refused() {
        let network: IpNet = "10.240.0.0/16".parse().unwrap();
        let cases = [
            ("eth0", "10.240.3.4", 24, true),
            ("eth0", "10.1.2.3", 8, true),
            ("eth0", "10.241.0.1", 16, false),
            ("lo", "127.0.0.1", 8, false),
            ("eth0", "fd00::1", 64, false),
            ("kiln-01234567", "10.240.0.1", 16, false),
        ];
        for (name, local, prefix, refused) in cases {
            let links = [link("lo", "127.0.0.1", 8), link(name, local, prefix)];
            assert_eq!(
                refuse_overlap(&links, "kiln-01234567", network).is_err(),
                refused,
                "{local}/{prefix}"
            );
        }
    }
}
