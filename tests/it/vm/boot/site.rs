//! A cluster of virtual machines, and what runs on this host for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::DEADLINE;
use crate::support::{Workshop, ha3_with, root, run};

/// The QEMUs that run here, by PID: the lab has a PID namespace of its own.
pub fn machines() -> BTreeMap<u32, Vec<String>> {
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    let pids = entries.filter_map(|name| name.into_string().ok()?.parse().ok());
    let command_line = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        (pid, words.filter(|word| !word.is_empty()).collect::<Vec<_>>())
    };
    pids.map(command_line)
        .filter(|(_, words)| words.first().is_some_and(|word| word.ends_with("qemu-system-x86_64")))
        .collect()
}

pub fn links() -> BTreeSet<String> {
    fs::read_dir("/sys/class/net").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// A built cluster and the settings for starting it.
pub struct Site {
    pub work: Workshop,
    pub cluster: &'static str,
    pub nodes: Vec<String>,
    pub driver: &'static str,
    pub carrier: &'static str,
    /// Another base system than the carrier's.
    pub base: Option<PathBuf>,
}

impl Site {
    /// Three members, with an overlay of tests/boot in every node.
    pub fn ha3(driver: &'static str, carrier: &'static str, overlay: &str) -> Self {
        let etcd = format!(
            "[etcd]\nversion = \"3.5.16\"\n\n[machine]\nmemory-mib = 512\n\n[bundle]\noverlays = [\"{}\"]\n\n# Client certificates",
            root().join("tests/boot").join(overlay).display()
        );
        let nodes = ["cp-a", "cp-b", "cp-c"].map(str::to_owned).to_vec();
        Self::of("ha3", ha3_with(&[("# Client certificates", &etcd)]), nodes, driver, carrier)
    }

    pub fn of(
        cluster: &'static str,
        profile: String,
        nodes: Vec<String>,
        driver: &'static str,
        carrier: &'static str,
    ) -> Self {
        let work = Workshop::new();
        work.file(&format!("{cluster}.toml"), profile);
        work.build(&format!("./{cluster}.toml"));
        Self { work, cluster, nodes, driver, carrier, base: None }
    }

    /// `kiln VERB out/CLUSTER …`
    pub fn kiln(&self, verb: &str, arguments: &[&str]) -> Command {
        let bundle = format!("out/{}", self.cluster);
        self.work.kiln([&[verb, &bundle], arguments].concat())
    }

    pub fn up(&self, arguments: &[&str]) -> Command {
        let how = ["--driver", self.driver, "--carrier", self.carrier, "--accel", "tcg"];
        let mut command = self.kiln("up", &[&how, arguments].concat());
        if let Some(base) = &self.base {
            command.arg("--base").arg(base);
        }
        command
    }

    pub fn form(&self) {
        let said = run(&mut self.up(&["--deadline", DEADLINE]));
        let (cluster, count) = (self.cluster, self.nodes.len());
        let members = if count == 1 { "1 member".to_owned() } else { format!("{count} members") };
        assert!(said.starts_with(&format!("{cluster}: {members} formed after ")), "{said}");
        eprintln!("{} with {}: {said}", self.carrier, self.driver);
    }

    pub fn verify(&self) {
        let said = run(&mut self.kiln("verify", &[]));
        assert!(said.contains("the cluster matches the bundle") && !said.contains("FAILED"), "{said}");
    }

    pub fn put(&self, key: &str, value: &str) -> bool {
        self.kiln("etcdctl", &["--", "put", key, value]).output().unwrap().status.success()
    }

    pub fn get(&self, key: &str) -> String {
        run(&mut self.kiln("etcdctl", &["--", "get", "--print-value-only", key])).trim().to_owned()
    }

    pub fn machines(&self) -> PathBuf {
        self.work.path().join(format!("out/.{}.machines", self.cluster))
    }

    pub fn own(&self, node: &str) -> PathBuf {
        self.machines().join("nodes").join(node)
    }

    /// The name of the cluster's network and pool in libvirt.
    pub fn libvirt_name(&self) -> String {
        let manifest = fs::read(self.work.path().join(format!("out/{}/bundle.json", self.cluster))).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let id = manifest["cluster"]["id"].as_str().unwrap();
        format!("{}-{}", self.cluster, id.get(..8).unwrap_or(id))
    }

    pub fn pool(&self) -> PathBuf {
        Path::new("/var/lib/libvirt/images").join(format!("kiln-{}", self.libvirt_name()))
    }

    pub fn console(&self, node: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.own(node).join("console.log")).unwrap_or_default())
            .into_owned()
    }

    /// Waits until a node's console has a line that contains this, and returns it.
    #[track_caller]
    pub fn wait_for(&self, node: &str, words: &str, times: usize) -> String {
        let begun = Instant::now();
        loop {
            let console = self.console(node);
            let mut lines = console.lines().filter(|line| line.contains(words));
            if let Some(line) = lines.nth(times - 1) {
                return line.trim().to_owned();
            }
            assert!(begun.elapsed() < Duration::from_secs(900), "{node} never says {words:?}:\n{console}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// The output of tests/boot/look on a node.
    #[track_caller]
    pub fn look(&self, node: &str) -> Vec<String> {
        self.wait_for(node, "look: end", 1);
        let console = self.console(node);
        for trouble in ["Kernel panic", "Emergency", "emergency", "does not start etcd", "does not bootstrap"]
        {
            assert!(!console.contains(trouble), "{node}: {trouble}:\n{console}");
        }
        let lines = console.lines().filter_map(|line| line.split_once("look: "));
        lines.map(|(_, said)| said.trim().to_owned()).collect()
    }

    /// A power failure: every QEMU is killed.
    pub fn cut_power(&self) {
        for pid in machines().keys() {
            run(Command::new("kill").args(["-KILL", &pid.to_string()]));
        }
        while !machines().is_empty() {
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn data_disk(&self, node: &str) -> PathBuf {
        match self.driver {
            "qemu" => self.own(node).join("data.qcow2"),
            _ => self.pool().join(format!("{node}.data.qcow2")),
        }
    }

    /// The states of the nodes, from the lines of `kiln status`.
    pub fn status(&self) -> String {
        String::from_utf8_lossy(&self.kiln("status", &[]).output().unwrap().stdout).into_owned()
    }
}
