//! kiln-node killed at each step of a restore: etcd's data is what it was or what it becomes, never a mixture, and the
//! next run goes on.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;

use super::machine::Lab;
use crate::support::{root, wait_for};

/// In their order. The second: only with a log elsewhere.
const PREPARE: &[(&str, bool)] = &[
    ("checked", false),
    ("begun", false),
    ("restored", false),
    ("given", false),
    ("marked", false),
    ("log-prepared", true),
    ("prepared", false),
];
const SWITCH: &[(&str, bool)] = &[
    ("journaled", false),
    ("data-kept", false),
    ("data-replaced", false),
    ("log-kept", true),
    ("log-replaced", true),
    ("recorded", false),
    ("unnamed", false),
    ("removed", false),
    ("switched", false),
];
/// Of `abandon`; `switch` and `prepare` remove what was prepared in the same way.
const ABANDON: &[&str] = &["unnamed", "removed"];

#[test]
fn each_step_of_the_source_is_in_the_table() {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join("builder/node/restore")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        found.extend(text.split("reached(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    let listed: BTreeSet<_> = PREPARE.iter().chain(SWITCH).map(|(step, _)| (*step).to_owned()).collect();
    assert_eq!(found, listed);
}

#[track_caller]
fn kill(lab: &Lab, verb: &str, step: &str) {
    let output = lab.restoring(1, verb, Some(step)).output().unwrap();
    // nsenter ends as its program has ended.
    let is_aborted = output.status.signal() == Some(6) || output.status.code() == Some(134);
    assert!(is_aborted, "{verb} {step}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

fn steps(lab: &Lab, table: &'static [(&str, bool)]) -> impl Iterator<Item = &'static str> + use<> {
    let has_wal = lab.has_wal;
    table.iter().filter(move |(_, wants_wal)| has_wal || !wants_wal).map(|(step, _)| *step)
}

#[test]
fn a_killed_restore_goes_on() {
    goes_on(&Lab::new("3.5.16", 1, false));
}

#[test]
fn a_killed_restore_with_the_log_elsewhere_goes_on() {
    goes_on(&Lab::new("3.5.16", 1, true));
}

fn goes_on(lab: &Lab) {
    lab.serve(1);
    lab.fill();
    lab.orders(1, |_| {});
    killed_while_preparing(lab);
    lab.stop(1);
    let places = if lab.has_wal { "data-1 wal-1" } else { "data-1" };
    lab.shell(&format!("tar -cf before.tar {places}"));
    for step in steps(lab, SWITCH) {
        lab.shell(&format!(
            "for place in {places}; do find $place -mindepth 1 -delete; done; tar -xpf before.tar"
        ));
        killed_while_switching(lab, step);
    }
}

fn killed_while_preparing(lab: &Lab) {
    for step in steps(lab, PREPARE) {
        kill(lab, "prepare", step);
        lab.shell("[ ! -e data-1/kiln-restoring ]");
        // What is not complete is not taken for it.
        if step != "prepared" {
            lab.refuses(1, "switch", "is not prepared with these orders");
        }
        assert!(lab.put("after", step), "{step}");
        lab.stop(1);
        lab.start(1, 1);
        wait_for("etcd", || lab.has(1, "after").then_some(()));
        lab.does(1, "prepare", if step == "prepared" { "already" } else { "has prepared" });
        for step in ABANDON {
            kill(lab, "abandon", step);
            lab.refuses(1, "switch", "is not prepared with these orders");
            // The second run finds what is left, if the first left anything.
            lab.does(1, "abandon", "");
            lab.does(1, "abandon", "has nothing to abandon");
            lab.does(1, "prepare", "has prepared");
        }
        lab.does(1, "abandon", "has removed the prepared copy");
        lab.is_tidy(1);
    }
    assert!(lab.put("after", "all"));
}

fn killed_while_switching(lab: &Lab, step: &str) {
    lab.does(1, "prepare", "has prepared");
    kill(lab, "switch", step);
    if step == "switched" {
        lab.does(1, "abandon", "has nothing to abandon");
        lab.does(1, "switch", "already");
    } else {
        lab.shell("grep -q '^generation 2 00000000000000aa$' data-1/kiln-restoring");
        lab.shell("[ $(stat -c %a%u data-1/kiln-restoring) = 6440 ]");
        lab.refuses(1, "abandon", "only goes forward");
        lab.refuses(1, "prepare", "the switch has begun");
        lab.orders(1, |orders| orders["restore"] = "00000000000000bb".into());
        lab.refuses(1, "switch", "has begun; end it first");
        lab.orders(1, |_| {});
        lab.does(1, "switch", "is switched to generation 2");
    }
    lab.is_tidy(1);
    lab.start(1, 2);
    wait_for("etcd", || lab.put("new", step).then_some(()));
    assert!(lab.has(1, "k0") && !lab.has(1, "after"), "{step}");
    lab.stop(1);
    // What was before is whole, too.
    let wal = lab.has_wal.then_some("wal-1/kiln-before-g1/wal");
    lab.start_with(1, 1, "data-1/kiln-before-g1", wal);
    wait_for("etcd", || lab.has(1, "after").then_some(()));
    assert!(!lab.has(1, "new"), "{step}");
    lab.stop(1);
}
