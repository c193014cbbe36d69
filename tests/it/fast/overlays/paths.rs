//! Paths that no overlay may have, and links that lead nowhere.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::{kiln, put, refusal, work};
use crate::support::{bundles::OVERLAID as PROFILE, run};

#[test]
fn overlay_strange_paths() {
    let work = work();
    for name in [
        "var/lib/etcd/member/snap/db",
        "run/x",
        "tmp/x",
        "var/run/x",
        "dev/x",
        "proc/x",
        "sys/x",
        "var/lock/x",
        "var/tmp/x",
        ".git/config",
        "etc/.DS_Store",
        "etc/a~",
        "etc/a~.hbs",
        "etc/.a.swp",
        "etc/#a#",
        "etc/two\u{202e}",
    ] {
        work.file(&format!("mine/{name}"), "x");
    }
    work.file("mine/etc/systemd/system/x.service", "[Service]\n");
    let raw = std::ffi::OsStr::from_bytes(b"raw\xff");
    fs::write(work.path().join("mine/etc").join(raw), "x").unwrap();
    run(Command::new("mkfifo").arg(work.path().join("mine/etc/pipe")));
    let host = work.path().join("mine/etc/motd");
    symlink(&host, work.path().join("mine/etc/host")).unwrap();
    symlink("../../../etc/passwd", work.path().join("mine/etc/out")).unwrap();
    let message = refusal(&work, 3);
    // The data directory is checked with all of a node's files, as far as those are valid.
    for part in [
        "mine/run: files in /run are hidden",
        "mine/tmp: files in",
        "mine/var/run: files in",
        "mine/dev: files in",
        "mine/proc: files in",
        "mine/sys: files in",
        "mine/var/lock: files in",
        "mine/var/tmp: files in",
        "mine/.git: this file was made by a version",
        "etc/.DS_Store: this file was made by a desktop",
        "etc/a~: this file was made by an editor",
        "etc/a~.hbs: this file was made by an editor",
        "etc/.a.swp: this file",
        "etc/#a#: this file",
        "etc/two\u{fffd}: its name",
        "raw\u{fffd}: its name",
        "etc/pipe: this is a device",
        "/mine/etc/motd, which is on this machine",
        "outside of the node's root",
        "is etcd's data directory, or in it",
        "20 mistakes",
    ] {
        assert!(message.contains(part), "{part}\n{message}");
    }
    assert!(!message.contains('\u{202e}'));
}

#[test]
fn links_to_what_nobody_brings_are_warned_of() {
    let work = work();
    for (link, target) in [
        ("etc/there", "motd"),
        ("etc/unit", "/usr/lib/systemd/system/x"),
        ("etc/null", "/dev/null"),
        ("etc/etcd-is", "/usr/local/bin/etcd"),
        ("etc/up", "../etc/systemd"),
        ("etc/gone", "/srv/gone"),
        ("etc/home", "../home/me/x"),
    ] {
        symlink(target, work.path().join("mine").join(link)).unwrap();
    }
    let output = kiln(&work, "build", &["-q"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let warned: Vec<_> = said.lines().filter(|line| line.contains("which no overlay contains")).collect();
    assert_eq!(warned.len(), 2, "{said}");
    assert!(
        warned[0].contains("/etc/gone in overlay \"mine\" points at /srv/gone")
            && warned[1].contains("/home/me/x")
    );
}

#[test]
fn initramfs_merged_usr() {
    let work = work();
    work.file("mine/lib/systemd/system/site.service", "[Service]\n");
    work.file("mine/sbin/site-tool", "x");
    let message = refusal(&work, 3);
    assert!(
        message.contains("mine/lib: /lib is a link to /usr/lib") && message.contains("help: write usr/lib/"),
        "{message}"
    );
    assert!(message.contains("mine/sbin: /sbin is a link") && message.contains("2 mistakes"), "{message}");
}

#[test]
fn overlay_shared_overwrites() {
    let work = work();
    put(&work, "own/usr/local/bin/etcd", "#!/bin/sh\n", 0o755);
    fs::create_dir(work.path().join("linked")).unwrap();
    symlink("/x", work.path().join("linked/usr")).unwrap();
    for binaries in ["shared", "embedded"] {
        for (overlay, place) in [("own", "/usr/local/bin/etcd in"), ("linked", "/usr in")] {
            for replace in ["", "\nreplace = [\"/usr/local/bin/etcd\"]"] {
                let text = PROFILE.replace("\"mine\"]", &format!("\"{overlay}\"]{replace}"));
                work.file("site.toml", text.replace("shared", binaries));
                let message = refusal(&work, 6);
                assert!(
                    message.contains(place) && message.contains("the release's /usr/local/bin/etcd"),
                    "{message}"
                );
            }
        }
    }
}
