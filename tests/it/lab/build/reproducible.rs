//! The bytes of a bundle do not depend on who builds it, where, and when.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::{build, small};
use crate::support::{SMALL, Workshop, refused, run, snapshot, store};

#[test]
fn bytes_do_not_depend_on_who_builds_where() {
    let work = small();
    run(&mut build(&work));
    let want = snapshot(&work.path().join("out/small"));

    let other = Workshop::new();
    other.file("deeper/down/small.toml", SMALL);
    let copied = other.path().join("keys");
    run(Command::new("cp").arg("-a").arg(work.path().join("keystore/small")).arg(&copied));
    let mut command =
        other.kiln(["build", "--profile", "deeper/down/small.toml", "--keystore", "keys", "--out", "b"]);
    command.arg("--artifacts").arg(store());
    command
        .env_clear()
        .env("TZ", "Pacific/Kiritimati")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("TMPDIR", other.path());
    let mut slow = Command::new("taskset");
    slow.args(["-c", "0"]).arg("sh").args(["-c", "umask 077; exec \"$@\"", "sh"]);
    slow.arg(command.get_program()).args(command.get_args()).current_dir(other.path());
    slow.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("TZ", "Pacific/Kiritimati");
    run(&mut slow);
    assert_eq!(snapshot(&other.path().join("b")), want);
}

#[test]
fn an_account_without_a_name_or_a_home_builds_the_same() {
    let work = small();
    run(&mut build(&work));
    let want = snapshot(&work.path().join("out/small"));
    // A directory that another user can access.
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (from, to) in [
        (work.path().join("keystore/small"), "keys"),
        (store().to_owned(), "store"),
        (env!("CARGO_BIN_EXE_kiln").into(), "kiln"),
    ] {
        run(Command::new("cp").arg("-a").arg(from).arg(place.path().join(to)));
    }
    fs::write(place.path().join("small.toml"), SMALL).unwrap();
    let mut command = Command::new(place.path().join("kiln"));
    command.args([
        "build",
        "--profile",
        "./small.toml",
        "--keystore",
        "keys",
        "--artifacts",
        "store",
        "--out",
        "b",
    ]);
    command.env_clear().current_dir(place.path());
    if rustix::process::geteuid().is_root() {
        run(Command::new("chown").args(["-R", "64999:64999"]).arg(place.path()));
        command.uid(64999).gid(64999);
    }
    run(&mut command);
    assert_eq!(snapshot(&place.path().join("b")), want);
}

#[test]
fn epochs_are_checked_and_go_past_2050() {
    let work = small();
    for bad in ["junk", "-1", "", "253402300800", "1.5", " 1"] {
        let message = refused(build(&work).env("SOURCE_DATE_EPOCH", bad), 2);
        assert!(message.contains("SOURCE_DATE_EPOCH"), "{bad}: {message}");
    }
    assert!(!work.path().join("out").exists(), "nothing is written");
    run(build(&work).env("SOURCE_DATE_EPOCH", "2600000000"));
    let listed = run(Command::new("tar")
        .args(["--utc", "-tvzf"])
        .arg(work.path().join("out/small/nodes/a/overlay.tar.gz")));
    assert!(listed.lines().all(|line| line.contains("2052-05-22")), "{listed}");
}
