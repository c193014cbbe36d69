//! `boot/` and the nodes' `initrd.img`: what is in them, and that machines boot from them without Kiln.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{self, Workshop, ha3_with, refused, run, store, turn};
use kiln::format::read::Archive;

const DEADLINE: Duration = Duration::from_secs(300);

/// The base system that `ci/base live` makes.
fn live() -> PathBuf {
    let live = fs::canonicalize(support::lab()).unwrap_or_default().join("base/live");
    assert!(live.join("initrd.img").exists(), "run ci/setup --vm first");
    live
}

/// `kiln` that finds base systems in the lab.
fn kiln(work: &Workshop, arguments: &[&str]) -> Command {
    let mut command = work.kiln(arguments);
    command.env("KILN_LAB", live().ancestors().nth(2).unwrap());
    command
}

fn build(work: &Workshop, profile: &str) -> Command {
    let mut command = kiln(work, &["build", "--quiet", "--profile", profile, "--artifacts"]);
    command.arg(store());
    command
}

/// Three members on the base system `live`.
fn ha3(bundle: &str) -> String {
    let more = format!(
        "[etcd]\nversion = \"3.5.16\"\n\n[machine]\nbase = \"live\"\n\n[bundle]\n{bundle}\n\n# Client certificates"
    );
    ha3_with(&[("# Client certificates", &more)])
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn sha256(path: &Path) -> String {
    run(Command::new("sha256sum").arg(path))[..64].to_owned()
}

/// A base system in the workshop: the files of `live`, with others in the place of some.
fn base_with(work: &Workshop, name: &str, others: &[(&str, &[u8])]) -> PathBuf {
    let directory = work.path().join(name);
    fs::create_dir_all(&directory).unwrap();
    for file in ["vmlinuz", "initrd.img", "cmdline"] {
        match others.iter().find(|(other, _)| *other == file) {
            Some((_, bytes)) => fs::write(directory.join(file), bytes).unwrap(),
            None => symlink(live().join(file), directory.join(file)).unwrap(),
        }
    }
    for (file, bytes) in others.iter().filter(|(other, _)| *other == "disk.qcow2") {
        fs::write(directory.join(file), bytes).unwrap();
    }
    directory
}

#[test]
fn an_initrd_is_the_base_systems_and_behind_it_the_nodes_own() {
    let cases =
        [("embedded", "gzip", 0), ("shared", "gzip", 1), ("embedded", "zstd", 1), ("shared", "zstd", 1)];
    for (binaries, compression, more) in cases {
        let work = Workshop::new();
        let chosen = format!("binaries = \"{binaries}\"\ninitramfs-compression = \"{compression}\"");
        work.file("ha3.toml", ha3(&format!("{chosen}\ncarriers = [\"initramfs\"]")));
        let ending = if compression == "zstd" { "zst" } else { "gz" };
        work.keystore("ha3");
        run(&mut build(&work, "./ha3.toml"));
        let bundle = work.path().join("out/ha3");
        let base = fs::read(live().join("initrd.img")).unwrap();
        for node in ["cp-a", "cp-b", "cp-c"] {
            let directory = bundle.join("nodes").join(node);
            let initrd = fs::read(directory.join("initrd.img")).unwrap();
            let mut want = base.clone();
            want.resize(base.len().next_multiple_of(4), 0);
            let begin = want.len();
            if binaries == "shared" {
                want.extend(fs::read(bundle.join(format!("layers/etcd.cpio.{ending}"))).unwrap());
            }
            want.extend(fs::read(directory.join(format!("overlay.cpio.{ending}"))).unwrap());
            assert!(initrd == want, "{binaries} {compression} {node}");
            let mode = fs::metadata(directory.join("initrd.img")).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600);

            // Somebody else's reader, told only where the base system ends, and Kiln's own.
            let script = "tail -c +$(($2 + 1)) \"$1\" | $4 -dc | \
                          (cpio -t --quiet && if [ \"$3\" = 1 ]; then cpio -t --quiet; fi)";
            let listed = run(Command::new("sh")
                .args(["-c", script, "sh"])
                .arg(directory.join("initrd.img"))
                .args([begin.to_string(), more.to_string(), compression.to_owned()]));
            let members = Archive::Initramfs.members(&initrd[begin..]).unwrap();
            let names: Vec<_> = members.iter().map(|member| member.path.as_str()).collect();
            assert_eq!(listed.lines().collect::<Vec<_>>(), names);
            for file in ["etc/etcd/etcd.conf", "etc/etcd/pki/peer-key.pem", "usr/local/bin/etcd"] {
                assert_eq!(names.iter().filter(|name| **name == file).count(), 1, "{binaries} {file}");
            }
            let shown = run(&mut kiln(&work, &["show", "out/ha3", node]));
            let (_, shown) = shown.split_once("initrd.img, behind the base system's own\n").unwrap();
            assert_eq!(shown.lines().count(), names.len());
        }
    }
}

