//! The network of machines that QEMU runs: a bridge with an address of the cluster's network for this host, and a tap
//! for every node.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;

use super::network::{address_line, own_address};
use crate::bundle::Manifest;
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::process::{self, Program};
use crate::values::{Digest, Mode};

/// Interfaces have at most 15 characters (IFNAMSIZ), clusters' names more: the name is a digest of it.
fn names(manifest: &Manifest) -> (String, Vec<String>) {
    let digest = Digest::of(manifest.cluster.name.as_bytes()).to_string();
    let short = &digest[..8];
    (format!("kiln-{short}"), (0..manifest.nodes.len()).map(|at| format!("kt{at}-{short}")).collect())
}

/// The tap of the node at this place in the bundle's order.
pub fn tap(manifest: &Manifest, at: usize) -> String {
    names(manifest).1.swap_remove(at)
}

#[derive(Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    local: Option<IpAddr>,
    prefixlen: Option<u8>,
}

fn links() -> Result<Vec<Link>> {
    let finished = Program::new(process::find("ip")?).args(["-json", "address", "show"]).must()?;
    serde_json::from_slice(&finished.stdout)
        .map_err(|error| Failure::io(format!("reading what ip says of this machine's interfaces: {error}")))
}

/// Makes what is not there yet.
///
/// # Errors
/// `Exit::Unsafe` when this machine is in the cluster's network already; `Exit::Io` when it may not make interfaces.
pub fn lay(scratch: &Path, manifest: &Manifest) -> Result<()> {
    let network = manifest.network.cidr;
    let (bridge, taps) = names(manifest);
    let links = links()?;
    refuse_overlap(&links, &bridge, network)?;
    let there: BTreeSet<_> = links.iter().map(|link| link.ifname.as_str()).collect();
    let mut lines = String::new();
    if !there.contains(bridge.as_str()) {
        // Writing to a String does not go wrong.
        let _ = writeln!(lines, "link add {bridge} type bridge");
        lines.push_str(&address_line(own_address(manifest, network)?, network, &bridge));
        let _ = writeln!(lines, "link set {bridge} up");
    }
    for tap in taps.iter().filter(|tap| !there.contains(tap.as_str())) {
        let _ = writeln!(lines, "tuntap add dev {tap} mode tap\nlink set {tap} master {bridge} up");
    }
    if lines.is_empty() {
        return Ok(());
    }
    let file = scratch.join("ip-batch");
    disk::write_whole(&file, lines.as_bytes(), Mode::SECRET)?;
    let finished = Program::new(process::find("ip")?).arg("-batch").arg(&file).run()?;
    disk::remove_file(&file)?;
    if finished.success() {
        return Ok(());
    }
    let said = finished.stderr_text();
    if said.contains("not permitted") {
        return Err(Failure::io(
            "this account may not make network interfaces; run it as root, or in a network namespace of your own \
             (unshare --map-root-user --net), or use --driver libvirt",
        ));
    }
    Err(Failure::io(said).while_doing(format!("making the bridge {bridge}")))
}

/// A second interface in a network that this machine is in would take the way to its neighbours.
fn refuse_overlap(links: &[Link], bridge: &str, network: IpNet) -> Result<()> {
    for link in links.iter().filter(|link| link.ifname != bridge) {
        for address in &link.addr_info {
            let (Some(local), Some(prefix)) = (address.local, address.prefixlen) else { continue };
            let Ok(own) = IpNet::new(local, prefix) else { continue };
            if network.contains(&local) || own.contains(&network.network()) {
                return Err(Failure::unsafe_to(format!(
                    "the cluster's network {network} overlaps with {own} of this machine's interface {}; give the \
                     profile another [network], or run it in a network namespace of its own",
                    link.ifname
                )));
            }
        }
    }
    Ok(())
}

/// Removes the bridge and the taps; that they are not there is fine.
pub fn clear(manifest: &Manifest) -> Result<()> {
    let (bridge, taps) = names(manifest);
    let links = links()?;
    let there: BTreeSet<_> = links.iter().map(|link| link.ifname.as_str()).collect();
    let ip = process::find("ip")?;
    for name in taps.iter().chain([&bridge]).filter(|name| there.contains(name.as_str())) {
        Program::new(&ip)
            .args(["link", "delete", "dev"])
            .arg(name)
            .through_interrupt()
            .must()
            .doing(|| format!("removing the interface {name}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, local: &str, prefixlen: u8) -> Link {
        let address = Address { local: local.parse().ok(), prefixlen: Some(prefixlen) };
        Link { ifname: name.into(), addr_info: vec![address] }
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
