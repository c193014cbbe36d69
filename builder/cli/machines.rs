//! Verbs that run a cluster on this machine.

use std::path::PathBuf;

use clap::Args;

use super::inputs::Trust;
use crate::carrier;
use crate::host::{self, Accel, DriverName};
use crate::values::{Carrier, ConnectTo, NodeName};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kiln rehearse out/ha3\n  kiln rehearse out/ha3 --keep")]
pub struct Rehearse {
    /// The directory of the bundle; several for clusters on the same nodes
    #[arg(required_unless_present = "inside", value_name = "BUNDLE")]
    pub bundles: Vec<PathBuf>,
    /// Keep the cluster running until Ctrl-C, and print the command that enters its network
    #[arg(long)]
    pub keep: bool,
    /// Seconds within which the cluster must form
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub deadline: u64,
    /// The directory that kiln restore has made: the members begin with the snapshot in it
    #[arg(long, value_name = "DIR")]
    pub restore: Option<PathBuf>,
    /// Afterwards let the nodes renew their certificates three times, each for this time (20s), while a client writes,
    /// and take their snapshots; as root
    #[arg(long, value_name = "SECONDS", value_parser = leaf_life)]
    pub leaf_life: Option<u64>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Also write the report as JUnit XML
    #[arg(long, value_name = "FILE", env = "KILN_JUNIT")]
    pub junit: Option<PathBuf>,
    #[command(flatten)]
    pub trust: Trust,
    /// The half that runs inside the namespaces
    #[arg(long, hide = true, value_name = "DIR")]
    pub inside: Option<PathBuf>,
}

/// Ten seconds to five minutes, with an `s` or without.
fn leaf_life(text: &str) -> Result<u64, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok();
    seconds.filter(|seconds| (10..=300).contains(seconds)).ok_or_else(|| "write 10s to 300s".to_owned())
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kiln up out/ha3\n  kiln up out/ha3 --driver libvirt --carrier cloud-init"
)]
pub struct Up {
    /// The directory of the bundle
    pub bundle: PathBuf,
    /// What runs the VMs: QEMU directly (needs root for the network) or libvirt [default: that of existing VMs; libvirt
    /// where the profile names one; else qemu]
    #[arg(long, value_parser = host::drivers())]
    pub driver: Option<DriverName>,
    /// How a VM receives its files [default: that of existing VMs, else initramfs]
    #[arg(long, value_parser = carrier::of_machines())]
    pub carrier: Option<Carrier>,
    /// How the CPU is run; auto uses KVM if a guest starts in it
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    pub accel: Accel,
    /// The base system: a directory as made by ci/base, the name of one (live), or a disk image with a boot loader
    /// [default: that of existing VMs, else the profile's, else that of the carrier in $KILN_LAB/base or
    /// target/lab/base]
    #[arg(long, value_name = "PATH", env = "KILN_BASE")]
    pub base: Option<PathBuf>,
    /// The libvirt that runs the VMs, or with a host those of its nodes: qemu:///system, qemu+ssh://root@pve1/system;
    /// may be repeated [default: the profile's, else that of existing VMs, else qemu:///system]
    #[arg(long, value_name = "[HOST=]URI")]
    pub connect: Vec<ConnectTo>,
    /// The directory that kiln restore has made: each member begins with the snapshot in it
    #[arg(long, value_name = "DIR")]
    pub restore: Option<PathBuf>,
    /// Start only the VM of this node, and wait only for its member; may be repeated
    #[arg(long, value_name = "NODE")]
    pub node: Vec<NodeName>,
    #[command(flatten)]
    pub trust: Trust,
    /// Return once the VMs run, without waiting for the cluster
    #[arg(long)]
    pub no_wait: bool,
    /// Seconds within which the cluster must form
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub deadline: u64,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kiln status out/ha3\n  kiln status out/ha3 --json")]
pub struct Status {
    /// The directory of the bundle
    pub bundle: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub trust: Trust,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kiln console out/ha3 cp-a\n  kiln console out/ha3 cp-b")]
pub struct Console {
    /// The directory of the bundle
    pub bundle: PathBuf,
    /// The node whose console is printed
    pub node: NodeName,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kiln down out/ha3\n  kiln down out/ha3 --purge --yes")]
pub struct Down {
    /// The directory of the bundle
    pub bundle: PathBuf,
    /// Also remove their disks, including etcd's data
    #[arg(long)]
    pub purge: bool,
    /// Do not ask for confirmation
    #[arg(long, requires = "purge")]
    pub yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}
