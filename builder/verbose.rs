//! `--verbose`: prints on stderr which programs are run and which files are read. Arguments and paths only, never
//! contents.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::values::printable;

static ON: AtomicBool = AtomicBool::new(false);

/// Files that have been printed.
static READ: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Turns it on.
pub fn on() {
    ON.store(true, Ordering::Relaxed);
}

pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Prints `run: /usr/bin/tar -x`, if it is turned on.
pub fn tell(what: &str, text: impl FnOnce() -> String) {
    if is_on() {
        // An error of stderr itself cannot be reported.
        let _ = writeln!(std::io::stderr().lock(), "{what}: {}", printable(&text()));
    }
}

/// Prints `read: profiles/ha3.toml`, once for each file. Files in /proc are left out.
pub fn read(path: &Path) {
    if is_on()
        && !path.starts_with("/proc")
        && READ.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned())
    {
        tell("read", || path.display().to_string());
    }
}
