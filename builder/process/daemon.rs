//! Programs that outlive the run of Kiln that started them.

#![allow(clippy::disallowed_methods, reason = "a part of the door to programs, whose files are in /proc")]

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::running::POLL_INTERVAL;
use crate::failure::{Doing, Failure, Result};

/// A program that an earlier run of Kiln started and left running, recognized by an argument that no other program
/// has.
pub struct Daemon {
    /// Refers to this process even if its PID is reused (pidfd_open(2)).
    handle: OwnedFd,
}

impl Daemon {
    /// The process with the PID in the file, if it runs and was started with this argument.
    pub fn find(pid_file: &Path, argument: &OsStr) -> Option<Self> {
        let number = std::fs::read_to_string(pid_file).ok()?;
        let pid = Pid::from_raw(number.trim().parse().ok()?)?;
        let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()?;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let found = line.split(|byte| *byte == 0).any(|part| part == argument.as_encoded_bytes());
        // Checked after reading the command line: if the process still exists, the command line was that of the
        // process of the handle.
        (found && rustix::process::pidfd_send_signal(&handle, Signal::CONT).is_ok())
            .then_some(Self { handle })
    }

    /// Asks it to end and waits for `grace`, then kills it.
    ///
    /// # Errors
    /// `Exit::Io` when it may not be signalled, or does not end.
    pub fn end(self, grace: Duration) -> Result<()> {
        let ending = || "ending a program".to_owned();
        for signal in [Signal::TERM, Signal::KILL] {
            match rustix::process::pidfd_send_signal(&self.handle, signal) {
                Err(rustix::io::Errno::SRCH) => return Ok(()),
                other => other.map_err(io::Error::from).doing(ending)?,
            }
            let until = Instant::now() + grace;
            while Instant::now() < until {
                // A pidfd becomes readable when its process has ended.
                if !self.runs() {
                    return Ok(());
                }
                thread::sleep(POLL_INTERVAL);
            }
        }
        Err(Failure::io("it does not exit even when killed; it waits for a device").while_doing(ending()))
    }

    fn runs(&self) -> bool {
        let mut polled = [rustix::event::PollFd::new(&self.handle, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(rustix::event::poll(&mut polled, Some(&now)), Ok(0) | Err(_))
    }
}
