//! A cluster that keeps running, and what `kiln verify` says of it while things happen to its members.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::fixture::Recipe;
use super::{Said, Stage, faults, said, signal, wait_for};

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
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    signal(hung, rustix::process::Signal::CONT);
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

/// A machine that is too busy for a TLS handshake within two seconds: six emulated ones on two processors were reported
/// as silent, and all of them served.
#[test]
fn a_member_that_is_busy_for_some_seconds_is_waited_for() {
    let kept = Kept::new(&Recipe::new());
    let [busy] = kept.stage.processes("cp-b")[..] else { panic!("one etcd on cp-b") };
    // Four seconds are beyond the patience of the first round; the others keep their leader or elect another.
    signal(busy, rustix::process::Signal::STOP);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(5));
            signal(busy, rustix::process::Signal::CONT);
        });
        kept.verify(&kept.stage.bundle()).report()
    });
    assert_eq!(faults(&report), Vec::<String>::new(), "{report:#}");
    assert!(report["notes"].to_string().contains("the members were asked"), "{report:#}");
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
