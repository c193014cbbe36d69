//! QEMU as a program: its path, the syntax of its options, and the firmware variables that it passes to Kiln's nodes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure, Result};
use crate::process;
use crate::values::Arch;

const PROGRAM: &str = "qemu-system-x86_64";

/// The firmware variable that tells a node that its member has served before, if it is `yes` (guard.sh).
pub const FORMED: &str = "opt/kiln/formed";

/// # Errors
/// `Exit::Usage` for nodes of another architecture.
pub fn check(arch: Arch) -> Result<()> {
    match arch {
        Arch::Amd64 => Ok(()),
        _ => {
            let reason = format!("the bundle is for {arch}; kiln up starts VMs for amd64 only");
            Err(Failure::new(Exit::Usage, reason))
        }
    }
}

/// # Errors
/// `Exit::Io` when QEMU is not installed.
pub fn find() -> Result<PathBuf> {
    process::find(PROGRAM)
}

/// QEMU, where it is installed on this machine.
pub fn look_for() -> Option<PathBuf> {
    process::look_for(PROGRAM)
}

/// QEMU's options are comma-separated lists; a comma in a value is doubled (qemu(1)).
pub fn option(before: &str, path: &Path) -> OsString {
    let path = path.to_string_lossy().replace(',', ",,");
    format!("{before}{path}").into()
}

/// A line of QEMU's output without its own name.
pub fn without_name(line: &str) -> &str {
    line.rsplit_once(&format!("{PROGRAM}: ")).map_or(line, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_paths_do_not_end_options() {
        assert_eq!(option("file=", Path::new("/a,b/c")), "file=/a,,b/c");
    }
}
