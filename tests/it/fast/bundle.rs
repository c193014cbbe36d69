//! Bundles that do not match their manifests: `kiln check`, `show`, and every verb that reads one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::bundles::{copy, gzip, mode, put, with, with_little_memory};
use crate::support::{self, Workshop, ha3_with, kiln, refused, reseal, run};
use serde_json::{Value, json};

/// Three nodes that share their programs in one layer: little to read.
fn workshop() -> Workshop {
    with("[bundle]\nbinaries = \"shared\"\n\n")
}

#[test]
fn check_misses_nothing_of_what_lies_there() {
    let work = workshop();
    assert!(run(&mut work.kiln(["check", "out/ha3"])).contains("all 50 files match the manifest"));
    type Change<'c> = (&'c dyn Fn(&Path), &'c [&'c str]);
    let changes: &[Change] = &[
        (
            &|b| {
                mode(&b.join("nodes/cp-a"), 0o777);
                mode(&b.join("client"), 0o755);
            },
            &["nodes/cp-a has mode 0777, not 0700", "client has mode 0755, not 0700"],
        ),
        (&|b| mode(b, 0o777), &[". has mode 0777: every user can replace"]),
        (
            &|b| fs::create_dir_all(b.join("x/y/z")).unwrap(),
            &["\n  x is a directory that is not part of the bundle"],
        ),
        (
            &|b| put(&b.join("nodes/\u{1b}[2J\nz"), b"", 0o644),
            &["nodes/\u{fffd}[2J\u{fffd}z is not in the manifest"],
        ),
        (&|b| fs::remove_file(b.join("nodes/cp-a/user-data")).unwrap(), &["nodes/cp-a/user-data is missing"]),
        (
            &|b| {
                fs::remove_file(b.join("network.xml")).unwrap();
                std::os::unix::fs::symlink("/etc/hostname", b.join("network.xml")).unwrap();
            },
            &["network.xml is neither a file nor a directory", "network.xml is missing"],
        ),
        (&|b| put(&b.join("SHA256SUMS"), b"", 0o644), &["SHA256SUMS does not list exactly"]),
    ];
    for (change, wants) in changes {
        let bundle = copy(&work);
        change(&bundle);
        let said = refused(&mut work.kiln(["check", "b"]), 1);
        wants.iter().for_each(|want| assert!(said.contains(want), "{want:?}: {said}"));
        assert!(!said.contains("x/y"), "{said}");
        for path in ["b", "b/nodes/cp-a", "b/client"] {
            let _ = fs::set_permissions(work.path().join(path), fs::Permissions::from_mode(0o700));
        }
        mode(&work.path().join("out/ha3"), 0o755);
    }
}

/// The manifest and SHA256SUMS agree with each other, but not with the values computed from the files.
#[test]
fn check_misses_no_lie_of_a_manifest() {
    let work = workshop();
    type Lie<'c> = (&'c dyn Fn(&mut Value), &'c str);
    let lies: &[Lie] = &[
        (&|m| m["nodes"][0]["member_id"] = json!("1"), "node cp-a has the member ID 1; expected "),
        (&|m| m["cluster"]["id"] = json!("1"), "cluster has the ID 1; expected "),
        (&|m| m["cluster"]["token"] = json!("other"), "node cp-a has the member ID "),
        (
            &|m| m["etcd"]["binaries"]["etcd"]["sha256"] = json!("0".repeat(64)),
            "layers/etcd.tar.gz has a /usr/local/bin/etcd that does not match the manifest",
        ),
        (
            &|m| m["etcd"]["binaries"]["etcd"]["size"] = json!(7),
            "has a /usr/local/bin/etcd that does not match",
        ),
        (&|m| m["etcd"]["version"] = json!("3.5.15"), "etcd does not match the manifest"),
        (&|m| m["etcd"]["arch"] = json!("arm64"), "it is a program for amd64, not for arm64"),
        (&|m| m["certificates"][0]["serial"] = json!("40"), "client/ca.pem does not match the certificate"),
        (
            &|m| m["certificates"][1]["serial"] = json!("40"),
            "etc/etcd/pki/server.pem of cp-a does not match the certificate",
        ),
        (
            &|m| m["certificates"][1]["sans"][0] = json!("DNS:cp-b"),
            "server.pem of cp-a does not match the certificate",
        ),
        (
            &|m| m["certificates"][1]["subject"] = json!("CN=root"),
            "server.pem of cp-a does not match the certificate",
        ),
        (
            &|m| m["certificates"][1]["not_after"] = json!(253_402_300_799_u64),
            "server.pem of cp-a does not match",
        ),
        (&|m| m["certificates"][1]["file"] = json!("etc/etcd/pki/x.pem"), "has no etc/etcd/pki/x.pem"),
    ];
    for (lie, want) in lies {
        reseal(&copy(&work), lie);
        let said = refused(&mut work.kiln(["check", "b"]), 1);
        assert!(said.contains(want), "{want}: {said}");
    }
    // The mode follows from the kind of a file, even where the manifest and the disk agree on another one.
    for (path, bits) in
        [("client/etcdctl-key.pem", 0o644), ("network.xml", 0o4755), ("nodes/cp-a/seed.iso", 0o666)]
    {
        let bundle = copy(&work);
        put(&bundle.join(path), &fs::read(work.path().join("out/ha3").join(path)).unwrap(), bits);
        reseal(&bundle, |m| m["files"][path]["mode"] = json!(format!("{bits:04o}")));
        let said = refused(&mut work.kiln(["check", "b"]), 1);
        assert!(said.contains(&format!("{path} has the mode {bits:04o} in the manifest")), "{said}");
    }
}

