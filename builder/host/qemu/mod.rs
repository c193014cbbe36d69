//! One QEMU per node, in the background: a process id in a file, the console in another.

mod bridge;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::accel::Accel;
use super::driver::{Driver, Left};
use super::state::State;
use super::{emulator, initrd};
use crate::base::System;
use crate::bundle::{Bundle, manifest};
use crate::disk;
use crate::failure::{Doing, Result};
use crate::process::{self, Daemon, Program};
use crate::values::{Mode, NodeName, disk_serial};

/// Machines that Kiln starts itself, on a bridge of its own.
pub struct Qemu;

impl Driver for Qemu {
    fn name(&self) -> &'static str {
        "qemu"
    }

    fn about(&self) -> &'static str {
        "QEMU by itself (needs root for the network)"
    }

    fn create(&self, state: &mut State, bundle: &Bundle) -> Result<()> {
        bridge::lay(state, &bundle.manifest)
    }

    fn start(&self, state: &State, bundle: &Bundle, system: &System, node: &manifest::Node) -> Result<()> {
        start(state, bundle, system, node)
    }

    fn runs(&self, state: &State, node: &NodeName) -> Result<bool> {
        Ok(running(state, node).is_some())
    }

    fn destroy(&self, state: &State, bundle: &Bundle, _purge: bool) -> Result<Left> {
        for node in state.nodes(&bundle.manifest) {
            stop(state, &node)?;
        }
        let bridge = match state.record.laid {
            true => bridge::clear(state, &bundle.manifest)?,
            false => None,
        };
        Ok(Left { laid: bridge.is_some(), bridge })
    }
}

/// Asked to end, QEMU writes out what it holds of its disks' tables first.
const GRACE: Duration = Duration::from_secs(20);

fn pid_file(state: &State, node: &NodeName) -> PathBuf {
    state.node(node).join("pid")
}

/// The machine of a node, if it runs. Its pid file's path is an argument that no other program has.
fn running(state: &State, node: &NodeName) -> Option<Daemon> {
    let file = pid_file(state, node);
    Daemon::find(&file, file.as_os_str())
}

/// Ends the machine of a node as a power cut would; nothing of the guest is asked.
fn stop(state: &State, node: &NodeName) -> Result<()> {
    match running(state, node) {
        Some(daemon) => daemon.end(GRACE).doing(|| format!("ending the machine of {node}")),
        None => Ok(()),
    }
}

/// Makes what the machine needs and does not have yet, and starts it.
fn start(state: &State, bundle: &Bundle, system: &System, node: &manifest::Node) -> Result<()> {
    let own = state.node(&node.name);
    disk::make_directories(&own, Mode::SECRET_DIRECTORY)?;
    let machine = bundle.manifest.machine();
    let data = own.join("data.qcow2");
    create(&data, &["-f", "qcow2"], None, Some(machine.data_disk_mib))?;
    let mut disks = Vec::new();
    if let Some(shared) = system.image()? {
        let own = own.join("system.qcow2");
        create(&own, &["-f", "qcow2", "-F", &shared.format], Some(&shared.file), None)?;
        disks.push((own, "qcow2", None));
    }
    disks.push((data, "qcow2", Some(disk_serial(node.name.as_str()))));
    let files = std::path::absolute(bundle.path.join("nodes").join(node.name.as_str()))
        .doing(|| format!("finding {}", bundle.path.display()))?;
    let mut with_node = None;
    let carrier = state.record.carrier;
    if let Some(base) = system.kernel().filter(|_| carrier.runs_from_ram()) {
        let file = own.join("initrd.img");
        initrd::write(base, &bundle.path, &bundle.manifest, &node.name, &file)?;
        with_node = Some(file);
    }
    if carrier.has_seed() {
        disks.push((files.join("seed.iso"), "raw", None));
        if bundle.manifest.shares_binaries() {
            disks.push((files.join("../../layers/layer.iso"), "raw", None));
        }
    }
    let firmware = carrier.firmware().map(|firmware| (firmware.key, files.join(firmware.file)));
    let formed = state.has_formed(&node.name);
    state.begin_console(&node.name)?;
    let tcg = state.record.accel == Accel::Tcg;
    // Emulated processors are threads that wait for one another: two are slower than one.
    let vcpus = if tcg { 1 } else { machine.vcpus };
    let mut program = Program::new(emulator::find(bundle.manifest.etcd.arch)?)
        .args(["-name", &format!("kiln-{}-{}", bundle.manifest.cluster.name, node.name)])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-daemonize", "-M", "pc"])
        .args(["-accel", state.record.accel.as_str(), "-cpu", if tcg { "max" } else { "host" }])
        .args(["-m", &machine.memory_mib.to_string(), "-smp", &vcpus.to_string()])
        .arg("-pidfile")
        .arg(pid_file(state, &node.name))
        .args([
            "-netdev",
            &format!("tap,id=n0,ifname={},script=no,downscript=no", state.record.names.tap(&node.name)),
        ])
        .args(["-device", &format!("virtio-net-pci,netdev=n0,mac={},romfile=", node.mac)])
        .arg("-chardev")
        .arg(emulator::option("file,id=c0,append=on,path=", &state.console(&node.name)))
        .args(["-serial", "chardev:c0"]);
    for (number, (file, format, serial)) in disks.iter().enumerate() {
        let read_only = if *format == "raw" { "on" } else { "off" };
        let kind = format!("if=none,id=d{number},format={format},readonly={read_only},discard=unmap,file=");
        let serial = serial.as_ref().map(|serial| format!(",serial={serial}")).unwrap_or_default();
        program = program
            .arg("-drive")
            .arg(emulator::option(&kind, file))
            .args(["-device", &format!("virtio-blk-pci,drive=d{number}{serial}")]);
    }
    if let Some(base) = system.kernel() {
        program = program
            .arg("-kernel")
            .arg(&base.kernel)
            .arg("-initrd")
            .arg(with_node.as_ref().unwrap_or(&base.initrd))
            .args(["-append", &base.cmdline(!formed)]);
    }
    if formed {
        program = program.args(["-fw_cfg", &format!("name={},string=yes", emulator::FORMED)]);
    }
    if let Some((key, file)) = firmware {
        program = program.arg("-fw_cfg").arg(emulator::option(&format!("name={key},file="), &file));
    }
    program.must().map(|_| ()).doing(|| format!("starting the machine of {}", node.name))
}

/// A thin disk. One that is there already is kept: it may hold the only copy of something.
fn create(file: &Path, format: &[&str], backing: Option<&Path>, mib: Option<u32>) -> Result<()> {
    if disk::look(file)?.is_some() {
        return Ok(());
    }
    // Made under another name first: a run that is interrupted here leaves no half of a disk to be kept.
    let partial = file.with_extension("partial");
    let mut program = Program::new(process::find("qemu-img")?).args(["create", "-q"]).args(format);
    if let Some(backing) = backing {
        program = program.arg("-b").arg(backing);
    }
    program = program.arg(&partial);
    if let Some(mib) = mib {
        program = program.arg(format!("{mib}M"));
    }
    program.must().doing(|| format!("making {}", file.display()))?;
    disk::rename(&partial, file)
}
