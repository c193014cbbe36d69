//! The only access to other programs: etcd's own, which lie on the node. No shell, no variable of this program's, no
//! secret among the arguments, and an end to everything: time, bytes, processes.

#![allow(clippy::disallowed_methods, reason = "this is the access")]

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::clock::{self, Deadline};
use crate::failure::{Failure, Result};

/// Bytes of output; a longer one ends the program.
const LONGEST: u64 = 1 << 20;
/// Characters of a message that are shown.
const SHOWN: usize = 300;
/// Between two looks at whether it has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs a program to its end; what it prints is returned.
///
/// # Errors
/// Where it cannot be started, fails, or takes too long; with the end of its message.
pub fn run(program: &str, arguments: &[&str], patience: Duration) -> Result<Vec<u8>> {
    Program { file: program, name: program, directory: "/" }.run(arguments, patience)
}

/// A program that is run in a directory.
pub struct Program<'p> {
    /// Its file.
    pub file: &'p str,
    /// What it is called in messages: a path.
    pub name: &'p str,
    /// Where it runs.
    pub directory: &'p str,
}

impl Program<'_> {
    /// Runs it to its end; what it prints is returned. What this program has opened to be shared is open there, too.
    ///
    /// # Errors
    /// As `run`.
    pub fn run(&self, arguments: &[&str], patience: Duration) -> Result<Vec<u8>> {
        let name = Path::new(self.name).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let failed = |why: String| Failure::new(format!("{name} {} {why}", verb(arguments)));
        let mut command = Command::new(self.file);
        command.args(arguments).env_clear().env("ETCDCTL_API", "3").current_dir(self.directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child =
            command.spawn().map_err(|error| Failure::new(format!("starting {}: {error}", self.name)))?;
        let (out, said) = (child.stdout.take(), child.stderr.take());
        let (status, out, said) = std::thread::scope(|scope| {
            let (out, said) = (reader(scope, out), reader(scope, said));
            let status = wait(&mut child, patience);
            (status, collect(out), collect(said))
        });
        let status = status.map_err(|error| failed(format!("cannot be waited for: {error}")))?;
        match status {
            None => Err(failed(format!("has not ended after {} s", patience.as_secs()))),
            Some(_) if out.len() as u64 > LONGEST => Err(failed("prints without end".to_owned())),
            Some(status) if status.success() => Ok(out),
            Some(status) => Err(failed(format!("fails ({status}): {}", last_line(&said)))),
        }
    }
}

/// What is asked of the program: its arguments without options.
fn verb(arguments: &[&str]) -> String {
    let is_word = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let words: Vec<_> =
        arguments.iter().skip_while(|word| !is_word(word)).take_while(is_word).take(2).copied().collect();
    words.join(" ")
}

type Output<'scope> = Option<ScopedJoinHandle<'scope, Vec<u8>>>;

/// Reads up to the limit; then the pipe is closed, which ends most programs.
fn reader<'scope>(
    scope: &'scope Scope<'scope, '_>,
    from: Option<impl Read + Send + 'scope>,
) -> Output<'scope> {
    let from = from?;
    let read = move || {
        let mut bytes = Vec::new();
        // What cannot be read is not there.
        let _ = from.take(LONGEST + 1).read_to_end(&mut bytes);
        bytes
    };
    Builder::new().spawn_scoped(scope, read).ok()
}

fn collect(output: Output<'_>) -> Vec<u8> {
    output.and_then(|thread| thread.join().ok()).unwrap_or_default()
}

/// `None`: it did not end in time, and was ended.
fn wait(child: &mut Child, patience: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Deadline::after(patience);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if deadline.is_over() {
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            if let Some(group) = group {
                // It may have ended in this moment.
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.wait()?;
            return Ok(None);
        }
        clock::wait(PAUSE);
    }
}

/// The last line that says something, without what controls a terminal.
fn last_line(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it says nothing");
    line.chars().filter(|letter| !letter.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, patience: Duration) -> Result<Vec<u8>> {
        run("/bin/sh", &["-c", script], patience)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn programs_come_to_an_end() {
        assert_eq!(sh("echo a; env", LONG).unwrap().split(|byte| *byte == b'\n').next(), Some(&b"a"[..]));
        let variables = String::from_utf8(sh("exec /usr/bin/env", LONG).unwrap()).unwrap();
        let is_known =
            |line: &str| ["ETCDCTL_API=", "PWD=", "SHLVL=", "_="].iter().any(|name| line.starts_with(name));
        assert!(variables.lines().all(is_known), "{variables}");
        let why = |script, patience| sh(script, patience).unwrap_err().to_string();
        assert!(why("echo one >&2; printf 'two\\033[1m\\n\\n' >&2; exit 3", LONG).ends_with("two[1m"));
        assert!(
            why("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done", LONG)
                .contains("sh ")
        );
        // Its children hold the pipes.
        assert!(why("sleep 60 & sleep 60", Duration::from_millis(100)).contains("has not ended"));
        assert!(run("/nowhere", &[], LONG).unwrap_err().to_string().starts_with("starting /nowhere"));
    }
}
