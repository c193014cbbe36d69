//! Snapshots on the node's own disk: when one is taken, and when none is.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use kiln_wire::{BODY, RECORD};
use serde_json::json;

use super::machine::Lab;

#[test]
fn each_release_gives_snapshots_that_age_and_etcd_read() {
    for release in ["3.4.23", "3.5.16", "3.5.30"] {
        let lab = Lab::new(release, 1);
        lab.local_policy(1, |_| {});
        for value in 0..20 {
            assert!(lab.put(&format!("k{value}"), "v"));
        }
        let name = lab.taken(1);
        assert!(name.revision() >= 22, "{name}");
        let record = lab.record(1, &name);
        assert_eq!((record.etcd.as_str(), record.generation, record.recipients.len()), (release, 1, 2));
        lab.is_sound(1, &name, "identity");
        lab.is_sound(1, &name, "ssh");
        lab.is_tidy(1);
        let status = lab.status(1);
        assert_eq!((&status["good"], &status["name"]), (&json!(true), &json!(name.to_string())), "{status}");
        assert_eq!((&status["revision"], &status["leader"]), (&json!(name.revision()), &json!(true)));
        let metrics = lab.read("run-1/kiln-snapshot.prom");
        assert!(
            metrics.contains(&format!(
                "kiln_snapshot_revision{{cluster=\"s1\",node=\"n1\"}} {}",
                name.revision()
            ))
        );
        assert!(lab.queue(1).is_empty());
        // Another one, and nothing of the first has changed.
        let before = fs::read(lab.at(1, &name.path(BODY))).unwrap();
        assert!(lab.taken(1) > name);
        assert!(fs::read(lab.at(1, &name.path(BODY))).unwrap() == before);
    }
}

#[test]
fn the_newest_are_kept() {
    let lab = Lab::new("3.5.16", 1);
    lab.local_policy(1, |policy| policy["keep"] = json!(3));
    let names: Vec<_> = (0..5).map(|_| lab.taken(1)).collect();
    assert_eq!(lab.names(1), names[2..]);
    for name in &names[..2] {
        assert!(!lab.at(1, &name.path(BODY)).exists());
    }
    // A newer one that is damaged is not the newest sound one.
    super::machine::damage(&lab.at(1, &names[4].path(RECORD)));
    fs::remove_file(lab.at(1, &names[4].path(BODY))).unwrap();
    lab.local_policy(1, |policy| {
        policy["keep"] = json!(1);
        policy["cluster-id"] = json!("00000000000000aa");
    });
    let (code, said) = lab.snapshot(1);
    assert!(code == 1 && said.contains("was built for 00000000000000aa"), "{said}");
    let left = lab.names(1);
    assert!(left.contains(&names[3]) && !left.contains(&names[2]), "{left:?}");
}

#[test]
fn a_member_that_is_cut_off_takes_none() {
    let lab = Lab::new("3.5.16", 3);
    let leader = lab.leader();
    let follower = leader % 3 + 1;
    let third = 6 - leader - follower;
    lab.local_policy(follower, |_| {});
    let name = lab.taken(follower);
    lab.is_sound(follower, &name, "identity");
    for other in [leader, third] {
        lab.signal(&format!("n{other}"), "STOP");
    }
    // At first it believes still that there is a leader; then it knows that there is none.
    lab.takes_none(follower, "");
    assert!(lab.status(follower)["error"].as_str().unwrap().contains("has taken no snapshot"));
    let (_, said) = lab.snapshot(follower);
    assert!(said.contains("leader") || said.contains("majority") || said.contains("deadline"), "{said}");
    assert_eq!(lab.status(follower)["failures"], 2);
    for other in [leader, third] {
        lab.signal(&format!("n{other}"), "CONT");
    }
    lab.leader();
    assert!(lab.taken(follower) > name);
    assert_eq!(lab.status(follower)["failures"], 0);
    // Nor does one that does not run.
    lab.stop(&format!("n{follower}"));
    lab.takes_none(follower, "has taken no snapshot");
}

