//! This process itself, which holds keys: what the system may do with its memory, and how it ends.

use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{DumpableBehavior, Resource, getrlimit, set_dumpable_behavior, setrlimit};
use signal_hook::consts::{SIGABRT, SIGXFSZ};

use crate::failure::{Doing, Exit, Failure, Result};

/// To be called before anything secret is read.
///
/// Programs that Kiln starts keep the core limit of 0, because they are given keys as well; that they may be traced and that
/// signals do to them what they usually do, the kernel itself sees to (execve(2)).
///
/// # Errors
/// `Exit::Io` when the system refuses.
pub fn guard() -> Result<()> {
    panic::set_hook(Box::new(say));
    no_core()?;
    // With a handler the write that went too far returns EFBIG (setrlimit(2)), which is reported as any other error.
    let noted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGXFSZ, noted).doing(|| "handling SIGXFSZ".into())?;
    // Without memory, and with a panic in a panic, the runtime says what it is and aborts.
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(SIGABRT, Exit::Io as i32, always)
        .doing(|| "handling SIGABRT".into())?;
    Ok(())
}

/// No core dump, which would hold keys, and no tracing by other processes of the same user (PR_SET_DUMPABLE in prctl(2)). The
/// limit is for kernels and containers that have another idea of the former; one of both is enough.
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

/// One line, and nothing of the panic's own text: it may quote what was being worked on.
fn say(panic: &PanicHookInfo<'_>) {
    use std::io::Write;
    let place =
        panic.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    // Nobody can be told that stderr is closed.
    let _ = writeln!(std::io::stderr(), "error: internal error{place}; please report it");
}
