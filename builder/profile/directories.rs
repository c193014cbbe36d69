//! The directories of a node that a profile may name. Only listed ones are allowed, because a wrong one costs data or
//! a machine: `data-dir` is owned by etcd's account, with everything in it that root may later run or read.

use crate::values::{GuestPath, Invalid};

/// Directories below which etcd's data may have a directory of its own.
const DATA: [&str; 8] = ["mnt", "opt", "srv", "var/data", "var/lib", "var/mnt", "var/opt", "var/srv"];

/// Directories that may be etcd's themselves.
const WHOLE: [&str; 2] = ["data", "var/etcd"];

/// Directories that are empty after a reboot, also by their other names on base systems, or that etcd's unit cannot
/// see (ProtectHome=, PrivateTmp=).
const HIDDEN: [&str; 11] =
    ["dev", "home", "proc", "root", "run", "sys", "tmp", "var/lock", "var/run", "var/tmp", "var/volatile"];

/// Below /var/lib: directories of package managers, systemd and other services, on Debian, Ubuntu, Fedora and Flatcar.
const STATE: [&str; 76] = [
    "AccountsService",
    "NetworkManager",
    "PackageKit",
    "alternatives",
    "apparmor",
    "apport",
    "apt",
    "aptitude",
    "authselect",
    "bluetooth",
    "boltd",
    "ca-certificates",
    "chrony",
    "cloud",
    "cni",
    "containerd",
    "containers",
    "cri-o",
    "crio",
    "dbus",
    "dhclient",
    "dhcp",
    "dhcpcd",
    "dkms",
    "dnf",
    "docker",
    "dpkg",
    "flatpak",
    "fwupd",
    "games",
    "git",
    "grub",
    "incus",
    "initramfs-tools",
    "initscripts",
    "iscsi",
    "kdump",
    "kubelet",
    "libvirt",
    "lockdown",
    "logrotate",
    "lxc",
    "lxcfs",
    "lxd",
    "machines",
    "man-db",
    "misc",
    "munge",
    "nfs",
    "ntp",
    "os-prober",
    "pacman",
    "pam",
    "plymouth",
    "polkit-1",
    "portables",
    "private",
    "python",
    "rpm",
    "rpm-state",
    "rsyslog",
    "samba",
    "selinux",
    "shells.state",
    "snapd",
    "sss",
    "stateless",
    "sudo",
    "swtpm",
    "systemd",
    "tpm2-tss",
    "ucf",
    "udisks2",
    "update-engine",
    "usbutils",
    "vim",
];

/// Below /opt: directories of programs.
const PROGRAMS: [&str; 6] = ["bin", "cni", "containerd", "lib", "lib64", "sbin"];

/// Where directories of keys may be below /etc: a directory for etcd in one of these.
const KEYS: [&str; 5] = ["etc/", "etc/kubernetes/", "etc/kubernetes/pki/", "etc/pki/", "etc/ssl/"];

/// Kiln's own files beside the keys.
const CONFIG: [&str; 3] = ["etc/etcd/etcd.conf", "etc/etcd/etcd.env", "etc/etcd/etcdctl.env"];

/// The names of these files.
pub(super) const CONFIG_FILES: [&str; 3] = ["etcd.conf", "etcd.env", "etcdctl.env"];

/// An absolute path in the guest.
pub(super) fn guest_path(text: &str) -> Result<GuestPath, Invalid> {
    match text.strip_prefix('/') {
        Some(relative) => relative.parse(),
        None => Err(Invalid("it must begin with /".into())),
    }
}

/// `data-dir`: its owner becomes etcd's account, its mode 0700.
pub(super) fn data(text: &str) -> Result<GuestPath, Invalid> {
    let path = plain(text)?;
    if let Some(place) = HIDDEN.into_iter().find(|place| path.is_within(place)) {
        return Err(Invalid(format!("/{place} is hidden from a sandboxed unit, or lost at a reboot")));
    }
    if WHOLE.into_iter().any(|place| path.is_within(place)) {
        return Ok(path);
    }
    match DATA.into_iter().find(|place| path.is_within(place)) {
        Some(place) => of_its_own(path, place),
        None => Err(Invalid(
            "other programs use this directory; use /data, or a directory of etcd's own below /var/lib, /srv, /mnt or /opt"
                .into(),
        )),
    }
}

/// `[backup] directory`: root's own, on a disk that stays.
pub(super) fn snapshots(text: &str) -> Result<GuestPath, Invalid> {
    let kiln = "/var/lib/kiln/snapshots";
    if text == kiln || text.strip_prefix(kiln).is_some_and(|rest| rest.starts_with('/')) {
        plain(text)
    } else {
        data(text)
    }
}

/// `[pki] directory`: root owns it, and etcd's account gets its own key files in it.
pub(super) fn keys(text: &str) -> Result<GuestPath, Invalid> {
    let path = plain(text)?;
    if let Some(file) = CONFIG.into_iter().find(|file| path.is_within(file)) {
        return Err(Invalid(format!("/{file} is a file that Kiln writes")));
    }
    let of_etcd =
        |place: &str| path.as_str().strip_prefix(place).is_some_and(|rest| rest.starts_with("etcd"));
    if KEYS.into_iter().any(of_etcd) || WHOLE.into_iter().any(|place| path.is_within(place)) {
        return Ok(path);
    }
    match DATA.into_iter().find(|place| path.is_within(place)) {
        Some(place) => of_its_own(path, place),
        None => Err(Invalid(
            "other programs use this directory; use /etc/etcd or a directory in it, one named etcd in /etc/ssl, /etc/pki or \
             /etc/kubernetes/pki, or one below /var/lib, /srv or /opt"
                .into(),
        )),
    }
}

