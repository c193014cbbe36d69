//! libvirt's description of the network and of a node's machine. Disks are volumes of a storage pool named by the
//! cluster's name and ID, so that neither file holds a path to them and two clusters of one name share nothing.

use ipnet::IpNet;

use crate::failure::Result;
use crate::plan::{Node, Plan};
use crate::profile::Binaries;
use crate::values::{Arch, Card, Link, Mac, Volume, libvirt_name, router};
use crate::xml::{Element, element};

/// libvirt's default pool, which its QEMU may read.
const POOLS: &str = "/var/lib/libvirt/images";

/// `network.xml`: a bridge on which the host also has an address, so that `kiln verify` runs there. Without a gateway
/// in the profile nothing is forwarded.
///
/// # Errors
/// None that input can cause.
pub fn network(plan: &Plan) -> Result<Vec<u8>> {
    let is_routed =
        plan.nodes.iter().any(|node| !node.cards.iter().take(1).all(|card| card.routes.is_empty()));
    let forward = is_routed.then(|| element("forward").with("mode", "nat"));
    let names = plan.nodes.iter().map(|node| {
        let mut names = vec![element("hostname").text(&node.name)];
        if node.fqdn != node.name.as_str() {
            names.push(element("hostname").text(&node.fqdn));
        }
        element("host").with("ip", node.address).containing(names)
    });
    element("network")
        .containing([element("name").text(name_of(plan))])
        .containing(forward)
        .containing([element("dns").containing(names)])
        .containing(hosts(plan, 0))
        .document()
}

/// `network-peer.xml`: the same for the peers' network, of which nothing is forwarded to others.
///
/// # Errors
/// None that input can cause.
pub fn peer_network(plan: &Plan) -> Result<Vec<u8>> {
    element("network")
        .containing([element("name").text(format!("{}-peer", name_of(plan)))])
        .containing(hosts(plan, 1))
        .document()
}

/// The host's addresses in the networks of the nodes' cards: the gateways', so that it is the router between subnets.
fn hosts(plan: &Plan, at: usize) -> Vec<Element> {
    let cards: Vec<_> = plan.nodes.iter().filter_map(|node| node.cards.get(at)).collect();
    let mut nets: Vec<IpNet> = cards.iter().flat_map(|card| &card.addresses).map(IpNet::trunc).collect();
    nets.sort();
    nets.dedup();
    let element = |net: &IpNet| {
        // A network without a free address: libvirt then reports an error for the network's own address.
        let own = router(*net, &cards).unwrap_or(net.network());
        element("ip")
            .with("family", if net.addr().is_ipv6() { "ipv6" } else { "ipv4" })
            .with("address", own)
            .with("prefix", net.prefix_len())
    };
    nets.iter().map(element).collect()
}

/// `domain.xml`: one machine with a system disk, a data disk for etcd and, for the carriers that need it,
/// the seed.
///
/// # Errors
/// None that input can cause.
pub fn domain(plan: &Plan, node: &Node) -> Result<Vec<u8>> {
    let carriers = &plan.bundle.carriers;
    let pool = name_of(plan);
    let mut disks = disks(plan, node, &pool);
    let kind = Platform::of(plan.arch);
    let mut ignition = None;
    if let Some(firmware) = carriers.iter().find_map(|carrier| carrier.firmware()) {
        if kind.has_fw_cfg {
            // By path, as in both files: libvirt (11.3) passes text to QEMU with its quotes escaped as in XML and its
            // commas not escaped.
            let file = format!("{POOLS}/kiln-{pool}/{}", Volume::Ignition.name(node.name.as_str()));
            let entry = element("entry").with("name", firmware.key).with("file", file);
            ignition = Some(element("sysinfo").with("type", "fwcfg").containing([entry]));
        } else {
            let volume = Volume::Ignition.name(node.name.as_str());
            disks.push(raw(&pool, &volume, "vde", Some(firmware.serial)));
        }
    }
    let mut system = element("os").containing([
        element("type").with("arch", kind.arch).with("machine", kind.machine).text("hvm"),
        element("boot").with("dev", "hd"),
    ]);
    if kind.needs_efi {
        system = system.with("firmware", "efi");
    }
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
        // Without a CPU model, libvirt takes QEMU's oldest (x86-64-v1 on amd64), on which EL 9 and similar systems do
        // not start.
        .containing([element("cpu").with("mode", "host-passthrough")])
        .containing([element("devices")
            .containing(disks)
            .containing(interfaces(plan, node, &pool))
            .containing([console, entropy])])
        .document()
}

/// A card each, or several for a bond of these: with Kiln's own networks, that of the peers has a name of its own.
fn interfaces(plan: &Plan, node: &Node, pool: &str) -> Vec<Element> {
    let cards = node.cards.iter().zip(["", "-peer"]);
    let of_card = |(card, own): (&Card, &str)| {
        let name = format!("{pool}{own}");
        card.macs().into_iter().map(|mac| interface(&plan.machine.link, &name, mac)).collect::<Vec<_>>()
    };
    cards.flat_map(of_card).collect()
}

/// A machine's card; `own` is the name of Kiln's network, where the machine is on that.
pub fn interface(link: &Link, own: &str, mac: Mac) -> Element {
    let (kind, source) = match link {
        Link::Own => ("network", element("source").with("network", own)),
        Link::Network(name) => ("network", element("source").with("network", name)),
        Link::Bridge(name) => ("bridge", element("source").with("bridge", name)),
    };
    element("interface").with("type", kind).containing([
        element("mac").with("address", mac),
        source,
        element("model").with("type", "virtio"),
    ])
}

/// The system disk, etcd's data disk and the seeds.
fn disks(plan: &Plan, node: &Node, pool: &str) -> Vec<Element> {
    let volume = |what: Volume| what.name(node.name.as_str());
    let mut disks = vec![
        disk(pool, &volume(Volume::System), "vda", None),
        disk(pool, &volume(Volume::Data), "vdb", Some(&node.disk_serial)),
    ];
    if plan.bundle.carriers.iter().any(|carrier| carrier.has_seed()) {
        disks.push(seed(pool, &volume(Volume::Seed), "vdc"));
        if plan.bundle.binaries == Binaries::Shared {
            disks.push(seed(pool, "layer.iso", "vdd"));
        }
    }
    disks
}

/// The name of the network and the pool, and the prefix of the domains' names.
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

/// A read-only disk; the guest finds it by its label. Not a CD-ROM: distributions let the group of their first user
/// read those, and the seed contains keys.
fn seed(pool: &str, volume: &str, target: &str) -> Element {
    raw(pool, volume, target, None)
}

/// A volume that the guest sees unchanged.
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

/// The name of QEMU's machine for an architecture, and its properties.
struct Platform {
    arch: &'static str,
    machine: &'static str,
    /// Whether it lacks firmware of its own that can start a disk.
    needs_efi: bool,
    has_acpi: bool,
    /// QEMU's `-fw_cfg` (docs/specs/fw_cfg.rst); other machines answer "fw_cfg device not available".
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
