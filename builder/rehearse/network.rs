//! One bridge, and for every node a network namespace with its real address on it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::together::{self, Cluster, Machine};
use crate::disk;
use crate::failure::Result;
use crate::process::ip::address_line;
use crate::process::{self, Program};
use crate::values::Mode;

/// The file of a node's network namespace, for `nsenter --net=FILE`.
pub fn namespace_of(scratch: &Path, node: &str) -> PathBuf {
    scratch.join("net").join(node)
}

/// Makes everything inside the network namespace of this process. The bridge has an address in the cluster's network,
/// so that the members can be reached from here.
pub fn build(scratch: &Path, clusters: &[Cluster]) -> Result<()> {
    let ip = process::find("ip")?;
    let unshare = process::find("unshare")?;
    let machines = together::machines(clusters);
    let mut own: Vec<(IpAddr, IpNet)> = Vec::new();
    for Cluster { manifest, .. } in clusters {
        let network = manifest.network.cidr;
        if !own.iter().any(|(_, there)| *there == network) {
            own.push((together::host_address(manifest, &machines)?, network));
        }
    }
    disk::make_directories(&scratch.join("net"), Mode::SECRET_DIRECTORY)?;
    for Machine { node, .. } in &machines {
        let file = namespace_of(scratch, &node.name);
        disk::write_whole(&file, b"", Mode::SECRET)?;
        // A file that a namespace is bound to keeps it alive without a process.
        Program::new(&unshare).arg(format!("--net={}", file.display())).arg("true").must()?;
    }
    batch(Program::new(&ip), scratch, "bridge", &bridge(scratch, &machines, &own))?;
    let nsenter = process::find("nsenter")?;
    for Machine { node, clusters: of } in &machines {
        let Some(network) = of.first().map(|of| &clusters[*of].manifest.network) else { continue };
        let net = format!("--net={}", namespace_of(scratch, &node.name).display());
        let within = Program::new(&nsenter).arg(net).arg("--").arg(&ip);
        batch(within, scratch, &node.name, &station(node.address, network.cidr, network.gateway))?;
    }
    Ok(())
}

fn batch(program: Program, scratch: &Path, name: &str, lines: &str) -> Result<()> {
    let file = scratch.join(format!("ip-{name}"));
    disk::write_whole(&file, lines.as_bytes(), Mode::SECRET)?;
    program.arg("-batch").arg(&file).must().map(|_| ())
}

fn bridge(scratch: &Path, machines: &[Machine<'_>], own: &[(IpAddr, IpNet)]) -> String {
    let mut lines = String::from("link set lo up\nlink add kiln0 type bridge\n");
    own.iter().for_each(|(own, network)| lines.push_str(&address_line(*own, *network, "kiln0")));
    lines.push_str("link set kiln0 up\n");
    for (at, Machine { node, .. }) in machines.iter().enumerate() {
        let file = namespace_of(scratch, &node.name);
        // Writing to a String cannot fail.
        let _ = writeln!(
            lines,
            "link add kiln-p{at} type veth peer name eth0 address {} netns {}\nlink set kiln-p{at} master kiln0 up",
            node.mac,
            file.display()
        );
    }
    lines
}

fn station(address: IpAddr, network: IpNet, gateway: Option<IpAddr>) -> String {
    let mut lines = String::from("link set lo up\n");
    lines.push_str(&address_line(address, network, "eth0"));
    lines.push_str("link set eth0 up\n");
    if let Some(gateway) = gateway {
        let _ = writeln!(lines, "route add default via {gateway}");
    }
    lines
}
