//! Locks for tests that run one at a time on a small computer. nextest runs each test in a process of its own, where
//! these locks have no effect: its groups in `.config/nextest.toml` let two clusters run at a time, and one machine.

use std::process::Command;
use std::sync::{Mutex, MutexGuard};

use super::{lab, root, run, store};

/// A cluster: three members are enough load.
pub fn cluster() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// An emulated machine, which uses a whole core.
pub fn machine() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Tells a test that it runs inside `ci/lab`.
const INSIDE: &str = "KILN_TEST_INSIDE";

/// Outside `ci/lab`: runs the test of this name (with its modules) again inside and returns false. It needs QEMU and
/// these base systems.
pub fn is_inside(test: &str, bases: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let qemu = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .any(|directory| directory.join("qemu-system-x86_64").exists());
    let base = |kind: &&str| lab().join("base").join(kind).join("initrd.img").exists();
    assert!(qemu && bases.iter().all(base), "run ci/setup --tests first");
    store();
    let _turn = machine();
    let mut command = Command::new(root().join("ci/lab"));
    command.current_dir(root()).arg("env").arg(format!("{INSIDE}=1")).arg(std::env::current_exe().unwrap());
    let said =
        run(command.args(["--exact", test, "--nocapture", "--include-ignored"]).env("KILN_LAB", lab()));
    // A name that no test has would not be an error.
    assert!(said.contains("1 passed"), "{test}: {said}");
    false
}