#[test]
fn the_manifest_and_the_script_name_what_is_there() {
    let work = Workshop::new();
    work.file("ha3.toml", ha3("binaries = \"shared\""));
    work.keystore("ha3");
    run(&mut build(&work, "./ha3.toml"));
    let bundle = work.path().join("out/ha3");
    let manifest = json(&bundle.join("bundle.json"));
    let cmdline = fs::read_to_string(live().join("cmdline")).unwrap().trim().to_owned();
    assert_eq!(manifest["base"]["cmdline"], cmdline.as_str());
    assert_eq!(fs::read_to_string(bundle.join("boot/cmdline")).unwrap().trim(), cmdline);
    assert_eq!(manifest["base"]["kernel"]["sha256"], sha256(&live().join("vmlinuz")).as_str());
    assert_eq!(manifest["base"]["initrd"]["sha256"], sha256(&live().join("initrd.img")).as_str());
    let size = fs::metadata(live().join("initrd.img")).unwrap().len();
    assert_eq!(manifest["base"]["initrd"]["size"], size);
    assert_eq!(sha256(&bundle.join("boot/vmlinuz")), sha256(&live().join("vmlinuz")));

    let script = fs::read_to_string(bundle.join("boot/boot.ipxe")).unwrap();
    assert!(script.starts_with("#!ipxe\n") && script.contains("no node of ha3 has the card ${net0/mac}"));
    let nodes = manifest["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    for node in nodes {
        let name = node["name"].as_str().unwrap();
        let label = node["mac"].as_str().unwrap().replace(':', "-");
        let (_, from) = script.split_once(&format!("\n:{label}\n")).unwrap();
        let block: Vec<_> = from.lines().take(4).collect();
        assert_eq!(block[1], format!("kernel vmlinuz {cmdline} initrd=initrd.img"));
        assert_eq!(block[2], format!("initrd ../nodes/{name}/initrd.img"));
        assert_eq!(block[3], "boot");
        assert!(node["files"].as_array().unwrap().contains(&"initrd.img".into()), "{node}");
    }
    for word in script.lines().filter_map(|line| {
        line.strip_prefix("kernel ")
            .or(line.strip_prefix("initrd "))
            .map(|rest| rest.split(' ').next().unwrap())
    }) {
        assert!(bundle.join("boot").join(word).is_file(), "{word}");
    }

    run(Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(&bundle));
    let sums = fs::read_to_string(bundle.join("SHA256SUMS")).unwrap();
    let shown = run(&mut kiln(&work, &["show", "out/ha3"]));
    for file in ["boot/boot.ipxe", "boot/cmdline", "boot/vmlinuz"] {
        assert!(sums.contains(&format!("  {file}\n")) && shown.contains(&format!(" {file}\n")), "{file}");
    }
    assert!(sums.contains("  nodes/cp-b/initrd.img\n"));
    assert_eq!(shown.lines().filter(|line| line.ends_with(" initrd.img")).count(), 3);
    run(&mut kiln(&work, &["check", "out/ha3"]));

    // The same inputs, the same bytes; and the base system is one of the inputs.
    run(build(&work, "./ha3.toml").args(["--out", "out/again"]));
    run(Command::new("diff").args(["-r", "out/ha3", "out/again"]).current_dir(work.path()));
    let other = base_with(&work, "other", &[("cmdline", b"console=ttyS0\n")]);
    run(build(&work, "./ha3.toml").args(["--out", "out/other", "--base"]).arg(other));
    assert_eq!(json(&work.path().join("out/other/bundle.json"))["base"]["cmdline"], "console=ttyS0");

    let kernel = bundle.join("boot/vmlinuz");
    fs::write(&kernel, [fs::read(&kernel).unwrap(), vec![0]].concat()).unwrap();
    fs::set_permissions(bundle.join("nodes/cp-b/initrd.img"), PermissionsExt::from_mode(0o644)).unwrap();
    let wrong = refused(&mut kiln(&work, &["check", "out/ha3"]), 1);
    assert!(
        wrong.contains("boot/vmlinuz has ") && wrong.contains("nodes/cp-b/initrd.img has mode 0644"),
        "{wrong}"
    );
}