#[test]
fn check_misses_no_program_of_a_node() {
    let work = with("[bundle]\ncarriers = [\"tar\"]\n\n");
    run(&mut work.kiln(["check", "out/ha3"]));
    reseal(&copy(&work), |m| m["etcd"]["binaries"]["etcdctl"]["sha256"] = json!("0".repeat(64)));
    let said = refused(&mut work.kiln(["check", "b"]), 1);
    for node in ["cp-a", "cp-b", "cp-c"] {
        let want = format!(
            "nodes/{node}/overlay.tar.gz has a /usr/local/bin/etcdctl that does not match the manifest"
        );
        assert!(said.contains(&want), "{said}");
    }
}

#[test]
fn check_misses_no_program_beside_the_shared_ones() {
    let work = workshop();
    let bundle = copy(&work);
    let overlay = bundle.join("nodes/cp-a/overlay.tar.gz");
    let mut tar = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*fs::read(&overlay).unwrap()), &mut tar)
        .unwrap();
    // Without the zeros at its end.
    let content = tar.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    tar.truncate(content.next_multiple_of(512));
    let mut builder = tar::Builder::new(tar);
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    builder.append_data(&mut header, "usr/local/bin/etcd", &b"x"[..]).unwrap();
    put(&overlay, &gzip(&builder.into_inner().unwrap()), 0o600);
    reseal(&bundle, |_| {});
    let said = refused(&mut work.kiln(["check", "b"]), 1);
    assert!(
        said.contains("nodes/cp-a/overlay.tar.gz also has a /usr/local/bin/etcd, besides the one in layers/"),
        "{said}"
    );
}

