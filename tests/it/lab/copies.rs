//! Copies of keystores, and keystores whose secrets are encrypted, when a run is killed or the disk fails.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::publish::{ALL, fails_whole, injected, state_of};
use crate::support::{Workshop, run};

/// With a keystore, and an identity of age.
fn workshop() -> (Workshop, String) {
    let work = Workshop::new();
    fs::create_dir(work.path().join("keystore")).unwrap();
    work.keystore_of_renewal("ha3");
    run(Command::new("age-keygen").args(["-o", "key"]).current_dir(work.path()));
    let public = run(Command::new("age-keygen").args(["-y", "key"]).current_dir(work.path()));
    (work, public.trim().to_owned())
}

/// Kills the command at every call that changes a name or asks the disk, one after the other; `check` looks at what
/// each has left. strace counts the calls of each thread, so each kind is counted by itself.
fn killed_everywhere(work: &Workshop, command: &dyn Fn() -> Command, check: &dyn Fn(bool)) {
    let mut kills = 0;
    for call in ALL.split(',') {
        for nth in 1.. {
            let output = injected(work, &command(), call, "signal=SIGKILL", nth);
            let is_killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
            assert!(is_killed || output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            check(!is_killed);
            if !is_killed {
                break;
            }
            kills += 1;
            assert!(nth < 100);
        }
    }
    assert!(kills > 2, "{kills}");
}

fn shown(work: &Workshop, keystore: &str) -> String {
    run(&mut work.kiln(["keystore", "show", "ha3", "--identity", "key", "--keystore", keystore]))
}

#[test]
fn a_killed_export_leaves_a_whole_file_or_none() {
    let (work, public) = workshop();
    let to = work.path().join("copy");
    let export = || work.kiln(["keystore", "export", "ha3", "--out", "copy", "--recipient", &public]);
    let check = |is_done: bool| {
        shown(&work, "keystore/ha3");
        assert!(!is_done || to.exists());
        if to.exists() {
            let text = run(Command::new("age").args(["-d", "-i", "key", "copy"]).current_dir(work.path()));
            assert!(text.ends_with(&"\n".to_owned()) && text.contains("file successor 65\n"), "{text}");
            run(&mut work.kiln([
                "keystore",
                "restore",
                "copy",
                "ha3",
                "--identity",
                "key",
                "--keystore",
                "again",
            ]));
            fs::remove_dir_all(work.path().join("again")).unwrap();
            fs::remove_file(&to).unwrap();
        }
    };
    killed_everywhere(&work, &export, &check);
    let is_secret = |bytes: &[u8]| bytes.windows(64).any(|part| part == "07".repeat(32).as_bytes());
    for (name, _, bytes) in state_of(work.path()) {
        assert!(!is_secret(&bytes) || name.starts_with("keystore/ha3/"), "{name} has the secret in plain");
    }
}

#[test]
fn a_killed_encryption_leaves_the_old_keystore_or_the_new_one() {
    let (work, public) = workshop();
    let parts = || kiln::disk::list(&work.path().join("keystore/ha3")).unwrap();
    let check = |_| {
        shown(&work, "keystore/ha3");
        assert_eq!(kiln::disk::list(&work.path().join("keystore")).unwrap(), ["ha3"]);
        let parts = parts();
        let is_plain = parts == ["keystore.toml", "secret", "successor"];
        assert!(is_plain || parts == ["keystore.toml", "secret.age", "successor.age"], "{parts:?}");
    };
    let encrypt = || {
        // Whichever it is after the last kill, it begins in plain.
        let _ = work.kiln(["keystore", "decrypt", "ha3", "--yes", "--identity", "key"]).output();
        work.kiln(["keystore", "encrypt", "ha3", "--yes", "--recipient", &public])
    };
    killed_everywhere(&work, &encrypt, &check);
    assert_eq!(parts(), ["keystore.toml", "secret.age", "successor.age"]);
    let decrypt = || {
        let _ = work
            .kiln(["keystore", "encrypt", "ha3", "--yes", "--recipient", &public, "--identity", "key"])
            .output();
        work.kiln(["keystore", "decrypt", "ha3", "--yes", "--identity", "key"])
    };
    killed_everywhere(&work, &decrypt, &check);
    assert_eq!(parts(), ["keystore.toml", "secret", "successor"]);
}

#[test]
fn a_killed_restoration_leaves_a_whole_keystore_or_none() {
    let (work, public) = workshop();
    run(&mut work.kiln(["keystore", "export", "ha3", "--out", "copy", "--recipient", &public]));
    let want = state_of(&work.path().join("keystore/ha3"));
    let again = work.path().join("there/again");
    let restore = || {
        let _ = fs::remove_dir_all(work.path().join("there"));
        work.kiln(["keystore", "restore", "copy", "ha3", "--identity", "key", "--keystore", "there/again"])
    };
    let check = |is_done: bool| {
        let show = work.kiln(["keystore", "show", "ha3", "--keystore", "there/again"]).output().unwrap();
        assert!(matches!(show.status.code(), Some(0 | 2)), "{show:?}");
        assert_eq!(again.exists(), show.status.success());
        assert!(!is_done || again.exists());
        let there = kiln::disk::list(&work.path().join("there")).unwrap_or_default();
        assert!(there.is_empty() || there == ["again"], "{there:?}");
        assert!(!again.exists() || state_of(&again) == want);
    };
    killed_everywhere(&work, &restore, &check);
}

#[test]
fn a_disk_that_confirms_nothing_changes_nothing() {
    let (work, public) = workshop();
    let state = || state_of(&work.path().join("keystore"));
    fails_whole(&work, || work.kiln(["keystore", "encrypt", "ha3", "--yes", "--recipient", &public]), state);
    run(&mut work.kiln(["keystore", "decrypt", "ha3", "--yes", "--identity", "key"]));
    run(&mut work.kiln(["keystore", "export", "ha3", "--out", "copy", "--recipient", &public]));
    let restore = ["keystore", "restore", "copy", "ha3", "--identity", "key", "--keystore", "keystore/again"];
    fails_whole(&work, || work.kiln(restore), state);
}
