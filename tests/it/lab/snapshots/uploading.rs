//! Snapshots in a bucket: whose, in which order, and what happens while it is away.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use kiln_wire::{BODY, RECORD};
use serde_json::json;

use super::machine::{Lab, damage};
use super::services::{PING_PORT, S3_PORT, SECRET, SIGNED, key};

#[test]
fn the_leaders_go_to_the_bucket_and_others_where_they_do_not_come() {
    let lab = Lab::new("3.5.16", 3);
    lab.moto(false);
    let leader = lab.leader();
    let follower = leader % 3 + 1;
    let first = lab.taken(leader);
    assert_eq!(lab.remote().len(), 2);
    let own = lab.taken(follower);
    assert_eq!(lab.remote().len(), 2, "the leader's is there");
    assert!(lab.queue(follower).is_empty());
    assert_eq!(
        (&lab.status(follower)["leader"], &lab.status(leader)["leader"]),
        (&json!(false), &json!(true))
    );
    assert!(lab.remote_bytes(&key(&first, BODY)) == fs::read(lab.at(leader, &first.path(BODY))).unwrap());
    // A record that no node of this cluster has signed does not count as the leader's.
    lab.policy(follower, |policy| {
        policy["signers"].as_array_mut().unwrap().retain(|signer| signer["node"] == format!("n{follower}"));
    });
    let second = lab.taken(follower);
    assert!(lab.remote().contains(&key(&second, RECORD)) && !lab.remote().contains(&key(&own, RECORD)));
}

#[test]
fn a_bucket_that_is_away_loses_nothing() {
    let lab = Lab::new("3.5.16", 1);
    // An interval is a minute, so an hour of the policy's is sixty runs.
    lab.policy(1, |policy| policy["keep"] = json!(5));
    for run in 1..=60 {
        let (code, said) = lab.snapshot(1);
        assert!(code == 1 && said.contains(&format!("of which {run} wait")), "{said}");
        assert!(said.contains("has taken a snapshot") && !said.contains("removes"), "{said}");
    }
    let names = lab.names(1);
    assert_eq!((names.len(), lab.queue(1).len()), (60, 60));
    assert_eq!(lab.status(1)["pending"], 60);
    lab.moto(false);
    let before = lab.queue(1).len();
    lab.taken(1);
    assert_eq!(lab.remote().len(), 40, "twenty a run, each with its record");
    assert_eq!(lab.queue(1).len(), before + 1 - 20);
    // The newest first.
    assert!(lab.remote().contains(&key(names.last().unwrap(), RECORD)));
    while !lab.queue(1).is_empty() {
        lab.taken(1);
    }
    for name in &names {
        assert!(
            lab.remote().contains(&key(name, BODY)) && lab.remote().contains(&key(name, RECORD)),
            "{name}"
        );
    }
    lab.taken(1);
    assert_eq!(lab.names(1).len(), 5);
}

#[test]
fn what_is_damaged_unsigned_or_exchanged_is_never_uploaded() {
    let lab = Lab::new("3.5.16", 1);
    lab.policy(1, |policy| policy["keep"] = json!(50));
    // The bucket is away: all of them wait.
    let take = || {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert_eq!(lab.snapshot(1).0, 1);
        lab.names(1).pop().unwrap()
    };
    let names: Vec<_> = (0..8).map(|_| take()).collect();
    let at = |number: usize, ending| lab.at(1, &names[number].path(ending));
    damage(&at(0, BODY));
    damage(&at(1, RECORD));
    fs::remove_file(at(2, BODY)).unwrap();
    // The parts of two snapshots, exchanged: files, records, both under each other's name.
    let exchange = |one: usize, two: usize, ending| {
        let spare = lab.path("spare");
        fs::rename(at(one, ending), &spare).unwrap();
        fs::rename(at(two, ending), at(one, ending)).unwrap();
        fs::rename(&spare, at(two, ending)).unwrap();
    };
    exchange(3, 4, BODY);
    exchange(5, 6, BODY);
    exchange(5, 6, RECORD);
    lab.moto(false);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (code, said) = lab.snapshot(1);
    assert_eq!(code, 1, "{said}");
    for (number, reason) in [
        (0, "is not the file that was signed"),
        (1, "record"),
        (2, "No such file"),
        (3, "is not the file that was signed"),
        (4, "is not the file that was signed"),
        (5, "that of another snapshot"),
        (6, "that of another snapshot"),
    ] {
        let line = said.lines().find(|line| line.contains(&format!("does not upload {}", names[number])));
        assert!(line.is_some_and(|line| line.contains(reason)), "{number}: {said}");
        let remote = lab.remote();
        assert!(
            !remote.contains(&key(&names[number], BODY)) && !remote.contains(&key(&names[number], RECORD))
        );
    }
    assert!(lab.remote().contains(&key(&names[7], RECORD)));
    assert!(lab.queue(1).is_empty());
    let (code, said) = {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        lab.snapshot(1)
    };
    assert_eq!(code, 0, "{said}");
}

