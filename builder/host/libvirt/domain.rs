//! The XML of a machine and of its network, made from values only: a bundle's own `domain.xml` and `network.xml` are
//! for people, and may come from anywhere.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::carrier::libvirt::interface;
use crate::failure::Result;
use crate::host::accel::Accel;
use crate::host::emulator::FORMED;
use crate::values::{Link, Mac};
use crate::xml::{Element, element};

/// A directly started kernel: paths of volumes, and the command line.
pub struct Kernel {
    pub file: String,
    pub initrd: String,
    pub cmdline: String,
}

/// A volume of the pool as a disk.
pub struct Disk {
    pub volume: String,
    pub serial: Option<String>,
    /// A raw one that is never written to.
    pub is_seed: bool,
}

pub struct Domain<'a> {
    pub name: String,
    pub uuid: String,
    pub title: String,
    /// The name of the pool, and of Kiln's own network.
    pub pool: &'a str,
    pub link: &'a Link,
    pub memory_mib: u32,
    pub vcpus: u16,
    pub accel: Accel,
    /// `None` where the disk starts its own kernel.
    pub kernel: Option<&'a Kernel>,
    pub disks: Vec<Disk>,
    pub mac: Mac,
    /// Ignition's config, for its carrier. Passed by path: libvirt (11.3) passes text for fw_cfg to QEMU with quotes
    /// escaped as in XML, and its commas not escaped.
    pub firmware: Option<(&'a str, &'a str)>,
    /// Whether this member has served before.
    pub formed: bool,
    /// The file of the guest's first serial port, on the host of its libvirt.
    pub console: &'a str,
}

impl Domain<'_> {
    /// # Errors
    /// None that input can cause.
    pub fn xml(&self) -> Result<Vec<u8>> {
        let emulated = self.accel == Accel::Tcg;
        // As for QEMU by itself: emulated processors wait for one another.
        let vcpus = if emulated { 1 } else { self.vcpus };
        let start = match self.kernel {
            Some(kernel) => vec![
                element("kernel").text(&kernel.file),
                element("initrd").text(&kernel.initrd),
                element("cmdline").text(&kernel.cmdline),
            ],
            None => vec![element("boot").with("dev", "hd")],
        };
        let kind = element("type").with("arch", "x86_64").with("machine", "q35").text("hvm");
        let processor = if emulated { "maximum" } else { "host-passthrough" };
        let network = interface(self.link, self.pool, self.mac);
        let console = element("serial").with("type", "file").containing([
            element("source").with("path", self.console).with("append", "on"),
            element("target").with("port", 0),
        ]);
        let entropy = element("rng")
            .with("model", "virtio")
            .containing([element("backend").with("model", "random").text("/dev/urandom")]);
        let disks = self.disks.iter().zip('a'..='z').map(|(disk, letter)| self.disk(disk, letter));
        element("domain")
            .with("type", if emulated { "qemu" } else { "kvm" })
            .containing([
                element("name").text(&self.name),
                element("uuid").text(&self.uuid),
                element("title").text(&self.title),
                element("memory").with("unit", "MiB").text(self.memory_mib),
                element("vcpu").text(vcpus),
            ])
            .containing(self.firmware_config())
            .containing([
                element("os").containing([kind]).containing(start),
                element("features").containing([element("acpi")]),
                element("cpu").with("mode", processor),
                element("devices").containing(disks).containing([network, console, entropy]),
            ])
            .document()
    }

    /// The fw_cfg variables of the guest.
    fn firmware_config(&self) -> Option<Element> {
        let entry = |name: &str| element("entry").with("name", name);
        let handed = self.firmware.map(|(key, file)| entry(key).with("file", file));
        let formed = self.formed.then(|| entry(FORMED).text("yes"));
        let entries: Vec<_> = handed.into_iter().chain(formed).collect();
        (!entries.is_empty()).then(|| element("sysinfo").with("type", "fwcfg").containing(entries))
    }

    fn disk(&self, disk: &Disk, letter: char) -> Element {
        let format = if disk.is_seed { "raw" } else { "qcow2" };
        element("disk")
            .with("type", "volume")
            .with("device", "disk")
            .containing([
                element("driver").with("name", "qemu").with("type", format),
                element("source").with("pool", self.pool).with("volume", &disk.volume),
                element("target").with("dev", format!("vd{letter}")).with("bus", "virtio"),
            ])
            .containing(disk.serial.as_ref().map(|serial| element("serial").text(serial)))
            .containing(disk.is_seed.then(|| element("readonly")))
    }
}

