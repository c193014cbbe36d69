//! `kiln-node` as the tests run it: with the fail points of `builder/node/steps.rs`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{root, run};

/// The program, from these sources. It has a target directory of its own: there, features and profile are always the
/// same, and no other build replaces it. cargo makes tests in other processes wait for each other.
///
/// `KILN_NODE` names another one instead: `ci/node-cross --tests` has one for another architecture, under QEMU.
pub fn kiln_node() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(other) = std::env::var_os("KILN_NODE") {
            return PathBuf::from(other);
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kiln-node");
        let mut command = Command::new(env!("CARGO"));
        command.args(["build", "--quiet", "--locked", "--package", "kiln-node"]);
        command.args(["--features", "fail-points", "--target-dir"]).arg(&target).current_dir(root());
        run(&mut command);
        target.join("debug/kiln-node")
    })
}
