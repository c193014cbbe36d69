//! The keys that verify writes: which user may, and that none is left.

use std::io::BufRead;
use std::path::Path;
use std::process::Stdio;

use super::running::{Running, failed};
use super::{build, notes, profile};
use crate::support::{Workshop, newer_release};
use serde_json::Value;

#[test]
fn auth_advice() {
    let newest = newer_release();
    for version in ["3.4.23", "3.5.16", newest.as_str()] {
        let work = Workshop::new();
        let bundle = build(&work, "one", &profile(1, version, &format!("accept-risk = [\"{version}\"]")));
        let running = Running::new(&bundle);
        let root = |arguments: &[&str]| running.etcdctl(&[&["--user", "root:secret"], arguments].concat());
        for arguments in [
            &["user", "add", "root:secret"][..],
            &["user", "grant-role", "root", "root"],
            &["auth", "enable"],
        ] {
            running.etcdctl(arguments);
        }
        let report = running.report(&bundle);
        let faults = failed(&report);
        assert!(
            !faults.is_empty() && faults.iter().all(|row| row.contains(": no-user ")),
            "{version}: {faults:?}"
        );
        let said = running.verify(&bundle, &[]).stdout;
        let advice = "`user add etcdctl --no-password`, then `user grant-role etcdctl root`";
        assert!(said.contains(advice), "{version}: {said}");
        assert!(!said.contains("kiln/verify/"), "{version}: {said}");

        root(&["user", "add", "etcdctl", "--no-password"]);
        let faults = failed(&running.report(&bundle));
        assert!(
            !faults.is_empty() && faults.iter().all(|row| row.contains(": permission ")),
            "{version}: {faults:?}"
        );
        root(&["user", "grant-role", "etcdctl", "root"]);
        assert_eq!(failed(&running.report(&bundle)), Vec::<String>::new(), "{version}");
    }
}

/// The highest revision of the members' data.
fn revision(running: &Running) -> u64 {
    let status: Value =
        serde_json::from_str(&running.etcdctl(&["endpoint", "status", "-w", "json"])).unwrap();
    let rows = status.as_array().unwrap().iter();
    rows.map(|row| row["Status"]["header"]["revision"].as_u64().unwrap()).max().unwrap()
}

/// Runs verify, and interrupts it at the first event of the watch; returns that event.
fn interrupted_verify(running: &Running, bundle: &Path, events: &mut (impl BufRead + Send)) -> Value {
    let mut command = running.command(env!("CARGO_BIN_EXE_kiln"));
    let mut child =
        command.arg("verify").arg(bundle).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| next_event(events));
        while !reader.is_finished() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        if reader.is_finished() {
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        } else {
            // It came too late to see any event of this verify; a key of the test's own lets the reader go on.
            running.etcdctl(&["put", "kiln/verify/none", "x"]);
            running.etcdctl(&["del", "kiln/verify/none"]);
        }
        reader.join().unwrap()
    });
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 130)), "{code:?}");
    seen
}

#[test]
fn test_keys_hang_on_a_lease_and_do_not_outlive_ctrl_c() {
    let work = Workshop::new();
    let bundle = build(&work, "three", &profile(3, "3.5.16", ""));
    let running = Running::new(&bundle);
    let keys = || running.etcdctl(&["get", "--prefix", "kiln/verify/", "--keys-only"]);
    let revision = || revision(&running);

    let before = revision();
    let said = running.verify(&bundle, &["--json", "--read-only"]);
    assert_eq!((said.code, revision()), (Some(0), before), "{}", said.stderr);
    let report = said.report();
    assert!(notes(&report).contains("read-only: no test keys were written"), "{}", notes(&report));
    assert!(!report.to_string().contains("a write reaches"), "{report}");

    let mut watch = running.command(env!("CARGO_BIN_EXE_kiln"));
    watch.args(["etcdctl", "-q"]).arg(&bundle).args([
        "--",
        "watch",
        "--prefix",
        "kiln/verify/",
        "-w",
        "json",
    ]);
    let mut watch = watch.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut events = std::io::BufReader::new(watch.stdout.take().unwrap());
    let mut put = None;
    // The watch needs a moment before it sees events: the first verify that it sees is the one that is interrupted.
    while put.is_none() {
        let seen = interrupted_verify(&running, &bundle, &mut events);
        put = Some(seen).filter(|event| event["Events"][0]["kv"]["lease"].is_number());
        assert_eq!(keys(), "");
    }
    assert!(put.unwrap()["Events"][0]["kv"]["lease"].as_u64().unwrap() != 0);
    // So that it ends its child processes.
    let pid = rustix::process::Pid::from_child(&watch);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let _ = watch.wait();
}

/// The next line that etcdctl's watch prints.
fn next_event(events: &mut impl BufRead) -> Value {
    let mut line = String::new();
    events.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
}
