//! The only access to other programs. There is no shell in between: a program, its arguments, an environment with only
//! the variables that were set, and a time limit.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

mod attached;
mod daemon;
mod find;
pub(crate) mod ip;
mod own;
mod running;
mod shown;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Doing, Failure, Result};
use crate::{environ, interrupt, parallel, verbose};

pub(crate) use daemon::Daemon;
pub(crate) use find::{find, look_for, this_program};
pub use own::{guard, ignores};
pub(crate) use running::{Ended, Running};
use running::{POLL_INTERVAL, end, has_ended};

/// The limit on the stored bytes of a captured stream; the rest is read and discarded, so that the program does not
/// block on a full pipe.
const MAX_OUTPUT_BYTES: u64 = 4 << 20;

pub(crate) struct Finished {
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

/// A program and how to call it. Its environment is PATH, LC_ALL=C and the variables that are set on it.
#[derive(Clone)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    /// The number of arguments, from the end, that are never shown.
    private: usize,
    environment: Vec<(OsString, OsString)>,
    /// A line for its standard input.
    line: Option<String>,
    /// Where it runs, if not where Kiln does.
    directory: Option<PathBuf>,
    deadline: Duration,
    through_interrupt: bool,
    /// Selects variables of Kiln's own environment to withhold from a program that runs instead of Kiln.
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
            line: None,
            directory: None,
            deadline: Duration::from_secs(30),
            through_interrupt: false,
            withheld: |_| false,
        }
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

    /// These variables of Kiln's own environment, where they are set.
    pub fn passing(self, names: &[&str]) -> Self {
        names.iter().fold(self, |program, name| match environ::value(name) {
            Some(value) => program.env(name, value),
            None => program,
        })
    }

    /// Only the variables that are set afterwards: not even PATH.
    pub fn bare_environment(mut self) -> Self {
        self.environment.clear();
        self
    }

    /// Kiln's own environment, for a program that needs its configuration there.
    pub fn with_own_environment(mut self) -> Self {
        self.environment = environ::names()
            .filter_map(|name| environ::even_empty(name.to_str()?).map(|value| (name, value)))
            .collect();
        self
    }

    /// The input on its standard input: a line of less than 4 KiB, which fits into any pipe (pipe(7)).
    #[cfg(feature = "oci")]
    pub fn reading(mut self, line: &str) -> Self {
        self.line = Some(format!("{line}\n"));
        self
    }

    /// With this working directory.
    pub fn inside(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Killed when it runs longer; the default is 30 s.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// For cleaning up: it runs to its end even if Ctrl-C was pressed.
    pub fn through_interrupt(mut self) -> Self {
        self.through_interrupt = true;
        self
    }

    /// The name of its file.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).display().to_string()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env_clear().envs(self.environment.iter().map(|(n, v)| (n, v)));
        // A process group of its own: Ctrl-C goes only to Kiln, which then ends its child processes and theirs.
        command.stdin(Stdio::null()).process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    fn start(&self, command: &mut Command) -> Result<Child> {
        verbose::tell("run", || self.shown());
        let mut tries = 0;
        loop {
            match command.spawn() {
                // Another thread has forked while this program's file was still open for writing; that copy of the
                // file is closed as soon as the child has called exec.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < 50 => {
                    tries += 1;
                    thread::sleep(POLL_INTERVAL);
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(Failure::io(format!(
                        "{} cannot be executed; if the file system is mounted noexec, set TMPDIR to another",
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
    /// `Exit::Io` when it cannot be started; `Exit::Interrupted` on Ctrl-C, with the program killed.
    pub fn run(&self) -> Result<Finished> {
        if !self.through_interrupt {
            interrupt::check()?;
        }
        let mut command = self.command();
        if self.line.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = self.start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        if let (Some(line), Some(mut stdin)) = (&self.line, child.stdin.take()) {
            // A program that ends without reading reports its error by its exit code.
            let _ = stdin.write_all(line.as_bytes());
        }
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let running = || format!("running {}", self.name());
        thread::scope(|scope| {
            // The program would block on a pipe that is not read, so it cannot run without these threads.
            let drains = parallel::need(scope, || drain(out))
                .and_then(|stdout| Ok((stdout, parallel::need(scope, || drain(err))?)));
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

    /// Runs it and requires exit code 0.
    ///
    /// # Errors
    /// `Exit::Io` with the last text on its standard error.
    pub fn must(&self) -> Result<Finished> {
        self.must_telling(str::to_owned)
    }

    /// The same for a program that prints more than its error: `telling` selects the relevant part of its standard
    /// error.
    ///
    /// # Errors
    /// As `must`.
    pub fn must_telling(&self, telling: fn(&str) -> String) -> Result<Finished> {
        let finished = self.run()?;
        if finished.success() {
            return Ok(finished);
        }
        let said = telling(&finished.stderr_text());
        let said = if said.is_empty() { "it printed nothing".to_owned() } else { said };
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
            thread::sleep(POLL_INTERVAL);
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

    /// Starts it with Kiln's own standard error, no standard output, and as standard input a pipe that ends once the
    /// value is dropped or Kiln has ended in any way (see [`end_with_parent`]).
    pub fn spawn_on_a_lifeline(&self) -> Result<Running> {
        let mut child = self.start(self.command().stdin(Stdio::piped()).stdout(Stdio::null()))?;
        let lifeline = child.stdin.take();
        Ok(Running { child, lifeline })
    }
}

fn drain(stream: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        stream.by_ref().take(MAX_OUTPUT_BYTES).read_to_end(&mut kept)?;
        io::copy(&mut stream, &mut io::sink())?;
    }
    Ok(kept)
}

/// Ends this process once its standard input ends: the other side of [`Program::spawn_on_a_lifeline`]. As process 1 of
/// a namespace it takes all other processes there with it (pid_namespaces(7)).
///
/// # Errors
/// `Exit::Io` when there is no thread to wait in.
pub(crate) fn end_with_parent() -> Result<()> {
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
        let finished = sh(&format!("head -c {} /dev/zero", MAX_OUTPUT_BYTES + 70_000)).run().unwrap();
        assert_eq!((finished.ended, finished.stdout.len() as u64), (Ended::Code(0), MAX_OUTPUT_BYTES));
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
        // Its new parent reaps it later; a zombie has no command line.
        let gone = || std::fs::read(format!("/proc/{sleeper}/cmdline")).map_or(true, |line| line.is_empty());
        while !gone() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{sleeper} still runs");
            thread::sleep(POLL_INTERVAL);
        }
    }

    #[test]
    fn what_is_left_of_a_group_ends_with_its_leader() {
        let begun = Instant::now();
        // The background process holds the pipe open: without the kill, reading it would take a minute.
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
        assert_eq!(error, "the program no-such-program was not found; install it");
    }

    #[test]
    fn a_lifeline_ends_with_its_holder() {
        let mut running = sh("cat; exit 5").spawn_on_a_lifeline().unwrap();
        assert_eq!(running.ended().unwrap(), None);
        assert_eq!(running.stop(Duration::from_secs(10)).unwrap(), Ended::Code(5));
        assert_eq!(running.ended().unwrap(), Some(Ended::Code(5)), "asking again is allowed");
    }
}