#[test]
fn a_base_system_that_is_not_fit_is_refused_before_anything_is_written() {
    let work = Workshop::new();
    work.file("ha3.toml", ha3("binaries = \"shared\""));
    let nowhere = work.path().join("nowhere");
    for verb in ["build", "check"] {
        let mut command = work.kiln([verb, "--profile", "./ha3.toml", "--artifacts"]);
        let said = refused(command.arg(store()).env("KILN_LAB", &nowhere), 3);
        let want = format!(
            "there is no base system {}/base/live; ci/base live makes one, or name another with --base",
            nowhere.display()
        );
        assert!(said.contains(&want), "{said}");
    }
    let cases: [(&str, &str, &[u8], &str); 5] = [
        ("disk", "disk.qcow2", b"", "starts from its disk.qcow2, and boot files are for"),
        ("lines", "cmdline", b"quiet\nboot\n", "is no kernel command line: it has more than one line"),
        ("ends", "cmdline", b"quiet || shell", "is no kernel command line: iPXE would end it at \"||\""),
        ("setting", "cmdline", b"quiet x=${mac}", "iPXE would put a setting in the place of"),
        ("kernel", "vmlinuz", b"\x7fELF", "is no Linux kernel for amd64"),
    ];
    for (name, file, bytes, want) in cases {
        let base = base_with(&work, name, &[(file, bytes)]);
        let said = refused(build(&work, "./ha3.toml").arg("--base").arg(base), 2);
        assert!(said.contains(want), "{name}: {said}");
    }
    work.file("tar.toml", ha3("carriers = [\"tar\"]"));
    let said = refused(build(&work, "./tar.toml").arg("--base").arg(live()), 2);
    assert!(said.contains("boot files, which hold the carrier initramfs"), "{said}");
    assert!(!work.path().join("out").exists() && !work.path().join("keystore").exists());

    // Where no node boots from an initrd or none from RAM, there is nothing to be found.
    work.file("cloud.toml", ha3("binaries = \"shared\"").replace("\"live\"", "\"cloud\""));
    for profile in ["tar", "cloud"] {
        run(build(&work, &format!("./{profile}.toml")).env("KILN_LAB", &nowhere));
        let bundle = work.path().join("out").join(profile);
        assert!(!bundle.join("boot").exists() && json(&bundle.join("bundle.json")).get("base").is_none());
    }
}

