//! The end of a run of `up` that failed or was interrupted: what it leaves, and what it says of the VMs.

use super::display::Display;
use super::driver::Driver;
use super::follow;
use super::state::State;
use crate::bundle::Bundle;
use crate::failure::{Exit, Failure, Result};

/// Returns the error of such a run. `is_fresh`: this run has made the directory of the machines, and has started none
/// of them; what it has made is then removed.
pub fn after(
    failure: Failure,
    driver: &dyn Driver,
    (state, bundle): (&State, &Bundle),
    is_fresh: bool,
    display: &Display,
) -> Failure {
    // The record says so before anything else is made.
    let may_run = state.record.laid;
    // What cannot be determined counts as running.
    let is_running = |node| driver.runs(state, node).unwrap_or(true);
    let runs = may_run && state.nodes(&bundle.manifest).iter().any(is_running);
    let mut is_undone = false;
    if is_fresh && !runs {
        match undo(driver, state, bundle) {
            Ok(()) => is_undone = true,
            // Of an interruption, the message below says it.
            Err(why) if failure.exit() != Exit::Interrupted => {
                display.warn(format_args!("some of what this run has made is left: {why}"));
            }
            Err(_) => {}
        }
    }
    match failure.exit() {
        Exit::Interrupted if runs => follow::interrupted(),
        Exit::Interrupted if is_undone => {
            Failure::new(Exit::Interrupted, "interrupted; no VM was started, and nothing was left behind")
        }
        Exit::Interrupted => Failure::new(
            Exit::Interrupted,
            "interrupted; no VM of this bundle is running: kiln up resumes, kiln down removes their network",
        ),
        _ => failure,
    }
}

fn undo(driver: &dyn Driver, state: &State, bundle: &Bundle) -> Result<()> {
    let held = state.to_forget(&bundle.manifest)?;
    if state.record.laid {
        let left = driver.destroy(state, bundle, true)?;
        if let Some(bridge) = left.bridge {
            return Err(Failure::io(format!("the bridge {bridge} is in use")));
        }
    }
    state.forget(&held).map(|_| ())
}
