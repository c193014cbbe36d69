//! The command line, on a real release, full disks and other users' files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::support::{self, ONE, Workshop, output, refused, run, with_store};

/// A release in which etcd and etcdctl have each other's names is a mix-up that no digest detects.
#[test]
fn exchanged_programs_are_refused() {
    let shop = Workshop::new();
    for deb in support::debs("trixie") {
        run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(shop.path().join("root")));
    }
    let release = "etcd-v3.5.16-linux-amd64";
    fs::create_dir(shop.path().join(release)).unwrap();
    for (program, from) in [("etcd", "etcdctl"), ("etcdctl", "etcd"), ("etcdutl", "etcdutl")] {
        fs::copy(shop.path().join("root/usr/bin").join(from), shop.path().join(release).join(program))
            .unwrap();
    }
    let file = format!("{release}.tar.gz");
    run(Command::new("tar").args(["-I", "gzip -1", "-cf", &file, release]).current_dir(shop.path()));
    let said = refused(&mut shop.kiln(["artifacts", "add", "--trust", &file]), 4);
    assert!(said.contains("it is etcdctl, not etcd"), "{said}");
    assert!(!shop.path().join("artifacts").exists());
}

#[test]
fn an_import_that_moves_unpinned_profiles_says_so() {
    let shop = Workshop::new();
    let add = |suite: &str| {
        let mut command = shop.kiln(["artifacts", "add", "--trust", "-q"]);
        let Output { status, stderr, .. } = command.args(support::debs(suite)).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{said}");
        said
    };
    assert_eq!(add("trixie"), "");
    assert_eq!(add("bookworm"), "", "an older one moves nothing");
    let said = add("sid");
    assert!(said.contains("without [etcd] version are now built with etcd"), "{said}");
    assert!(said.contains("instead of 3.5.16"), "{said}");
}

#[test]
fn a_full_disk_leaves_no_program_without_its_release() {
    let shop = Workshop::new();
    let disk = shop.path().join("disk");
    fs::create_dir(&disk).unwrap();
    // Space for one of the three programs.
    let script = format!(
        "mount -t tmpfs -o size=40m none {disk}; {kiln} artifacts add -q --trust --artifacts {disk}/store {debs}; code=$?; \
         find {disk} -type f ! -name '.lock' >&2; exit $code",
        disk = disk.display(),
        kiln = env!("CARGO_BIN_EXE_kiln"),
        debs =
            support::debs("trixie").iter().map(|deb| deb.display().to_string()).collect::<Vec<_>>().join(" "),
    );
    let mut command = Command::new("unshare");
    let said = refused(command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]), 5);
    assert!(said.contains("storing etcd 3.5.16, whose programs take 61 MiB"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "nothing is left: {said}");
}

#[test]
fn places_where_nothing_can_be_and_files_of_others_are_named() {
    let shop = Workshop::new();
    shop.file("one.toml", ONE);
    run(with_store(&mut shop.kiln(["build", "-q", "--profile", "one.toml"])));
    for (out, sentence) in [
        ("/proc/x", "writing to /proc: No such file or directory"),
        ("/dev/null/x", "looking at /dev/null/x: Not a directory"),
        ("one.toml/x", "looking at one.toml/x: Not a directory"),
    ] {
        let said = refused(with_store(&mut shop.kiln(["build", "--profile", "one.toml", "--out", out])), 5);
        assert!(said.contains(sentence), "{said}");
    }
    // On a read-only mount no lock is taken.
    fs::create_dir(shop.path().join("mounted")).unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs -o ro none mounted && exec \"$@\"",
        "sh",
    ]);
    command.arg(env!("CARGO_BIN_EXE_kiln")).args(["build", "--profile", "one.toml", "--out", "mounted/x"]);
    let said = refused(with_store(command.current_dir(shop.path()).env("KILN_NO_CACHE", "1")), 5);
    assert!(said.contains("writing to mounted: Read-only file system"), "{said}");

    // Only root can run as another user.
    support::needs_root();
    // root's bundle, read by another user: each unreadable file is named, once.
    fs::set_permissions(shop.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let reader = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_kiln")]);
        command.args(arguments).current_dir(shop.path()).env("KILN_NO_CACHE", "1");
        command
    };
    let said = refused(&mut reader(&["show", "out/one", "a"]), 5);
    assert_eq!(said.matches("Permission denied").count(), 1, "{said}");
    assert!(said.contains("out/one/nodes/a/overlay.tar.gz"), "{said}");
    fs::set_permissions(shop.path().join("out/one"), fs::Permissions::from_mode(0o700)).unwrap();
    for verb in ["show", "check", "verify", "rehearse"] {
        let said = refused(&mut reader(&[verb, "out/one"]), 5);
        assert!(
            said.contains("looking at out/one/") && said.matches("Permission denied").count() == 1,
            "{said}"
        );
    }
}

#[test]
fn verbose_names_programs_and_files_and_no_secret() {
    let shop = Workshop::new();
    shop.file("base.toml", ONE);
    shop.file("one.toml", "extends = \"base.toml\"\nschema = 1\n");
    let (code, quiet, said) = output(with_store(&mut shop.kiln(["build", "./one.toml"])));
    assert!(code == 0 && !said.contains("read: "), "{said}");
    let (code, verbose, said) = output(with_store(&mut shop.kiln(["build", "./one.toml", "-v"])));
    assert_eq!((code, &verbose), (0, &quiet));
    for file in ["./one.toml", "./base.toml", "keystore/one/secret"] {
        assert_eq!(said.matches(&format!("read: {file}\n")).count(), 1, "{file}: {said}");
    }
    let secret = fs::read_to_string(shop.path().join("keystore/one/secret")).unwrap();
    assert!(!said.contains(secret.trim()), "{said}");
    let mut etcdctl = shop.kiln(["-v", "etcdctl", "out/one", "--user", "root:hunter2", "version"]);
    let (code, stdout, said) = output(&mut etcdctl);
    assert!(code == 0 && stdout.contains("etcdctl version: 3.5.16"), "{stdout}{said}");
    assert!(
        said.contains("etcdctl '[3 arguments not shown]'")
            || said.contains("etcdctl [3 arguments not shown]"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    assert!(said.contains("read: out/one/bundle.json\n"), "{said}");
    refused(&mut shop.kiln(["plan", "./one.toml", "-q", "-v"]), 2);
}