/// A second build gives boot files that it would make again one more name, and makes them anew for another base system.
#[test]
fn boot_files_are_taken_over_until_the_base_system_changes() {
    let work = Workshop::new();
    work.file("single.toml", single("carriers = [\"initramfs\"]"));
    let base = base_with(&work, "base", &[("initrd.img", b"a small one"), ("cmdline", b"quiet\n")]);
    let build = || {
        run(build(&work, "./single.toml")
            .env_remove("KILN_NO_CACHE")
            .env("KILN_CACHE", work.path().join("cache"))
            .arg("--base")
            .arg(&base));
        let bundle = work.path().join("out/single");
        let files = ["boot/vmlinuz", "boot/boot.ipxe", "nodes/control-plane-1/initrd.img"];
        let manifest = json(&bundle.join("bundle.json"));
        for file in files {
            assert_eq!(sha256(&bundle.join(file)), manifest["files"][file]["sha256"], "{file}");
        }
        assert_eq!(sha256(&base.join("initrd.img")), manifest["base"]["initrd"]["sha256"]);
        files.map(|file| fs::metadata(bundle.join(file)).unwrap().ino())
    };
    let first = build();
    assert_eq!(build(), first);
    fs::write(base.join("initrd.img"), b"another").unwrap();
    let other = build();
    assert!(first.iter().zip(&other).all(|(first, other)| first != other), "{first:?} {other:?}");
    fs::write(base.join("cmdline"), b"debug\n").unwrap();
    let last = build();
    assert!(other.iter().zip(&last).all(|(other, last)| other != last), "{other:?} {last:?}");
    assert!(fs::read_to_string(work.path().join("out/single/boot/boot.ipxe")).unwrap().contains("debug"));
}

/// However large a base system is, a build does not hold it in memory; and where it ends in the middle of a word, the
/// node's own files begin at the next.
#[test]
fn a_large_base_system_is_streamed() {
    const SIZE: u64 = (768 << 20) + 1;
    let work = Workshop::new();
    work.file("single.toml", single("carriers = [\"initramfs\"]"));
    let base = base_with(&work, "large", &[("initrd.img", b"")]);
    fs::File::options().write(true).open(base.join("initrd.img")).unwrap().set_len(SIZE).unwrap();
    // An address space that is smaller than the initrd, in KiB.
    let limited = "ulimit -v 700000 && exec \"$@\"";
    run(Command::new("sh")
        .args([
            "-c",
            limited,
            "sh",
            env!("CARGO_BIN_EXE_kiln"),
            "build",
            "--profile",
            "./single.toml",
            "--artifacts",
        ])
        .arg(store())
        .env("KILN_NO_CACHE", "1")
        .arg("--base")
        .arg(base)
        .current_dir(work.path()));
    let node = work.path().join("out/single/nodes/control-plane-1");
    let overlay = fs::metadata(node.join("overlay.cpio.gz")).unwrap().len();
    assert_eq!(fs::metadata(node.join("initrd.img")).unwrap().len(), SIZE + 3 + overlay);
    let compare = format!("tail -c +{} initrd.img | cmp - overlay.cpio.gz", SIZE + 3 + 1);
    run(Command::new("sh").args(["-c", &compare]).current_dir(node));
}

/// profiles/single.toml on the base system `live`.
fn single(bundle: &str) -> String {
    let text = fs::read_to_string(support::root().join("profiles/single.toml")).unwrap();
    let text = text.replace("[etcd]\n", "[etcd]\nversion = \"3.5.16\"\n");
    format!("{text}\n[machine]\nbase = \"live\"\n\n[bundle]\n{bundle}\n")
}

/// A machine that ends with the test.
struct Machine {
    qemu: Child,
    console: PathBuf,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Machine {
    /// What the README says, with more arguments for what is booted and the card.
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let console = directory.join("console");
        let _ = fs::remove_file(&console);
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-nodefaults", "-display", "none", "-accel", "tcg", "-cpu", "max", "-m", "512"])
            .args(arguments)
            .args(["-serial", "file:console"])
            .current_dir(directory);
        let qemu = command.spawn().unwrap_or_else(|error| panic!("{error}; run ci/setup --vm first"));
        Self { qemu, console }
    }

