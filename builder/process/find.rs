//! Where programs are on this machine.

use std::path::PathBuf;

use crate::environ;
use crate::failure::{Doing, Failure, Result};

/// Where Debian keeps the programs that Kiln calls, for the sentence that says how to get a missing one.
const PACKAGES: &[(&str, &str)] = &[
    ("etcdctl", "etcd-client"),
    ("gzip", "gzip"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("qemu-img", "qemu-utils"),
    ("qemu-system-aarch64", "qemu-system-arm"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("systemd-sysusers", "systemd"),
    ("systemd-tmpfiles", "systemd"),
    ("tar", "tar"),
    ("unshare", "util-linux"),
    ("virsh", "libvirt-clients"),
];

/// Where administrators' programs are; PATH leaves these out for other users on Debian.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A program on PATH, or in the system directories, that may be executed.
pub fn look_for(name: &str) -> Option<PathBuf> {
    let path = environ::value("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        // A relative entry would depend on where Kiln happens to stand.
        .filter(|directory| directory.is_absolute())
        .chain(SYSTEM_DIRECTORIES.map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok())
}

/// # Errors
/// `Exit::Io` with the Debian package that has it.
pub fn find(name: &str) -> Result<PathBuf> {
    look_for(name).ok_or_else(|| {
        let way_out = match PACKAGES.iter().find(|(program, _)| *program == name) {
            Some((_, package)) => format!("on Debian it is in the package {package}"),
            None => "install it".to_owned(),
        };
        Failure::io(format!("the program {name} is not on this machine; {way_out}"))
    })
}

/// The file of the program that is running now.
pub fn this_program() -> Result<PathBuf> {
    std::env::current_exe().doing(|| "finding the file of this program".into())
}
