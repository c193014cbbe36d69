//! Real etcd members, formed into clusters on this machine by `kiln rehearse` and checked by `kiln verify`: good ones,
//! and ones that are wrong in one way each.

mod fixture;
mod replaced;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use crate::support::{self, Workshop, ha3_with, newer_release, run, turn, wait_for};
use fixture::{Recipe, etcd};
use serde_json::Value;

/// A separate directory as TMPDIR, with the bundle beside it.
struct Stage {
    directory: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

struct Said {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl Said {
    fn code(&self) -> Option<i32> {
        self.status.code()
    }

    fn report(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}{}", self.stdout, self.stderr))
    }
}

impl Stage {
    fn new(recipe: &Recipe) -> Self {
        let turn = turn::cluster();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("tmp")).unwrap();
        recipe.write(&directory.path().join("ha3"));
        Self { directory, _turn: turn }
    }

    fn bundle(&self) -> PathBuf {
        self.directory.path().join("ha3")
    }

    fn tmp(&self) -> PathBuf {
        self.directory.path().join("tmp")
    }

    fn kiln(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.arg(verb).arg(self.bundle()).args(arguments).env("TMPDIR", self.tmp());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn rehearse(&self, arguments: &[&str]) -> Said {
        said(self.kiln("rehearse", arguments))
    }

    /// Nothing of a rehearsal remains: no file, no process.
    fn assert_nothing_left(&self) {
        let left: Vec<_> = fs::read_dir(self.tmp()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(self.processes(""), Vec::<i32>::new());
    }

    /// The processes whose root is a node's directory.
    fn processes(&self, node: &str) -> Vec<i32> {
        let tmp = self.tmp().display().to_string();
        let pids =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
        let of = |pid: &i32| {
            let root = fs::read_link(format!("/proc/{pid}/root")).unwrap_or_default().display().to_string();
            root.starts_with(&tmp) && root.ends_with(node)
        };
        pids.filter(of).collect()
    }
}

fn said(mut command: Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The failed checks as `fault node`, without duplicates.
fn faults(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    let failed = checks.filter(|check| check["outcome"] == "failed");
    let mut all: Vec<_> = failed
        .map(|check| {
            assert!(
                check["cause"].as_str().unwrap().ends_with('.') && check["way_out"].is_string(),
                "{check}"
            );
            format!("{} {}", check["fault"].as_str().unwrap(), check["node"].as_str().unwrap_or("cluster"))
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[test]
fn a_good_bundle_forms_and_is_what_it_promises() {
    for recipe in [Recipe::new(), Recipe::shared()] {
        let stage = Stage::new(&recipe);
        let said = stage.rehearse(&["--json"]);
        assert_eq!(said.code(), Some(0), "{}{}", said.stdout, said.stderr);
        let report = said.report();
        assert_eq!(report["passed"], true);
        assert_eq!(faults(&report), Vec::<String>::new());
        assert_eq!(report["members"].as_array().unwrap().len(), 3);
        let leaders = report["members"].as_array().unwrap().iter().filter(|m| m["is_leader"] == true).count();
        assert_eq!(leaders, 1);
        let skipped = report["checks"].as_array().unwrap().iter().filter(|c| c["outcome"] == "skipped");
        assert_eq!(skipped.count(), 0, "{report}");
        stage.assert_nothing_left();
    }
}

/// One certificate per node for all uses: the peer port recognizes the members by their names.
#[test]
fn one_certificate_per_node_still_keeps_clients_off_the_peer_port() {
    let _turn = turn::cluster();
    let three = ha3_with(&[(
        "# Client certificates",
        "[etcd]\nconfig-style = \"flags\"\nversion = \"3.5.16\"\n[pki]\ncertificates = \"one-per-node\"\n# Client certificates",
    )]);
    for (profile, text) in [("single", None), ("./three.toml", Some(three))] {
        let work = Workshop::new();
        text.map(|text| work.file("three.toml", text));
        let bundle = work.build(profile);
        let report: Value =
            serde_json::from_str(&run(work.kiln(["rehearse", "--json"]).arg(bundle))).unwrap();
        let shut = |check: &Value| check["check"] == "peer port refuses a client" && check["outcome"] == "ok";
        assert!(report["checks"].as_array().unwrap().iter().any(shut), "{report}");
    }
}

#[test]
fn a_program_that_the_manifest_does_not_name_is_not_run() {
    let mut recipe = Recipe::new();
    *recipe.file("cp-b", "usr/local/bin/etcd") = etcd(&newer_release());
    let stage = Stage::new(&recipe);
    let said = stage.rehearse(&[]);
    assert_eq!(said.code(), Some(1), "{}", said.stderr);
    let want = "nodes/cp-b/overlay.tar.gz has a /usr/local/bin/etcd that does not match the manifest";
    assert!(said.stderr.contains(want), "{}", said.stderr);
    stage.assert_nothing_left();
}

#[test]
fn a_member_of_another_cluster_is_named_and_not_written_to() {
    let mut recipe = Recipe::new();
    let config = recipe.file("cp-c", "etc/etcd/etcd.conf");
    let alone = String::from_utf8(config.clone()).unwrap().lines().fold(String::new(), |text, line| {
        let line = match line.starts_with("initial-cluster:") {
            true => "initial-cluster: \"cp-c=https://10.240.80.10:2380\"",
            false => line,
        };
        text + line + "\n"
    });
    *config = alone.into_bytes();
    let stage = Stage::new(&recipe);
    let said = stage.rehearse(&["--json"]);
    assert_eq!(said.code(), Some(1), "{}", said.stderr);
    let faults = faults(&said.report());
    assert!(faults.contains(&"other-cluster cp-c".to_owned()), "{faults:?}");
    assert!(faults.contains(&"unstarted cp-a".to_owned()), "{faults:?}");
    assert!(!faults.iter().any(|fault| fault.starts_with("not-read")), "{faults:?}");
    stage.assert_nothing_left();
}

#[test]
fn expired_certificates_keep_the_cluster_from_forming() {
    let stage = Stage::new(&Recipe::expired());
    let said = stage.rehearse(&["--json", "--deadline", "5"]);
    assert_eq!(said.code(), Some(1), "{}", said.stderr);
    let report = said.report();
    let faults = faults(&report);
    assert!(faults.contains(&"expired cluster".to_owned()), "{faults:?}");
    assert!(faults.contains(&"waiting cp-a".to_owned()), "{faults:?}");
    let notes = report["notes"].to_string();
    assert!(notes.contains("cp-b logged last"), "{notes}");
    stage.assert_nothing_left();
}

#[test]
fn a_member_that_ends_early_is_named_with_its_last_words() {
    type Alter = fn(&mut Recipe);
    let cases: &[(Alter, &str)] = &[
        (
            |recipe| {
                let key = recipe.file("cp-b", "etc/etcd/pki/peer-key.pem").clone();
                *recipe.file("cp-b", "etc/etcd/pki/server-key.pem") = key;
            },
            "do not belong together",
        ),
        (
            |recipe| {
                let unit = recipe.file("cp-b", "etc/systemd/system/etcd.service");
                *unit = b"[Service]\nExecStart=/usr/local/bin/etcd --no-such-flag\n".to_vec();
            },
            "does not support one of its flags",
        ),
        (
            |recipe| recipe.file("cp-b", "etc/etcd/etcd.conf").extend(b"heartbeat-interval: soon\n"),
            "wrong type",
        ),
    ];
    for (alter, want) in cases {
        let mut recipe = Recipe::new();
        alter(&mut recipe);
        let stage = Stage::new(&recipe);
        let said = stage.rehearse(&[]);
        assert_eq!(said.code(), Some(1), "{}", said.stderr);
        assert!(said.stderr.contains("etcd on cp-b ended with exit code"), "{}", said.stderr);
        assert!(said.stderr.contains(want), "{} lacks {want}", said.stderr);
        stage.assert_nothing_left();
    }
}

/// A cluster of --keep, and the command that enters it.
struct Kept {
    stage: Stage,
    child: Child,
    enter: Vec<String>,
}

impl Kept {
    fn new(recipe: &Recipe) -> Self {
        let stage = Stage::new(recipe);
        let log = stage.directory.path().join("stderr");
        let mut command = stage.kiln("rehearse", &["--keep"]);
        let child = command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        let enter = wait_for("the command to enter", || {
            let text = fs::read_to_string(&log).unwrap();
            let line = text.lines().find(|line| line.contains("nsenter --target"))?.to_owned();
            let begin = line.find("nsenter").unwrap();
            Some(line[begin..].split(' ').map(str::to_owned).collect())
        });
        Self { stage, child, enter }
    }

    /// `kiln verify` in the cluster's network.
    fn verify(&self, bundle: &Path) -> Said {
        let mut command = Command::new(&self.enter[0]);
        command.args(&self.enter[1..]).arg("--").arg(env!("CARGO_BIN_EXE_kiln"));
        command.arg("verify").arg(bundle).arg("--json").env("TMPDIR", self.stage.directory.path());
        said(command)
    }

    fn faults(&self) -> Vec<String> {
        let said = self.verify(&self.stage.bundle());
        assert_eq!(said.code(), Some(i32::from(said.report()["passed"] == false)), "{}", said.stderr);
        faults(&said.report())
    }

    /// A file of a running node.
    fn file(&self, node: &str, path: &str) -> PathBuf {
        let scratch = fs::read_dir(self.stage.tmp()).unwrap().next().unwrap().unwrap().path();
        scratch.join("nodes").join(node).join(path)
    }
}

/// A test that fails must not leave its cluster running.
impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_running_cluster_is_told_from_a_wrong_one() {
    let recipe = Recipe::new();
    let expired = recipe.authority.leaf("cp-a", &["10.240.16.10"], true);
    let misnamed = recipe.authority.leaf("cp-a", &["10.240.48.10"], false);
    let mut kept = Kept::new(&recipe);
    assert_eq!(kept.faults(), Vec::<String>::new());

    // etcd reads its certificate at every handshake.
    let (pem, key) = ("etc/etcd/pki/server.pem", "etc/etcd/pki/server-key.pem");
    let good = [pem, key].map(|path| fs::read(kept.file("cp-a", path)).unwrap());
    for (pair, want) in [(expired, vec!["expired cp-a"]), (misnamed, vec!["wrong-name cp-a"])] {
        fs::write(kept.file("cp-a", key), pair.key).unwrap();
        fs::write(kept.file("cp-a", pem), pair.certificate).unwrap();
        assert_eq!(kept.faults(), want);
    }
    fs::write(kept.file("cp-a", key), &good[1]).unwrap();
    fs::write(kept.file("cp-a", pem), &good[0]).unwrap();

    // Another cluster's bundle for the same addresses.
    let other = Recipe::new();
    let other_bundle = kept.stage.directory.path().join("other");
    other.write(&other_bundle);
    let said = kept.verify(&other_bundle);
    let want = ["unknown-authority cp-a", "unknown-authority cp-b", "unknown-authority cp-c"];
    assert_eq!(faults(&said.report()), want);

    // A member that hangs, then one that is gone, then no quorum.
    let [hung] = kept.stage.processes("cp-b")[..] else { panic!("one etcd on cp-b") };
    signal(hung, rustix::process::Signal::STOP);
    let begun = Instant::now();
    assert!(kept.faults().contains(&"waiting cp-b".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    signal(hung, rustix::process::Signal::KILL);
    let faults = wait_for("an election", || Some(kept.faults()).filter(|f| f.len() == 1));
    assert_eq!(faults, ["stopped cp-b"]);
    for gone in kept.stage.processes("cp-c") {
        signal(gone, rustix::process::Signal::KILL);
    }
    wait_for("the loss of the leader", || {
        let faults = kept.faults();
        let want = ["no-leader cluster", "no-leader cp-a", "stopped cp-b", "stopped cp-c"];
        (faults == want).then_some(())
    });

    signal(kept.child.id() as i32, rustix::process::Signal::INT);
    kept.child.wait().unwrap();
    kept.stage.assert_nothing_left();
}

#[test]
fn a_killed_rehearsal_takes_its_members_along_and_the_next_one_clears_up() {
    let mut kept = Kept::new(&Recipe::new());
    kept.child.kill().unwrap();
    kept.child.wait().unwrap();
    wait_for("the members' end", || kept.stage.processes("").is_empty().then_some(()));
    assert_eq!(fs::read_dir(kept.stage.tmp()).unwrap().count(), 1, "what it could not remove any more");
    assert_eq!(kept.stage.rehearse(&[]).code(), Some(0));
    kept.stage.assert_nothing_left();
}

#[test]
fn ctrl_c_while_forming_leaves_nothing() {
    let stage = Stage::new(&Recipe::new());
    for moment in ["order.json", "logs/cp-c.log"] {
        let mut child = stage.kiln("rehearse", &[]).spawn().unwrap();
        wait_for(moment, || {
            let scratch = fs::read_dir(stage.tmp()).unwrap().next()?.ok()?.path();
            scratch.join(moment).exists().then_some(())
        });
        signal(child.id() as i32, rustix::process::Signal::INT);
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{stderr}");
        assert!(stderr.contains("interrupted; all members were stopped"), "{stderr}");
        stage.assert_nothing_left();
    }
}

/// Only root can run as another user; the tests above run unprivileged.
#[test]
fn without_root_a_user_namespace_does() {
    support::needs_root();
    let stage = Stage::new(&Recipe::new());
    // The binary that cargo has built may be in a directory that only root can access.
    let program = stage.directory.path().join("kiln");
    fs::copy(env!("CARGO_BIN_EXE_kiln"), &program).unwrap();
    let all = ["-R", "65534:65534", stage.directory.path().to_str().unwrap()];
    assert!(Command::new("chown").args(all).status().unwrap().success());
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
    command.arg("rehearse").arg(stage.bundle()).arg("--json").env("TMPDIR", stage.tmp());
    let said = said(command);
    assert_eq!(said.code(), Some(0), "{}{}", said.stdout, said.stderr);
    let notes = said.report()["notes"].to_string();
    assert!(notes.contains("not run by root"), "{notes}");
    stage.assert_nothing_left();
}
