//! Machines that boot from these files without Kiln.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use super::{build, json, single};
use crate::support::{self, Workshop, run, turn};

const DEADLINE: Duration = Duration::from_secs(300);

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
    /// The command of the README, with further arguments for the boot files and the card.
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        Self::with_memory("512", directory, arguments)
    }

    /// MiB of memory.
    fn with_memory(memory: &str, directory: &Path, arguments: &[&str]) -> Self {
        let console = directory.join("console");
        let _ = fs::remove_file(&console);
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-nodefaults", "-display", "none", "-accel", "tcg", "-cpu", "max", "-m", memory])
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
    // The other test boots from gzip.
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

/// The segment of the second one is unpacked over the files of the first.
#[test]
fn a_machine_starts_the_members_of_two_clusters() {
    let work = Workshop::new();
    let (bundle, mac) = single_bundle(&work, "");
    let events = "schema = 1\n[cluster]\nname = \"events\"\n[network]\ncidr = \"10.0.0.0/24\"\n[[node]]\nname = \
                  \"control-plane-1\"\naddress = \"10.0.0.4\"\n[etcd]\nversion = \"3.5.16\"\ninstance = \"events\"\n\
                  client-port = 2381\npeer-port = 2382\n[bundle]\ncarriers = [\"initramfs\"]\n";
    work.file("events.toml", events);
    work.keystore("events");
    run(&mut build(&work, "./events.toml"));
    let node = "nodes/control-plane-1";
    let mut initrd = fs::read(bundle.join(node).join("initrd.img")).unwrap();
    initrd.extend(fs::read(work.path().join("out/events").join(node).join("overlay.cpio.gz")).unwrap());
    let both = work.file("both.img", initrd);
    let _turn = turn::machine();
    let cmdline = fs::read_to_string(bundle.join("boot/cmdline")).unwrap();
    let card = format!("virtio-net-pci,netdev=n,mac={mac}");
    let mut arguments = vec!["-M", "pc", "-kernel", "boot/vmlinuz", "-initrd", both.to_str().unwrap()];
    arguments.extend(["-append", cmdline.trim(), "-netdev", "user,id=n,restrict=on", "-device", &card]);
    let mut machine = Machine::with_memory("1024", &bundle, &arguments);
    machine.must_say(SERVES);
    machine.must_say("kiln: control-plane-1 serves as a member of events");
}

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

/// The real iPXE, which is in QEMU's cards, loads the script and the files that it names over the network.
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

    // Loaded through a card that belongs to no node, found by the second one.
    let second = format!("virtio-net-pci,netdev=m,mac={mac}");
    let more = ["-netdev", "user,id=m,restrict=on", "-device", &second];
    let mut machine = Machine::start(&bundle, &[&network[..], &more[..]].concat());
    machine.must_say("kiln: this is control-plane-1 of single");
    machine.must_say(SERVES);
}
