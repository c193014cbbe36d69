//! A cluster of `kiln rehearse --keep`, and access to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::MutexGuard;

use serde_json::Value;

use crate::support::{run, turn, wait_for};

pub struct Running {
    child: Child,
    enter: Vec<String>,
    bundle: PathBuf,
    directory: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Running {
    pub fn new(bundle: &Path) -> Self {
        let turn = turn::cluster();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("tmp")).unwrap();
        let log = directory.path().join("stderr");
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.arg("rehearse").arg(bundle).arg("--keep").env("TMPDIR", directory.path().join("tmp"));
        let err = fs::File::create(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(err).spawn().unwrap();
        let enter = wait_for("the command to enter", || {
            let text = fs::read_to_string(&log).unwrap();
            let line = text.lines().find(|line| line.contains("nsenter --target"))?.to_owned();
            Some(line[line.find("nsenter").unwrap()..].split(' ').map(str::to_owned).collect())
        });
        Self { child, enter, bundle: bundle.to_owned(), directory, _turn: turn }
    }

    /// A program in the cluster's network.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(&self.enter[0]);
        command.args(&self.enter[1..]).arg("--").arg(program).env("TMPDIR", self.directory.path());
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// Directories of Kiln's in TMPDIR for this purpose.
    pub fn left_in_tmpdir(&self, purpose: &str) -> Vec<String> {
        let all = fs::read_dir(self.directory.path()).unwrap();
        let names = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(purpose)).collect()
    }

