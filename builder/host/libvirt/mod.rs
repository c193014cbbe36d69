//! Machines as libvirt's domains, with a network and a storage pool named by the cluster's name and ID. Everything
//! goes through virsh, so that libvirt gives its QEMU access to the files, the bundle's own are never modified, and a
//! libvirt on another machine is no different.

mod console;
mod domain;
mod reach;
mod virsh;
mod volumes;

use std::collections::BTreeSet;
use std::path::PathBuf;

use domain::{Domain, Kernel};
use virsh::Virsh;

use super::accel::Accel;
use super::driver::{Driver, Left};
use super::record::MachinesRecord;
use super::restore_disk;
use super::state::State;
use crate::base::System;
use crate::bundle::manifest::Node;
use crate::bundle::{Bundle, Manifest};
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::parallel;
use crate::process;
use crate::values::{Connect, Mode, NodeName, Volume, machine_uuid};

/// Machines run by libvirt.
pub struct Libvirt;

impl Driver for Libvirt {
    fn name(&self) -> &'static str {
        "libvirt"
    }

    fn about(&self) -> &'static str {
        "libvirt, on this host or on those of the profile"
    }

    fn has_address(&self) -> bool {
        true
    }

    fn check(&self, wanted: &MachinesRecord, manifest: &Manifest) -> Result<()> {
        reach::check(wanted, manifest)
    }

    fn accel(
        &self,
        accel: Accel,
        wanted: &MachinesRecord,
        manifest: &Manifest,
    ) -> Result<(Accel, Option<String>)> {
        reach::accel(accel, wanted, manifest)
    }

    fn create(&self, state: &mut State, bundle: &Bundle) -> Result<()> {
        for connect in state.record.connects(&bundle.manifest) {
            if !is_laid(&state.record, &connect) {
                at(&state.record, &connect, Cluster::new(state, &connect)?.begin(bundle))?;
                match connect == state.record.connect {
                    true => state.record.laid = true,
                    false => _ = state.record.laid_at.insert(connect.clone()),
                }
                if let Err(failure) = state.save() {
                    // Without the record nobody would remove it.
                    Cluster::new(state, &connect)?.forget_pool();
                    return Err(failure);
                }
            }
            at(&state.record, &connect, Cluster::new(state, &connect)?.prepare(bundle))?;
        }
        Ok(())
    }

    fn share(&self, state: &State, bundle: &Bundle, system: &System, running: &[&NodeName]) -> Result<()> {
        let record = &state.record;
        let is_used = |connect: &Connect| running.iter().any(|node| record.connect_of(node) == connect);
        for connect in record.connects(&bundle.manifest).iter().filter(|connect| !is_used(connect)) {
            at(record, connect, Cluster::new(state, connect)?.share(bundle, system))?;
        }
        Ok(())
    }

    fn start(&self, state: &State, bundle: &Bundle, system: &System, node: &Node) -> Result<()> {
        let connect = state.record.connect_of(&node.name);
        at(&state.record, connect, Cluster::new(state, connect)?.start(bundle, system, node))
    }

    fn running(&self, state: &State, nodes: &[&NodeName]) -> Result<BTreeSet<NodeName>> {
        let record = &state.record;
        let connects: BTreeSet<_> = nodes.iter().map(|node| record.connect_of(node)).collect();
        let connects: Vec<_> = connects.into_iter().collect();
        // One call for each libvirt: behind ssh, each is a connection, and sshd refuses many at once.
        let running = parallel::all(&connects, connects.len(), |connect| {
            let cluster = Cluster::new(state, connect)?;
            let domains = at(record, connect, cluster.names(["list", "--name"]))?;
            let own = nodes.iter().filter(|node| record.connect_of(node) == *connect);
            let own = own.filter(|node| domains.contains(&cluster.domain(node)));
            Ok(own.map(|node| (*node).clone()).collect::<Vec<_>>())
        });
        Ok(running.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn hear(&self, state: &State, node: &NodeName) -> Result<()> {
        Cluster::new(state, state.record.connect_of(node))?.hear(node)
    }

    fn remove_restore_disk(&self, state: &State, node: &NodeName) -> Result<()> {
        restore_disk::remove(state, node)?;
        let connect = state.record.connect_of(node);
        at(&state.record, connect, Cluster::new(state, connect)?.remove_restored(node))
    }

    fn destroy(&self, state: &State, bundle: &Bundle, purge: bool) -> Result<Left> {
        let record = &state.record;
        // Of the others, nothing in libvirt belongs to this cluster. All are tried: one may be off.
        let laid = record.laid.then_some(&record.connect).into_iter().chain(&record.laid_at);
        let mut failed = Vec::new();
        for connect in laid {
            let cleared = at(record, connect, Cluster::new(state, connect)?.clear(bundle, purge));
            failed.extend(cleared.err());
        }
        if failed.len() > 1 {
            let all: Vec<_> = failed.iter().map(ToString::to_string).collect();
            return Err(Failure::new(failed[0].exit(), all.join("; ")));
        }
        if let Some(failure) = failed.pop() {
            return Err(failure);
        }
        // `laid` stays set: it shows that the pool's disks belong to this cluster.
        Ok(Left { laid: record.laid, bridge: None })
    }
}

/// Whether something at this libvirt belongs to the cluster.
fn is_laid(record: &MachinesRecord, connect: &Connect) -> bool {
    if *connect == record.connect { record.laid } else { record.laid_at.contains(connect) }
}

/// Adds the host and the URI to an error at another libvirt than that of this machine.
fn at<T>(record: &MachinesRecord, connect: &Connect, result: Result<T>) -> Result<T> {
    match connect.is_here() && !record.places.values().any(|place| place.connect == *connect) {
        true => result,
        false => result.doing(|| format!("at {}", record.called(connect))),
    }
}

/// libvirt's own directory for disks (its default pool). Its QEMU cannot read home directories.
const IMAGES: &str = "/var/lib/libvirt/images";

struct Cluster<'a> {
    virsh: PathBuf,
    state: &'a State,
    connect: &'a Connect,
    /// The name of the network and the pool, and the prefix of the domains' names.
    name: String,
}

