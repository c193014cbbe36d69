//! A running program, and its end.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::failure::{Doing, Result};

/// The interval between checks of a running program. Its end is noticed at most this late.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(4);

/// The way in which a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Code(i32),
    Signal(i32),
    /// It was killed because it ran out of time.
    Deadline,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Code(code) => write!(f, "exit code {code}"),
            Ended::Signal(signal) => write!(f, "signal {signal}"),
            Ended::Deadline => f.write_str("out of time"),
        }
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Code(code),
            (None, signal) => Ended::Signal(signal.unwrap_or(0)),
        }
    }
}

/// A program that runs until it is stopped; dropping it kills its whole process group.
pub struct Running {
    pub(super) child: Child,
    pub(super) lifeline: Option<ChildStdin>,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `None` while it runs.
    pub fn ended(&mut self) -> Result<Option<Ended>> {
        if has_ended(&self.child) { end(&mut self.child).map(Some) } else { Ok(None) }
    }

    /// Asks it to end (SIGTERM), waits for `grace` until it does, then kills its group.
    pub fn terminate(&mut self, grace: Duration) -> Result<Ended> {
        // Not after its end: then its number may be another program's.
        if let Some(pid) = pid(&self.child).filter(|_| !has_ended(&self.child)) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        self.stop(grace)
    }

    /// Closes its lifeline, waits for `grace` until it ends by itself, then kills its group.
    pub fn stop(&mut self, grace: Duration) -> Result<Ended> {
        self.lifeline = None;
        let until = Instant::now() + grace;
        while !has_ended(&self.child) && Instant::now() < until {
            thread::sleep(POLL_INTERVAL);
        }
        end(&mut self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A second wait after `stop` returns the status of the first.
        let _ = end(&mut self.child);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Checks without reaping, so that the group ID cannot be reused before the group is killed.
pub(super) fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match pid(child).map(|pid| rustix::process::waitid(WaitId::Pid(pid), options)) {
        Some(Ok(None)) => false,
        // Also when it was reaped before (ECHILD).
        _ => true,
    }
}

/// Kills the rest of the group and reaps the program itself.
pub(super) fn end(child: &mut Child) -> Result<Ended> {
    // Reaped already: its PID and group ID may have been reused.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if let Some(pid) = pid(child)
        && rustix::process::waitid(WaitId::Pid(pid), options).is_ok()
    {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
    child.wait().map(Ended::from).doing(|| "waiting for a program".into())
}
