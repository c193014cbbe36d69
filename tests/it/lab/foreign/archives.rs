//! Digests and archives: sha256sum, GNU tar and cpio, isoinfo, blkid and xorriso.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{ha3, silent, unpack};
use crate::support::run;

#[test]
fn sha256sum_agrees() {
    let (_work, bundle) = ha3();
    silent(
        Command::new("sha256sum").args(["--check", "--strict", "--quiet", "SHA256SUMS"]).current_dir(&bundle),
    );
    let listed = fs::read_to_string(bundle.join("SHA256SUMS")).unwrap().lines().count();
    let there = walkdir::WalkDir::new(&bundle)
        .into_iter()
        .filter(|e| e.as_ref().unwrap().file_type().is_file())
        .count();
    assert_eq!(listed + 1, there, "every file but SHA256SUMS itself");
}

#[test]
fn gnu_tar_and_cpio_unpack_the_same_files() {
    let (work, bundle) = ha3();
    let (tar, cpio) = (work.path().join("tar"), work.path().join("cpio"));
    unpack(&bundle.join("nodes/cp-b/overlay.tar.gz"), &tar);
    fs::create_dir(&cpio).unwrap();
    let script = "gzip -dc \"$0\" | cpio --quiet -idm --no-absolute-filenames";
    silent(
        Command::new("sh")
            .args(["-c", script])
            .arg(bundle.join("nodes/cp-b/overlay.cpio.gz"))
            .current_dir(&cpio),
    );
    silent(Command::new("diff").arg("-r").arg("--no-dereference").arg(&tar).arg(&cpio));
    silent(Command::new("gzip").arg("-t").arg(bundle.join("nodes/cp-b/overlay.tar.gz")));

    let modes = |root: &Path| {
        run(Command::new("find").args([".", "-type", "f", "-printf", "%m %s %T@ %p\\n"]).current_dir(root))
    };
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(modes(&tar)), sorted(modes(&cpio)));
    // The readable listing agrees with both.
    let listing = fs::read_to_string(bundle.join("nodes/cp-b/listing.txt")).unwrap();
    for line in sorted(modes(&tar)) {
        let parts: Vec<_> = line.split(' ').collect();
        let want = format!("{:0>4} root root {:>9} {}", parts[0], parts[1], &parts[3][2..]);
        assert!(listing.lines().any(|line| line == want), "{want} is not in\n{listing}");
    }
    // Only Kiln's own directories: when it is unpacked on a running host, no other mode changes.
    let directories: Vec<_> = listing.lines().filter(|line| line.ends_with('/')).collect();
    assert!(directories.iter().all(|line| line.contains(" etc/etcd")), "{directories:?}");
}

#[test]
fn isoinfo_and_blkid_read_the_seed() {
    let (work, bundle) = ha3();
    let iso = bundle.join("nodes/cp-a/seed.iso");
    let described = run(Command::new("isoinfo").args(["-d", "-i"]).arg(&iso));
    assert!(
        described.contains("Volume id: CIDATA")
            && described.contains("Rock Ridge signatures version 1 found"),
        "{described}"
    );
    assert!(described.contains("Joliet with UCS level 3 found"), "{described}");
    for tree in ["-R", "-J"] {
        let listed = run(Command::new("isoinfo").args(["-f", tree, "-i"]).arg(&iso));
        let mut names: Vec<_> = listed.lines().collect();
        names.sort_unstable();
        assert_eq!(names, ["/meta-data", "/network-config", "/overlay.tar.gz", "/user-data"], "{tree}");
    }
    let out = Command::new("isoinfo")
        .args(["-R", "-x", "/overlay.tar.gz", "-i"])
        .arg(&iso)
        .output()
        .unwrap()
        .stdout;
    assert!(
        out == fs::read(bundle.join("nodes/cp-a/overlay.tar.gz")).unwrap(),
        "the archive on the disc is the archive"
    );
    let label = run(Command::new("blkid").args(["-p", "-o", "value", "-s", "LABEL"]).arg(&iso));
    assert_eq!(label.trim(), "CIDATA");
    let extracted = work.path().join("iso");
    run(Command::new("xorriso")
        .args(["-osirrox", "on", "-indev"])
        .arg(&iso)
        .args(["-extract", "/"])
        .arg(&extracted));
    silent(Command::new("cmp").arg(extracted.join("user-data")).arg(bundle.join("nodes/cp-a/user-data")));
}
