//! Namespaces of a test's own, for mounts, network and processes: what runs in them ends with them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{debs_of, run, wait_for};

pub struct Namespaces {
    /// Where its commands run.
    place: PathBuf,
    /// Its death ends them; it lives as long as its standard input is open.
    holder: Child,
    pid: String,
}

impl Namespaces {
    /// With this directory, in which `first`, a part of a shell's script, knows as `$0`.
    pub fn new(place: &Path, first: &str) -> Self {
        // The shell is the first process, which gets rid of those that have ended.
        let script = format!("set -e; {first} ip link set lo up; echo ready >\"$0/ready\"; cat; :");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
        command.arg(script).arg(place);
        let holder = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", holder.id());
        let pid = wait_for("the namespaces", || {
            let pid = fs::read_to_string(&children).ok()?.trim().to_owned();
            (!pid.is_empty() && place.join("ready").exists()).then_some(pid)
        });
        Self { place: place.to_owned(), holder, pid }
    }

    /// Of the first process in them.
    pub fn pid(&self) -> &str {
        &self.pid
    }

    /// A command in them.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid, "--mount", "--net", "--pid", "--"]).arg(program);
        command
    }

    /// Runs a script in them, in their directory, and returns what it prints.
    pub fn shell(&self, script: &str) -> String {
        let script = format!("cd {} && {{ {script}\n}}", self.place.display());
        run(self.command("sh").args(["-ec", &script]))
    }

    /// The programs of a release of etcd, unpacked once.
    pub fn programs(&self, release: &str) -> PathBuf {
        let place = self.place.join(release);
        if !place.exists() {
            for deb in debs_of(release) {
                run(Command::new("dpkg-deb").arg("-x").args([&deb, &place]));
            }
        }
        place.join("usr/bin")
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
