//! libvirt's domain.xml for each architecture.

use std::process::Command;

use crate::support::{Workshop, ha3_with, run};
use kiln::values::Arch;

/// The first node's domain.xml for an architecture, as libvirt's schema accepts it.
fn domain_xml(arch: Arch) -> String {
    let work = Workshop::new();
    let etcd = format!("[etcd]\nversion = \"3.5.16\"\narch = \"{arch}\" #");
    let text = ha3_with(&[("# [etcd] version = \"3.5.33\"", &etcd)]);
    let source = kiln::profile::Source::file("ha3.toml".as_ref(), text.into_bytes());
    let (profile, _) =
        kiln::profile::read(&source, &[(kiln::etcd::Release::new(3, 5, 16), arch)], kiln::carrier::all())
            .unwrap_or_else(|_| panic!("{arch}"));
    let plan = kiln::plan::resolve(&profile, &kiln::plan::Named::by(&"ha3-00000000".parse().unwrap()));
    let xml = kiln::carrier::libvirt::domain(&plan, &plan.nodes[0]).unwrap();
    run(Command::new("virt-xml-validate").arg(work.file("domain.xml", &xml)).arg("domain"));
    String::from_utf8(xml).unwrap()
}

/// QEMU's machine for this architecture has no firmware of its own.
#[test]
fn domain_xml_arm64() {
    for arch in Arch::ALL {
        let xml = domain_xml(arch);
        assert_eq!(xml.contains("<os firmware=\"efi\">"), arch == Arch::Arm64, "{xml}");
    }
}

/// QEMU's machines for this architecture and for s390x have no fw_cfg: there Ignition looks for a disk.
#[test]
fn domain_xml_ppc64le() {
    for arch in Arch::ALL {
        let (xml, has_fw_cfg) = (domain_xml(arch), matches!(arch, Arch::Amd64 | Arch::Arm64));
        assert_eq!(xml.contains("<sysinfo type=\"fwcfg\">"), has_fw_cfg, "{xml}");
        assert_eq!(xml.contains("<serial>ignition</serial>"), !has_fw_cfg, "{xml}");
    }
}

#[test]
fn domain_xml_cpu() {
    for arch in Arch::ALL {
        let xml = domain_xml(arch);
        assert!(xml.contains("<cpu mode=\"host-passthrough\"/>"), "{xml}");
    }
}