#[test]
fn show_says_what_is_there() {
    let work = workshop();
    let bundle = copy(&work);
    let overlay = bundle.join("nodes/cp-a/overlay.tar.gz");
    put(&overlay, b"short", 0o644);
    fs::remove_file(bundle.join("nodes/cp-b/user-data")).unwrap();
    put(&bundle.join("nodes/cp-c/notes"), b"", 0o644);
    let output = work.kiln(["show", "b"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let (shown, said) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(
        shown.contains("  0644          5 overlay.tar.gz  (has mode 0644, not 0600; has 5 bytes, not "),
        "{shown}"
    );
    assert!(shown.contains("     -          - user-data  (is missing)"), "{shown}");
    assert!(said.contains("nodes/cp-c/notes is not in the manifest"), "{said}");
    let output = work.kiln(["show", "b", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["files"]["nodes/cp-a/overlay.tar.gz"]["mode"], "0644");
    assert_eq!(shown["files"]["nodes/cp-b/user-data"]["missing"], true);
    assert_eq!(shown["problems"].as_array().unwrap().len(), 4);
    // Its archives are read back, and differ from the manifest.
    put(&overlay, &fs::read(bundle.join("nodes/cp-b/overlay.tar.gz")).unwrap(), 0o600);
    let output = work.kiln(["show", "b", "cp-a"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("etc/etcd/etcd.conf"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("nodes/cp-a/overlay.tar.gz does not match the manifest"), "{said}");
}

#[test]
fn show_prints_no_strange_names() {
    let work = workshop();
    let bundle = copy(&work);
    let mut builder = tar::Builder::new(Vec::new());
    for (name, target) in [("a", "x\n0600 0:0         1 etc/shadow"), ("b\u{202e}c", "\u{1b}]0;x\u{7}")] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, name, target).unwrap();
    }
    put(&bundle.join("nodes/cp-a/overlay.tar.gz"), &gzip(&builder.into_inner().unwrap()), 0o600);
    reseal(&bundle, |_| {});
    let output = work.kiln(["show", "b", "cp-a"]).output().unwrap();
    for text in [output.stdout, output.stderr] {
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains(|c| c != '\n' && kiln::values::steers(c)), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("0600")), "{text}");
    }
}

#[test]
fn a_changed_bundle_is_not_run() {
    let work = workshop();
    let bundle = copy(&work);
    put(&bundle.join("nodes/cp-a/user-data"), b"#cloud-config\n", 0o644);
    let base = work.path().join("base");
    fs::create_dir(&base).unwrap();
    for arguments in [vec!["rehearse", "b"], vec!["up", "b", "--base", "base"]] {
        let said = refused(&mut work.kiln(&arguments), 1);
        assert!(
            said.contains("b does not match its manifest") && said.contains("nodes/cp-a/user-data has"),
            "{said}"
        );
    }
    assert!(!work.path().join(".b.machines").exists());
}

#[test]
fn paths_that_are_something_else_are_named() {
    let work = workshop();
    fs::create_dir_all(work.path().join("sites")).unwrap();
    for (name, network) in [("a", "10.240."), ("b", "10.241.")] {
        let profile = ha3_with(&[("name = \"ha3\"", &format!("name = \"{name}\""))]);
        work.file(&format!("sites/{name}.toml"), profile.replace("10.240.", network));
    }
    let mut build = work.kiln(["build", "--fleet", "sites", "--artifacts"]);
    run(build.arg(support::store()));
    fs::create_dir(work.path().join("empty")).unwrap();
    fs::create_dir(work.path().join("fleets")).unwrap();
    run(Command::new("cp").args(["-r", "out/sites", "fleets"]).current_dir(work.path()));
    work.file("notes", "");
    let verbs: &[&[&str]] = &[
        &["show"],
        &["verify"],
        &["rehearse"],
        &["up"],
        &["status"],
        &["down"],
        &["seal"],
        &["push", "oci://127.0.0.1:1/a:t"],
        &["etcdctl", "--", "version"],
    ];
    let paths: &[(&str, i32, &str)] = &[
        ("out/sites", 2, "out/sites is a fleet; name one of its bundles: out/sites/a, out/sites/b"),
        ("keystore/ha3", 2, "keystore/ha3 is a keystore, not a bundle"),
        ("ha3.toml", 2, "ha3.toml is a profile, not a bundle; kiln build --profile ha3.toml creates one"),
        ("notes", 2, "notes is a file, not the directory of a bundle"),
        ("out", 2, "out is not a bundle but contains some; name one of its bundles: out/ha3"),
        ("ha3", 2, "ha3 does not exist; did you mean out/ha3?"),
        ("nope", 2, "nope does not exist; kiln build creates a bundle"),
        ("empty", 1, "empty is not a bundle: it has no bundle.json"),
        ("fleets", 2, "fleets is not a bundle but contains the fleet fleets/sites; name a bundle in it"),
    ];
    for verb in verbs {
        for (path, code, want) in paths {
            let mut command = kiln();
            command.current_dir(work.path()).arg(verb[0]).arg(path).args(&verb[1..]);
            let said = refused(&mut command, *code);
            assert!(said.contains(want), "{verb:?} {path}: {said}");
        }
    }
    // `check` accepts fleets as well.
    run(&mut work.kiln(["check", "out/sites"]));
    for (path, code, want) in paths.iter().filter(|(path, ..)| *path != "out/sites") {
        let said = refused(&mut work.kiln(["check", path]), *code);
        // There is a profile of this name, too.
        let want = if *path == "ha3" { "kiln check out/ha3 its bundle" } else { want };
        assert!(said.contains(want), "check {path}: {said}");
    }
    for (path, code, want) in [
        ("out/ha3", 2, "out/ha3 is one bundle, not a fleet of them"),
        ("nope", 2, "there is no nope"),
        ("empty", 1, "empty is not a fleet directory"),
    ] {
        let said = refused(&mut work.kiln(["join", path, "--out", "all"]), code);
        assert!(said.contains(want), "join {path}: {said}");
    }
}

#[test]
fn a_file_of_a_bundle_that_is_far_too_large_is_a_wrong_bundle() {
    let work = with("");
    let bundle = copy(&work);
    for file in ["bundle.json", "SHA256SUMS"] {
        let good = fs::read(bundle.join(file)).unwrap();
        fs::File::options().write(true).open(bundle.join(file)).unwrap().set_len(1 << 40).unwrap();
        let said = refused(&mut with_little_memory(&work, &["check", "b"]), 1);
        assert!(said.contains(file) && said.contains("is larger than"), "{said}");
        put(&bundle.join(file), &good, 0o644);
    }
}

#[test]
fn a_manifest_of_a_million_files_is_told_in_a_few_lines() {
    let work = workshop();
    let bundle = copy(&work);
    reseal(&bundle, |m| {
        let file = m["files"]["network.xml"].clone();
        for n in 0..100_000 {
            m["files"][format!("nodes/cp-a/{n}")] = file.clone();
        }
    });
    let said = refused(&mut with_little_memory(&work, &["check", "b"]), 1);
    assert!(said.lines().count() < 30 && said.contains("more"), "{said}");
}

/// A regression test: `ip -batch` read a card's address with a line end in it as more commands, as root.
#[test]
fn manifest_mac_runs_commands() {
    let work = workshop();
    let bundle = copy(&work);
    let ran = work.path().join("ran");
    reseal(&bundle, |manifest| {
        let mac = manifest["nodes"][0]["mac"].as_str().unwrap().to_owned();
        let script = format!("{mac}\nnetns attach x 1\nnetns exec x /bin/sh -c \"touch {}\"", ran.display());
        manifest["nodes"][0]["mac"] = script.into();
    });
    for verb in ["check", "show", "rehearse", "up", "status", "verify"] {
        let said = refused(&mut work.kiln_without_network([verb, "b"]), 1);
        assert!(said.contains("reading b/bundle.json") && !said.contains("netns"), "{verb}: {said}");
    }
    assert!(!ran.exists());
}
