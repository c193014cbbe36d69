//! Machines as libvirt's domains, with a network and a storage pool of the cluster's name. Everything goes through
//! virsh, so that libvirt gives its QEMU the files, and the bundle's own are never touched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::base::Carrier;
use super::domain::{self, Host, Kernel};
use super::qemu;
use super::state::State;
use super::system::System;
use crate::bundle::Bundle;
use crate::disk::{self, Input};
use crate::failure::{Doing, Failure, Result};
use crate::process::{self, Program};
use crate::values::Mode;

const DOMAIN_LIMIT: u64 = 1 << 20;

/// Half a gigabyte goes into a volume within seconds; a busy disk may take longer.
const COPYING: Duration = Duration::from_secs(300);

/// libvirt's own directory for disks (its default pool). Its QEMU reaches nothing in anybody's home.
const IMAGES: &str = "/var/lib/libvirt/images";

/// The volume that the machines' system disks are differences to.
const BASE: &str = "base";

pub struct Libvirt<'a> {
    virsh: PathBuf,
    state: &'a State,
    /// The network's, the pool's, and what the domains' names begin with.
    name: &'a str,
}

impl<'a> Libvirt<'a> {
    pub fn new(state: &'a State) -> Result<Self> {
        Ok(Self { virsh: process::find("virsh")?, state, name: &state.record.cluster })
    }

    fn virsh<const N: usize>(&self, arguments: [&str; N]) -> Program {
        Program::new(&self.virsh).args(["--quiet", "--connect", &self.state.record.connect]).args(arguments)
    }

    /// The names that a listing prints, one on each line.
    fn names<const N: usize>(&self, arguments: [&str; N]) -> Result<BTreeSet<String>> {
        let finished = self.virsh(arguments).must()?;
        let text = String::from_utf8_lossy(&finished.stdout).into_owned();
        // vol-list has no --name: the name is the first column there.
        let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
        Ok(text.lines().filter_map(first).collect())
    }

    fn domain(&self, node: &str) -> String {
        format!("{}-{node}", self.name)
    }

    pub fn runs(&self, node: &str) -> Result<bool> {
        Ok(self.names(["list", "--name"])?.contains(&self.domain(node)))
    }

    fn refuse_strangers(&self, bundle: &Bundle) -> Result<()> {
        let mut there = Vec::new();
        if self.names(["net-list", "--all", "--name"])?.contains(self.name) {
            there.push(format!("a network {}", self.name));
        }
        if self.names(["pool-list", "--all", "--name"])?.contains(self.name) {
            there.push(format!("a pool {}", self.name));
        }
        let domains = self.names(["list", "--all", "--name"])?;
        let of = bundle.manifest.nodes.iter().map(|node| self.domain(&node.name));
        there.extend(of.filter(|name| domains.contains(name)).map(|name| format!("a domain {name}")));
        if there.is_empty() {
            return Ok(());
        }
        Err(Failure::unsafe_to(format!(
            "libvirt has {} already, and not from this bundle; remove what it is, or give the cluster another name",
            there.join(", ")
        )))
    }

    /// Before anything is made: nothing of this name may be there, not even files of a pool that was removed.
    ///
    /// # Errors
    /// `Exit::Unsafe` when something is.
    pub fn begin(&self, bundle: &Bundle) -> Result<()> {
        self.refuse_strangers(bundle)?;
        self.open_pool()?;
        let there = self.names(["vol-list", self.name])?;
        if there.is_empty() {
            return Ok(());
        }
        self.end(["pool-destroy", self.name])?;
        self.end(["pool-undefine", self.name])?;
        Err(Failure::unsafe_to(format!(
            "{IMAGES}/kiln-{} has the disks of other machines with this cluster's name; kiln down --purge with the \
             bundle that they belong to, or give the cluster another name",
            self.name
        )))
    }

    /// The network and the pool; what is there already stays.
    pub fn prepare(&self, bundle: &Bundle) -> Result<()> {
        if !self.names(["net-list", "--all", "--name"])?.contains(self.name) {
            self.virsh(["net-define"]).arg(bundle.path.join("network.xml")).must()?;
        }
        if !self.names(["net-list", "--name"])?.contains(self.name) {
            self.virsh(["net-start", self.name])
                .must()
                .doing(|| format!("starting the network {}", self.name))?;
        }
        self.open_pool()
    }

    fn open_pool(&self) -> Result<()> {
        if !self.names(["pool-list", "--all", "--name"])?.contains(self.name) {
            let target = format!("{IMAGES}/kiln-{}", self.name);
            self.virsh(["pool-define-as", self.name, "dir", "--target", &target]).must()?;
            self.virsh(["pool-build", self.name]).must()?;
        }
        if !self.names(["pool-list", "--name"])?.contains(self.name) {
            self.virsh(["pool-start", self.name]).must()?;
        }
        Ok(())
    }

