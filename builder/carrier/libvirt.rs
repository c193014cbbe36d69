//! libvirt's description of the network and of a node's machine. Disks are volumes of a storage pool named by the
//! cluster's name and ID, so that neither file holds a path to them and two clusters of one name share nothing.

use crate::failure::Result;
use crate::plan::{Node, Plan};
use crate::profile::Binaries;
use crate::values::{Arch, Volume, libvirt_name};
use crate::xml::{Element, element};

/// Where libvirt keeps disks, and its QEMU may read (its default pool).
const POOLS: &str = "/var/lib/libvirt/images";

/// `network.xml`: a bridge on which the host has an address too, so that `kiln verify` runs there. Without a
/// gateway in the profile nothing is forwarded.
///
/// # Errors
/// None that input can cause.
pub fn network(plan: &Plan) -> Result<Vec<u8>> {
    let cidr = plan.network.cidr;
    let family = if cidr.addr().is_ipv6() { "ipv6" } else { "ipv4" };
    let forward = plan.network.gateway.map(|_| element("forward").with("mode", "nat"));
    let names = plan.nodes.iter().map(|node| {
        let mut names = vec![element("hostname").text(&node.name)];
        if node.fqdn != node.name.as_str() {
            names.push(element("hostname").text(&node.fqdn));
        }
        element("host").with("ip", node.address).containing(names)
    });
    let host = element("ip")
        .with("family", family)
        .with("address", plan.host_address())
        .with("prefix", cidr.prefix_len());
    element("network")
        .containing([element("name").text(name_of(plan))])
        .containing(forward)
        .containing([element("dns").containing(names), host])
        .document()
}

/// `domain.xml`: one machine with a system disk, a data disk for etcd and, for the carriers that need it,
/// the seed.
///
/// # Errors
/// None that input can cause.
pub fn domain(plan: &Plan, node: &Node) -> Result<Vec<u8>> {
    let carriers = &plan.bundle.carriers;
    let has_seed = carriers.iter().any(|carrier| carrier.has_seed());
    let pool = name_of(plan);
    let volume = |what: Volume| what.name(node.name.as_str());
    let mut disks = vec![
        disk(&pool, &volume(Volume::System), "vda", None),
        disk(&pool, &volume(Volume::Data), "vdb", Some(&node.disk_serial)),
    ];
    if has_seed {
        disks.push(seed(&pool, &volume(Volume::Seed), "vdc"));
        if plan.bundle.binaries == Binaries::Shared {
            disks.push(seed(&pool, "layer.iso", "vdd"));
        }
    }
    let kind = Platform::of(plan.arch);
    let mut ignition = None;
    if let Some(firmware) = carriers.iter().find_map(|carrier| carrier.firmware()) {
        if kind.has_fw_cfg {
            // By its path, the one in either file: libvirt (11.3) hands text to QEMU with its quotes escaped as for XML
            // and its commas not at all.
            let file = format!("{POOLS}/kiln-{pool}/{}", volume(Volume::Ignition));
            let entry = element("entry").with("name", firmware.key).with("file", file);
            ignition = Some(element("sysinfo").with("type", "fwcfg").containing([entry]));
        } else {
            let config = raw(&pool, &volume(Volume::Ignition), "vde", Some(firmware.serial));
            disks.push(config);
        }
    }
    let mut system = element("os").containing([
        element("type").with("arch", kind.arch).with("machine", kind.machine).text("hvm"),
        element("boot").with("dev", "hd"),
    ]);
    if kind.needs_efi {
        system = system.with("firmware", "efi");
    }
    let network = element("interface").with("type", "network").containing([
        element("mac").with("address", node.mac),
        element("source").with("network", &pool),
        element("model").with("type", "virtio"),
    ]);
    let console = element("console").with("type", "pty");
    let entropy = element("rng")
        .with("model", "virtio")
        .containing([element("backend").with("model", "random").text("/dev/urandom")]);
    element("domain")
        .with("type", "kvm")
        .containing([
            element("name").text(format!("{pool}-{}", node.name)),
            element("title").text(format!("etcd member {} of {}", node.name, plan.cluster.name)),
            element("memory").with("unit", "MiB").text(plan.machine.memory_mib),
            element("vcpu").text(plan.machine.vcpus),
        ])
        .containing(ignition)
        .containing([system])
        .containing(kind.has_acpi.then(|| element("features").containing([element("acpi")])))
        // Without one, libvirt takes QEMU's oldest (x86-64-v1 on amd64), on which EL 9 and its like do not start.
        .containing([element("cpu").with("mode", "host-passthrough")])
        .containing([element("devices").containing(disks).containing([network, console, entropy])])
        .document()
}

/// What the network and the pool are called, and what the domains' names begin with.
fn name_of(plan: &Plan) -> String {
    libvirt_name(plan.cluster.name.as_str(), &plan.cluster.id.to_string())
}

fn disk(pool: &str, volume: &str, target: &str, serial: Option<&str>) -> Element {
    element("disk")
        .with("type", "volume")
        .with("device", "disk")
        .containing([
            element("driver").with("name", "qemu").with("type", "qcow2"),
            element("source").with("pool", pool).with("volume", volume),
            element("target").with("dev", target).with("bus", "virtio"),
        ])
        .containing(serial.map(|serial| element("serial").text(serial)))
}

/// A read-only disk; the guest finds it by its label. Not a CD-ROM: distributions give those to a group that
/// their first user is in, and the seed holds keys.
fn seed(pool: &str, volume: &str, target: &str) -> Element {
    raw(pool, volume, target, None)
}

/// A volume that the guest reads as it is.
fn raw(pool: &str, volume: &str, target: &str, serial: Option<&str>) -> Element {
    element("disk")
        .with("type", "volume")
        .with("device", "disk")
        .containing([
            element("driver").with("name", "qemu").with("type", "raw"),
            element("source").with("pool", pool).with("volume", volume),
            element("target").with("dev", target).with("bus", "virtio"),
            element("readonly"),
        ])
        .containing(serial.map(|serial| element("serial").text(serial)))
}

/// What QEMU's machine for a processor is called, has and lacks.
struct Platform {
    arch: &'static str,
    machine: &'static str,
    /// Whether it has no firmware of its own that would start a disk.
    needs_efi: bool,
    has_acpi: bool,
    /// QEMU's `-fw_cfg` (docs/specs/fw_cfg.rst); the others answer "fw_cfg device not available".
    has_fw_cfg: bool,
}

impl Platform {
    fn of(arch: Arch) -> Self {
        let (needs_efi, has_acpi, has_fw_cfg) = match arch {
            Arch::Amd64 => (false, true, true),
            Arch::Arm64 => (true, true, true),
            Arch::Ppc64le | Arch::S390x => (false, false, false),
        };
        let (arch, machine) = match arch {
            Arch::Amd64 => ("x86_64", "q35"),
            Arch::Arm64 => ("aarch64", "virt"),
            Arch::Ppc64le => ("ppc64le", "pseries"),
            Arch::S390x => ("s390x", "s390-ccw-virtio"),
        };
        Self { arch, machine, needs_efi, has_acpi, has_fw_cfg }
    }
}
