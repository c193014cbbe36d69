//! The directories that base systems have, and their modes there.

use crate::values::{GuestPath, Mode};

/// Those that are not 0755, of Debian, Ubuntu, Fedora and Flatcar: base-files and the packages' own directories in
/// Debian 12 and 13, systemd's tmpfiles.d of 252 and 257, and Fedora's filesystem and sudo. Where systems differ, it
/// is the more restrictive one.
const MODES: [(&str, u32); 54] = [
    ("boot/efi", 0o700),
    ("etc/NetworkManager/system-connections", 0o700),
    ("etc/audit", 0o750),
    ("etc/audit/rules.d", 0o750),
    ("etc/credstore", 0o700),
    ("etc/credstore.encrypted", 0o700),
    ("etc/munge", 0o700),
    ("etc/polkit-1/rules.d", 0o700),
    ("etc/ssl/private", 0o710),
    ("etc/sudoers.d", 0o750),
    ("etc/systemd/credstore", 0o700),
    ("etc/wireguard", 0o700),
    ("lost+found", 0o700),
    ("root", 0o700),
    ("root/.cache", 0o700),
    ("root/.config", 0o700),
    ("root/.gnupg", 0o700),
    ("root/.local", 0o700),
    ("root/.ssh", 0o700),
    ("run/lock", 0o1777),
    ("tmp", 0o1777),
    ("usr/lib/credstore", 0o700),
    ("usr/share/polkit-1/rules.d", 0o700),
    ("var/cache/apt/archives/partial", 0o700),
    ("var/cache/ldconfig", 0o700),
    ("var/cache/libvirt", 0o711),
    ("var/cache/private", 0o700),
    ("var/crash", 0o1777),
    ("var/empty", 0o711),
    ("var/lib/NetworkManager", 0o700),
    ("var/lib/apt/lists/partial", 0o700),
    ("var/lib/containerd", 0o711),
    ("var/lib/docker", 0o710),
    ("var/lib/libvirt/boot", 0o711),
    ("var/lib/libvirt/images", 0o711),
    ("var/lib/libvirt/qemu", 0o750),
    ("var/lib/machines", 0o700),
    ("var/lib/polkit-1", 0o700),
    ("var/lib/portables", 0o700),
    ("var/lib/private", 0o700),
    ("var/lib/rsyslog", 0o700),
    ("var/lib/sss/pipes/private", 0o700),
    ("var/lib/tpm2-tss", 0o750),
    ("var/local", 0o2775),
    ("var/log/audit", 0o700),
    ("var/log/journal", 0o2755),
    ("var/log/private", 0o700),
    ("var/mail", 0o2775),
    ("var/spool/at", 0o700),
    ("var/spool/cron/atjobs", 0o1770),
    ("var/spool/cron/atspool", 0o1770),
    ("var/spool/cron/crontabs", 0o1730),
    ("var/spool/mail", 0o775),
    ("var/tmp", 0o1777),
];

/// Below these every directory may be a base system's: they contain files of packages, readable for everyone.
const SYSTEM: [&str; 5] = ["etc/pam.d", "etc/systemd", "etc/udev", "usr/lib", "usr/share"];

/// Directories of /etc that most base systems have, besides those whose names end in `.d`.
const ETC: [&str; 26] = [
    "NetworkManager",
    "X11",
    "alternatives",
    "apt",
    "ca-certificates",
    "chrony",
    "cloud",
    "containerd",
    "containers",
    "default",
    "dhcp",
    "docker",
    "fonts",
    "iproute2",
    "kernel",
    "ld.so.conf.d",
    "netplan",
    "network",
    "pki",
    "polkit-1",
    "security",
    "selinux",
    "skel",
    "ssh",
    "ssl",
    "xdg",
];

/// The mode of a directory in base systems; `None` for one that is not known to exist in any.
pub fn known_mode(path: &GuestPath) -> Option<Mode> {
    let text = path.as_str();
    if let Ok(at) = MODES.binary_search_by_key(&text, |(known, _)| *known) {
        return Some(Mode::from_bits(MODES[at].1));
    }
    let is_known = match text.split('/').collect::<Vec<_>>()[..] {
        // Directories that packages and services make for themselves have a third component.
        [_] | ["var", "lib" | "log" | "cache" | "spool", "dpkg" | "systemd" | "apt" | "cron"] => true,
        _ => is_of_all(path) || SYSTEM.iter().any(|system| path.is_within(system)),
    };
    is_known.then_some(Mode::DIRECTORY)
}

/// Whether every base system, or most of them, have a directory there.
pub fn is_of_all(path: &GuestPath) -> bool {
    let text = path.as_str();
    if MODES.binary_search_by_key(&text, |(known, _)| *known).is_ok() || SYSTEM.contains(&text) {
        return true;
    }
    match text.split('/').collect::<Vec<_>>()[..] {
        ["bin" | "boot" | "dev" | "etc" | "home" | "lib" | "lib64" | "media" | "mnt" | "opt" | "proc"]
        | ["run" | "sbin" | "srv" | "sys" | "usr" | "var"] => true,
        ["etc", name] => name.ends_with(".d") || ETC.contains(&name),
        ["usr" | "var", _] | ["usr", "local", _] => true,
        _ => false,
    }
}

/// The mode of a directory that is listed only because of its contents.
pub(super) fn mode(path: &GuestPath) -> Mode {
    known_mode(path).unwrap_or(Mode::DIRECTORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_searched() {
        assert!(MODES.is_sorted_by_key(|(path, _)| *path));
        assert!(MODES.iter().all(|(path, _)| path.parse::<GuestPath>().is_ok()));
    }

    #[test]
    fn directories_of_base_systems_are_known() {
        let known = |path: &str| known_mode(&path.parse().unwrap()).map(|mode| mode.to_string());
        for (path, want) in [
            ("root", Some("0700")),
            ("tmp", Some("1777")),
            ("etc", Some("0755")),
            ("etc/modprobe.d", Some("0755")),
            ("etc/systemd/system/sshd.service.d", Some("0755")),
            ("usr/local/bin", Some("0755")),
            ("var/lib", Some("0755")),
            ("etc/site", None),
            ("var/lib/site", None),
            ("root/keys", None),
            ("opt/site", None),
        ] {
            assert_eq!(known(path).as_deref(), want, "{path}");
        }
    }
}