    /// Gives the machine its volumes, defines it and starts it.
    pub fn start(&self, bundle: &Bundle, system: &System, node: &str) -> Result<()> {
        let record = &self.state.record;
        let own = self.state.node(node);
        disk::make_directories(&own, Mode::SECRET_DIRECTORY)?;
        let files = bundle.path.join("nodes").join(node);
        let data = format!("{node}-data.qcow2");
        let size = format!("{}M", qemu::machine(bundle).data_disk_mib);
        self.create(&data, &size, &["--format", "qcow2"])?;
        let initrd_volume = format!("{node}-initrd.img");
        if let Some(base) = system.kernel() {
            if record.carrier == Carrier::Initramfs {
                let initrd = own.join("initrd.img");
                base.write_initrd(&bundle.path, &bundle.manifest, node, &initrd)?;
                self.upload(&initrd_volume, &initrd, "raw")?;
                disk::remove_file(&initrd)?;
            } else {
                self.upload(&initrd_volume, &base.initrd, "raw")?;
            }
        }
        if record.carrier != Carrier::Initramfs {
            self.upload(&format!("{node}-seed.iso"), &files.join("seed.iso"), "raw")?;
        }
        if let Some(shared) = system.image()? {
            let backing =
                ["--format", "qcow2", "--backing-vol", BASE, "--backing-vol-format", &shared.format];
            self.create(&format!("{node}.qcow2"), &shared.size.to_string(), &backing)?;
        }
        let path = |volume: &str| -> Result<String> {
            let finished = self.virsh(["vol-path", "--pool", self.name, volume]).must()?;
            Ok(String::from_utf8_lossy(&finished.stdout).trim().to_owned())
        };
        let ignition = format!("{node}.ign");
        let ignition = match record.carrier {
            Carrier::Ignition => {
                self.upload(&ignition, &files.join("config.ign"), "raw")?;
                Some(path(&ignition)?)
            }
            _ => None,
        };
        let kernel = match system.kernel() {
            Some(base) => Some(Kernel {
                file: path("kernel")?,
                initrd: path(&initrd_volume)?,
                cmdline: base.cmdline(!self.state.has_formed(node)),
            }),
            None => None,
        };
        let xml = disk::read(&files.join("domain.xml"), DOMAIN_LIMIT)?;
        let xml = domain::define(
            &String::from_utf8_lossy(&xml),
            &Host {
                accel: record.accel,
                carrier: record.carrier,
                kernel: kernel.as_ref(),
                ignition: ignition.as_deref(),
                formed: self.state.has_formed(node),
                console: &self.state.console(node),
                data: &data,
            },
        )?;
        self.state.begin_console(node)?;
        let file = own.join("domain.xml");
        disk::write_whole(&file, xml.as_bytes(), Mode::SECRET)?;
        self.virsh(["define"]).arg(&file).must()?;
        self.virsh(["start", &self.domain(node)])
            .must()
            .doing(|| format!("starting the machine of {node}"))?;
        Ok(())
    }

    /// What all machines read. Only when none of them runs: it may be another than before.
    pub fn share(&self, bundle: &Bundle, system: &System) -> Result<()> {
        if let Some(base) = system.kernel() {
            self.upload("kernel", &base.kernel, "raw")?;
        }
        if let Some(shared) = system.image()? {
            // Disks that are there are differences to this one.
            if !self.names(["vol-list", self.name])?.contains(BASE) {
                self.upload(BASE, &shared.file, &shared.format)?;
            }
            if bundle.manifest.shares_binaries() {
                self.upload("layer.iso", &bundle.path.join("layers/layer.iso"), "raw")?;
            }
        }
        Ok(())
    }

    /// An empty volume; one that is there is kept.
    fn create(&self, volume: &str, size: &str, format: &[&str]) -> Result<()> {
        if self.names(["vol-list", self.name])?.contains(volume) {
            return Ok(());
        }
        self.virsh(["vol-create-as", self.name, volume, size])
            .args(format)
            .must()
            .map(|_| ())
            .doing(|| format!("making the volume {volume}"))
    }

    /// A volume with a file's content, in the place of one that is there.
    fn upload(&self, volume: &str, file: &Path, format: &str) -> Result<()> {
        let uploading = || format!("putting {} into the pool {}", file.display(), self.name);
        if self.names(["vol-list", self.name])?.contains(volume) {
            self.virsh(["vol-delete", "--pool", self.name, volume]).must().doing(uploading)?;
        }
        let size = Input::open(file)?.size().to_string();
        // As raw bytes: what they are is in them.
        self.virsh(["vol-create-as", self.name, volume, &size, "--format", "raw"]).must().doing(uploading)?;
        self.virsh(["vol-upload", "--pool", self.name, volume])
            .arg(file)
            .within(COPYING)
            .must()
            .doing(uploading)?;
        if format != "raw" {
            self.virsh(["pool-refresh", self.name]).must().doing(uploading)?;
        }
        Ok(())
    }

    /// Removes the domains, the network and the pool from libvirt; the pool's files only with `purge`.
    pub fn clear(&self, bundle: &Bundle, purge: bool) -> Result<()> {
        let running = self.names(["list", "--name"])?;
        let defined = self.names(["list", "--all", "--name"])?;
        for node in &bundle.manifest.nodes {
            let domain = self.domain(&node.name);
            if running.contains(&domain) {
                self.end(["destroy", &domain])?;
            }
            if defined.contains(&domain) {
                self.end(["undefine", &domain])?;
            }
        }
        if self.names(["net-list", "--name"])?.contains(self.name) {
            self.end(["net-destroy", self.name])?;
        }
        if self.names(["net-list", "--all", "--name"])?.contains(self.name) {
            self.end(["net-undefine", self.name])?;
        }
        if purge {
            // An earlier `down` has left the files and taken the pool away.
            self.open_pool()?;
            for volume in self.names(["vol-list", self.name])? {
                self.end(["vol-delete", "--pool", self.name, &volume])?;
            }
        }
        if self.names(["pool-list", "--name"])?.contains(self.name) {
            self.end(["pool-destroy", self.name])?;
        }
        if purge {
            self.end(["pool-delete", self.name])?;
        }
        if self.names(["pool-list", "--all", "--name"])?.contains(self.name) {
            self.end(["pool-undefine", self.name])?;
        }
        Ok(())
    }

    fn end<const N: usize>(&self, arguments: [&str; N]) -> Result<()> {
        self.virsh(arguments).through_interrupt().must().map(|_| ())
    }
}
