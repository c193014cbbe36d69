//! The end of a run of `up` that failed or was interrupted: what it leaves, and what it says of the VMs.

use std::collections::BTreeSet;

use super::display::Display;
use super::driver::Driver;
use super::follow;
use super::state::State;
use crate::bundle::Bundle;
use crate::failure::{Exit, Failure, Result};

/// What a run that failed has made itself, and may remove.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// Nothing, or not alone: machines of an earlier run are there.
    No,
    /// Everything, and no machine was started.
    Unstarted,
    /// Everything, on several hosts, of which one failed before all machines were started: the others would wait in
    /// vain.
    Started,
}

impl Fresh {
    /// `is_new`: this run has made the directory of the machines; `is_begun`: all of them were started.
    pub fn of(is_new: bool, has_started: bool, is_begun: bool, failure: &Failure, state: &State) -> Self {
        let is_spread = state.record.laid_at.len() + usize::from(state.record.laid) > 1;
        match (is_new, has_started) {
            (true, false) => Self::Unstarted,
            (true, true) if is_spread && !is_begun && failure.exit() != Exit::Interrupted => Self::Started,
            _ => Self::No,
        }
    }
}

/// Returns the error of such a run.
pub fn after(
    failure: Failure,
    driver: &dyn Driver,
    (state, bundle): (&State, &Bundle),
    fresh: Fresh,
    display: &Display,
) -> Failure {
    // The record says so before anything else is made.
    let may_run = state.record.is_laid();
    // What cannot be determined counts as running.
    let nodes = state.nodes(&bundle.manifest);
    let is_none = |running: BTreeSet<_>| running.is_empty();
    let runs = may_run && !driver.running(state, &nodes.iter().collect::<Vec<_>>()).is_ok_and(is_none);
    let mut is_undone = false;
    if fresh == Fresh::Started || fresh == Fresh::Unstarted && !runs {
        match undo(driver, state, bundle) {
            Ok(()) => is_undone = true,
            // The VMs of the other hosts are gone.
            Err(why) if fresh == Fresh::Started => {
                display.warn(format_args!(
                    "some of what this run has made is left, until kiln down --purge removes it: {why}"
                ));
            }
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
    if state.record.is_laid() {
        let left = driver.destroy(state, bundle, true)?;
        if let Some(bridge) = left.bridge {
            return Err(Failure::io(format!("the bridge {bridge} is in use")));
        }
    }
    state.forget(&held).map(|_| ())
}
