//! `kiln snapshots`: what the desk takes, finds, believes and restores, of real members.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::services::python;
use crate::support::{Workshop, output, refused, run, wait_for, with_store};
use crate::verify::running::Running;
use crate::verify::{build, profile};

const BUCKET: &str =
    "[backup.s3]\nendpoint = \"http://10.77.0.9:9000\"\nbucket = \"etcd\"\nprefix = \"site a\"\n";

/// A bundle whose nodes take snapshots for the identity in `key.txt`.
fn bundle(work: &Workshop, release: &str, more: &str) -> PathBuf {
    let key = work.path().join("key.txt");
    run(Command::new("age-keygen").arg("-o").arg(&key));
    let recipient = run(Command::new("age-keygen").arg("-y").arg(&key));
    work.file(
        "secrets.json",
        "{\"schema\": 1, \"access-key-id\": \"AKIA\", \"secret-access-key\": \"hush-hush\"}",
    );
    run(Command::new("chmod").arg("600").arg(work.path().join("secrets.json")));
    let backup =
        format!("[backup]\nrecipients = [\"{}\"]\nsecrets = \"secrets.json\"\n{more}", recipient.trim());
    build(work, "t", &profile(3, release, &backup))
}

struct Desk<'a> {
    work: &'a Workshop,
    running: &'a Running,
    bundle: &'a Path,
}

impl Desk<'_> {
    /// `kiln snapshots` in the cluster's network.
    fn snapshots(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = self.running.command(env!("CARGO_BIN_EXE_kiln"));
        command.args(["snapshots", verb]).arg(self.bundle).args(arguments).current_dir(self.work.path());
        // Those that run a program of the bundle.
        if ["fetch", "take", "test"].contains(&verb) {
            with_store(&mut command);
        }
        command
    }

    fn list(&self, place: &[&str]) -> Vec<Value> {
        serde_json::from_str(&run(&mut self.snapshots("list", &[place, &["--json"]].concat()))).unwrap()
    }

    /// The row of `kiln verify` about the newest snapshot.
    fn newest(&self) -> (String, String) {
        let secrets = self.work.path().join("secrets.json");
        let said = self.running.verify(self.bundle, &["--json", "--secrets", secrets.to_str().unwrap()]);
        let report = said.report();
        let row = report["checks"].as_array().unwrap().iter().find(|row| row["check"] == "newest snapshot");
        let text = |key: &str| row.unwrap()[key].as_str().unwrap().to_owned();
        (text("outcome"), text("detail"))
    }

    /// Puts keys, and takes a snapshot; its name and its revision.
    fn taken(&self, key: &str) -> (String, u64) {
        for number in 0..5 {
            self.running.etcdctl(&["put", &format!("{key}-{number}"), "value"]);
        }
        let said = run(&mut self.snapshots("take", &["-o", "desk", "--json"]));
        let said: Value = serde_json::from_str(&said).unwrap();
        let file = said["file"].as_str().unwrap();
        let name = file.strip_prefix("desk/").unwrap().strip_suffix(".db.age").unwrap();
        (name.to_owned(), said["revision"].as_u64().unwrap())
    }
}

/// What was written before the snapshot is in it, by a program of each minor release, and what does not belong
/// together is neither believed nor restored.
#[test]
fn what_the_desk_takes_is_restored_and_nothing_else() {
    for release in ["3.4.23", "3.5.30"] {
        let work = Workshop::new();
        let bundle = bundle(&work, release, "");
        let running = Running::new(&bundle);
        let desk = Desk { work: &work, running: &running, bundle: &bundle };
        let ((old, before), (new, after)) = (desk.taken("a"), desk.taken("b"));
        assert!(after >= before + 5, "{before} {after}");
        let listed = desk.list(&["--from", "desk"]);
        let names: Vec<_> = listed.iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, [new.as_str(), old.as_str()]);
        assert!(listed.iter().all(|one| one["sound"] == true), "{listed:?}");
        // Each has what its name says, and nothing of it is left in plain.
        for (name, revision) in [(&old, before), (&new, after)] {
            let test = ["--from", "desk", "--identity", "key.txt", "--json", name];
            let report: Value = serde_json::from_str(&run(&mut desk.snapshots("test", &test))).unwrap();
            let rows = report["checks"].as_array().unwrap().iter();
            let rows: Vec<_> = rows.filter(|row| row["check"] == "snapshot restored").collect();
            assert_eq!(rows.len(), 3, "{report}");
            let wanted = format!("revision {revision}");
            assert!(
                rows.iter().all(|row| row["outcome"] == "ok" && row["detail"] == wanted.as_str()),
                "{rows:?}"
            );
        }
        assert!(running.left_in_tmpdir("kiln-snapshot").is_empty());
        exchanged(&desk, &old, &new);
        // Without an identity, and with another.
        let said = refused(&mut desk.snapshots("test", &["--from", "desk", &old]), 2);
        assert!(said.contains("--identity"), "{said}");
        run(Command::new("age-keygen").args(["-o", "other.txt"]).current_dir(work.path()));
        let other = ["--from", "desk", "--identity", "other.txt", old.as_str()];
        let said = refused(&mut desk.snapshots("test", &other), 4);
        assert!(said.contains("no identity that was given can decrypt it"), "{said}");
    }
}

