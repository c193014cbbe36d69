//! Machines as libvirt's domains, with a network and a storage pool named by the cluster's name and ID. Everything
//! goes through virsh, so that libvirt gives its QEMU access to the files, and the bundle's own are never modified.

mod domain;
mod virsh;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{Disk, Domain, Kernel};
use virsh::Virsh;

use super::driver::{Driver, Left};
use super::initrd;
use super::state::State;
use crate::base::System;
use crate::bundle::Bundle;
use crate::bundle::manifest::Node;
use crate::disk::{self, Input};
use crate::failure::{Doing, Failure, Result};
use crate::process;
use crate::values::{Mode, NodeName, Volume, disk_serial, machine_uuid};

/// Machines run by libvirt.
pub struct Libvirt;

impl Driver for Libvirt {
    fn name(&self) -> &'static str {
        "libvirt"
    }

    fn about(&self) -> &'static str {
        "libvirt, on this host"
    }

    fn has_address(&self) -> bool {
        true
    }

    fn create(&self, state: &mut State, bundle: &Bundle) -> Result<()> {
        if !state.record.laid {
            Cluster::new(state)?.begin(bundle)?;
            state.record.laid = true;
            state.save()?;
        }
        Cluster::new(state)?.prepare(bundle)
    }

    fn share(&self, state: &State, bundle: &Bundle, system: &System) -> Result<()> {
        Cluster::new(state)?.share(bundle, system)
    }

    fn start(&self, state: &State, bundle: &Bundle, system: &System, node: &Node) -> Result<()> {
        Cluster::new(state)?.start(bundle, system, node)
    }

    fn runs(&self, state: &State, node: &NodeName) -> Result<bool> {
        Cluster::new(state)?.runs(node)
    }

    fn destroy(&self, state: &State, bundle: &Bundle, purge: bool) -> Result<Left> {
        // Otherwise nothing in libvirt belongs to this cluster.
        if state.record.laid {
            Cluster::new(state)?.clear(bundle, purge)?;
        }
        // `laid` stays set: it shows that the pool's disks belong to this cluster.
        Ok(Left { laid: true, bridge: None })
    }
}

/// Half a gigabyte is copied into a volume within seconds; a busy disk may take longer.
const COPY_TIMEOUT: Duration = Duration::from_secs(300);

/// libvirt's own directory for disks (its default pool). Its QEMU cannot read home directories.
const IMAGES: &str = "/var/lib/libvirt/images";

/// The backing volume of the machines' system disks.
const BASE: &str = "base";

/// Volumes that all machines read. Those of nodes have a dot after the node's name, and no node is called `layer.iso`.
const KERNEL: &str = "kernel";
const LAYER: &str = "layer.iso";

struct Cluster<'a> {
    virsh: PathBuf,
    state: &'a State,
    /// The name of the network and the pool, and the prefix of the domains' names.
    name: String,
}

impl<'a> Cluster<'a> {
    pub fn new(state: &'a State) -> Result<Self> {
        Ok(Self { virsh: process::find("virsh")?, state, name: state.record.names.libvirt() })
    }

    fn virsh<const N: usize>(&self, arguments: [&str; N]) -> Virsh {
        Virsh::new(&self.virsh, &self.state.record.connect).args(arguments)
    }

    /// The names that a listing prints, one on each line. Ctrl-C does not end it: what is asked after it, to clean up or
    /// to tell whether VMs run, must be answered.
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

    pub fn runs(&self, node: &NodeName) -> Result<bool> {
        Ok(self.names(["list", "--name"])?.contains(&self.domain(node)))
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
        self.open_pool()?;
        let there = self.names(["vol-list", &self.name])?;
        if there.is_empty() {
            return Ok(());
        }
        if !had_pool {
            self.end(["pool-destroy", &self.name])?;
            self.end(["pool-undefine", &self.name])?;
        }
        Err(Failure::unsafe_to(format!(
            "{IMAGES}/kiln-{} has the disks of other VMs of the cluster with the ID {}; continue with the bundle that \
             they were started from",
            self.name, self.state.record.names.id
        )))
    }

    /// Makes the network and the pool; existing ones stay.
    pub fn prepare(&self, bundle: &Bundle) -> Result<()> {
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
        let path = |volume: &str| -> Result<String> {
            let finished = self.virsh(["vol-path", "--pool", &self.name, volume]).must()?;
            Ok(String::from_utf8_lossy(&finished.stdout).trim().to_owned())
        };
        let formed = self.state.has_formed(name);
        let kernel = match system.kernel() {
            Some(base) => Some(Kernel {
                file: path(KERNEL)?,
                initrd: path(&self.volume(name, Volume::Initrd))?,
                cmdline: base.cmdline(!formed),
            }),
            None => None,
        };
        let firmware = match record.carrier.firmware() {
            Some(firmware) => Some((firmware.key, path(&self.volume(name, Volume::Ignition))?)),
            None => None,
        };
        let machine = bundle.manifest.machine();
        let domain = Domain {
            name: self.domain(name),
            uuid: self.uuid(name)?,
            title: format!("etcd member {name} of {}", record.names.cluster),
            network: &self.name,
            memory_mib: machine.memory_mib,
            vcpus: machine.vcpus,
            accel: record.accel,
            kernel: kernel.as_ref(),
            disks,
            mac: node.mac,
            firmware: firmware.as_ref().map(|(key, file)| (*key, file.as_str())),
            formed,
            console: &self.state.console(name),
        };
        self.state.begin_console(name)?;
        let file = self.state.node(name).join("domain.xml");
        disk::write_whole(&file, &domain.xml()?, Mode::SECRET)?;
        self.virsh(["define"]).arg(&file).must()?;
        self.virsh(["start", &domain.name]).must().map(|_| ()).doing(|| format!("starting the VM of {name}"))
    }