#[test]
fn objects_are_locked_and_never_replaced() {
    let lab = Lab::new("3.5.16", 1);
    lab.moto(true);
    lab.policy(1, |policy| policy["s3"]["lock-days"] = json!(3));
    let name = lab.taken(1);
    let url = format!("http://127.0.0.1:{S3_PORT}/backups/etcd%20backups/%2Bx/{}", name.path(BODY));
    let head = lab.shell(&format!("curl -sfI -H '{SIGNED}' '{url}'")).to_lowercase();
    assert!(head.contains("x-amz-object-lock-mode: compliance"), "{head}");
    // Put into the queue once more, it is there already, and the same.
    fs::write(lab.at(1, &format!("queue/{name}")), "").unwrap();
    lab.taken(1);
    assert!(lab.queue(1).is_empty());
    // Something else of its name in the bucket is not replaced, and said.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    lab.stop("moto");
    let (code, _) = lab.snapshot(1);
    assert_eq!(code, 1);
    let waiting = lab.names(1).pop().unwrap();
    // The new bucket has no locks.
    lab.moto(false);
    lab.policy(1, |_| {});
    let url = format!("http://127.0.0.1:{S3_PORT}/backups/etcd%20backups/%2Bx/{}", waiting.path(BODY));
    lab.shell(&format!("printf other >other; curl -sf -T other '{url}'"));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (code, said) = lab.snapshot(1);
    assert!(code == 1 && said.contains("something else has its name"), "{said}");
    assert_eq!(lab.remote_bytes(&key(&waiting, BODY)), b"other");
    assert!(!lab.remote().contains(&key(&waiting, RECORD)));
}

#[test]
fn a_service_that_checks_signatures_takes_ours_and_no_others() {
    let lab = Lab::new("3.5.16", 1);
    lab.strict(SECRET, "");
    let name = lab.taken(1);
    assert!(lab.queue(1).is_empty(), "{name}");
    lab.stop("strict");
    lab.strict("another", "");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (code, said) = lab.snapshot(1);
    assert!(code == 1 && said.contains("does not allow it (SignatureDoesNotMatch)"), "{said}");
    assert_eq!(lab.queue(1).len(), 1);
}

#[test]
fn a_service_with_a_certificate_is_held_against_its_ca() {
    let lab = Lab::new("3.5.16", 1);
    lab.strict(SECRET, "tls");
    let with = |ca: &str| {
        let ca = lab.path(ca);
        lab.policy(1, |policy| {
            policy["s3"]["endpoint"] = json!(format!("https://127.0.0.1:{S3_PORT}"));
            policy["s3"]["ca"] = json!(ca);
        });
    };
    with("ca.pem");
    lab.taken(1);
    assert!(lab.queue(1).is_empty());
    // Another CA, and a file without one.
    lab.shell(
        "openssl req -x509 -newkey ed25519 -nodes -subj /CN=other -keyout other-key.pem -out other.pem",
    );
    for (ca, reason) in [("other.pem", "cannot be reached"), ("signer-1.pem", "no CA certificate")] {
        with(ca);
        let (code, said) = lab.snapshot(1);
        assert!(code == 1 && said.contains(reason), "{said}");
    }
    assert!(!lab.read("strict.out").contains("other"));
}

#[test]
fn pings_tell_what_has_happened() {
    let lab = Lab::new("3.5.16", 1);
    lab.listener();
    lab.moto(false);
    lab.secrets(1, json!({"ping": format!("http://127.0.0.1:{PING_PORT}/hush-4711")}));
    lab.taken(1);
    assert_eq!(lab.read("listener.out"), "/hush-4711/start \n/hush-4711");
    lab.stop("moto");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (code, said) = lab.snapshot(1);
    assert!(code == 1 && !said.contains("4711"), "{said}");
    let heard = lab.read("listener.out");
    let last = heard.lines().last().unwrap();
    let (path, why) = last.split_once(' ').unwrap();
    assert!(path == "/hush-4711/fail" && why.len() <= 100 && why.contains("cannot upload"), "{last}");
    // Nobody listens: that is a warning, and no failure.
    lab.stop("listener");
    lab.moto(false);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (code, said) = lab.snapshot(1);
    assert!(code == 0 && said.contains("cannot report its snapshots") && !said.contains("4711"), "{said}");
    // Its file of secrets is shown to nobody.
    fs::set_permissions(lab.path("secrets-1.json"), fs::Permissions::from_mode(0o604)).unwrap();
    let (code, said) = lab.snapshot(1);
    assert!(code == 1 && said.contains("can be read by other accounts"), "{said}");
}