    /// A run of a node's kiln-node among its files, with a directory of its own that it can write to, and what it said.
    pub fn on_node(&self, node: &str, verb: &str) -> String {
        let root = self.scratch().join("nodes").join(node);
        let is_in = |pid: &u32| fs::read_link(format!("/proc/{pid}/root")).is_ok_and(|there| there == root);
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let pid = pids.find(is_in).unwrap().to_string();
        let script = "mountpoint -q \"$1/run/kiln\" || { mount -t tmpfs -o mode=0711 t \"$1/var/lib/kiln\" && \
                      mount -t tmpfs -o mode=0755 t \"$1/run\" && mkdir -m 755 \"$1/run/kiln\" && \
                      mount --bind \"$1/run/kiln\" \"$1/run/kiln\" && mkdir -m 700 \"$1/var/lib/kiln/snapshots\"; }";
        run(Command::new("nsenter").args(["-t", &pid, "-m", "sh", "-ec", script, "sh"]).arg(&root));
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid, "-m", "-n", "-r", "/usr/local/bin/kiln-node", verb]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said
    }

    /// `kiln` in the network of one of the nodes.
    pub fn on(&self, node: &str) -> Command {
        let mut command = Command::new(&self.enter[0]);
        command.args(&self.enter[1..]).arg("--mount").arg("--").arg("nsenter");
        command.arg(format!("--net={}", self.scratch().join("net").join(node).display()));
        command.arg("--").arg(env!("CARGO_BIN_EXE_kiln")).env("TMPDIR", "/tmp").env("NO_COLOR", "1");
        command.stdin(Stdio::null());
        command
    }

    pub fn verify(&self, bundle: &Path, arguments: &[&str]) -> Said {
        let mut command = self.command(env!("CARGO_BIN_EXE_kiln"));
        Said::of(command.arg("verify").arg(bundle).args(arguments))
    }

    /// The report on a bundle; its outcome must agree with the exit code.
    pub fn report(&self, bundle: &Path) -> Value {
        let said = self.verify(bundle, &["--json"]);
        let report = said.report();
        assert_eq!(said.code, Some(i32::from(report["passed"] == false)), "{}", said.stderr);
        report
    }

    /// The output of the bundle's etcdctl, which must succeed.
    pub fn etcdctl(&self, arguments: &[&str]) -> String {
        self.try_etcdctl(arguments)
            .unwrap_or_else(|said| panic!("{arguments:?}: {}{}", said.stdout, said.stderr))
    }

    pub fn try_etcdctl(&self, arguments: &[&str]) -> Result<String, Said> {
        let mut command = self.command(env!("CARGO_BIN_EXE_kiln"));
        command.args(["etcdctl", "-q"]).arg(&self.bundle).arg("--").args(arguments);
        let said = Said::of(&mut command);
        if said.code == Some(0) { Ok(said.stdout) } else { Err(said) }
    }

    fn scratch(&self) -> PathBuf {
        fs::read_dir(self.directory.path().join("tmp")).unwrap().next().unwrap().unwrap().path()
    }

    /// What a node's etcd has written to its streams.
    pub fn log(&self, node: &str) -> PathBuf {
        self.scratch().join("logs").join(format!("{node}.log"))
    }

    /// A file of a running node.
    pub fn file(&self, node: &str, path: &str) -> PathBuf {
        self.scratch().join("nodes").join(node).join(path)
    }

    /// The process whose root is a node's directory.
    pub fn etcd_of(&self, node: &str) -> Option<i32> {
        let root = self.file(node, "");
        let root = root.to_str().unwrap().trim_end_matches('/');
        let pids =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
        let is = |pid: &i32| {
            fs::read_link(format!("/proc/{pid}/root")).is_ok_and(|link| link.display().to_string() == root)
        };
        pids.into_iter().find(is)
    }

    /// Lets kiln-node run beside a node's etcd: what a rehearsal mounts has no place for what it writes. `renew` then
    /// has the policy with this change.
    pub fn let_renew(&self, node: &str, change: impl FnOnce(&mut Value)) {
        let root = self.file(node, "").display().to_string();
        let root = root.trim_end_matches('/');
        let pid = self.etcd_of(node).unwrap().to_string();
        let script = format!(
            "set -e; mount -t tmpfs -o mode=0711 t {root}/var/lib/kiln/pki; ln -s /etc/kiln/pki {root}/var/lib/kiln/pki/live; \
             mount -t tmpfs -o mode=0755 t {root}/run; mkdir {root}/run/kiln"
        );
        run(Command::new("nsenter").args(["--target", &pid, "--mount", "sh", "-c", &script]));
        let text = fs::read(self.file(node, "etc/kiln/renew.json")).unwrap();
        let mut policy = serde_json::from_slice(&text).unwrap();
        change(&mut policy);
        let place = format!("/proc/{}/root/run/kiln/policy.json", self.etcd_of(node).unwrap());
        fs::write(place, policy.to_string()).unwrap();
    }

    /// One run of kiln-node, after `let_renew`.
    pub fn renew(&self, node: &str) -> Said {
        let pid = self.etcd_of(node).unwrap().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid, "--mount", "--net", "--root", "--wd=/"]).env_clear();
        let program = self.etcd_directory(node).join("kiln-node");
        Said::of(command.arg(program).args(["renew", "--policy", "/run/kiln/policy.json"]))
    }

    /// Where a node has its programs.
    fn etcd_directory(&self, node: &str) -> PathBuf {
        let program = fs::read_link(format!("/proc/{}/exe", self.etcd_of(node).unwrap())).unwrap();
        let root = self.file(node, "");
        let inside = program.strip_prefix(&root).unwrap_or(&program);
        Path::new("/").join(inside).parent().unwrap().to_owned()
    }

    pub fn kill(&self, node: &str) {
        let pid = rustix::process::Pid::from_raw(self.etcd_of(node).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        wait_for("its end", || self.etcd_of(node).is_none().then_some(()));
    }

    /// Restarts a node's etcd as its unit does; it runs until the value is dropped.
    pub fn start(&self, node: &str, command_line: &str) -> Started {
        let scratch = self.scratch();
        let mut command = Command::new(&self.enter[0]);
        command.args(&self.enter[1..]).arg("--mount").arg("--").arg("nsenter");
        command.arg(format!("--net={}", scratch.join("net").join(node).display()));
        command.arg(format!("--root={}", self.file(node, "").display())).arg("--wd=/").arg("--");
        command.args(command_line.split(' ')).env_clear().stdin(Stdio::null());
        let log = fs::File::create(self.directory.path().join("again.log")).unwrap();
        Started(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

/// A test that fails must not leave its cluster running.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    pub fn report(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}{}", self.stdout, self.stderr))
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// The failed checks as `check: fault node`.
pub fn failed(report: &Value) -> Vec<String> {
    let failed = report["checks"].as_array().unwrap().iter().filter(|check| check["outcome"] == "failed");
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or("cluster").to_owned();
    failed
        .map(|check| format!("{}: {} {}", text(check, "check"), text(check, "fault"), text(check, "node")))
        .collect()
}
