//! From power-on to the first served write, by each carrier, and the time of each stage: three machines of QEMU
//! without KVM, three runs of each carrier in turn, medians. `cargo bench --bench boot`, as root.

#![allow(clippy::disallowed_methods, reason = "it runs machines as people do, and measures time")]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use support::{Workshop, ha3_with, root, run, store};

const INSIDE: &str = "KILN_BENCH_INSIDE";
const RUNS: usize = 3;
const CARRIERS: [&str; 3] = ["initramfs", "cloud-init", "ignition"];
const NODES: [(&str, &str); 3] =
    [("cp-a", "10.240.16.10:2379"), ("cp-b", "10.240.48.10:2379"), ("cp-c", "10.240.80.10:2379")];

/// Seconds of one run, in the order in which they pass.
#[derive(Clone, Copy)]
struct Run {
    /// `kiln up` until QEMU runs: disks, the initramfs.
    kiln: f64,
    firmware_and_kernel: f64,
    initrd: f64,
    userspace: f64,
    quorum: f64,
    /// From the first QEMU's start until a client's write was acknowledged.
    total: f64,
    /// The same until every member serves.
    all: f64,
}

/// One column of a run.
type Part = fn(&Run) -> f64;

fn main() {
    // cargo bench gives --bench to every target; cargo test would only compile it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    if std::env::var_os(INSIDE).is_none() {
        let kinds = ["live", "cloud", "ignition"].map(|kind| support::lab().join("base").join(kind));
        assert!(
            kinds.iter().all(|kind| kind.exists()),
            "run ci/base live, ci/base cloud and ci/base ignition first"
        );
        store();
        let mut inside = Command::new(root().join("ci/lab"));
        inside
            .current_dir(root())
            .arg("env")
            .arg(format!("{INSIDE}=1"))
            .arg(std::env::current_exe().unwrap());
        assert!(inside.arg("--bench").env("KILN_LAB", support::lab()).status().unwrap().success());
        return;
    }
    let work = Workshop::new();
    let etcd = format!(
        "[etcd]\nversion = \"3.5.16\"\n\n[machine]\nmemory-mib = 512\n\n[bundle]\noverlays = [\"{}\"]\n\n# Client certificates",
        root().join("tests/boot/look").display()
    );
    work.file("ha3.toml", ha3_with(&[("# Client certificates", &etcd)]));
    work.build("./ha3.toml");
    let mut runs: BTreeMap<&str, Vec<Run>> = BTreeMap::new();
    for number in 0..RUNS {
        for carrier in CARRIERS {
            let one = boot(&work, carrier);
            eprintln!("run {} of {RUNS}, {carrier}: {:.1} s", number + 1, one.total);
            runs.entry(carrier).or_default().push(one);
        }
    }
    print(&runs);
}

fn boot(work: &Workshop, carrier: &str) -> Run {
    let kiln = |arguments: &[&str]| work.kiln(arguments);
    let begun = SystemTime::now();
    run(&mut kiln(&["up", "out/ha3", "--quiet", "--accel", "tcg", "--carrier", carrier, "--no-wait"]));
    let directory = work.path().join("out/.ha3.machines/nodes");
    let started = |node: &str| fs::metadata(directory.join(node).join("pid")).unwrap().modified().unwrap();
    let power_on = NODES.iter().map(|(node, _)| started(node)).min().unwrap();
    let wrote = first_write(work);
    // Of the node that served first. The clocks of the guests begin with their kernels.
    let nodes: Vec<_> = NODES.iter().map(|(node, _)| look(work, node)).collect();
    let by_serving =
        |a: &&BTreeMap<String, f64>, b: &&BTreeMap<String, f64>| a["serves"].total_cmp(&b["serves"]);
    let first = nodes.iter().min_by(by_serving).unwrap();
    let last = nodes.iter().max_by(by_serving).unwrap();
    let total = wrote.duration_since(power_on).unwrap().as_secs_f64();
    let all = total + last["serves"] - first["serves"];
    run(&mut kiln(&["down", "out/ha3", "--purge", "--yes", "--quiet"]));
    // Without an initrd of its own the kernel's time ends where userspace begins.
    let kernel = if first["initrd"] > 0.0 { first["initrd"] } else { first["userspace"] };
    let firmware = (total - first["serves"]).max(0.0);
    Run {
        kiln: power_on.duration_since(begun).unwrap().as_secs_f64(),
        firmware_and_kernel: firmware + kernel,
        initrd: first["userspace"] - kernel,
        userspace: first["started"] - first["userspace"],
        quorum: first["serves"] - first["started"],
        total,
        all,
    }
}

/// Tries to connect first, which costs next to nothing, before it runs etcdctl.
fn first_write(work: &Workshop) -> SystemTime {
    let begun = Instant::now();
    let sockets: Vec<SocketAddr> = NODES.iter().map(|(_, address)| address.parse().unwrap()).collect();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(900), "no member has served within 15 minutes");
        let open = sockets.iter().any(|s| TcpStream::connect_timeout(s, Duration::from_millis(200)).is_ok());
        if open && work.kiln(["etcdctl", "out/ha3", "--", "put", "a", "b"]).output().unwrap().status.success()
        {
            return SystemTime::now();
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// What tests/boot/look reports of a node, in seconds since its kernel started.
fn look(work: &Workshop, node: &str) -> BTreeMap<String, f64> {
    let begun = Instant::now();
    let path = work.path().join("out/.ha3.machines/nodes").join(node).join("console.log");
    loop {
        let console = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
        if console.contains("look: end") {
            let lines = console.lines().filter_map(|line| line.split_once("look: ")?.1.split_once(": "));
            return lines
                .filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse::<f64>().ok()? / 1e6)))
                .collect();
        }
        assert!(
            begun.elapsed() < Duration::from_secs(600),
            "{node} does not say where its time went:\n{console}"
        );
        thread::sleep(Duration::from_millis(200));
    }
}

fn print(runs: &BTreeMap<&str, Vec<Run>>) {
    let median = |carrier: &str, of: Part| {
        let mut values: Vec<_> = runs[carrier].iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let rows: [(&str, Part); 7] = [
        ("kiln up until QEMU runs", |run| run.kiln),
        ("firmware and kernel", |run| run.firmware_and_kernel),
        ("initrd", |run| run.initrd),
        ("userspace until etcd starts", |run| run.userspace),
        ("etcd until quorum", |run| run.quorum),
        ("power-on to the first write", |run| run.total),
        ("power-on to three members", |run| run.all),
    ];
    println!("seconds, medians of {RUNS}  {:>11} {:>11} {:>11}", CARRIERS[0], CARRIERS[1], CARRIERS[2]);
    for (name, of) in rows {
        let [a, b, c] = CARRIERS.map(|carrier| median(carrier, of));
        println!("{name:28} {a:11.1} {b:11.1} {c:11.1}");
    }
    let total = |carrier| median(carrier, |run| run.total);
    println!("initramfs is {:.1} times as fast as cloud-init", total("cloud-init") / total("initramfs"));
}
