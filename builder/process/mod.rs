//! The only door to other programs. There is no shell in between: a program, its arguments, an environment that
//! holds what was put into it, and an end in sight.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

mod daemon;
mod find;
pub mod ip;
mod own;
mod shown;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::failure::{Doing, Failure, Result};
use crate::{environ, interrupt, parallel, verbose};

pub use daemon::Daemon;
pub use find::{find, look_for, this_program};
pub use own::guard;

/// How often a running program is looked at. Its end is seen at most this late.
const GLANCE: Duration = Duration::from_millis(4);

/// What a captured stream may hold unless the caller says otherwise; the rest is read and thrown away, so that
/// the program does not block on a full pipe.
const OUTPUT_LIMIT: u64 = 4 << 20;

/// How a program came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Code(i32),
    Signal(i32),
    /// It was killed because its time was up.
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

pub struct Finished {
    pub ended: Ended,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Finished {
    pub fn success(&self) -> bool {
        self.ended == Ended::Code(0)
    }

    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

/// A program and how to call it. Its environment is PATH, LC_ALL=C and what is put into it.
#[derive(Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    /// How many of them, from the end, are never shown.
    private: usize,
    environment: Vec<(OsString, OsString)>,
    deadline: Duration,
    output_limit: u64,
    through_interrupt: bool,
    /// Whether a variable of Kiln's own environment is kept from a program that runs in Kiln's place.
    withheld: fn(&str) -> bool,
}

impl Program {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            arguments: Vec::new(),
            private: 0,
            environment: vec![
                ("LC_ALL".into(), "C".into()),
                ("PATH".into(), environ::value("PATH").unwrap_or_else(|| "/usr/bin:/bin".into())),
            ],
            deadline: Duration::from_secs(30),
            output_limit: OUTPUT_LIMIT,
            through_interrupt: false,
            withheld: |_| false,
        }
    }

    /// For [`Program::attached`]: which variables of Kiln's own environment it must not see.
    pub fn withholding(mut self, withheld: fn(&str) -> bool) -> Self {
        self.withheld = withheld;
        self
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.retain(|(there, _)| there != name.as_ref());
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Nothing but what is put in afterwards: not even PATH.
    pub fn bare_environment(mut self) -> Self {
        self.environment.clear();
        self
    }

    /// Killed when it runs longer; 30 s unless said.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How many bytes of each stream are kept.
    pub fn output_limit(mut self, bytes: u64) -> Self {
        self.output_limit = bytes;
        self
    }

    /// For clearing up: it runs to its end though Ctrl-C was pressed.
    pub fn through_interrupt(mut self) -> Self {
        self.through_interrupt = true;
        self
    }

    /// Its file's name.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).display().to_string()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env_clear().envs(self.environment.iter().map(|(n, v)| (n, v)));
        // Its own group: Ctrl-C goes to Kiln alone, which then ends what it started, and whatever that started.
        command.stdin(Stdio::null()).process_group(0);
        command
    }

    fn start(&self, command: &mut Command) -> Result<Child> {
        verbose::tell("run", || self.shown());
        let mut tries = 0;
        loop {
            match command.spawn() {
                // Another thread has forked while this program's file was still open for writing in it; that
                // copy is closed as soon as the other one has reached its exec.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < 50 => {
                    tries += 1;
                    thread::sleep(GLANCE);
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(Failure::io(format!(
                        "{} may not be executed; if the file system is mounted noexec, set TMPDIR to another",
                        self.path.display()
                    )));
                }
                other => return other.doing(|| format!("starting {}", self.path.display())),
            }
        }
    }

    /// Runs it to its end, output captured. An exit code other than 0 is not an error here.
    ///
    /// # Errors
    /// `Exit::Io` when it does not start; `Exit::Interrupted` on Ctrl-C, with the program killed.
    pub fn run(&self) -> Result<Finished> {
        if !self.through_interrupt {
            interrupt::check()?;
        }
        let mut child = self.start(self.command().stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let running = || format!("running {}", self.name());
        thread::scope(|scope| {
            // It would block on a pipe that nobody reads, so without these threads it cannot run.
            let drains = parallel::need(scope, || drain(out, self.output_limit))
                .and_then(|stdout| Ok((stdout, parallel::need(scope, || drain(err, self.output_limit))?)));
            let (stdout, stderr) = match drains {
                Ok(drains) => drains,
                Err(failure) => {
                    end(&mut child)?;
                    return Err(failure.while_doing(running()));
                }
            };
            let ended = self.wait(&mut child);
            let (stdout, stderr) = (stdout.join(), stderr.join());
            Ok(Finished {
                ended: ended?,
                stdout: stdout.doing(running)?.doing(running)?,
                stderr: stderr.doing(running)?.doing(running)?,
            })
        })
    }

    /// Runs it in Kiln's place: with its terminal, its environment besides what was put in and withheld, and for as long as
    /// it likes. Ctrl-C at the terminal reaches it as well, and the signal that reaches Kiln alone is passed on; Kiln waits
    /// for it in any case, so that it can clear up.
    ///
    /// # Errors
    /// `Exit::Io` when it does not start.
    pub fn attached(&self) -> Result<Ended> {
        let mut command = Command::new(&self.path);
        for name in environ::names() {
            if name.to_str().is_some_and(self.withheld) {
                command.env_remove(name);
            }
        }
        command.args(&self.arguments).envs(self.environment.iter().map(|(n, v)| (n, v)));
        command.env("LC_ALL", environ::value("LC_ALL").unwrap_or_default());
        // The last signal that came, as a number.
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
                    // It may have ended meanwhile, which is what was wanted.
                    let _ = rustix::process::kill_process(Pid::from_child(&child), signal);
                }
            }
            thread::sleep(GLANCE);
        }
    }

    /// Runs it and insists on exit code 0.
    ///
    /// # Errors
    /// `Exit::Io` with what it said last on its standard error.
    pub fn must(&self) -> Result<Finished> {
        self.must_telling(str::to_owned)
    }

    /// The same for a program that says more than what went wrong: `telling` leaves of its standard error what tells.
    ///
    /// # Errors
    /// As `must`.
    pub fn must_telling(&self, telling: fn(&str) -> String) -> Result<Finished> {
        let finished = self.run()?;
        if finished.success() {
            return Ok(finished);
        }
        let said = telling(&finished.stderr_text());
        let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
        Err(Failure::io(format!("{} ended with {}: {said}", self.name(), finished.ended)))
    }

    fn wait(&self, child: &mut Child) -> Result<Ended> {
        let until = Instant::now() + self.deadline;
        loop {
            if has_ended(child) {
                return end(child);
            }
            let interrupted = interrupt::asked() && !self.through_interrupt;
            if interrupted || Instant::now() >= until {
                end(child)?;
                return if interrupted { Err(Failure::interrupted()) } else { Ok(Ended::Deadline) };
            }
            thread::sleep(GLANCE);
        }
    }

    /// Starts it and leaves it running, both streams appended to a log file.
    pub fn spawn_logging(&self, log: &Path) -> Result<Running> {
        let opening = || format!("opening the log {}", log.display());
        let file = File::options().create(true).append(true).open(log).doing(opening)?;
        let twin = file.try_clone().doing(opening)?;
        let child = self.start(self.command().stdout(file).stderr(twin))?;
        Ok(Running { child, lifeline: None })
    }

    /// Starts it with Kiln's own standard error, no standard output, and as standard input a pipe that is at
    /// its end once the value is dropped or Kiln has ended, however it ended (see [`end_with_parent`]).
    pub fn spawn_on_a_lifeline(&self) -> Result<Running> {
        let mut child = self.start(self.command().stdin(Stdio::piped()).stdout(Stdio::null()))?;
        let lifeline = child.stdin.take();
        Ok(Running { child, lifeline })
    }
}

