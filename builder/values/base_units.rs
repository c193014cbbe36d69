//! Units that base systems have of their own.

/// Services of systemd, of base systems and of what runs beside etcd. Kiln's unit would replace theirs.
const TAKEN: [&str; 46] = [
    "NetworkManager",
    "apparmor",
    "auditd",
    "autovt",
    "chrony",
    "chronyd",
    "cloud-config",
    "cloud-final",
    "cloud-init",
    "cloud-init-local",
    "container-getty",
    "containerd",
    "cri-o",
    "crio",
    "cron",
    "crond",
    "dbus",
    "dbus-broker",
    "debug-shell",
    "docker",
    "emergency",
    "firewalld",
    "getty",
    "halt",
    "haproxy",
    "iscsid",
    "keepalived",
    "kubelet",
    "libvirtd",
    "locksmithd",
    "multipathd",
    "networking",
    "nftables",
    "polkit",
    "qemu-guest-agent",
    "rc-local",
    "rescue",
    "rpcbind",
    "rsyslog",
    "snapd",
    "ssh",
    "sshd",
    "sudo",
    "udev",
    "unattended-upgrades",
    "update-engine",
];

/// Prefixes of families of such services.
const FAMILIES: [&str; 7] = ["kiln-", "systemd-", "initrd-", "ignition-", "coreos-", "user-", "dracut-"];

/// Further services of base systems. Nothing of Kiln's would take their place.
const SERVICES: [&str; 16] = [
    "console-getty",
    "hwclock",
    "kmod",
    "kmod-static-nodes",
    "ldconfig",
    "modprobe",
    "ntpd",
    "ntpsec",
    "openntpd",
    "procps",
    "quotaon",
    "selinux-autorelabel",
    "serial-getty",
    "udisks2",
    "user",
    "wpa_supplicant",
];

/// Targets of systemd (systemd.special(7)), and of what base systems start with.
const TARGETS: [&str; 42] = [
    "basic",
    "boot-complete",
    "cloud-config",
    "cloud-init",
    "cryptsetup",
    "cryptsetup-pre",
    "default",
    "emergency",
    "final",
    "first-boot-complete",
    "getty",
    "getty-pre",
    "graphical",
    "ignition-complete",
    "initrd",
    "integritysetup",
    "local-fs",
    "local-fs-pre",
    "multi-user",
    "network",
    "network-online",
    "network-pre",
    "nfs-client",
    "nss-lookup",
    "nss-user-lookup",
    "paths",
    "remote-cryptsetup",
    "remote-fs",
    "remote-fs-pre",
    "remote-veritysetup",
    "rescue",
    "rpcbind",
    "shutdown",
    "slices",
    "sockets",
    "swap",
    "sysinit",
    "time-set",
    "time-sync",
    "timers",
    "umount",
    "veritysetup",
];

/// Their mounts and sockets.
const OTHERS: [&str; 21] = [
    "-.mount",
    "boot.mount",
    "dbus.socket",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "docker.socket",
    "libvirtd.socket",
    "proc-sys-fs-binfmt_misc.automount",
    "proc-sys-fs-binfmt_misc.mount",
    "proc.mount",
    "rpcbind.socket",
    "run.mount",
    "ssh.socket",
    "sshd.socket",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys.mount",
    "syslog.socket",
    "tmp.mount",
];

/// Whether a service, without `.service`, is one of Kiln's, of systemd or of a base system.
pub(super) fn is_taken(name: &str) -> bool {
    TAKEN.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Whether a base system may have a unit, or the kernel and systemd make it by themselves (systemd.device(5),
/// systemd.slice(5), systemd.scope(5)).
pub fn is_of_a_base(unit: &str) -> bool {
    let Some((stem, kind)) = unit.rsplit_once('.') else { return false };
    let template = stem.split_once('@').map_or(stem, |(template, _)| template);
    let of_systemd = ["systemd-", "user-"].iter().any(|family| stem.starts_with(family));
    match kind {
        "device" | "slice" | "scope" => true,
        "target" => TARGETS.contains(&template),
        "service" => is_taken(template) || SERVICES.contains(&template),
        _ => of_systemd || OTHERS.contains(&unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_base_systems() {
        assert!([&TAKEN[..], &SERVICES, &TARGETS, &OTHERS].iter().all(|list| list.is_sorted()));
        for known in [
            "chronyd.service",
            "systemd-timesyncd.service",
            "getty@tty1.service",
            "network-online.target",
            "dev-vdb.device",
            "machine.slice",
            "systemd-journald.socket",
            "tmp.mount",
        ] {
            assert!(is_of_a_base(known), "{known}");
        }
        for unknown in
            ["vault-agent.service", "srv-etcd.mount", "backup.target", "backup.timer", "vault@1.service"]
        {
            assert!(!is_of_a_base(unknown), "{unknown}");
        }
    }
}
