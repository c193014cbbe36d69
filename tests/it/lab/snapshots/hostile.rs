//! A bucket that lies, and a node that may remove from it what is old.

use std::time::Instant;

use base64ct::Encoding;
use kiln_wire::{BODY, RECORD, SnapshotName, seal};
use serde_json::json;

use super::machine::Lab;
use super::services::{SECRET, key};

fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

/// Answers to LIST are asked for by a member that is not the leader, and by one that prunes.
#[test]
fn a_list_that_lies_is_said_and_ends() {
    let lab = Lab::new("3.5.16", 1);
    lab.policy(1, |policy| policy["prune"] = json!({"days": 1}));
    for (lie, reason) in [
        ("endless", "more than 400000 objects"),
        ("huge", "longer than expected"),
        ("bomb", "not a list of objects"),
        ("same", "not asked for, or twice"),
        ("empty", "goes on without an object"),
        ("foreign", "not asked for"),
        ("redirect", "answers 307"),
        ("html", "not a list of objects"),
        // Keys that are no names are not seen; then there is nothing that is sound.
        ("dots", "no sound snapshot"),
    ] {
        lab.strict(SECRET, lie);
        pause();
        let start = Instant::now();
        let (code, said) = lab.snapshot(1);
        assert!(code == 1 && said.contains(reason), "{lie}: {said}");
        assert!(said.contains("has taken a snapshot") && said.contains("has uploaded"), "{lie}: {said}");
        assert!(start.elapsed().as_secs() < 120, "{lie}");
        lab.stop("strict");
    }
}

#[test]
fn a_service_that_loses_or_changes_files_is_not_believed() {
    let lab = Lab::new("3.5.16", 1);
    lab.policy(1, |_| {});
    for (lie, reason) in [
        ("forgets", "does not have it as it was"),
        ("cuts", "does not have it"),
        ("damages", "does not have it"),
    ] {
        lab.strict(SECRET, lie);
        pause();
        let (code, said) = lab.snapshot(1);
        assert!(code == 1 && said.contains(reason), "{lie}: {said}");
        assert!(!lab.queue(1).is_empty(), "{lie}");
        lab.stop("strict");
    }
}

/// Puts a snapshot of another time into moto's bucket: the files of a real one, named and signed for that time.
fn backdate(lab: &Lab, from: &SnapshotName, taken: u64, is_signed: bool) -> SnapshotName {
    let mut record = lab.record(1, from);
    let name =
        SnapshotName::new(from.cluster().clone(), taken, from.revision(), from.node().clone()).unwrap();
    record.taken = taken;
    record.name = name.clone();
    let pem = lab.read("signer-1.pem");
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64ct::Base64::decode_vec(&der).unwrap();
    let key_pair = ring::signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).unwrap();
    let mut bytes = seal(&record, &key_pair).unwrap();
    if !is_signed {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    }
    std::fs::write(lab.path("record"), bytes).unwrap();
    let body = lab.at(1, &from.path(BODY));
    for (file, ending) in [(body.to_str().unwrap(), BODY), ("record", RECORD)] {
        let key = key(&name, ending).replace(' ', "%20").replace('+', "%2B");
        lab.shell(&format!("curl -sf -T {file} 'http://127.0.0.1:9000/backups/{key}' >/dev/null"));
    }
    name
}

#[test]
fn a_node_that_may_prunes_what_is_old_and_proven() {
    let lab = Lab::new("3.5.16", 1);
    lab.moto(false);
    let first = lab.taken(1);
    let day = 86_400;
    let ages = [40, 30, 20, 10, 9];
    let old: Vec<_> =
        ages.iter().map(|age| backdate(&lab, &first, first.taken() - age * day, true)).collect();
    let forged = backdate(&lab, &first, first.taken() - 50 * day, false);
    let ahead = backdate(&lab, &first, first.taken() + 50 * day, true);
    lab.taken(1);
    assert_eq!(lab.remote().len(), 18, "without the policy's word nothing goes");
    lab.policy(1, |policy| policy["prune"] = json!({"days": 15}));
    pause();
    let (code, said) = lab.snapshot(1);
    assert_eq!(code, 0, "{said}");
    let remote = lab.remote();
    let is_there =
        |name: &SnapshotName| remote.contains(&key(name, RECORD)) && remote.contains(&key(name, BODY));
    assert_eq!(old.iter().map(is_there).collect::<Vec<_>>(), [false, false, false, true, true]);
    assert!(is_there(&forged) && is_there(&ahead) && is_there(&first));
    assert_eq!(lab.status(1)["pruned"], 3);
}
