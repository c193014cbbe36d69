//! The moment at which output appears: the exit code says whether it did, whatever the disk does, and a killed run
//! leaves nothing half done. strace makes system calls fail, or kills the program at one of them.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{SMALL, Workshop, debs, refused, run, snapshot, store};

/// The system calls at the end of a publication, which ask the disk for confirmation.
const SYNCS: &str = "fsync,syncfs";
/// Those, and the ones that change names.
pub(super) const ALL: &str = "fsync,syncfs,rename,renameat2,unlink,unlinkat,rmdir";

fn small() -> Workshop {
    let work = Workshop::new();
    work.file("small.toml", SMALL);
    work
}

fn build(work: &Workshop) -> Command {
    let mut command = work.kiln(["build", "--quiet", "--profile", "small.toml", "--artifacts"]);
    command.arg(store());
    command
}

/// The command with the n-th of these calls made to fail, or to be its last one.
pub(super) fn injected(work: &Workshop, command: &Command, calls: &str, what: &str, nth: usize) -> Output {
    with(work, command, &[&format!("{calls}:{what}:when={nth}")])
}

/// With these injections of strace, which traces nothing else.
fn with(work: &Workshop, command: &Command, injections: &[&str]) -> Output {
    let calls: Vec<_> = injections.iter().filter_map(|inject| inject.split(':').next()).collect();
    let mut strace = Command::new("strace");
    strace.current_dir(work.path()).args(["-f", "-qq", "-o", "/dev/null", "-e"]);
    strace.arg(format!("trace={}", calls.join(",")));
    for inject in injections {
        strace.arg("-e").arg(format!("inject={inject}"));
    }
    strace.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace.output().expect("run ci/setup --tests first")
}

/// Makes each call of a run fail in turn: the run ends with 5 and nothing has changed, until no call is left to fail.
#[track_caller]
pub(super) fn fails_whole(work: &Workshop, command: impl Fn() -> Command, state: impl Fn() -> Vec<Entry>) {
    let mut failed = 0;
    for nth in 1.. {
        let before = state();
        let output = injected(work, &command(), SYNCS, "error=EIO", nth);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => break,
            code => assert_eq!(code, Some(5), "call {nth}: {said}"),
        }
        assert!(said.contains("Input/output error"), "call {nth}: {said}");
        assert!(state() == before, "call {nth}: something has changed, and {said}");
        failed += 1;
        assert!(nth < 100);
    }
    assert!(failed > 0, "no call was made to fail");
}

pub(super) type Entry = (String, u32, Vec<u8>);

pub(super) fn state_of(path: &Path) -> Vec<Entry> {
    if path.exists() { snapshot(path) } else { Vec::new() }
}

#[test]
fn fsync_after_rename_of_a_keystore() {
    let work = small();
    let place = work.path().join("keystore");
    fs::create_dir(&place).unwrap();
    let state = || state_of(&place);
    let init = || work.kiln(["keystore", "init", "small", "--issued", "2026-01-01"]);
    fails_whole(&work, init, state);
    fails_whole(&work, || work.kiln(["keystore", "renew", "small", "--issued", "2026-02-01"]), state);
    let shown = run(&mut work.kiln(["keystore", "show", "small"]));
    assert!(shown.contains("2026-02-01") && shown.matches("T00:00:00Z").count() == 2, "{shown}");

    let mut openssl = Command::new("openssl");
    openssl
        .current_dir(work.path())
        .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "ca.key"])
        .args(["-addext", "keyUsage=critical,keyCertSign"]);
    run(openssl.args(["-out", "ca.pem", "-days", "3650", "-subj", "/CN=outside"]));
    let import = ["keystore", "import-ca", "small", "--cert", "ca.pem", "--key", "ca.key"];
    fails_whole(&work, || work.kiln(import), state);
    run(&mut build(&work));
    fails_whole(&work, || work.kiln(["seal", "out/small"]), state);
    assert!(run(&mut work.kiln(["keystore", "show", "small"])).contains("sealed small-"));
}

#[test]
fn fsync_after_rename_of_a_bundle() {
    let work = small();
    work.keystore("small");
    run(&mut build(&work));
    let keystore = work.path().join("keystore");
    let out = work.path().join("out");
    let first = snapshot(&out);
    run(&mut work.kiln(["keystore", "renew", "small", "--issued", "2026-02-01"]));
    fails_whole(&work, || build(&work), || [state_of(&out), state_of(&keystore)].concat());
    assert_ne!(snapshot(&out), first, "the last one was built");
    run(&mut work.kiln(["check", "out/small"]));

    // Without an old one.
    fs::remove_dir_all(out.join("small")).unwrap();
    fails_whole(&work, || build(&work), || [state_of(&out), state_of(&keystore)].concat());
    run(&mut work.kiln(["check", "out/small"]));
}

