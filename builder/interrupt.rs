//! Ctrl-C and SIGTERM, as a flag that long work asks about between two steps.
//!
//! Nothing is torn down in a signal handler: work returns `Failure::interrupted`, and what it made goes away
//! as its owners are dropped.

use std::sync::{Arc, LazyLock, atomic::AtomicBool, atomic::Ordering};

use crate::failure::{Doing, Failure, Result};

static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Routes SIGINT, SIGTERM and SIGHUP to the flag; a second one ends the process at once.
pub fn listen() -> Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        // The order matters: the conditional shutdown sees the flag only from the second signal on.
        signal_hook::flag::register_conditional_shutdown(signal, 130, ASKED.clone())
            .and_then(|_| signal_hook::flag::register(signal, ASKED.clone()))
            .doing(|| "listening for Ctrl-C".into())?;
    }
    Ok(())
}

pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// # Errors
/// `Exit::Interrupted` once a signal has come.
pub fn check() -> Result<()> {
    if asked() { Err(Failure::interrupted()) } else { Ok(()) }
}