    /// The machine's volumes, in the order of its disks. Data of etcd and the guest is kept.
    fn fill(&self, bundle: &Bundle, system: &System, node: &NodeName) -> Result<Vec<Disk>> {
        let own = self.state.node(node);
        disk::make_directories(&own, Mode::SECRET_DIRECTORY)?;
        let files = bundle.path.join("nodes").join(node.as_str());
        let carrier = self.state.record.carrier;
        let mut disks = Vec::new();
        if let Some(shared) = system.image() {
            let volume = self.volume(node, Volume::System);
            let backing =
                ["--format", "qcow2", "--backing-vol", BASE, "--backing-vol-format", &shared.format];
            self.create(&volume, &shared.size.to_string(), &backing)?;
            disks.push(Disk { volume, serial: None, is_seed: false });
        }
        let data = self.volume(node, Volume::Data);
        let size = format!("{}M", bundle.manifest.machine().data_disk_mib);
        self.create(&data, &size, &["--format", "qcow2"])?;
        disks.push(Disk {
            volume: data,
            serial: Some(disk_serial(&bundle.manifest.cluster.instance, node.as_str())),
            is_seed: false,
        });
        if let Some(base) = system.kernel() {
            let volume = self.volume(node, Volume::Initrd);
            if carrier.runs_from_ram() {
                let file = own.join("initrd.img");
                initrd::write(base, &bundle.path, &bundle.manifest, node, &file)?;
                self.upload(&volume, &file, "raw")?;
                disk::remove_file(&file)?;
            } else {
                self.upload(&volume, &base.initrd, "raw")?;
            }
        }
        if carrier.has_seed() {
            let volume = self.volume(node, Volume::Seed);
            self.upload(&volume, &files.join("seed.iso"), "raw")?;
            disks.push(Disk { volume, serial: None, is_seed: true });
            if bundle.manifest.shares_binaries() {
                disks.push(Disk { volume: LAYER.to_owned(), serial: None, is_seed: true });
            }
        }
        if let Some(firmware) = carrier.firmware() {
            self.upload(&self.volume(node, Volume::Ignition), &files.join(firmware.file), "raw")?;
        }
        Ok(disks)
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

    /// Uploads the volumes that all machines read. Only while none of them runs: the contents may have changed.
    pub fn share(&self, bundle: &Bundle, system: &System) -> Result<()> {
        if let Some(base) = system.kernel() {
            self.upload(KERNEL, &base.kernel, "raw")?;
        }
        if let Some(shared) = system.image() {
            // Existing disks are backed by this one.
            if !self.names(["vol-list", &self.name])?.contains(BASE) {
                self.upload(BASE, &shared.file, &shared.format)?;
            }
            if bundle.manifest.shares_binaries() {
                self.upload(LAYER, &bundle.path.join("layers/layer.iso"), "raw")?;
            }
        }
        Ok(())
    }

    /// Makes an empty volume; an existing one is kept.
    fn create(&self, volume: &str, size: &str, format: &[&str]) -> Result<()> {
        if self.names(["vol-list", &self.name])?.contains(volume) {
            return Ok(());
        }
        self.virsh(["vol-create-as", &self.name, volume, size])
            .args(format)
            .must()
            .map(|_| ())
            .doing(|| format!("creating the volume {volume}"))
    }

    /// Makes a volume with a file's content; it replaces an existing one.
    fn upload(&self, volume: &str, file: &Path, format: &str) -> Result<()> {
        let uploading = || format!("putting {} into the pool {}", file.display(), self.name);
        if self.names(["vol-list", &self.name])?.contains(volume) {
            self.virsh(["vol-delete", "--pool", &self.name, volume]).must().doing(uploading)?;
        }
        let size = Input::open(file)?.size().to_string();
        // As raw bytes: they are not interpreted.
        self.virsh(["vol-create-as", &self.name, volume, &size, "--format", "raw"])
            .must()
            .doing(uploading)?;
        self.virsh(["vol-upload", "--pool", &self.name, volume])
            .arg(file)
            .within(COPY_TIMEOUT)
            .must()
            .doing(uploading)?;
        if format != "raw" {
            self.virsh(["pool-refresh", &self.name]).must().doing(uploading)?;
        }
        Ok(())
    }

    /// Removes the domains, the network and the pool from libvirt; the pool's files only with `purge`.
    pub fn clear(&self, bundle: &Bundle, purge: bool) -> Result<()> {
        let running = self.names(["list", "--name"])?;
        let defined = self.names(["list", "--all", "--name"])?;
        for node in self.state.nodes(&bundle.manifest) {
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

    fn end<const N: usize>(&self, arguments: [&str; N]) -> Result<()> {
        self.virsh(arguments).through_interrupt().must().map(|_| ())
    }
}
