//! Programs that run instead of Kiln, at its terminal.

#![allow(clippy::disallowed_methods, reason = "a part of the door")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::process::Command;
use std::thread;

use rustix::process::{Pid, Signal};

use super::Program;
use super::running::{Ended, POLL_INTERVAL};
use crate::environ;
use crate::failure::{Doing, Result};

impl Program {
    /// For [`Program::attached`]: selects the variables of Kiln's own environment that it must not get.
    pub fn withholding(mut self, withheld: fn(&str) -> bool) -> Self {
        self.withheld = withheld;
        self
    }

    /// Runs it instead of Kiln: with its terminal, its environment plus the variables that were set and minus those
    /// withheld, and without a time limit. Ctrl-C at the terminal reaches it as well, and a signal that reaches only
    /// Kiln is passed on; Kiln always waits for it, so that it can clean up.
    ///
    /// # Errors
    /// `Exit::Io` when it cannot be started.
    pub fn attached(&self) -> Result<Ended> {
        let mut command = Command::new(&self.path);
        for name in environ::names() {
            if name.to_str().is_some_and(self.withheld) {
                command.env_remove(name);
            }
        }
        command.args(&self.arguments).envs(self.environment.iter().map(|(n, v)| (n, v)));
        match environ::value("LC_ALL") {
            Some(locale) => command.env("LC_ALL", locale),
            None => command.env_remove("LC_ALL"),
        };
        // The number of the last signal that arrived.
        let came = Arc::new(AtomicUsize::new(0));
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            let number = signal.as_raw();
            signal_hook::flag::register_usize(number, Arc::clone(&came), number.unsigned_abs() as usize)
                .doing(|| "listening for signals".into())?;
        }
        let mut child = self.start(&mut command)?;
        let mut told = 0;
        loop {
            if let Some(status) = child.try_wait().doing(|| format!("running {}", self.name()))? {
                return Ok(status.into());
            }
            let now = came.load(Ordering::Relaxed);
            if now != told {
                told = now;
                let signal = [Signal::INT, Signal::TERM, Signal::HUP].into_iter();
                if let Some(signal) =
                    signal.into_iter().find(|signal| signal.as_raw().unsigned_abs() as usize == now)
                {
                    // It may have ended meanwhile, as intended.
                    let _ = rustix::process::kill_process(Pid::from_child(&child), signal);
                }
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}
