//! Real etcd members, formed into clusters on this machine by `kiln rehearse` and checked by `kiln verify`: good ones,
//! and ones that are wrong in one way each.

mod fixture;
mod full;
mod kept;
mod life;
mod replaced;

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::MutexGuard;

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
