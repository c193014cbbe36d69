//! The objects that `kiln up` makes on a host and `kiln down` removes: their owners, and what remains. The machines
//! are real (QEMU and libvirt in ci/lab); the tests do not wait for them to boot.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

use crate::support::{self, Workshop, is_inside, refused, run};

/// The QEMUs that run here, by their `-name`.
fn machines() -> BTreeSet<String> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let lines = pids.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let words = lines.map(|line| {
        line.split(|byte| *byte == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect::<Vec<_>>()
    });
    words
        .filter(|words| words[0].ends_with("qemu-system-x86_64"))
        .filter_map(|words| {
            let at = words.iter().position(|word| word == "-name")?;
            let name = words[at + 1].trim_start_matches("guest=");
            Some(name.split(',').next().unwrap_or(name).to_owned())
        })
        .collect()
}

fn links() -> BTreeSet<String> {
    fs::read_dir("/sys/class/net").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

fn virsh(arguments: &[&str]) -> String {
    run(Command::new("virsh").arg("--quiet").args(arguments))
}

/// A cluster of nodes in 10.240.NET.0/24.
fn profile(net: u8, nodes: &[&str]) -> String {
    let mut text = format!(
        "schema = 1\n[cluster]\nname = \"twin\"\n[etcd]\nversion = \"3.5.16\"\n[machine]\nmemory-mib = 512\n\
         [network]\ncidr = \"10.240.{net}.0/24\"\n"
    );
    for (at, node) in nodes.iter().enumerate() {
        text.push_str(&format!("[[node]]\nname = \"{node}\"\naddress = \"10.240.{net}.{}\"\n", 10 + at));
    }
    text
}

fn built(net: u8, nodes: &[&str]) -> Workshop {
    let work = Workshop::new();
    work.file("twin.toml", profile(net, nodes));
    work.build("./twin.toml");
    work
}

fn interrupt(child: &Child) {
    rustix::process::kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

const UP: [&str; 6] = ["up", "out/twin", "--no-wait", "--accel", "tcg", "--driver"];

fn up(work: &Workshop, driver: &str) -> Command {
    work.kiln([&UP[..], &[driver]].concat())
}

fn id(work: &Workshop) -> String {
    let manifest = fs::read(work.path().join("out/twin/bundle.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["cluster"]["id"].as_str().unwrap().to_owned()
}

fn state(work: &Workshop) -> PathBuf {
    work.path().join("out/.twin.machines")
}

#[test]
fn two_clusters_of_one_name_do_not_touch_each_other() {
    if !is_inside("machines::two_clusters_of_one_name_do_not_touch_each_other", &["live"]) {
        return;
    }
    let bare = links();
    let (one, two) = (built(1, &["a"]), built(2, &["a"]));
    assert!(run(&mut up(&one, "qemu")).contains("1 member started"));
    let laid = links();
    assert!(laid.contains(&format!("kiln-{}", &id(&one)[..8])), "{laid:?}");

    // `down` of the one that does not run removes nothing.
    assert!(refused(&mut two.kiln(["down", "out/twin"]), 1).contains("no VMs of cluster twin"));
    run(&mut up(&two, "qemu"));
    assert_eq!(machines(), BTreeSet::from(["kiln-twin-a".to_owned()]));
    assert_eq!(links().len(), bare.len() + 4);
    run(&mut two.kiln(["down", "out/twin", "--purge", "--yes"]));
    assert_eq!(links(), laid);

    // A copy of the bundle is the same cluster: it must not run twice.
    run(Command::new("cp").arg("-a").arg(one.path().join("out/twin")).arg(one.path().join("out/copy")));
    let said = refused(&mut one.kiln(["up", "out/copy", "--no-wait", "--accel", "tcg"]), 6);
    assert!(said.contains("out/.twin.machines") && said.contains("name that bundle"), "{said}");
    let elsewhere = Workshop::new();
    fs::create_dir(elsewhere.path().join("out")).unwrap();
    run(Command::new("cp").arg("-a").arg(one.path().join("out/twin")).arg(elsewhere.path().join("out")));
    let said = refused(&mut up(&elsewhere, "qemu"), 6);
    assert!(said.contains(&state(&one).display().to_string()), "{said}");
    assert_eq!(links(), laid);
    run(&mut one.kiln(["down", "out/twin"]));
    assert_eq!((links(), machines()), (bare, BTreeSet::new()));
}

/// A pool left over from an interrupted start is taken over; one with another user's disk in it is not.
fn a_pool_with_another_disk_is_refused(work: &Workshop, pool: &str) {
    let images = format!("/var/lib/libvirt/images/kiln-{pool}");
    virsh(&["pool-define-as", pool, "dir", "--target", &images]);
    virsh(&["pool-build", pool]);
    virsh(&["pool-start", pool]);
    virsh(&["vol-create-as", pool, "stranger.img", "1M"]);
    let said = refused(&mut up(work, "libvirt"), 6);
    assert!(said.contains(&images) && said.contains("disks of other VMs"), "{said}");
    assert!(virsh(&["vol-list", pool]).contains("stranger.img"));
    virsh(&["vol-delete", "--pool", pool, "stranger.img"]);
}

#[test]
fn nodes_lock_and_a_and_a_data_have_machines_of_their_own() {
    if !is_inside("machines::nodes_lock_and_a_and_a_data_have_machines_of_their_own", &["live"]) {
        return;
    }
    let work = built(3, &["lock", "a", "a-data"]);
    let pool = format!("twin-{}", &id(&work)[..8]);
    a_pool_with_another_disk_is_refused(&work, &pool);

    let said = run(up(&work, "libvirt").arg("--json"));
    assert_eq!(said.matches("\"phase\": \"started\"").count(), 3, "{said}");
    let volumes: BTreeSet<_> = virsh(&["vol-list", &pool])
        .lines()
        .map(|l| l.split_whitespace().next().unwrap().to_owned())
        .collect();
    for volume in ["lock.data.qcow2", "a.data.qcow2", "a-data.data.qcow2", "a.initrd.img"] {
        assert!(volumes.contains(volume), "{volumes:?}");
    }
    // Continues with a machine that is off, with the driver that it was made with.
    let uuid = virsh(&["domuuid", &format!("{pool}-a")]);
    virsh(&["destroy", &format!("{pool}-a")]);
    run(&mut work.kiln(["up", "out/twin", "--no-wait", "--accel", "tcg"]));
    assert!(virsh(&["list", "--name"]).contains(&format!("{pool}-a\n")));
    assert_eq!(virsh(&["domuuid", &format!("{pool}-a")]), uuid);
    assert!(state(&work).join("nodes/lock").is_dir());

    // After it was renamed or moved, the bundle still finds its machines; a copy of it does not.
    let moved = work.path().join("moved");
    fs::create_dir(&moved).unwrap();
    run(Command::new("cp").arg("-a").arg(work.path().join("out/twin")).arg(moved.join("copy")));
    let said = refused(&mut work.kiln(["status", "moved/copy"]), 6);
    assert!(said.contains("name that bundle: ") && said.contains("out/twin"), "{said}");
    for bundle in ["out/other", "moved/other"] {
        let before = if bundle == "out/other" { "out/twin" } else { "out/other" };
        fs::rename(work.path().join(before), work.path().join(bundle)).unwrap();
        let said = refused(&mut work.kiln(["status", bundle]), 1);
        assert!(said.contains("a-data: booting"), "{said}");
    }
    // Another cluster's bundle in the place where the machines were started does not make them its own.
    let other = built(6, &["lock", "a", "a-data"]);
    run(Command::new("cp").arg("-a").arg(other.path().join("out/twin")).arg(work.path().join("out/twin")));
    let said = refused(&mut work.kiln(["status", "moved/other"]), 1);
    assert!(said.contains("a-data: booting"), "{said}");
    let said = refused(&mut work.kiln(["down", "out/twin"]), 0);
    assert!(said.contains("warning: these are the VMs of the cluster twin with the ID"), "{said}");
    run(&mut work.kiln(["up", "moved/other", "--no-wait", "--accel", "tcg"]));
    run(&mut work.kiln(["down", "moved/other", "--purge", "--yes"]));
    let said = refused(&mut work.kiln(["status", "moved/other"]), 1);
    assert!(said.contains("no VMs of cluster twin"), "{said}");
    assert_eq!(virsh(&["list", "--all", "--name"]).trim(), "");
    assert!(
        !state(&work).exists() && !Path::new("/var/lib/libvirt/images").join(format!("kiln-{pool}")).exists()
    );
}

/// `console` follows the output until Ctrl-C.
fn follow_the_console_until_ctrl_c(work: &Workshop) {
    let mut console = work.kiln(["console", "out/twin", "a"]).stdout(Stdio::piped()).spawn().unwrap();
    // The first minute of output is old.
    fs::write(state(work).join("nodes/a/console.log"), "it boots\n").unwrap();
    let heard = BufReader::new(console.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(heard.into_iter().any(|line| line.contains("it boots")));
    interrupt(&console);
    assert_eq!(console.wait().unwrap().code(), Some(0));
}

/// A user who presses Ctrl-C while waiting for a machine is told that it keeps running.
fn wait_for_it_until_ctrl_c(work: &Workshop) {
    let mut waiting = work.kiln([&["up", "out/twin", "--node", "a"][..], &UP[3..], &["qemu"]].concat());
    let mut waiting = waiting.stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(waiting.stderr.take().unwrap());
    let mut said = String::new();
    // It has begun, and waits.
    stderr.read_line(&mut said).unwrap();
    interrupt(&waiting);
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("interrupted; started VMs keep running"), "{said}");
    assert_eq!(machines().len(), 1);
}

/// The state is behind a link, as to a larger disk: `--purge` removes it there.
fn purge_through_a_link(work: &Workshop) {
    let large = work.path().join("large");
    fs::rename(state(work), &large).unwrap();
    symlink(&large, state(work)).unwrap();
    fs::write(work.path().join("precious"), "x").unwrap();
    symlink(work.path().join("precious"), large.join("nodes/a/extra")).unwrap();
    // With other files on that disk, nothing is removed.
    fs::write(large.join("thesis.tex"), "x").unwrap();
    let said = refused(&mut work.kiln(["down", "out/twin", "--purge", "--yes"]), 6);
    assert!(said.contains("thesis.tex") && large.join("nodes/a/data.qcow2").exists(), "{said}");
    fs::remove_file(large.join("thesis.tex")).unwrap();
    let output = work.kiln(["down", "out/twin", "--purge", "--yes"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("precious; only the link to it was removed"), "{said}");
    assert!(!large.exists() && fs::symlink_metadata(state(work)).is_err());
    assert!(work.path().join("precious").exists());
}

#[test]
fn what_up_is_told_and_what_has_changed() {
    if !is_inside("machines::what_up_is_told_and_what_has_changed", &["live"]) {
        return;
    }
    let work = built(4, &["a", "b", "c"]);
    let remote = ["up", "out/twin", "--driver", "libvirt", "--connect", "qemu+tcp://host/system"];
    assert!(refused(&mut work.kiln(remote), 2).contains("in the clear"));
    // It was ignored, and the VMs began here.
    let elsewhere = "qemu+unix:///system?socket=/run/nobody";
    let said = refused(&mut work.kiln(["up", "out/twin", "--connect", elsewhere]), 5);
    assert!(said.contains("does not answer"), "{said}");
    let said = refused(up(&work, "qemu").args(["--connect", elsewhere]), 2);
    assert!(said.contains("the driver qemu connects to no libvirt"), "{said}");
    run(up(&work, "qemu").args(["--node", "a"]));
    assert_eq!(machines().len(), 1);
    let mixed = refused(&mut up(&work, "libvirt"), 6);
    assert!(mixed.contains("kiln up out/twin --driver qemu --carrier initramfs"), "{mixed}");
    follow_the_console_until_ctrl_c(&work);
    wait_for_it_until_ctrl_c(&work);
    // A running machine is not "off", and old messages of one that is off are not shown.
    fs::write(state(&work).join("nodes/a/console.log"), "kiln: a serves as a member of twin\n").unwrap();
    let said = refused(&mut work.kiln(["status", "out/twin"]), 1);
    assert!(said.contains("a: booting") && said.contains("b: off"), "{said}");
    run(&mut work.kiln(["down", "out/twin"]));
    let off = work.kiln(["status", "out/twin"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&off.stdout).contains("serves"), "{off:?}");

    // Another bundle of the same cluster on the old disks.
    let text =
        profile(4, &["a", "b", "c"]) + "[etcd.config]\nheartbeat-interval = 200\nelection-timeout = 2000\n";
    work.file("twin.toml", text);
    work.build("./twin.toml");
    let output = up(&work, "qemu").arg("--quiet").args(["--node", "a"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("warning: the bundle has changed since a was last started"), "{said}");
    // And another base system while some machines run.
    let base = work.path().join("base");
    run(Command::new("cp").arg("-r").arg(support::lab().join("base/live")).arg(&base));
    let said = refused(up(&work, "qemu").arg("--base").arg(&base), 6);
    assert!(said.contains("the base system has changed since a was started"), "{said}");
    run(&mut work.kiln(["down", "out/twin"]));
    purge_through_a_link(&work);
}

/// The objects that Kiln 0.1 made with the cluster's name, and its record.
#[test]
fn machines_of_an_earlier_kiln_are_taken_away() {
    if !is_inside("machines::machines_of_an_earlier_kiln_are_taken_away", &["live"]) {
        return;
    }
    let bare = links();
    let work = built(5, &["a", "b", "c"]);
    let digest = run(Command::new("sh").args(["-c", "printf twin | sha256sum"]));
    let short = &digest[..8];
    let lay = format!(
        "set -e; ip link add kiln-{short} type bridge; ip address add 10.240.5.1/24 dev kiln-{short}; \
         for n in 0 1 2; do ip tuntap add dev kt$n-{short} mode tap; ip link set kt$n-{short} master kiln-{short} up; done"
    );
    run(Command::new("sh").args(["-c", &lay]));
    assert_eq!(links().len(), bare.len() + 4);
    fs::create_dir_all(state(&work).join("a")).unwrap();
    let full = id(&work);
    let record = serde_json::json!({
        "schema": 1, "cluster": "twin", "cluster_id": full, "driver": "qemu",
        "carrier": "initramfs", "accel": "tcg", "connect": "qemu:///system", "defined": false, "formed": ["a"],
    });
    fs::write(state(&work).join("machines.json"), record.to_string()).unwrap();
    let said = refused(&mut work.kiln(["status", "out/twin"]), 1);
    assert!(said.contains("a: off") && said.contains("b: off"), "{said}");
    // It continues with them, with their old names.
    run(up(&work, "qemu").args(["--node", "a"]));
    assert!(state(&work).join("a/data.qcow2").exists() && !state(&work).join("nodes").exists());
    run(&mut work.kiln(["down", "out/twin"]));
    assert_eq!(links(), bare);

    let newer = record.to_string().replace("\"schema\":1", "\"schema\":99");
    fs::write(state(&work).join("machines.json"), newer).unwrap();
    let said = refused(&mut work.kiln(["down", "out/twin"]), 1);
    assert!(said.contains("schema 99"), "{said}");
}