    #[track_caller]
    fn must_say(&mut self, want: &str) {
        let begin = Instant::now();
        loop {
            let said = fs::read(&self.console).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            if said.contains(want) {
                return;
            }
            let ended = self.qemu.try_wait().unwrap();
            assert!(ended.is_none() && begin.elapsed() < DEADLINE, "{want:?} is missing; {ended:?}\n{said}");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

const SERVES: &str = "kiln: control-plane-1 serves as a member of single";

fn single_bundle(work: &Workshop, bundle: &str) -> (PathBuf, String) {
    work.file("single.toml", single(&format!("carriers = [\"initramfs\"]\n{bundle}")));
    work.keystore("single");
    run(&mut build(work, "./single.toml"));
    let bundle = work.path().join("out/single");
    let mac = json(&bundle.join("bundle.json"))["nodes"][0]["mac"].as_str().unwrap().to_owned();
    (bundle, mac)
}

#[test]
fn a_machine_boots_from_kernel_and_initrd_without_kiln() {
    let work = Workshop::new();
    // The others boot from gzip.
    let (bundle, mac) = single_bundle(&work, "initramfs-compression = \"zstd\"");
    let _turn = turn::machine();
    let cmdline = fs::read_to_string(bundle.join("boot/cmdline")).unwrap();
    let mut machine = Machine::start(
        &bundle,
        &[
            "-M",
            "pc",
            "-kernel",
            "boot/vmlinuz",
            "-initrd",
            "nodes/control-plane-1/initrd.img",
            "-append",
            cmdline.trim(),
            "-netdev",
            "user,id=n,restrict=on",
            "-device",
            &format!("virtio-net-pci,netdev=n,mac={mac}"),
        ],
    );
    machine.must_say(SERVES);
}

/// FAULTS.md C9.
#[test]
fn a_machine_whose_clock_is_at_1970_waits_until_it_is_right() {
    let work = Workshop::new();
    let overlay = support::root().join("tests/boot/clock");
    work.file("single.toml", single(&format!("overlays = [\"{}\"]", overlay.display())));
    run(&mut build(&work, "./single.toml"));
    let bundle = work.path().join("out/single");
    let mac = json(&bundle.join("bundle.json"))["nodes"][0]["mac"].as_str().unwrap().to_owned();
    let _turn = turn::machine();
    let cmdline = fs::read_to_string(bundle.join("boot/cmdline")).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (now, card) =
        (format!("name=opt/lab/now,string={now}"), format!("virtio-net-pci,netdev=n,mac={mac}"));
    let mut arguments =
        vec!["-M", "pc", "-rtc", "base=1970-01-01T00:00:00", "-kernel", "boot/vmlinuz", "-initrd"];
    arguments.extend(["nodes/control-plane-1/initrd.img", "-append", cmdline.trim(), "-fw_cfg", &now]);
    arguments.extend(["-netdev", "user,id=n,restrict=on", "-device", &card]);
    let mut machine = Machine::start(&bundle, &arguments);
    machine.must_say("kiln: control-plane-1 waits for the clock: it shows ");
    machine.must_say("kiln: control-plane-1 has the time: ");
    machine.must_say(SERVES);
}

/// The real iPXE, which QEMU's cards carry, loads the script and what it names over the network.
#[test]
fn a_machine_boots_over_the_network_by_the_card_that_it_has() {
    let work = Workshop::new();
    let (bundle, mac) = single_bundle(&work, "");
    let _turn = turn::machine();
    let served = format!("user,id=n,restrict=on,tftp={},bootfile=boot/boot.ipxe", bundle.display());
    let first = "virtio-net-pci,netdev=n,mac=52:54:00:00:00:99";
    // Without a screen the firmware and iPXE write to the serial line.
    let network = ["-M", "pc,graphics=off", "-boot", "n", "-netdev", &served, "-device", first];
    let mut stranger = Machine::start(&bundle, &network);
    stranger.must_say("kiln: no node of single has the card 52:54:00:00:00:99");
    drop(stranger);

    // Loaded through a card that is no node's, found by the second one.
    let second = format!("virtio-net-pci,netdev=m,mac={mac}");
    let more = ["-netdev", "user,id=m,restrict=on", "-device", &second];
    let mut machine = Machine::start(&bundle, &[&network[..], &more[..]].concat());
    machine.must_say("kiln: this is control-plane-1 of single");
    machine.must_say(SERVES);
}