/// A bridge on which this host has an address, too. Without a gateway in the profile nothing is forwarded.
///
/// # Errors
/// None that input can cause.
pub fn network(name: &str, network: IpNet, own: IpAddr, is_forwarded: bool) -> Result<Vec<u8>> {
    let family = if own.is_ipv6() { "ipv6" } else { "ipv4" };
    element("network")
        .containing([element("name").text(name)])
        .containing(is_forwarded.then(|| element("forward").with("mode", "nat")))
        .containing([element("ip")
            .with("family", family)
            .with("address", own)
            .with("prefix", network.prefix_len())])
        .document()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(accel: Accel, kernel: bool, ignition: Option<&str>, formed: bool) -> String {
        let kernel_there = Kernel { file: "/k".into(), initrd: "/i".into(), cmdline: "a=\"<b>\"".into() };
        let disk = |volume: &str, serial: Option<&str>, is_seed| Disk {
            volume: volume.into(),
            serial: serial.map(str::to_owned),
            is_seed,
        };
        let domain = Domain {
            name: "ha3-e33f550d-a".into(),
            uuid: "u".into(),
            title: "t".into(),
            pool: "ha3-e33f550d",
            link: &Link::Own,
            memory_mib: 512,
            vcpus: 2,
            accel,
            kernel: kernel.then_some(&kernel_there),
            disks: vec![disk("a.data.qcow2", Some("kiln-a"), false), disk("a.seed.iso", None, true)],
            mac: "52:54:00:d4:3c:35".parse().unwrap(),
            firmware: ignition.map(|file| ("opt/com.coreos/config", file)),
            formed,
            console: "/c&d",
        };
        String::from_utf8(domain.xml().unwrap()).unwrap()
    }

    #[test]
    fn what_the_host_remembers_is_told() {
        let entry = "<entry name=\"opt/kiln/formed\">yes</entry>";
        for ignition in [None, Some("/p/a.ign")] {
            let told = text(Accel::Tcg, true, ignition, true);
            assert!(told.contains(entry) && told.matches("<sysinfo type=\"fwcfg\">").count() == 1, "{told}");
            let first = text(Accel::Tcg, true, ignition, false);
            assert!(!first.contains("opt/kiln"), "{first}");
        }
    }

    #[test]
    fn values_are_no_markup_and_each_disk_has_its_place() {
        let said = text(Accel::Tcg, true, None, false);
        for want in [
            "<domain type=\"qemu\">",
            "<vcpu>1</vcpu>",
            "volume=\"a.data.qcow2\"",
            "path=\"/c&amp;d\"",
            "<serial>kiln-a</serial>",
            "<target dev=\"vda\"",
            "<target dev=\"vdb\"",
            "<readonly/>",
            "a=\"&lt;b&gt;\"",
        ] {
            assert!(said.replace("&quot;", "\"").contains(want), "{want}:\n{said}");
        }
        assert!(!said.contains("sysinfo") && !said.contains("<boot"), "{said}");
        let said = text(Accel::Kvm, false, Some("/p/a.ign"), false);
        for want in [
            "<domain type=\"kvm\">",
            "<vcpu>2</vcpu>",
            "<entry name=\"opt/com.coreos/config\" file=\"/p/a.ign\"/>",
            "<boot dev=\"hd\"/>",
            "host-passthrough",
        ] {
            assert!(said.contains(want), "{want}:\n{said}");
        }
    }

    #[test]
    fn a_network_without_a_gateway_is_not_forwarded() {
        let said = |is_forwarded| {
            let range = "fd00:77::/64".parse().unwrap();
            let xml = network("ha3-e33f550d", range, "fd00:77::1".parse().unwrap(), is_forwarded).unwrap();
            String::from_utf8(xml).unwrap()
        };
        assert!(said(true).contains("<forward mode=\"nat\"/>"));
        let closed = said(false);
        assert!(!closed.contains("forward"), "{closed}");
        assert!(closed.contains("<ip family=\"ipv6\" address=\"fd00:77::1\" prefix=\"64\"/>"), "{closed}");
    }
}
