//! What a build replaces at --out, and what it leaves alone.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::{build, small};
use crate::support::{refused, run, snapshot, store};

#[test]
fn what_is_not_a_bundle_is_never_replaced() {
    let work = small();
    let out = work.path().join("out/small");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("thesis.tex"), "years of work").unwrap();
    let message = refused(&mut build(&work), 6);
    let want =
        "out/small is a directory not created by Kiln, but Kiln replaces only a bundle; choose another --out";
    assert!(message.contains(want), "{message}");
    assert_eq!(fs::read_to_string(out.join("thesis.tex")).unwrap(), "years of work");

    fs::remove_dir_all(&out).unwrap();
    fs::write(&out, "a file").unwrap();
    refused(&mut build(&work), 6);
    assert_eq!(fs::read_to_string(&out).unwrap(), "a file");

    fs::remove_file(&out).unwrap();
    let elsewhere = work.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &out).unwrap();
    refused(&mut build(&work), 6);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "nothing is written through a link");
}

#[test]
fn a_bundle_with_a_link_in_it_is_not_replaced() {
    let work = small();
    run(&mut build(&work));
    let out = work.path().join("out/small");
    symlink("/etc", out.join("nodes/etc")).unwrap();
    let before = snapshot(&out);
    refused(&mut build(&work), 6);
    assert_eq!(snapshot(&out), before);
}

/// A regression test: the old bundle is removed once the new one is in place, and a keystore in it was removed, too.
#[test]
fn what_somebody_put_into_a_bundle_is_not_removed_with_it() {
    let work = small();
    run(&mut build(&work));
    for stray in ["notes.txt", "nodes/a/notes.txt", "keys/secret"] {
        let path = work.file(&format!("out/small/{stray}"), "mine");
        let message = refused(&mut build(&work), 6);
        assert!(message.contains("not part of the bundle"), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(&path).unwrap();
    }
    fs::remove_dir(work.path().join("out/small/keys")).unwrap();
    run(&mut build(&work));
}

#[test]
fn a_full_or_read_only_disk_leaves_the_old_bundle_alone() {
    let work = small();
    let disk = work.path().join("disk");
    fs::create_dir(&disk).unwrap();
    for (options, code) in [("size=200m", 0), ("size=40m", 5), ("size=200m,ro", 5)] {
        let script = format!(
            "mount -t tmpfs -o size=200m none {disk} && cp -r out/small {disk}/small 2>/dev/null; \
             mount -o remount,{options} {disk}; {kiln} build --quiet --profile small.toml --artifacts {store} \
             --out {disk}/small >/dev/null; code=$?; \
             if [ -d out/small ]; then {kiln} check {disk}/small >&2 && ls -A {disk} >&2; fi; exit $code",
            disk = disk.display(),
            kiln = env!("CARGO_BIN_EXE_kiln"),
            store = store().display(),
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).current_dir(work.path());
        let message = refused(command.env("KILN_NO_CACHE", "1"), code);
        if code == 0 {
            run(&mut build(&work));
        } else {
            assert!(message.contains("match the manifest") || message.contains("small"), "{message}");
            assert!(!message.contains(".partial"), "{message}");
        }
    }
}