/// A program that runs until it is stopped; dropping it kills its whole group.
pub struct Running {
    child: Child,
    lifeline: Option<ChildStdin>,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `None` while it runs.
    pub fn ended(&mut self) -> Result<Option<Ended>> {
        if has_ended(&self.child) { end(&mut self.child).map(Some) } else { Ok(None) }
    }

    /// Lets go of its lifeline, gives it `grace` to end by itself, then kills its group.
    pub fn stop(&mut self, grace: Duration) -> Result<Ended> {
        self.lifeline = None;
        let until = Instant::now() + grace;
        while !has_ended(&self.child) && Instant::now() < until {
            thread::sleep(GLANCE);
        }
        end(&mut self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A second wait after `stop` answers with the status that the first has kept.
        let _ = end(&mut self.child);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Looks without reaping, so that the group's number cannot be anybody else's when it is killed.
fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match pid(child).map(|pid| rustix::process::waitid(WaitId::Pid(pid), options)) {
        Some(Ok(None)) => false,
        // Also when it was reaped before (ECHILD).
        _ => true,
    }
}

/// Kills what is left of the group and reaps the program itself.
fn end(child: &mut Child) -> Result<Ended> {
    // Reaped already: its number, and its group's, may belong to somebody else by now.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if let Some(pid) = pid(child)
        && rustix::process::waitid(WaitId::Pid(pid), options).is_ok()
    {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
    child.wait().map(Ended::from).doing(|| "waiting for a program".into())
}

fn drain(stream: Option<impl Read>, limit: u64) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        stream.by_ref().take(limit).read_to_end(&mut kept)?;
        io::copy(&mut stream, &mut io::sink())?;
    }
    Ok(kept)
}

/// Ends this process once its standard input is at its end: the other side of [`Program::spawn_on_a_lifeline`].
/// As process 1 of a namespace it takes everything in there with it (pid_namespaces(7)).
///
/// # Errors
/// `Exit::Io` when there is no thread to wait in.
pub fn end_with_parent() -> Result<()> {
    parallel::detached(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(0);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Program {
        Program::new("/bin/sh").args(["-c", script])
    }

    #[test]
    fn output_is_captured_up_to_the_limit() {
        let finished = sh("echo out; echo err >&2; exit 3").run().unwrap();
        assert_eq!(finished.ended, Ended::Code(3));
        assert_eq!((&*finished.stdout, &*finished.stderr), (&b"out\n"[..], &b"err\n"[..]));
        let finished = sh("head -c 1000000 /dev/zero").output_limit(10).run().unwrap();
        assert_eq!((finished.ended, finished.stdout.len()), (Ended::Code(0), 10));
    }

    #[test]
    fn the_environment_holds_what_was_put_into_it() {
        let env = look_for("env").unwrap();
        let finished = Program::new(&env).bare_environment().env("A", "1").env("A", "2").run().unwrap();
        assert_eq!(finished.stdout, b"A=2\n");
        let text = String::from_utf8(Program::new(&env).run().unwrap().stdout).unwrap();
        let names: Vec<_> = text.lines().filter_map(|l| l.split('=').next()).collect();
        assert_eq!(names, ["LC_ALL", "PATH"]);
    }

    #[test]
    fn time_runs_out_for_the_whole_group() {
        let begun = Instant::now();
        let finished = sh("sleep 60 & echo $!; wait").within(Duration::from_millis(300)).run().unwrap();
        assert_eq!(finished.ended, Ended::Deadline);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let sleeper: i32 = String::from_utf8(finished.stdout).unwrap().trim().parse().unwrap();
        // Its new parent reaps it in its own time; a zombie has no command line.
        let gone = || std::fs::read(format!("/proc/{sleeper}/cmdline")).map_or(true, |line| line.is_empty());
        while !gone() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{sleeper} still runs");
            thread::sleep(GLANCE);
        }
    }

    #[test]
    fn what_is_left_of_a_group_ends_with_its_leader() {
        let begun = Instant::now();
        // The background process holds the pipe: without the kill, reading it would take a minute.
        let finished = sh("sleep 60 & exit 0").run().unwrap();
        assert_eq!(finished.ended, Ended::Code(0));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn must_tells_what_the_program_said() {
        let error = sh("echo broken >&2; exit 7").must().err().unwrap().to_string();
        assert_eq!(error, "sh ended with exit code 7: broken");
    }

    #[test]
    fn a_missing_program_comes_with_its_package() {
        assert!(find("sh").is_ok());
        let error = find("no-such-program").unwrap_err().to_string();
        assert_eq!(error, "the program no-such-program is not on this machine; install it");
    }

    #[test]
    fn a_lifeline_ends_with_its_holder() {
        let mut running = sh("cat; exit 5").spawn_on_a_lifeline().unwrap();
        assert_eq!(running.ended().unwrap(), None);
        assert_eq!(running.stop(Duration::from_secs(10)).unwrap(), Ended::Code(5));
        assert_eq!(running.ended().unwrap(), Some(Ended::Code(5)), "asking again is allowed");
    }
}
