//! The volumes of a cluster's pool: disks, and the files that machines are started from.

use std::path::Path;
use std::time::Duration;

use kiln_wire::ATTACHED_SERIAL;

use super::Cluster;
use super::domain::Disk;
use crate::base::System;
use crate::bundle::Bundle;
use crate::disk::{self, Input};
use crate::failure::{Doing, Result};
use crate::host::{initrd, restore_disk};
use crate::values::{Mode, NodeName, Volume, disk_serial};

/// For copying a file into a volume, besides the time for its bytes.
const COPY_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes in a second: of a busy disk, and over a network of a few megabits.
const SLOW_DISK: u64 = 4 << 20;
const SLOW_NETWORK: u64 = 256 << 10;

/// The backing volume of the machines' system disks.
const BASE: &str = "base";

/// Volumes that all machines read. Those of nodes have a dot after the node's name, and no node is called `layer.iso`.
const KERNEL: &str = "kernel";
const LAYER: &str = "layer.iso";

impl Cluster<'_> {
    /// The machine's volumes, in the order of its disks. Data of etcd and the guest is kept.
    pub(super) fn fill(&self, bundle: &Bundle, system: &System, node: &NodeName) -> Result<Vec<Disk>> {
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
        disks.extend(self.restored(node)?);
        if let Some(firmware) = carrier.firmware() {
            self.upload(&self.volume(node, Volume::Ignition), &files.join(firmware.file), "raw")?;
        }
        Ok(disks)
    }

    /// What its member is restored from: the file that `up` has made goes into the pool.
    fn restored(&self, node: &NodeName) -> Result<Option<Disk>> {
        if self.state.has_formed(node) {
            return Ok(None);
        }
        let (volume, file) = (self.volume(node, Volume::Restore), restore_disk::file(self.state, node));
        if disk::look(&file)?.is_some() {
            self.upload(&volume, &file, "raw")?;
            disk::remove_file(&file)?;
        }
        let is_there = self.names(["vol-list", &self.name])?.contains(&volume);
        let serial = Some(ATTACHED_SERIAL.to_owned());
        Ok(is_there.then_some(Disk { volume, serial, is_seed: true }))
    }

    /// Removes it.
    pub(super) fn remove_restored(&self, node: &NodeName) -> Result<()> {
        let volume = self.volume(node, Volume::Restore);
        let domain = self.domain(node);
        // Its definition, so that it can also be started without `up`.
        let disks = self.virsh(["domblklist", "--inactive", &domain]).must()?;
        let disks = String::from_utf8_lossy(&disks.stdout).into_owned();
        for line in disks.lines() {
            if let Some((target, source)) = line.trim().split_once(char::is_whitespace)
                && source.trim() == volume
            {
                self.virsh(["detach-disk", &domain, target, "--config"]).must()?;
            }
        }
        match self.names(["vol-list", &self.name])?.contains(&volume) {
            true => self.virsh(["vol-delete", "--pool", &self.name, &volume]).must().map(drop),
            false => Ok(()),
        }
    }

    /// Uploads the volumes that all machines read. Only while none of them runs: the contents may have changed.
    pub fn share(&self, bundle: &Bundle, system: &System) -> Result<()> {
        if let Some(base) = system.kernel() {
            self.upload(KERNEL, &base.kernel, "raw")?;
        }
        if let Some(shared) = system.image() {
            // Existing disks are backed by this one. Where there is none yet, an earlier run may have ended while it
            // was uploaded: libvirt makes a volume in its full size first.
            let there = self.names(["vol-list", &self.name])?;
            let is_there = |node: &NodeName| there.contains(&self.volume(node, Volume::System));
            if !self.state.nodes(&bundle.manifest).iter().any(is_there) {
                self.upload(BASE, &shared.file, &shared.format)?;
            }
            if bundle.manifest.shares_binaries() {
                self.upload(LAYER, &bundle.path.join("layers/layer.iso"), "raw")?;
            }
        }
        Ok(())
    }

    /// The path of the kernel that `share` has uploaded.
    pub(super) fn kernel(&self) -> Result<String> {
        self.path(KERNEL)
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
        let bytes = Input::open(file)?.size();
        let pace = if self.connect.is_here() { SLOW_DISK } else { SLOW_NETWORK };
        let size = bytes.to_string();
        // As raw bytes: they are not interpreted.
        self.virsh(["vol-create-as", &self.name, volume, &size, "--format", "raw"])
            .must()
            .doing(uploading)?;
        self.virsh(["vol-upload", "--pool", &self.name, volume])
            .arg(file)
            .within(COPY_TIMEOUT + Duration::from_secs(bytes / pace))
            .must()
            .doing(uploading)?;
        if format != "raw" {
            self.virsh(["pool-refresh", &self.name]).must().doing(uploading)?;
        }
        Ok(())
    }
}
