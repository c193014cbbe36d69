//! One QEMU per node, in the background: its process ID in a file, the console in another.

mod bridge;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_wire::ATTACHED_SERIAL;

use super::accel::{self, Accel};
use super::driver::{Driver, Left};
use super::record::MachinesRecord;
use super::state::State;
use super::{emulator, initrd, restore_disk};
use crate::base::System;
use crate::bundle::{Bundle, Manifest, manifest};
use crate::disk;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::process::{self, Daemon, Program};
use crate::values::{Connect, Link, Mode, NodeName, disk_serial};

/// Machines that Kiln starts itself, on a bridge of its own.
pub struct Qemu;

impl Driver for Qemu {
    fn name(&self) -> &'static str {
        "qemu"
    }

    fn about(&self) -> &'static str {
        "QEMU by itself (needs root for the network)"
    }

    fn check(&self, wanted: &MachinesRecord, manifest: &Manifest) -> Result<()> {
        let usage = |reason: String| Err(Failure::new(Exit::Usage, reason));
        if let Some(place) = wanted.places.values().next() {
            return usage(format!(
                "the host {} has a libvirt of its own ({}), and the driver qemu starts VMs on this machine only; use --driver \
                 libvirt",
                place.host, place.connect
            ));
        }
        if wanted.connect != Connect::default() {
            return usage(format!(
                "the driver qemu connects to no libvirt; omit --connect {}, or use --driver libvirt",
                wanted.connect
            ));
        }
        match manifest.machine().link {
            Link::Own => Ok(()),
            Link::Bridge(bridge) => bridge::check(&bridge),
            Link::Network(network) => usage(format!(
                "{network} is a network of libvirt ([machine] network), which the driver qemu does not use; use --driver libvirt"
            )),
        }
    }

    fn accel(&self, accel: Accel, _: &MachinesRecord, _: &Manifest) -> Result<(Accel, Option<String>)> {
        accel::choose(accel, &emulator::find()?)
    }

    fn create(&self, state: &mut State, bundle: &Bundle) -> Result<()> {
        bridge::lay(state, &bundle.manifest)
    }

    fn start(&self, state: &State, bundle: &Bundle, system: &System, node: &manifest::Node) -> Result<()> {
        start(state, bundle, system, node)
    }

    fn running(&self, state: &State, nodes: &[&NodeName]) -> Result<BTreeSet<NodeName>> {
        let running = nodes.iter().filter(|node| running(state, node).is_some());
        Ok(running.map(|node| (*node).clone()).collect())
    }

    fn remove_restore_disk(&self, state: &State, node: &NodeName) -> Result<()> {
        restore_disk::remove(state, node)
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

/// When it is asked to end, QEMU first writes the cached metadata of its disks.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

fn pid_file(state: &State, node: &NodeName) -> PathBuf {
    state.node(node).join("pid")
}

/// The machine of a node, if it runs. The path of its PID file is an argument that no other program has.
fn running(state: &State, node: &NodeName) -> Option<Daemon> {
    let file = pid_file(state, node);
    Daemon::find(&file, file.as_os_str())
}

/// Stops the machine of a node as a power failure would; the guest is not asked.
fn stop(state: &State, node: &NodeName) -> Result<()> {
    match running(state, node) {
        Some(daemon) => daemon.end(STOP_TIMEOUT).doing(|| format!("stopping the VM of {node}")),
        None => Ok(()),
    }
}

/// Makes the missing parts of the machine, and starts it.
fn start(state: &State, bundle: &Bundle, system: &System, node: &manifest::Node) -> Result<()> {
    disk::make_directories(&state.node(&node.name), Mode::SECRET_DIRECTORY)?;
    let files = std::path::absolute(bundle.path.join("nodes").join(node.name.as_str()))
        .doing(|| format!("finding {}", bundle.path.display()))?;
    let disks = disks(state, bundle, system, node, &files)?;
    let initrd = initrd(state, bundle, system, node)?;
    state.begin_console(&node.name)?;
    let mut program = machine(state, &bundle.manifest, node)?;
    for (number, disk) in disks.iter().enumerate() {
        program = disk.attach(program, number);
    }
    let formed = state.has_formed(&node.name);
    if let Some(base) = system.kernel() {
        program = program
            .arg("-kernel")
            .arg(&base.kernel)
            .arg("-initrd")
            .arg(initrd.as_ref().unwrap_or(&base.initrd))
            .args(["-append", &base.cmdline(!formed)]);
    }
    if formed {
        program = program.args(["-fw_cfg", &format!("name={},string=yes", emulator::FORMED)]);
    }
    if let Some(firmware) = state.record.carrier.firmware() {
        let option = emulator::option(&format!("name={},file=", firmware.key), &files.join(firmware.file));
        program = program.arg("-fw_cfg").arg(option);
    }
    program.must().map(|_| ()).doing(|| format!("starting the VM of {}", node.name))
}

/// The QEMU options that do not depend on the carrier: processors, memory, network card, console.
fn machine(state: &State, manifest: &Manifest, node: &manifest::Node) -> Result<Program> {
    let machine = manifest.machine();
    let tcg = state.record.accel == Accel::Tcg;
    // Emulated processors are threads that wait for one another: two are slower than one.
    let vcpus = if tcg { 1 } else { machine.vcpus };
    let tap = state.record.names.tap(&node.name);
    Ok(Program::new(emulator::find()?)
        .args(["-name", &format!("kiln-{}-{}", manifest.cluster.name, node.name)])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-daemonize", "-M", "pc"])
        .args(["-accel", state.record.accel.as_str(), "-cpu", if tcg { "max" } else { "host" }])
        .args(["-m", &machine.memory_mib.to_string(), "-smp", &vcpus.to_string()])
        .arg("-pidfile")
        .arg(pid_file(state, &node.name))
        .args(["-netdev", &format!("tap,id=n0,ifname={tap},script=no,downscript=no")])
        .args(["-device", &format!("virtio-net-pci,netdev=n0,mac={},romfile=", node.mac)])
        .arg("-chardev")
        .arg(emulator::option("file,id=c0,append=on,path=", &state.console(&node.name)))
        .args(["-serial", "chardev:c0"]))
}

/// A disk of a machine: a file of its own, which it writes to, or one that it only reads.
struct Disk {
    file: PathBuf,
    is_own: bool,
    serial: Option<String>,
}

impl Disk {
    fn of_bundle(file: PathBuf) -> Self {
        Self { file, is_own: false, serial: None }
    }

    /// What its member is restored from.
    fn restored(file: PathBuf) -> Self {
        Self { file, is_own: false, serial: Some(ATTACHED_SERIAL.to_owned()) }
    }

    fn attach(&self, program: Program, number: usize) -> Program {
        let (format, read_only) = if self.is_own { ("qcow2", "off") } else { ("raw", "on") };
        let kind = format!("if=none,id=d{number},format={format},readonly={read_only},discard=unmap,file=");
        let serial = self.serial.as_ref().map(|serial| format!(",serial={serial}")).unwrap_or_default();
        program
            .arg("-drive")
            .arg(emulator::option(&kind, &self.file))
            .args(["-device", &format!("virtio-blk-pci,drive=d{number}{serial}")])
    }
}

/// In the order in which the guest sees them. `files` is the node's directory in the bundle.
fn disks(
    state: &State,
    bundle: &Bundle,
    system: &System,
    node: &manifest::Node,
    files: &Path,
) -> Result<Vec<Disk>> {
    let own = state.node(&node.name);
    let mut disks = Vec::new();
    if let Some(shared) = system.image() {
        let file = own.join("system.qcow2");
        create(&file, &["-f", "qcow2", "-F", &shared.format], Some(&shared.file), None)?;
        disks.push(Disk { file, is_own: true, serial: None });
    }
    let file = own.join("data.qcow2");
    create(&file, &["-f", "qcow2"], None, Some(bundle.manifest.machine().data_disk_mib))?;
    disks.push(Disk {
        file,
        is_own: true,
        serial: Some(disk_serial(&bundle.manifest.cluster.instance, node.name.as_str())),
    });
    if state.record.carrier.has_seed() {
        disks.push(Disk::of_bundle(files.join("seed.iso")));
        if bundle.manifest.shares_binaries() {
            disks.push(Disk::of_bundle(files.join("../../layers/layer.iso")));
        }
    }
    let restored = restore_disk::file(state, &node.name);
    if !state.has_formed(&node.name) && disk::look(&restored)?.is_some() {
        disks.push(Disk::restored(restored));
    }
    Ok(disks)
}

/// The base system's and the node's own files, for carriers that use an initramfs.
fn initrd(state: &State, bundle: &Bundle, system: &System, node: &manifest::Node) -> Result<Option<PathBuf>> {
    let Some(base) = system.kernel().filter(|_| state.record.carrier.runs_from_ram()) else {
        return Ok(None);
    };
    let file = state.node(&node.name).join("initrd.img");
    initrd::write(base, &bundle.path, &bundle.manifest, &node.name, &file)?;
    Ok(Some(file))
}

/// A thin disk. An existing one is kept: it may be the only copy of some data.
fn create(file: &Path, format: &[&str], backing: Option<&Path>, mib: Option<u32>) -> Result<()> {
    if disk::look(file)?.is_some() {
        return Ok(());
    }
    // Made under another name first: an interrupted run must not leave an incomplete disk, which would be kept.
    let partial = file.with_extension("partial");
    let mut program = Program::new(process::find("qemu-img")?).args(["create", "-q"]).args(format);
    if let Some(backing) = backing {
        program = program.arg("-b").arg(backing);
    }
    program = program.arg(&partial);
    if let Some(mib) = mib {
        program = program.arg(format!("{mib}M"));
    }
    program.must().doing(|| format!("creating {}", file.display()))?;
    disk::rename(&partial, file)
}
