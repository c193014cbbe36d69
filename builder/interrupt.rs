//! Ctrl-C and SIGTERM, as a flag that long operations check between two steps.
//!
//! Nothing is torn down in a signal handler: operations return `Failure::interrupted`, and their temporary files are
//! removed as the owners are dropped.

use std::sync::{Arc, LazyLock, atomic::AtomicBool, atomic::Ordering};

use crate::failure::{Doing, Failure, Result};

static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Routes SIGINT, SIGTERM and SIGHUP to the flag; a second one ends the process at once. `ignores` says of a signal
/// whether whoever started this process wants it ignored: nohup(1) does so with SIGHUP.
pub fn listen(ignores: impl Fn(i32) -> bool) -> Result<()> {
    let [int, term, hup] =
        [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP];
    for signal in [int, term, hup].into_iter().filter(|signal| *signal != hup || !ignores(hup)) {
        // The order matters: the conditional shutdown sees the flag only from the second signal on.
        signal_hook::flag::register_conditional_shutdown(signal, 130, ASKED.clone())
            .and_then(|_| signal_hook::flag::register(signal, ASKED.clone()))
            .doing(|| "listening for Ctrl-C".into())?;
    }
    Ok(())
}

pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// # Errors
/// `Exit::Interrupted` once a signal has come.
pub(crate) fn check() -> Result<()> {
    if asked() { Err(Failure::interrupted()) } else { Ok(()) }
}