/// As on NFS: rename flags (exchange, no replace) are not supported.
#[test]
fn a_file_system_without_exchange_does_as_well() {
    let work = small();
    run(&mut build(&work));
    let bundle = work.path().join("out/small");
    let before = state_of(&bundle);
    work.file("small.toml", SMALL.replace("10.0.0.4", "10.0.0.5"));
    let output = with(&work, &build(&work), &["renameat2:error=EINVAL:when=1..2"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(state_of(&bundle) != before);
    run(&mut work.kiln(["check", "out/small"]));
    assert_eq!(kiln::disk::list(&work.path().join("out")).unwrap(), ["small"]);
}

/// The disk confirms neither the new name nor its removal: the directory with the name stays complete.
#[test]
fn what_cannot_be_taken_back_stays_whole() {
    let work = small();
    run(&mut build(&work));
    work.file("small.toml", SMALL.replace("10.0.0.4", "10.0.0.5"));
    // The first renameat2 finds the old directory, the second exchanges the two, the third, which fails, reverses that.
    let output = with(&work, &build(&work), &["fsync:error=EIO", "renameat2:error=EIO:when=3+"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("out/small is written, but may be lost in a power failure"), "{said}");
    run(&mut work.kiln(["check", "out/small"]));
    let now = fs::read_to_string(work.path().join("out/small/bundle.json")).unwrap();
    assert!(now.contains("10.0.0.5"), "the new one");
    run(&mut build(&work));
    assert_eq!(kiln::disk::list(&work.path().join("out")).unwrap(), ["small"]);
}

#[test]
fn fsync_after_rename_of_an_artifact() {
    let work = small();
    let mut add = work.kiln(["artifacts", "add", "--quiet", "--trust"]);
    add.args(debs("trixie"));
    // A release is complete only with its record, which is written last.
    let mut failed = 0;
    for nth in 1.. {
        let output = injected(&work, &add, SYNCS, "error=EIO", nth);
        if output.status.success() {
            break;
        }
        assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
        let records = work.path().join("artifacts/releases");
        assert_eq!(fs::read_dir(records).unwrap().count(), 0, "call {nth}");
        failed += 1;
        assert!(nth < 100);
    }
    assert!(failed > 0);
    assert!(work.path().join("artifacts/releases/3.5.16-amd64.json").exists());
}

#[test]
fn a_keystore_that_cannot_be_confirmed_is_not_said_to_be_made() {
    let work = small();
    let output = injected(&work, &build(&work), "fsync", "error=EIO", 1);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(!said.contains("created the keystore"), "{said}");
    assert!(!work.path().join("keystore/small").exists() && !work.path().join("out/small").exists());
    // The keystore is saved, and only the bundle is not.
    let output = injected(&work, &build(&work), "fsync", "error=EIO", 2);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(
        said.contains("created the keystore keystore/small")
            && said.contains("out/small is as it was before"),
        "{said}"
    );
    assert!(work.path().join("keystore/small").exists() && !work.path().join("out/small").exists());
}

#[test]
fn a_result_that_cannot_be_printed_is_said_to_be_done() {
    let work = small();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    for (arguments, done) in [
        (&["keystore", "init", "small"][..], "created the keystore keystore/small"),
        (&["keystore", "init", "other", "--json"], "created the keystore keystore/other"),
        (&["keystore", "renew", "small"], "keystore/small is renewed"),
        (&["keystore", "renew", "small", "--json"], "keystore/small is renewed"),
    ] {
        let message = refused(work.kiln(arguments).stdout(full()), 5);
        assert!(message.contains(&format!("{done}: writing to standard output")), "{message}");
    }
    let shown = run(&mut work.kiln(["keystore", "show", "small", "--json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["issues"].as_array().unwrap().len(), 3);
    let message = refused(build(&work).stdout(full()), 5);
    assert!(message.contains("out/small is built: writing to standard output"), "{message}");
    let message = refused(work.kiln(["seal", "out/small"]).stdout(full()), 5);
    assert!(
        message.contains("sealed small") && message.contains(": writing to standard output"),
        "{message}"
    );
}

/// Kills runs at every call that changes a name or asks the disk, one after the other.
#[test]
fn a_run_that_is_killed_leaves_the_old_or_the_new_and_the_next_one_no_remains() {
    let work = small();
    let mut kills = 0;
    for verb in ["first build", "recorded", "renew"] {
        for nth in 1.. {
            let place = work.path().join("keystore");
            if verb != "renew" {
                let _ = fs::remove_dir_all(&place);
                // A run that was killed after its bundle was there: without its keystore, the next one refuses.
                let _ = fs::remove_dir_all(work.path().join("out/small"));
            }
            if verb != "first build" && !place.join("small").exists() {
                work.keystore("small");
            }
            let command = match verb {
                "renew" => work.kiln(["keystore", "renew", "small", "--issued", "2026-02-01"]),
                _ => build(&work),
            };
            let output = injected(&work, &command, ALL, "signal=SIGKILL", nth);
            let is_killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
            assert!(is_killed || output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            if work.path().join("out/small").exists() {
                run(&mut work.kiln(["check", "out/small"]));
            }
            // Every verb that opens the keystore removes the remains.
            let shown = work.kiln(["keystore", "show", "small"]).output().unwrap();
            assert!(matches!(shown.status.code(), Some(0 | 2)), "{verb} {nth}: {shown:?}");
            let names = kiln::disk::list(&place).unwrap_or_default();
            assert!(names.is_empty() || names == ["small"], "{verb} {nth}: {names:?}");
            if names == ["small"] {
                let parts = kiln::disk::list(&place.join("small")).unwrap();
                // A new one is for nodes that renew, and is whole from the start.
                let renewed = ["ca-next.pem", "keystore.toml", "peer-ca-next.pem", "secret", "successor"];
                let want = if verb == "first build" { &renewed[..] } else { &["keystore.toml", "secret"] };
                assert_eq!(parts, want, "{verb} {nth}");
            }
            if verb != "first build" {
                assert!(shown.status.success());
            }
            if !is_killed {
                break;
            }
            kills += 1;
            assert!(nth < 300);
        }
        run(&mut build(&work));
        assert_eq!(kiln::disk::list(&work.path().join("out")).unwrap(), ["small"]);
    }
    assert!(kills > 20, "{kills}");
}