impl<'a> Cluster<'a> {
    pub fn new(state: &'a State, connect: &'a Connect) -> Result<Self> {
        Ok(Self { virsh: process::find("virsh")?, state, connect, name: state.record.names.libvirt() })
    }

    fn virsh<const N: usize>(&self, arguments: [&str; N]) -> Virsh {
        Virsh::new(&self.virsh, self.connect).args(arguments)
    }

    /// The names that a listing prints, one on each line. Ctrl-C does not end it: what is asked after it, to clean up
    /// or to tell whether VMs run, must be answered.
    fn names<const N: usize>(&self, arguments: [&str; N]) -> Result<BTreeSet<String>> {
        let finished = self.virsh(arguments).through_interrupt().must()?;
        let text = String::from_utf8_lossy(&finished.stdout).into_owned();
        // vol-list has no --name: the name is its first column.
        let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
        Ok(text.lines().filter_map(first).collect())
    }

    fn domain(&self, node: &NodeName) -> String {
        self.state.record.names.domain(node)
    }

    fn volume(&self, node: &NodeName, volume: Volume) -> String {
        self.state.record.names.volume(node, volume)
    }

    fn refuse_strangers(&self, bundle: &Bundle) -> Result<()> {
        let mut there = Vec::new();
        if self.names(["net-list", "--all", "--name"])?.contains(&self.name) {
            there.push(format!("network {}", self.name));
        }
        let domains = self.names(["list", "--all", "--name"])?;
        let of = bundle.manifest.nodes.iter().map(|node| self.domain(&node.name));
        there.extend(of.filter(|name| domains.contains(name)).map(|name| format!("domain {name}")));
        if there.is_empty() {
            return Ok(());
        }
        Err(Failure::unsafe_to(format!(
            "libvirt already has {}, not from this bundle but from another one of the cluster with the ID {}; continue with \
             the bundle that they were started from",
            there.join(", "),
            self.state.record.names.id
        )))
    }

    /// Called before anything is made: nothing may have this name, not even files of a removed pool. A pool without
    /// files is left over from an interrupted start.
    ///
    /// # Errors
    /// `Exit::Unsafe` when something has.
    pub fn begin(&self, bundle: &Bundle) -> Result<()> {
        self.refuse_strangers(bundle)?;
        let had_pool = self.names(["pool-list", "--all", "--name"])?.contains(&self.name);
        let opened = self.open_pool().and_then(|()| self.names(["vol-list", &self.name]));
        if opened.as_ref().is_ok_and(BTreeSet::is_empty) {
            return Ok(());
        }
        if !had_pool {
            self.forget_pool();
        }
        opened?;
        Err(Failure::unsafe_to(format!(
            "{IMAGES}/kiln-{} has the disks of other VMs of the cluster with the ID {}; continue with the bundle that \
             they were started from",
            self.name, self.state.record.names.id
        )))
    }

    /// Makes the network, if it is to be Kiln's own, and the pool; existing ones stay.
    pub fn prepare(&self, bundle: &Bundle) -> Result<()> {
        if !bundle.manifest.machine().link.is_own() {
            return self.open_pool();
        }
        if !self.names(["net-list", "--all", "--name"])?.contains(&self.name) {
            let network = &bundle.manifest.network;
            let own = bundle.manifest.host_address()?;
            let xml = domain::network(&self.name, network.cidr, own, network.gateway.is_some())?;
            let file = self.state.directory.join("network.xml");
            disk::write_whole(&file, &xml, Mode::SECRET)?;
            self.virsh(["net-define"]).arg(&file).must()?;
        }
        if !self.names(["net-list", "--name"])?.contains(&self.name) {
            self.virsh(["net-start", &self.name])
                .must()
                .doing(|| format!("starting the network {}", self.name))?;
        }
        self.open_pool()
    }