/// `wal-dir`. etcd makes the directory under another name beside it and renames it (`Create` in server/storage/wal), so
/// the one that it is in is etcd's own, too, and it cannot be a mount itself.
pub(super) fn wal(text: &str) -> Result<GuestPath, Invalid> {
    let path = plain(text)?;
    let parent = path.parents().last().map(|parent| data(&parent.absolute()));
    match (parent, data(text)) {
        (Some(Ok(_)), _) => Ok(path),
        (_, Ok(_)) => Err(Invalid(format!(
            "etcd makes it anew beside it, so the directory that it is in must be etcd's own; write {text}/wal"
        ))),
        (_, Err(why)) => Err(why),
    }
}

/// `config-dir`: a directory for etcd below /etc, whose files everyone may read.
pub(super) fn config(text: &str) -> Result<GuestPath, Invalid> {
    let path = plain(text)?;
    let of_etcd =
        |place: &str| path.as_str().strip_prefix(place).is_some_and(|rest| rest.starts_with("etcd"));
    match KEYS.into_iter().any(of_etcd) {
        true => Ok(path),
        false => Err(Invalid(
            "use /etc/etcd or a directory in it, or one whose name begins with etcd in /etc, /etc/ssl, /etc/pki or \
             /etc/kubernetes"
                .into(),
        )),
    }
}

/// The path is also written into systemd units, environment files and etcd's flags, which differ in how they treat a
/// blank or a %.
fn plain(text: &str) -> Result<GuestPath, Invalid> {
    let path = guest_path(text)?;
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-/".contains(*c))) {
        Some(bad) => {
            Err(Invalid(format!("{bad:?} is not allowed; use letters, digits, '.', '_', '-' and '/'")))
        }
        None => Ok(path),
    }
}

/// A directory below a place that others use, too.
fn of_its_own(path: GuestPath, place: &str) -> Result<GuestPath, Invalid> {
    let below = path.as_str()[place.len()..].trim_start_matches('/');
    let name = below.split('/').next().unwrap_or_default();
    let taken: &[&str] = match place {
        "var/lib" => &STATE,
        "opt" | "var/opt" => &PROGRAMS,
        _ => &[],
    };
    if name.is_empty() {
        return Err(Invalid(format!("other programs use /{place}; name a directory of etcd's own in it")));
    }
    // Kiln's own names, for files that root runs or reads before etcd.
    if taken.contains(&name) || name.starts_with("kiln") || name.starts_with("systemd") {
        return Err(Invalid(format!("/{place}/{name} is another program's; name a directory of etcd's own")));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_has_a_directory_of_its_own() {
        for good in [
            "/var/lib/etcd",
            "/var/lib/etcd/default",
            "/var/lib/rancher/etcd",
            "/srv/etcd",
            "/data",
            "/data/etcd",
            "/mnt/x",
            "/opt/etcd",
            "/var/etcd/data",
            "/var/mnt/etcd",
            "/var/lib/aptly",
        ] {
            assert!(data(good).is_ok(), "{good}");
        }
        for bad in [
            "/",
            "/etc",
            "/etc/kiln",
            "/etc/sudoers.d",
            "/etc/cron.d",
            "/etc/profile.d",
            "/etc/tmpfiles.d",
            "/etc/sysusers.d",
            "/etc/init.d",
            "/etc/ld.so.conf.d",
            "/etc/etcd",
            "/var",
            "/var/lib",
            "/var/lib/dpkg",
            "/var/lib/dpkg/info",
            "/var/lib/systemd",
            "/var/lib/kiln",
            "/var/lib/kiln-x",
            "/var/lib/private/etcd",
            "/var/spool/cron",
            "/var/run/etcd",
            "/var/lock/etcd",
            "/var/tmp/etcd",
            "/run/etcd",
            "/tmp/etcd",
            "/home/etcd",
            "/usr/local/etcd",
            "/usr/bin",
            "/opt",
            "/opt/bin",
            "/opt/bin/etcd",
            "/srv",
            "/mnt",
            "/var/log",
            "/var/log/etcd",
            "/boot/etcd",
            "/etcd",
            "/var/cache/etcd",
        ] {
            assert!(data(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_may_lie_where_etcds_keys_do() {
        for good in [
            "/etc/etcd",
            "/etc/etcd/pki",
            "/etc/etcd/ssl/x",
            "/etc/etcd-pki",
            "/etc/kubernetes/pki/etcd",
            "/etc/ssl/etcd",
            "/etc/ssl/etcd/ssl",
            "/etc/pki/etcd",
            "/opt/etcd/pki",
            "/var/lib/etcd-keys",
        ] {
            assert!(keys(good).is_ok(), "{good}");
        }
        for bad in [
            "/etc",
            "/etc/kiln",
            "/etc/sudoers.d",
            "/etc/cron.d",
            "/etc/ssl",
            "/etc/ssl/certs",
            "/etc/pki",
            "/etc/kubernetes",
            "/etc/kubernetes/pki",
            "/etc/systemd/etcd",
            "/etc/etcd/etcd.conf",
            "/etc/etcd/etcd.env/x",
            "/var/run/etcd",
            "/run/etcd",
            "/root/etcd",
            "/var/lib/dpkg",
            "/usr/local/bin",
            "/opt/bin",
        ] {
            assert!(keys(bad).is_err(), "{bad}");
        }
    }
}
