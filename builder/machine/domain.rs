//! A bundle's `domain.xml`, which says nothing of this host, made into the definition of a machine on it.

use std::path::Path;

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};

use super::accel::Accel;
use super::base::Carrier;
use super::qemu::FORMED;
use crate::failure::{Failure, Result};

/// What is started directly: volumes' paths, and the kernel's command line.
pub struct Kernel {
    pub file: String,
    pub initrd: String,
    pub cmdline: String,
}

/// What the host adds to it.
pub struct Host<'a> {
    pub accel: Accel,
    pub carrier: Carrier,
    /// `None` where the disk starts its own.
    pub kernel: Option<&'a Kernel>,
    /// Ignition's config, for its carrier.
    pub ignition: Option<&'a str>,
    /// Whether this member has served before.
    pub formed: bool,
    /// Where the guest's first serial port is written to.
    pub console: &'a Path,
    /// The volume that every carrier needs.
    pub data: &'a str,
}

/// # Errors
/// `Exit::Wrong` when it is not XML.
pub fn define(xml: &str, host: &Host) -> Result<String> {
    let broken = |error: quick_xml::Error| Failure::wrong(format!("domain.xml is not well-formed: {error}"));
    let mut reader = Reader::from_str(xml);
    let mut out = String::with_capacity(xml.len());
    let mut copied = 0;
    loop {
        let begin = position(&reader);
        let (element, empty) = match reader.read_event().map_err(broken)? {
            Event::Eof => break,
            Event::Start(element) => (element, false),
            Event::Empty(element) => (element, true),
            _ => continue,
        };
        // Of what is replaced whole, the end is looked for; of the others only the tag is.
        let whole = ["vcpu", "sysinfo", "cpu", "disk", "console"].contains(&name(&element).as_str());
        if whole && !empty {
            let end = element.to_end().into_owned();
            reader.read_to_end(end.name()).map_err(broken)?;
        }
        let there = &xml[begin..position(&reader)];
        let Some(instead) = host.instead(&name(&element), there) else { continue };
        out.push_str(&xml[copied..begin]);
        out.push_str(&instead);
        copied = position(&reader);
    }
    out.push_str(&xml[copied..]);
    Ok(out)
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

fn name(element: &BytesStart) -> String {
    element.name().as_ref().to_owned()
}

impl Host<'_> {
    /// What QEMU's fw_cfg brings to the guest.
    fn firmware_config(&self) -> String {
        let mut entries = String::new();
        if let Some(file) = self.ignition {
            let file = escape(file);
            entries.push_str(&format!("<entry name=\"opt/com.coreos/config\" file=\"{file}\"/>"));
        }
        if self.formed {
            entries.push_str(&format!("<entry name=\"{FORMED}\">yes</entry>"));
        }
        match entries.as_str() {
            "" => entries,
            entries => format!("<sysinfo type=\"fwcfg\">{entries}</sysinfo>\n  "),
        }
    }

    /// What to write for an element; `None`: itself.
    fn instead(&self, name: &str, there: &str) -> Option<String> {
        let emulated = self.accel == Accel::Tcg;
        match name {
            "domain" => Some(format!("<domain type=\"{}\">", if emulated { "qemu" } else { "kvm" })),
            // As for QEMU by itself: emulated processors wait for one another.
            "vcpu" if emulated => Some("<vcpu>1</vcpu>".to_owned()),
            "boot" => self.kernel.map(|kernel| {
                format!(
                    "<kernel>{}</kernel><initrd>{}</initrd><cmdline>{}</cmdline>",
                    escape(&kernel.file),
                    escape(&kernel.initrd),
                    escape(&kernel.cmdline)
                )
            }),
            "sysinfo" | "cpu" => Some(String::new()),
            "os" => Some(format!("{}<os>", self.firmware_config())),
            "devices" => {
                let mode = if emulated { "maximum" } else { "host-passthrough" };
                Some(format!("<cpu mode=\"{mode}\"/>\n  <devices>"))
            }
            "disk"
                if self.carrier == Carrier::Initramfs && !there.contains(&format!("\"{}\"", self.data)) =>
            {
                Some(String::new())
            }
            "console" => Some(format!(
                "<serial type=\"file\"><source path=\"{}\" append=\"on\"/><target port=\"0\"/></serial>",
                escape(self.console.to_string_lossy())
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = r#"<domain type="kvm">
  <vcpu>2</vcpu>
  <sysinfo type="fwcfg"><entry name="opt/com.coreos/config" file="/elsewhere"/></sysinfo>
  <os><type>hvm</type><boot dev="hd"/></os>
  <devices>
    <disk type="volume"><source pool="p" volume="a.qcow2"/></disk>
    <disk type="volume"><source pool="p" volume="a-data.qcow2"/></disk>
    <console type="pty"/>
  </devices>
</domain>
"#;

    fn host(accel: Accel, carrier: Carrier, formed: bool) -> String {
        let console = Path::new("/c&d");
        let kernel = Kernel { file: "/k".into(), initrd: "/i".into(), cmdline: "a=\"<b>\"".into() };
        let (kernel, data) = (Some(&kernel), "a-data.qcow2");
        let ignition = (carrier == Carrier::Ignition).then_some("/p/a.ign");
        define(DOMAIN, &Host { accel, carrier, kernel, ignition, formed, console, data }).unwrap()
    }

    #[test]
    fn what_the_host_remembers_is_told_by_each_carrier() {
        for carrier in [Carrier::Initramfs, Carrier::CloudInit, Carrier::Ignition] {
            let entry = "<entry name=\"opt/kiln/formed\">yes</entry>";
            let (told, first) = (host(Accel::Tcg, carrier, true), host(Accel::Tcg, carrier, false));
            assert!(told.contains(entry) && told.matches("<sysinfo type=\"fwcfg\">").count() == 1, "{told}");
            assert!(!first.contains("opt/kiln"), "{first}");
        }
    }

    #[test]
    fn the_hosts_part_is_put_in() {
        let text = host(Accel::Tcg, Carrier::Initramfs, false);
        for want in
            ["<domain type=\"qemu\">", "<vcpu>1</vcpu>", "volume=\"a-data.qcow2\"", "path=\"/c&amp;d\""]
        {
            assert!(text.contains(want), "{want}:\n{text}");
        }
        for gone in ["sysinfo", "volume=\"a.qcow2\"", "<boot", "pty", "a=\"<b>\""] {
            assert!(!text.contains(gone), "{gone}:\n{text}");
        }
        let text = host(Accel::Kvm, Carrier::Ignition, false);
        for want in [
            "<domain type=\"kvm\">",
            "<vcpu>2</vcpu>",
            "<entry name=\"opt/com.coreos/config\" file=\"/p/a.ign\"/>",
            "volume=\"a.qcow2\"",
            "<kernel>/k</kernel>",
        ] {
            assert!(text.contains(want), "{want}:\n{text}");
        }
    }

    #[test]
    fn what_is_not_xml_is_refused() {
        let console = Path::new("/c");
        let host = Host {
            accel: Accel::Tcg,
            carrier: Carrier::Initramfs,
            kernel: None,
            ignition: None,
            formed: false,
            console,
            data: "",
        };
        assert!(define("<domain><disk></domain>", &host).is_err());
    }
}
