//! What a build makes of a base system.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::Path;
use std::process::Command;

use super::{base_with, build, ha3, json, kiln, live, sha256, single};
use crate::support::{Workshop, refused, run, store};
use kiln::format::read::Archive;

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

            // An independent reader, given only the end of the base system, and Kiln's own.
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
            let (_, shown) = shown.split_once("initrd.img, after the base system's own\n").unwrap();
            assert_eq!(shown.lines().count(), names.len());
        }
    }
}

/// Checks that the iPXE script starts each node of the manifest with files that exist.
fn check_script(bundle: &Path, manifest: &serde_json::Value, cmdline: &str) {
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

    check_script(&bundle, &manifest, &cmdline);
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

    // The same inputs give the same bytes; and the base system is one of the inputs.
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
            "there is no base system {}/base/live; ci/base live creates one, or name another with --base",
            nowhere.display()
        );
        assert!(said.contains(&want), "{said}");
    }
    let cases: [(&str, &str, &[u8], &str); 5] = [
        ("disk", "disk.qcow2", b"", "boots from its disk.qcow2, but boot files need"),
        (
            "lines",
            "cmdline",
            b"quiet\nboot\n",
            "is not a valid kernel command line: it has more than one line",
        ),
        (
            "ends",
            "cmdline",
            b"quiet || shell",
            "is not a valid kernel command line: iPXE would end it at \"||\"",
        ),
        ("setting", "cmdline", b"quiet x=${mac}", "iPXE would expand"),
        ("kernel", "vmlinuz", b"\x7fELF", "is not a Linux kernel for amd64"),
    ];
    for (name, file, bytes, want) in cases {
        let base = base_with(&work, name, &[(file, bytes)]);
        let said = refused(build(&work, "./ha3.toml").arg("--base").arg(base), 2);
        assert!(said.contains(want), "{name}: {said}");
    }
    work.file("tar.toml", ha3("carriers = [\"tar\"]"));
    let said = refused(build(&work, "./tar.toml").arg("--base").arg(live()), 2);
    assert!(said.contains("boot files, which need the carrier initramfs"), "{said}");
    assert!(!work.path().join("out").exists() && !work.path().join("keystore").exists());

    // Where no node boots from an initrd or none from RAM, there are no boot files.
    work.file("cloud.toml", ha3("binaries = \"shared\"").replace("\"live\"", "\"cloud\""));
    for profile in ["tar", "cloud"] {
        run(build(&work, &format!("./{profile}.toml")).env("KILN_LAB", &nowhere));
        let bundle = work.path().join("out").join(profile);
        assert!(!bundle.join("boot").exists() && json(&bundle.join("bundle.json")).get("base").is_none());
    }
}

/// A second build hard-links boot files that have not changed, and makes new ones for another base system.
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

/// However large a base system is, a build does not keep it in memory; and where its length is not a multiple of four,
/// the node's own files begin at the next one.
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