/// All exchanges and cuts of parts of two snapshots.
fn exchanged(desk: &Desk<'_>, old: &str, new: &str) {
    let copy = desk.work.path().join("copy");
    let at = |name: &str, ending: &str| copy.join(format!("{name}{ending}"));
    type Change<'c> = (&'c str, &'c dyn Fn(), &'c str);
    let swap = |ending: &'static str| {
        let (one, other) = (at(old, ending), at(new, ending));
        fs::rename(&one, copy.join("x")).unwrap();
        fs::rename(&other, &one).unwrap();
        fs::rename(copy.join("x"), &other).unwrap();
    };
    let change = |ending: &'static str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(at(new, ending)).unwrap();
        change(&mut bytes);
        fs::write(at(new, ending), bytes).unwrap();
    };
    let json = || {
        change(".json", &|bytes| {
            let at = String::from_utf8_lossy(bytes).find("\"payload\":\"").unwrap() + 40;
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        })
    };
    let changes: [Change<'_>; 7] = [
        ("records", &|| swap(".json"), "its record is that of another snapshot"),
        ("bodies", &|| swap(".db.age"), ""),
        (
            "cut",
            &|| change(".db.age", &|bytes| bytes.truncate(bytes.len() - 1)),
            "bytes, and its record says",
        ),
        ("changed", &|| change(".db.age", &|bytes| bytes[300] ^= 1), "is not what its record is of"),
        ("forged", &json, ""),
        ("no record", &|| fs::remove_file(at(new, ".json")).unwrap(), "it has no record"),
        ("no body", &|| fs::remove_file(at(new, ".db.age")).unwrap(), "its file is not there"),
    ];
    for (what, change, wanted) in changes {
        let _ = fs::remove_dir_all(&copy);
        run(Command::new("cp").arg("-a").arg(desk.work.path().join("desk")).arg(&copy));
        change();
        for verb in ["fetch", "test"] {
            let more: &[&str] = if verb == "fetch" { &["-o", "got"] } else { &["--identity", "key.txt"] };
            let arguments = [&["--from", "copy", new], more].concat();
            let said = refused(&mut desk.snapshots(verb, &arguments), 1);
            assert!(said.contains(wanted), "{what}: {said}");
        }
        assert!(!desk.work.path().join("got").join(format!("{new}.db.age")).exists(), "{what}");
    }
}

/// A node's own program takes and stores what the desk then finds, copies and prunes; the credentials are in the
/// node's files, and nowhere else.
#[test]
fn what_nodes_store_is_found_at_the_desk() {
    let work = Workshop::new();
    let bundle = bundle(&work, "3.5.16", &format!("interval = \"1m\"\nretention = \"1d\"\n{BUCKET}"));
    let secret = |path: &Path| fs::read(path).unwrap().windows(9).any(|bytes| bytes == b"hush-hush");
    let open: Vec<_> = walkdir::WalkDir::new(&bundle).into_iter().map(Result::unwrap).collect();
    let open = open.iter().filter(|entry| entry.file_type().is_file());
    assert!(open.clone().count() > 10 && !open.map(|entry| entry.path()).any(secret));
    let running = Running::new(&bundle);
    let desk = Desk { work: &work, running: &running, bundle: &bundle };
    run(running.command("ip").args(["address", "add", "10.77.0.9/32", "dev", "lo"]));
    let mut moto = running.command(python());
    moto.args(["-m", "moto.server", "-H", "10.77.0.9", "-p", "9000"]).stderr(std::process::Stdio::null());
    let mut moto = moto.stdout(std::process::Stdio::null()).spawn().unwrap();
    let script = "import boto3; boto3.client('s3', endpoint_url='http://10.77.0.9:9000', region_name='us-east-1', \
                  aws_access_key_id='a', aws_secret_access_key='b').create_bucket(Bucket='etcd')";
    wait_for("moto", || {
        running.command(python()).args(["-c", script]).output().unwrap().status.success().then_some(())
    });
    let secrets = ["--secrets", "secrets.json"];
    assert!(desk.list(&secrets).is_empty());
    assert_eq!(
        desk.newest(),
        ("failed".to_owned(), "the bucket etcd at http://10.77.0.9:9000 has none that is sound".to_owned())
    );
    running.etcdctl(&["put", "key", "value"]);
    for node in ["a", "b", "c"] {
        let said = running.on_node(node, "snapshot");
        assert!(said.contains(&format!("{node} has taken a snapshot")), "{said}");
    }
    // The leader's, and before it another's, as there was none.
    let listed = desk.list(&secrets);
    assert!([1, 2].contains(&listed.len()) && listed.iter().all(|one| one["sound"] == true), "{listed:?}");
    let name = listed[0]["name"].as_str().unwrap();
    let (outcome, detail) = desk.newest();
    assert!(
        outcome == "ok" && detail.starts_with(name) && detail.contains("0 minutes old"),
        "{outcome} {detail}"
    );
    run(&mut desk.snapshots("fetch", &[&secrets[..], &["-o", "got"]].concat()));
    let said = refused(&mut desk.snapshots("fetch", &[&secrets[..], &["-o", "got"]].concat()), 6);
    assert!(said.contains("is not replaced"), "{said}");
    let plain = ["--from", "got", "-o", "plain", "--plain", "--identity", "key.txt"];
    run(&mut desk.snapshots("fetch", &plain));
    assert!(work.path().join(format!("plain/{name}.db")).exists());
    // None is old enough.
    let said = run(&mut desk.snapshots("prune", &secrets));
    assert!(said.contains(&format!("0 of {} snapshots were removed", listed.len())), "{said}");
    run(Command::new("chmod").arg("644").arg(work.path().join("secrets.json")));
    let (code, _, said) = output(&mut desk.snapshots("list", &secrets));
    assert!(code == 6 && said.contains("chmod 600") && !said.contains("hush"), "{code} {said}");
    moto.kill().unwrap();
    moto.wait().unwrap();
}