    /// Takes a pool that was only now defined out of libvirt, as far as possible; its files stay.
    fn forget_pool(&self) {
        for verb in ["pool-destroy", "pool-undefine"] {
            let _ = self.end([verb, &self.name]);
        }
    }

    fn open_pool(&self) -> Result<()> {
        if !self.names(["pool-list", "--all", "--name"])?.contains(&self.name) {
            let target = format!("{IMAGES}/kiln-{}", self.name);
            self.virsh(["pool-define-as", &self.name, "dir", "--target", &target]).must()?;
            self.virsh(["pool-build", &self.name]).must()?;
        }
        if !self.names(["pool-list", "--name"])?.contains(&self.name) {
            self.virsh(["pool-start", &self.name]).must()?;
        }
        Ok(())
    }

    /// Fills the machine's volumes, defines it (again if necessary), and starts it.
    pub fn start(&self, bundle: &Bundle, system: &System, node: &Node) -> Result<()> {
        let name = &node.name;
        let disks = self.fill(bundle, system, name)?;
        let record = &self.state.record;
        let formed = self.state.has_formed(name);
        let kernel = match system.kernel() {
            Some(base) => Some(Kernel {
                file: self.kernel()?,
                initrd: self.path(&self.volume(name, Volume::Initrd))?,
                cmdline: base.cmdline(!formed),
            }),
            None => None,
        };
        let firmware = match record.carrier.firmware() {
            Some(firmware) => Some((firmware.key, self.path(&self.volume(name, Volume::Ignition))?)),
            None => None,
        };
        let machine = bundle.manifest.machine();
        let console = self.begin_console(name)?;
        let domain = Domain {
            name: self.domain(name),
            uuid: self.uuid(name)?,
            title: format!("etcd member {name} of {}", record.names.cluster),
            pool: &self.name,
            link: &machine.link,
            memory_mib: machine.memory_mib,
            vcpus: machine.vcpus,
            accel: record.accel,
            kernel: kernel.as_ref(),
            disks,
            mac: node.mac,
            firmware: firmware.as_ref().map(|(key, file)| (*key, file.as_str())),
            formed,
            console: &console,
        };
        let file = self.state.node(name).join("domain.xml");
        disk::write_whole(&file, &domain.xml()?, Mode::SECRET)?;
        self.virsh(["define"]).arg(&file).must()?;
        self.virsh(["start", &domain.name]).must().map(|_| ()).doing(|| format!("starting the VM of {name}"))
    }

    /// The UUID that libvirt has for the machine, or a new one: with another one, libvirt takes a definition of the
    /// same name for another machine, and refuses it.
    fn uuid(&self, node: &NodeName) -> Result<String> {
        let domain = self.domain(node);
        if !self.names(["list", "--all", "--name"])?.contains(&domain) {
            return Ok(machine_uuid(&self.state.record.names.id.to_string(), node));
        }
        let finished = self.virsh(["domuuid", &domain]).must()?;
        Ok(String::from_utf8_lossy(&finished.stdout).trim().to_owned())
    }

    /// Removes the domains, the network and the pool from libvirt; the pool's files only with `purge`.
    pub fn clear(&self, bundle: &Bundle, purge: bool) -> Result<()> {
        let running = self.names(["list", "--name"])?;
        let defined = self.names(["list", "--all", "--name"])?;
        let own = self.state.nodes(&bundle.manifest).into_iter();
        for node in own.filter(|node| self.state.record.connect_of(node) == self.connect) {
            let domain = self.domain(&node);
            if running.contains(&domain) {
                self.end(["destroy", &domain])?;
            }
            if defined.contains(&domain) {
                self.end(["undefine", &domain])?;
            }
        }
        if self.names(["net-list", "--name"])?.contains(&self.name) {
            self.end(["net-destroy", &self.name])?;
        }
        if self.names(["net-list", "--all", "--name"])?.contains(&self.name) {
            self.end(["net-undefine", &self.name])?;
        }
        if purge {
            // An earlier `down` has kept the files and removed the pool.
            self.open_pool()?;
            for volume in self.names(["vol-list", &self.name])? {
                self.end(["vol-delete", "--pool", &self.name, &volume])?;
            }
        }
        if self.names(["pool-list", "--name"])?.contains(&self.name) {
            self.end(["pool-destroy", &self.name])?;
        }
        if purge {
            self.end(["pool-delete", &self.name])?;
        }
        if self.names(["pool-list", "--all", "--name"])?.contains(&self.name) {
            self.end(["pool-undefine", &self.name])?;
        }
        Ok(())
    }

    /// The path of a volume on the host of its libvirt.
    fn path(&self, volume: &str) -> Result<String> {
        let finished = self.virsh(["vol-path", "--pool", &self.name, volume]).must()?;
        Ok(String::from_utf8_lossy(&finished.stdout).trim().to_owned())
    }

    fn end<const N: usize>(&self, arguments: [&str; N]) -> Result<()> {
        self.virsh(arguments).through_interrupt().must().map(|_| ())
    }
}
