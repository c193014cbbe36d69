//! Protection of this process, which has keys in memory: core dumps, tracing, and the text of a panic.

use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{DumpableBehavior, Resource, getrlimit, set_dumpable_behavior, setrlimit};
use signal_hook::consts::{SIGABRT, SIGXFSZ};

use crate::failure::{Doing, Exit, Failure, Result};

/// Call this before any secret is read.
///
/// Programs that Kiln starts keep the core limit of 0, because they get keys as well. The kernel itself makes them
/// traceable again and resets their signal handlers (execve(2)).
///
/// # Errors
/// `Exit::Io` when the system refuses.
pub fn guard() -> Result<()> {
    panic::set_hook(Box::new(say));
    no_core()?;
    // With a handler a write beyond the limit returns EFBIG (setrlimit(2)), which is reported like any other error.
    let noted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGXFSZ, noted).doing(|| "handling SIGXFSZ".into())?;
    // When memory is exhausted, or a panic happens during a panic, the runtime prints its own message and aborts.
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(SIGABRT, Exit::Io as i32, always)
        .doing(|| "handling SIGABRT".into())?;
    Ok(())
}

/// Whether this process was started with a signal ignored (SigIgn in proc_pid_status(5)).
pub fn ignores(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & 1 << (signal - 1) != 0
}

/// Disables core dumps, which would contain keys, and tracing by other processes of the same user (PR_SET_DUMPABLE in
/// prctl(2)). The limit is for kernels and containers that ignore the former; one of the two suffices.
fn no_core() -> Result<()> {
    let closed = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let mut limit = getrlimit(Resource::Core);
    limit.current = Some(0);
    let limited = setrlimit(Resource::Core, limit);
    match (closed, limited) {
        (Err(error), Err(_)) => {
            Err(Failure::io(std::io::Error::from(error).to_string()).while_doing("switching core dumps off"))
        }
        _ => Ok(()),
    }
}

/// One line, without the panic's own text: it may quote data that was being processed.
fn say(panic: &PanicHookInfo<'_>) {
    use std::io::Write;
    let place =
        panic.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    // An error of stderr itself cannot be reported.
    let _ = writeln!(std::io::stderr(), "error: internal error{place}; please report it");
}
