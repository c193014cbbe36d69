//! Finds programs on this machine.

use std::path::PathBuf;

use crate::environ;
use crate::failure::{Doing, Failure, Result};

/// The Debian packages of the programs that Kiln calls, for the message about a missing one.
const PACKAGES: &[(&str, &str)] = &[
    ("etcdctl", "etcd-client"),
    ("gzip", "gzip"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("qemu-img", "qemu-utils"),
    ("qemu-system-aarch64", "qemu-system-arm"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("setpriv", "util-linux"),
    ("systemd-sysusers", "systemd"),
    ("systemd-tmpfiles", "systemd"),
    ("tar", "tar"),
    ("unshare", "util-linux"),
    ("virsh", "libvirt-clients"),
];

/// Directories of administrators' programs; on Debian the PATH of other users lacks these.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// An executable program on PATH, or in the system directories.
pub fn look_for(name: &str) -> Option<PathBuf> {
    let path = environ::value("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        // A relative entry would depend on the current directory.
        .filter(|directory| directory.is_absolute())
        .chain(SYSTEM_DIRECTORIES.map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok())
}

/// # Errors
/// `Exit::Io` with the name of its Debian package.
pub fn find(name: &str) -> Result<PathBuf> {
    look_for(name).ok_or_else(|| {
        let way_out = match PACKAGES.iter().find(|(program, _)| *program == name) {
            Some((_, package)) => format!("on Debian it is in the package {package}"),
            None => "install it".to_owned(),
        };
        Failure::io(format!("the program {name} was not found; {way_out}"))
    })
}

/// The file of the program that is running now.
pub fn this_program() -> Result<PathBuf> {
    std::env::current_exe().doing(|| "finding the file of this program".into())
}
