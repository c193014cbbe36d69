//! Real virtual machines, from power-on to a verified cluster, in a network namespace of their own (ci/lab).
//!
//! `KILN_BOOT=all` (ci/boot --all) takes all six pairs of carrier and driver instead of two, and disk images.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{self, Workshop, ha3_with, is_inside, refused, root, run};

/// For machines that emulate three others on two busy cores.
const DEADLINE: &str = "600";

/// Whether a pair is among those that this run takes.
fn is_taken(driver: &str, carrier: &str) -> bool {
    let all = std::env::var_os("KILN_BOOT").is_some_and(|boot| boot == "all");
    if !all {
        eprintln!("skipped: {carrier} with {driver} is for ci/boot --all");
    }
    all
}

/// The QEMUs that run here, by process id: the lab has a PID namespace of its own.
fn machines() -> BTreeMap<u32, Vec<String>> {
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

fn links() -> BTreeSet<String> {
    fs::read_dir("/sys/class/net").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// A built cluster and the ways to start it.
struct Site {
    work: Workshop,
    cluster: &'static str,
    nodes: Vec<String>,
    driver: &'static str,
    carrier: &'static str,
    /// Another base system than the carrier's.
    base: Option<PathBuf>,
}

impl Site {
    /// Three members, with an overlay of tests/boot in every node.
    fn ha3(driver: &'static str, carrier: &'static str, overlay: &str) -> Self {
        let etcd = format!(
            "[etcd]\nversion = \"3.5.16\"\n\n[machine]\nmemory-mib = 512\n\n[bundle]\noverlays = [\"{}\"]\n\n# Client certificates",
            root().join("tests/boot").join(overlay).display()
        );
        let nodes = ["cp-a", "cp-b", "cp-c"].map(str::to_owned).to_vec();
        Self::of("ha3", ha3_with(&[("# Client certificates", &etcd)]), nodes, driver, carrier)
    }

    fn of(
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
    fn kiln(&self, verb: &str, arguments: &[&str]) -> Command {
        let bundle = format!("out/{}", self.cluster);
        self.work.kiln([&[verb, &bundle], arguments].concat())
    }

    fn up(&self, arguments: &[&str]) -> Command {
        let how = ["--driver", self.driver, "--carrier", self.carrier, "--accel", "tcg"];
        let mut command = self.kiln("up", &[&how, arguments].concat());
        if let Some(base) = &self.base {
            command.arg("--base").arg(base);
        }
        command
    }

    fn form(&self) {
        let said = run(&mut self.up(&["--deadline", DEADLINE]));
        let (cluster, count) = (self.cluster, self.nodes.len());
        let members = if count == 1 { "1 member".to_owned() } else { format!("{count} members") };
        assert!(said.starts_with(&format!("{cluster}: {members} formed after ")), "{said}");
        eprintln!("{} with {}: {said}", self.carrier, self.driver);
    }

    fn verify(&self) {
        let said = run(&mut self.kiln("verify", &[]));
        assert!(said.contains("the cluster matches the bundle") && !said.contains("FAILED"), "{said}");
    }

    fn put(&self, key: &str, value: &str) -> bool {
        self.kiln("etcdctl", &["--", "put", key, value]).output().unwrap().status.success()
    }

    fn get(&self, key: &str) -> String {
        run(&mut self.kiln("etcdctl", &["--", "get", "--print-value-only", key])).trim().to_owned()
    }

    fn machines(&self) -> PathBuf {
        self.work.path().join(format!("out/.{}.machines", self.cluster))
    }

    fn own(&self, node: &str) -> PathBuf {
        self.machines().join("nodes").join(node)
    }

    /// What libvirt calls the cluster's network and pool.
    fn libvirt_name(&self) -> String {
        let manifest = fs::read(self.work.path().join(format!("out/{}/bundle.json", self.cluster))).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let id = manifest["cluster"]["id"].as_str().unwrap();
        format!("{}-{}", self.cluster, id.get(..8).unwrap_or(id))
    }

    fn pool(&self) -> PathBuf {
        Path::new("/var/lib/libvirt/images").join(format!("kiln-{}", self.libvirt_name()))
    }

    fn console(&self, node: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.own(node).join("console.log")).unwrap_or_default())
            .into_owned()
    }

    /// Waits until a node's console has a line that contains this, and returns it.
    #[track_caller]
    fn wait_for(&self, node: &str, words: &str, times: usize) -> String {
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

    /// What tests/boot/look prints of a node.
    #[track_caller]
    fn look(&self, node: &str) -> Vec<String> {
        self.wait_for(node, "look: end", 1);
        let console = self.console(node);
        for trouble in ["Kernel panic", "Emergency", "emergency", "does not start etcd", "founds nothing"] {
            assert!(!console.contains(trouble), "{node}: {trouble}:\n{console}");
        }
        let lines = console.lines().filter_map(|line| line.split_once("look: "));
        lines.map(|(_, said)| said.trim().to_owned()).collect()
    }

    /// A power cut: every QEMU is killed.
    fn cut_power(&self) {
        for pid in machines().keys() {
            run(Command::new("kill").args(["-KILL", &pid.to_string()]));
        }
        while !machines().is_empty() {
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn data_disk(&self, node: &str) -> PathBuf {
        match self.driver {
            "qemu" => self.own(node).join("data.qcow2"),
            _ => self.pool().join(format!("{node}.data.qcow2")),
        }
    }

    /// Where nodes stand, by the lines of `kiln status`.
    fn status(&self) -> String {
        String::from_utf8_lossy(&self.kiln("status", &[]).output().unwrap().stdout).into_owned()
    }
}

/// FAULTS.md C10, and what a running node has to be.
fn is_in_order(site: &Site, node: &str) {
    let said = site.look(node);
    let exposure: Vec<f64> = said
        .iter()
        .filter_map(|line| {
            line.strip_prefix("Overall exposure level for etcd.service: ")?.split(' ').next()?.parse().ok()
        })
        .collect();
    assert!(matches!(exposure[..], [level] if level <= 2.0), "{node}: {said:?}");
    let failed: Vec<_> = said.iter().filter(|line| line.starts_with("failed: ")).collect();
    assert!(failed.is_empty(), "{node}: {failed:?}");
    let keys: BTreeSet<_> = said.iter().filter_map(|line| line.strip_prefix("key: ")).collect();
    let own = [
        "600 etcd:etcd /etc/etcd/pki/peer-key.pem",
        "600 etcd:etcd /etc/etcd/pki/server-key.pem",
        "600 root:root /etc/etcd/pki/etcdctl-key.pem",
    ];
    assert_eq!(keys, BTreeSet::from(own), "{node}: a copy of a key, or a key of others");
    assert!(said.contains(&"mode: 700 etcd:etcd /var/lib/etcd".to_owned()), "{node}: {said:?}");
    // Devices and what QEMU hands over belong to root, and are not for others.
    for line in said.iter().filter_map(|line| line.strip_prefix("mode: ")) {
        assert!(line.as_bytes()[2] == b'0', "{node}: {line}");
    }
    assert!(said.contains(&"hosts: 3".to_owned()), "{node}: {said:?}");
}

/// For each pair: three nodes from power-on to a verified cluster, and nothing left.
fn from_power_on_to_nothing_left(driver: &'static str, carrier: &'static str) -> Site {
    is_well_from_power_on(Site::ha3(driver, carrier, "look"))
}

fn is_well_from_power_on(site: Site) -> Site {
    let sums = fs::read(site.work.path().join("out/ha3/SHA256SUMS")).unwrap();
    site.form();
    let first = machines();
    assert_eq!(first.len(), 3);
    // Looking around keeps the machines busy: what is timed comes after it.
    for node in &site.nodes {
        is_in_order(&site, node);
    }
    site.verify();
    assert!(site.put("kept", "yes"));
    for node in &site.nodes {
        assert!(site.console(node).contains(&format!("kiln: {node} serves as a member of ha3")));
    }
    // A second one continues: the same machines, with what was written.
    run(&mut site.up(&["--deadline", DEADLINE]));
    assert_eq!(machines().keys().collect::<Vec<_>>(), first.keys().collect::<Vec<_>>());
    assert_eq!(site.get("kept"), "yes");
    assert_eq!(fs::read(site.work.path().join("out/ha3/SHA256SUMS")).unwrap(), sums);
    site
}

/// Also what `--purge` asks, and that the bundle is as it was.
fn take_away(site: &Site, bare: &BTreeSet<String>) {
    run(&mut site.kiln("down", &[]));
    assert_eq!(machines(), BTreeMap::new());
    assert_eq!(links(), *bare);
    assert!(refused(&mut site.kiln("status", &[]), 1).contains("cp-c: off"));
    let asked = refused(&mut site.kiln("down", &["--purge"]), 6);
    assert!(asked.contains("--yes"), "{asked}");
    run(&mut site.kiln("down", &["--purge", "--yes"]));
    assert!(!site.work.path().join("out/.ha3.machines").exists());
    run(&mut site.kiln("check", &[]));
    if site.driver == "libvirt" {
        for listing in
            [["list", "--all", "--name"], ["net-list", "--all", "--name"], ["pool-list", "--all", "--name"]]
        {
            assert_eq!(run(Command::new("virsh").args(listing)).trim(), "", "{listing:?}");
        }
        assert!(!site.pool().exists());
    }
}

#[test]
fn libvirt_and_initramfs() {
    if !is_inside("boot::libvirt_and_initramfs", &["live", "cloud"]) {
        return;
    }
    let bare = links();
    let site = from_power_on_to_nothing_left("libvirt", "initramfs");
    let mixed =
        refused(&mut site.kiln("up", &["--driver", "libvirt", "--carrier", "ignition", "--base", "."]), 2);
    assert!(mixed.contains("is not a base system for ignition"), "{mixed}");
    let mixed = refused(&mut site.kiln("up", &["--driver", "qemu"]), 6);
    assert!(mixed.contains("were made with --driver libvirt --carrier initramfs"), "{mixed}");

    // C5 in libvirt: one node's disk is lost. The others serve, it founds nothing and says what to do.
    run(&mut site.kiln("down", &[]));
    // Two of three are what was asked for: it waits for them, and for no other.
    run(&mut site.up(&["--deadline", DEADLINE, "--node", "cp-b", "--node", "cp-c"]));
    run(Command::new("virsh").args(["vol-delete", "--pool", &site.libvirt_name(), "cp-a.data.qcow2"]));
    let said = refused(&mut site.up(&["--deadline", DEADLINE]), 1);
    assert!(
        said.contains("a node must not start etcd") && said.contains("says that cp-a has served ha3 before"),
        "{said}"
    );
    let stands = site.status();
    assert!(
        stands.contains("cp-a  10.240.16.10  held  does not start etcd")
            && stands.matches("formed").count() == 2,
        "{stands}"
    );
    assert_eq!(site.get("kept"), "yes");
    take_away(&site, &bare);
}

/// C8, the second half: the seed is needed once.
#[test]
fn qemu_and_cloud_init() {
    if !is_inside("boot::qemu_and_cloud_init", &["live", "cloud"]) {
        return;
    }
    let bare = links();
    let site = from_power_on_to_nothing_left("qemu", "cloud-init");
    detach_the_seeds_and_cut_the_power(&site);
    for node in &site.nodes {
        site.wait_for(node, "serves as a member", 2);
    }
    site.verify();
    assert_eq!(site.get("kept"), "yes");
    take_away(&site, &bare);
}

/// Every QEMU again as it was, but for the disk with the seed.
fn detach_the_seeds_and_cut_the_power(site: &Site) {
    let all = machines();
    site.cut_power();
    for words in all.values() {
        let seed = words.iter().position(|word| word.contains("seed.iso")).unwrap();
        // -drive …seed.iso -device virtio-blk-pci,drive=…
        let kept = words.iter().enumerate().filter(|(at, _)| !(seed - 1..=seed + 2).contains(at));
        run(Command::new(&words[0]).args(kept.map(|(_, word)| word).skip(1)));
    }
    assert_eq!(machines().len(), all.len());
}

#[test]
fn qemu_and_initramfs() {
    if is_taken("qemu", "initramfs") && is_inside("boot::qemu_and_initramfs", &["live", "cloud"]) {
        let bare = links();
        take_away(&from_power_on_to_nothing_left("qemu", "initramfs"), &bare);
    }
}

/// A whole disk with a boot loader, as distributions publish theirs.
#[test]
fn qemu_and_a_disk_image() {
    if is_taken("qemu", "a disk image") && is_inside("boot::qemu_and_a_disk_image", &["live", "cloud"]) {
        let bare = links();
        let mut site = Site::ha3("qemu", "cloud-init", "look");
        site.base = Some(support::lab().join("base/image/disk.qcow2"));
        take_away(&is_well_from_power_on(site), &bare);
    }
}

#[test]
fn libvirt_and_a_disk_image() {
    if is_taken("libvirt", "a disk image") && is_inside("boot::libvirt_and_a_disk_image", &["live", "cloud"])
    {
        let bare = links();
        let mut site = Site::ha3("libvirt", "cloud-init", "look");
        site.base = Some(support::lab().join("base/image/disk.qcow2"));
        take_away(&is_well_from_power_on(site), &bare);
    }
}

#[test]
fn qemu_and_ignition() {
    if is_taken("qemu", "ignition") && is_inside("boot::qemu_and_ignition", &["live", "cloud"]) {
        let bare = links();
        take_away(&from_power_on_to_nothing_left("qemu", "ignition"), &bare);
    }
}

#[test]
fn libvirt_and_cloud_init() {
    if is_taken("libvirt", "cloud-init") && is_inside("boot::libvirt_and_cloud_init", &["live", "cloud"]) {
        let bare = links();
        take_away(&from_power_on_to_nothing_left("libvirt", "cloud-init"), &bare);
    }
}

#[test]
fn libvirt_and_ignition() {
    if is_taken("libvirt", "ignition") && is_inside("boot::libvirt_and_ignition", &["live", "cloud"]) {
        let bare = links();
        take_away(&from_power_on_to_nothing_left("libvirt", "ignition"), &bare);
    }
}

/// C1: a minute apart and in reverse; two of three serve while the third has never been there.
#[test]
fn members_come_a_minute_apart_in_reverse() {
    if !is_inside("boot::members_come_a_minute_apart_in_reverse", &["live", "cloud"]) {
        return;
    }
    let site = Site::ha3("qemu", "initramfs", "look");
    run(&mut site.up(&["--no-wait", "--node", "cp-c"]));
    thread::sleep(Duration::from_secs(60));
    // Alone it waits, and nobody gives up on it.
    let stands = site.status();
    assert!(
        stands.contains("cp-c  10.240.80.10  etcd started") && stands.contains("cp-a  10.240.16.10  off"),
        "{stands}"
    );
    run(&mut site.up(&["--no-wait", "--node", "cp-b"]));
    site.wait_for("cp-b", "serves as a member of ha3", 1);
    site.wait_for("cp-c", "serves as a member of ha3", 1);
    assert!(site.put("two", "of three"));
    // Nobody waited for them: the host remembers since it was asked.
    site.status();
    let record = fs::read_to_string(site.machines().join("machines.json")).unwrap();
    assert!(
        record.contains("\"cp-b\"") && record.contains("\"cp-c\"") && !record.contains("\"cp-a\""),
        "{record}"
    );
    thread::sleep(Duration::from_secs(30));
    site.form();
    site.verify();
    assert_eq!(site.get("two"), "of three");
    let console = site.console("cp-c");
    assert!(!console.contains("founds nothing") && !console.contains("does not start etcd"), "{console}");
}

/// C3, then C5 for every disk at once.
#[test]
fn a_power_cut_on_every_node_loses_nothing() {
    if !is_inside("boot::a_power_cut_on_every_node_loses_nothing", &["live", "cloud"]) {
        return;
    }
    let site = Site::ha3("qemu", "initramfs", "look");
    site.form();
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for writer in 0..3 {
            let (site, stop, acknowledged) = (&site, &stop, &acknowledged);
            scope.spawn(move || {
                for number in 0.. {
                    let key = format!("w{writer}-{number}");
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if site.put(&key, &key) {
                        acknowledged.lock().unwrap().push(key);
                    }
                }
            });
        }
        while acknowledged.lock().unwrap().len() < 30 {
            thread::sleep(Duration::from_millis(20));
        }
        site.cut_power();
        stop.store(true, Ordering::Relaxed);
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    site.form();
    site.verify();
    let all = run(&mut site.kiln("etcdctl", &["--", "get", "--prefix", "w", "--keys-only"]));
    let there: BTreeSet<_> = all.lines().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|key| !there.contains(key.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?} of {}", acknowledged.len());
    eprintln!("{} acknowledged writes are there after the power cut", acknowledged.len());

    // One node gets the disk of another: it is left as it is.
    site.cut_power();
    fs::rename(site.data_disk("cp-a"), site.work.path().join("cp-a.qcow2")).unwrap();
    fs::copy(site.data_disk("cp-b"), site.data_disk("cp-a")).unwrap();
    let said = refused(&mut site.up(&["--deadline", DEADLINE]), 1);
    assert!(said.contains("/var/lib/etcd is that of cp-b; bring this node's own disk"), "{said}");
    // And its own again.
    site.cut_power();
    fs::rename(site.work.path().join("cp-a.qcow2"), site.data_disk("cp-a")).unwrap();
    site.form();
    site.verify();

    // Every disk comes back empty: nobody is left to ask, and the host remembers.
    site.cut_power();
    for node in &site.nodes {
        fs::remove_file(site.data_disk(node)).unwrap();
    }
    run(&mut site.up(&["--no-wait"]));
    let words = "founds nothing: ha3 has formed before, but /var/lib/etcd is empty and no peer answers";
    for node in &site.nodes {
        site.wait_for(node, words, 1);
    }
    assert_eq!(site.status().matches(words).count(), 3);
    assert!(!site.put("anything", "at all"));
}

/// C5: the disk of a cluster of the same name and the same addresses, which another keystore made.
#[test]
fn the_disk_of_another_cluster_is_left_alone() {
    if !is_inside("boot::the_disk_of_another_cluster_is_left_alone", &["live", "cloud"]) {
        return;
    }
    let single = || {
        let text = fs::read_to_string(root().join("profiles/single.toml")).unwrap();
        let text = text.replace("token = \"etcd-cluster-k8s\"\n", "");
        Site::of(
            "single",
            format!("{text}\n[machine]\nmemory-mib = 512\n"),
            vec!["control-plane-1".into()],
            "qemu",
            "initramfs",
        )
    };
    // Two keystores, and so two generations.
    let (one, two) = (single(), single());
    one.form();
    one.verify();
    run(&mut one.kiln("down", &[]));
    fs::create_dir_all(two.own("control-plane-1")).unwrap();
    fs::copy(one.data_disk("control-plane-1"), two.data_disk("control-plane-1")).unwrap();
    let said = refused(&mut two.up(&["--deadline", DEADLINE]), 1);
    assert!(said.contains("/var/lib/etcd belongs to another cluster than single"), "{said}");
    assert!(two.status().contains("held"), "{}", two.status());
    // It is still good for its own.
    run(&mut two.kiln("down", &[]));
    fs::copy(two.data_disk("control-plane-1"), one.data_disk("control-plane-1")).unwrap();
    one.form();
    one.verify();
}

/// C8: clean reboots, each of which ends all programs and unmounts the disk.
#[test]
fn five_reboots_found_nothing_anew() {
    if !is_inside("boot::five_reboots_found_nothing_anew", &["live", "cloud"]) {
        return;
    }
    let site = Site::ha3("qemu", "initramfs", "reboot");
    run(&mut site.up(&["--no-wait"]));
    for node in &site.nodes {
        site.wait_for(node, "reboots: 5", 1);
    }
    site.form();
    site.verify();
    for node in &site.nodes {
        let console = site.console(node);
        assert_eq!(console.matches("serves as a member of ha3").count(), 6, "{node}:\n{console}");
        assert!(!console.contains("founds nothing") && !console.contains("does not start etcd"), "{console}");
    }
}

#[test]
fn five_members_form() {
    if !is_inside("boot::five_members_form", &["live", "cloud"]) {
        return;
    }
    let mut profile =
        ha3_with(&[("# Client certificates", "[machine]\nmemory-mib = 512\n\n# Client certificates")]);
    profile.push_str("\n[bundle]\ninitramfs-compression = \"zstd\"\n");
    profile = profile.replace("\"ha3\"", "\"ha5\"");
    profile.push_str("\n[[node]]\nname = \"cp-d\"\naddress = \"10.240.112.10\"\n\n[[node]]\nname = \"cp-e\"\naddress = \"10.240.144.10\"\n");
    let nodes = ["cp-a", "cp-b", "cp-c", "cp-d", "cp-e"].map(str::to_owned).to_vec();
    let site = Site::of("ha5", profile, nodes, "qemu", "initramfs");
    site.form();
    site.verify();
}
