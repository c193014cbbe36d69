//! kiln-node killed at each step of a snapshot: nothing is lost, nothing is left, and the next run goes on.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;

use kiln_wire::{BODY, RECORD};
use serde_json::json;

use super::machine::Lab;
use super::services::key;
use crate::support::root;

/// In their order.
const STEPS: &[&str] = &[
    "locked",
    "looked",
    "saved",
    "checked",
    "encrypted",
    "signed",
    "queued",
    "named",
    "recorded",
    "turned",
    "uploaded",
    "seen",
    "published",
    "unqueued",
    "acted",
    "stated",
];
/// Reached where something is removed from the bucket.
const PRUNING: &str = "pruned-remote";

#[test]
fn each_step_of_the_source_is_in_the_table() {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join("builder/node/snapshot")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        found.extend(text.split("reached(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    let listed: BTreeSet<_> = STEPS.iter().chain([&PRUNING]).map(|step| (*step).to_owned()).collect();
    assert_eq!(found, listed);
}

#[track_caller]
fn kill(lab: &Lab, step: &str) {
    // Names have seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let output = lab.running(1, Some(step)).output().unwrap();
    let is_aborted = output.status.signal() == Some(6) || output.status.code() == Some(134);
    assert!(is_aborted, "{step}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_killed_run_is_made_good_by_the_next_one() {
    let lab = Lab::new("3.5.16", 1);
    lab.moto(false);
    lab.policy(1, |policy| policy["keep"] = json!(100));
    lab.taken(1);
    for step in STEPS {
        let before = lab.names(1);
        kill(&lab, step);
        let after = lab.names(1);
        assert!(after.starts_with(&before) && after.len() <= before.len() + 1, "{step}: {after:?}");
        let new = lab.taken(1);
        assert!(after.last().is_none_or(|last| *last < new), "{step}");
        assert!(lab.queue(1).is_empty(), "{step}");
        lab.is_tidy(1);
        let remote = lab.remote();
        for name in lab.names(1) {
            lab.is_sound(1, &name, "identity");
            // What has a record was queued before, and is in the bucket now, the same.
            for ending in [BODY, RECORD] {
                assert!(remote.contains(&key(&name, ending)), "{step}: {name}");
                let own = fs::read(lab.at(1, &name.path(ending))).unwrap();
                assert!(lab.remote_bytes(&key(&name, ending)) == own, "{step}: {name}{ending}");
            }
        }
        let known: BTreeSet<_> =
            lab.names(1).iter().flat_map(|name| [key(name, BODY), key(name, RECORD)]).collect();
        assert_eq!(remote.into_iter().collect::<BTreeSet<_>>(), known, "{step}: the bucket has nothing else");
    }
}
