//! Machines as libvirt's domains, with a network and a storage pool of the cluster's name. Everything goes through
//! virsh, so that libvirt gives its QEMU the files, and the bundle's own are never touched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::base::{Base, Carrier};
use super::domain::{self, Host};
use super::qemu;
use super::state::State;
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
    pub fn start(&self, bundle: &Bundle, base: &Base, node: &str) -> Result<()> {
        let record = &self.state.record;
        let own = self.state.node(node);
        disk::make_directories(&own, Mode::SECRET_DIRECTORY)?;
        let files = bundle.path.join("nodes").join(node);
        let data = format!("{node}-data.qcow2");
        let size = format!("{}M", qemu::machine(bundle).data_disk_mib);
        self.create(&data, &size, &["--format", "qcow2"])?;
        let initrd_volume = format!("{node}-initrd.img");
        if record.carrier == Carrier::Initramfs {
            let initrd = own.join("initrd.img");
            base.write_initrd(&bundle.path, &bundle.manifest, node, &initrd)?;
            self.upload(&initrd_volume, &initrd, "raw")?;
            disk::remove_file(&initrd)?;
        } else {
            self.upload(&initrd_volume, &base.initrd, "raw")?;
            self.upload(&format!("{node}-seed.iso"), &files.join("seed.iso"), "raw")?;
        }
        if let Some(shared) = &base.disk {
            let size = virtual_size(shared)?;
            let backing =
                ["--format", "qcow2", "--backing-vol", "base.qcow2", "--backing-vol-format", "qcow2"];
            self.create(&format!("{node}.qcow2"), &size, &backing)?;
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
        let xml = disk::read(&files.join("domain.xml"), DOMAIN_LIMIT)?;
        let xml = domain::define(
            &String::from_utf8_lossy(&xml),
            &Host {
                accel: record.accel,
                carrier: record.carrier,
                kernel: &path("kernel")?,
                initrd: &path(&initrd_volume)?,
                cmdline: &base.cmdline(!self.state.has_formed(node)),
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
    pub fn share(&self, bundle: &Bundle, base: &Base) -> Result<()> {
        self.upload("kernel", &base.kernel, "raw")?;
        if let Some(shared) = &base.disk {
            // Disks that are there are differences to this one.
            if !self.names(["vol-list", self.name])?.contains("base.qcow2") {
                self.upload("base.qcow2", shared, "qcow2")?;
            }
            if bundle.manifest.binaries == "shared" {
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

/// Of a disk, in bytes.
fn virtual_size(file: &Path) -> Result<String> {
    #[derive(Deserialize)]
    struct Image {
        #[serde(rename = "virtual-size")]
        virtual_size: u64,
    }
    let finished =
        Program::new(process::find("qemu-img")?).args(["info", "--output=json"]).arg(file).must()?;
    let image: Image = serde_json::from_slice(&finished.stdout)
        .map_err(|error| Failure::io(format!("reading what qemu-img says of {}: {error}", file.display())))?;
    Ok(image.virtual_size.to_string())
}