#[test]
fn what_is_wrong_on_the_node_is_said() {
    let lab = Lab::new("3.5.16", 1);
    let with =
        |key: &'static str, value: serde_json::Value| lab.local_policy(1, |policy| policy[key] = value);
    let none = |reason| lab.takes_none(1, reason);
    with("built", json!(4_000_000_000_u64));
    none("set the clock");
    with("etcdctl", json!("/nowhere/etcdctl"));
    none("starting /nowhere/etcdctl");
    with("etcdutl", json!("/bin/false"));
    none("false snapshot status fails");
    with("etcdutl", json!("/bin/yes"));
    none("yes snapshot status");
    with("etcdctl", json!("/bin/echo"));
    none("cannot be read");
    with("recipients", json!([lab.read("recipient"), "age1qqqq"]));
    none("recipient 2 of the policy");
    with("signer", json!(lab.path("signer-2.pem")));
    none("not this node's key");
    with("ca", json!(lab.path("signer-1.pem")));
    none("endpoint status fails");
    lab.local_policy(1, |_| {});
    fs::set_permissions(lab.path("signer-1.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    none("can be read by other accounts");
    fs::set_permissions(lab.path("signer-1.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(lab.path("secrets-1.json"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = lab.snapshot(1);
    assert!(code == 1 && said.contains("cannot use its secrets"), "{said}");
    fs::write(lab.path("secrets-1.json"), "{\"schema\": 1, \"ping\": 4711, \"hush\": \"hush\"}").unwrap();
    fs::set_permissions(lab.path("secrets-1.json"), fs::Permissions::from_mode(0o600)).unwrap();
    let (code, said) = lab.snapshot(1);
    assert!(code == 1 && said.contains("not a file of secrets") && !said.contains("4711"), "{said}");
    fs::remove_file(lab.path("secrets-1.json")).unwrap();
    assert_eq!(lab.snapshot(1).0, 0);
}

#[test]
fn links_and_other_accounts_files_are_refused() {
    let lab = Lab::new("3.5.16", 1);
    lab.local_policy(1, |_| {});
    let name = lab.taken(1);
    let outside = lab.path("outside");
    fs::create_dir(&outside).unwrap();
    let year = lab.at(1, &format!("s1/{}", &name.directory()[3..7]));
    fs::rename(&year, lab.path("year")).unwrap();
    symlink(&outside, &year).unwrap();
    assert_eq!(lab.snapshot(1).0, 1);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    fs::remove_file(&year).unwrap();
    fs::rename(lab.path("year"), &year).unwrap();
    // Something in the place of what is unfinished is removed, and its target stays.
    fs::write(outside.join("kept"), "x").unwrap();
    symlink(outside.join("kept"), lab.at(1, "work/snapshot.db")).unwrap();
    symlink(&outside, lab.at(1, "work/directory")).unwrap();
    lab.taken(1);
    assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "x");
    lab.is_tidy(1);
    for mode in [0o777, 0o770] {
        fs::set_permissions(lab.at(1, ""), fs::Permissions::from_mode(mode)).unwrap();
        let (code, said) = lab.snapshot(1);
        assert!(code == 1 && said.contains("only root can change"), "{said}");
    }
    fs::set_permissions(lab.at(1, ""), fs::Permissions::from_mode(0o700)).unwrap();
    chown(lab.at(1, "s1"), Some(61_001), None).unwrap();
    let (code, said) = lab.snapshot(1);
    assert!(code == 1 && said.contains("only root can change"), "{said}");
}

#[test]
fn a_full_or_read_only_disk_loses_nothing() {
    let lab = Lab::new("3.5.16", 1);
    fs::create_dir(lab.path("var-1")).unwrap();
    lab.shell("mount -t tmpfs -o size=200m,mode=0755 tmpfs var-1");
    lab.local_policy(1, |_| {});
    let disk = |command: &str| lab.shell(&format!("cd var-1; {command}"));
    // The directory is seen in the namespaces only.
    let names = || disk("ls snapshots/s1/*/* | grep json || :");
    let run = || lab.snapshot(1);
    assert_eq!(run().0, 0);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(run().0, 0);
    let before = names();
    assert_eq!(before.lines().count(), 2, "{before}");
    disk("fallocate -l 150M full");
    let (code, said) = run();
    assert!(code == 1 && said.contains("bytes free") && said.contains("removes s1-"), "{said}");
    // The newest one is still there.
    assert_eq!(names().trim(), before.lines().last().unwrap());
    disk("rm full");
    assert_eq!(run().0, 0);
    let before = names();
    lab.shell("mount -o remount,ro var-1");
    let (code, said) = run();
    assert!(code == 1 && said.to_lowercase().contains("read-only file system"), "{said}");
    lab.shell("mount -o remount,rw var-1");
    assert_eq!(names(), before);
    assert_eq!(run().0, 0);
}

#[test]
fn two_runs_at_once_are_one_after_the_other() {
    let lab = Lab::new("3.5.16", 1);
    lab.local_policy(1, |_| {});
    let children: Vec<_> =
        (0..4).map(|_| lab.running(1, None).stderr(std::process::Stdio::piped()).spawn().unwrap()).collect();
    let all: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(all.iter().any(|output| output.status.success()));
    for output in all.iter().filter(|output| !output.status.success()) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("another run") || said.contains("is there already"), "{said}");
    }
    for name in lab.names(1) {
        lab.is_sound(1, &name, "identity");
    }
    lab.is_tidy(1);
}
