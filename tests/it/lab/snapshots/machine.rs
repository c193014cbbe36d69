//! Nodes in a network of their own: members of a real etcd, kiln-node for each, and the services that they use.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kiln_wire::{BODY, PublicKey, RECORD, Record, Signer, SnapshotName, open};
use serde_json::{Value, json};

use super::services::{BUCKET, S3_PORT, SECRET};
use crate::support::namespaces::Namespaces;
use crate::support::{self, Workshop, node::kiln_node, run, wait_for};

pub struct Lab {
    pub work: Workshop,
    inside: Namespaces,
    release: &'static str,
    members: usize,
}

impl Lab {
    /// `members` of a cluster are started, and serve.
    pub fn new(release: &'static str, members: usize) -> Self {
        support::needs_root();
        kiln_node();
        let work = Workshop::new();
        fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let inside = Namespaces::new(work.path(), "");
        let lab = Self { work, inside, release, members };
        lab.certificates();
        for number in 1..=members {
            lab.etcd(number);
        }
        wait_for("etcd", || lab.put("a", "1").then_some(()));
        for number in 1..=members {
            lab.policy(number, |_| {});
        }
        lab.secrets(1, json!({}));
        lab
    }

    fn certificates(&self) {
        self.shell(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -days 9 -keyout ca-key.pem \
             -out ca.pem
             echo subjectAltName=IP:127.0.0.1 >san
             for name in server client; do
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=root -keyout $name-key.pem -out csr
                openssl x509 -req -in csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 9 -extfile san -out $name.pem
             done
             for number in 1 2 3; do openssl genpkey -algorithm ed25519 -out signer-$number.pem; done
             age-keygen -o identity 2>/dev/null; age-keygen -y identity >recipient
             ssh-keygen -q -t ed25519 -N '' -f ssh
             chmod 600 *-key.pem signer-*.pem",
        );
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .trim()
            .to_owned()
    }

    fn programs(&self) -> PathBuf {
        self.inside.programs(self.release)
    }

    /// Runs a program until the namespaces end, its number in `NAME.pid` and its output in `NAME.out`.
    pub fn background(&self, name: &str, script: &str) {
        self.shell(&format!(
            "exec </dev/null; (echo $(exec sh -c 'echo $PPID') >{name}.pid; exec {script}) >{name}.out 2>&1 &"
        ));
    }

    pub fn signal(&self, name: &str, signal: &str) {
        self.shell(&format!("kill -{signal} $(cat {name}.pid)"));
    }

    /// Ends a background program, and waits until it has ended.
    pub fn stop(&self, name: &str) {
        // Its files are closed, and their locks gone, when it is a zombie, and not yet when it has no memory any more.
        self.shell(&format!(
            "kill -KILL $(cat {name}.pid)
            while [ -e /proc/$(cat {name}.pid) ] && ! grep -q '^State:.Z' /proc/$(cat {name}.pid)/status; do sleep 0.05; done"
        ));
    }

    pub fn etcd(&self, number: usize) {
        let programs = self.programs();
        let all: Vec<_> = (1..=self.members).map(|n| format!("n{n}=https://127.0.0.1:{n}2380")).collect();
        let (client, peer) =
            (format!("https://127.0.0.1:{number}2379"), format!("https://127.0.0.1:{number}2380"));
        self.background(
            &format!("n{number}"),
            &format!(
                "{}/etcd --name n{number} --data-dir data-{number} --listen-client-urls {client} --advertise-client-urls \
                 {client} --listen-peer-urls {peer} --initial-advertise-peer-urls {peer} --initial-cluster {} \
                 --initial-cluster-state new --initial-cluster-token t --cert-file server.pem --key-file server-key.pem \
                 --client-cert-auth --trusted-ca-file ca.pem --peer-cert-file server.pem --peer-key-file server-key.pem \
                 --peer-trusted-ca-file ca.pem --peer-client-cert-auth --logger zap",
                programs.display(),
                all.join(",")
            ),
        );
    }

    /// etcdctl on a member.
    pub fn ctl(&self, number: usize, arguments: &[&str]) -> Output {
        let mut command = self.command(self.programs().join("etcdctl"));
        command.env("ETCDCTL_API", "3").current_dir(self.work.path());
        command.args(["--endpoints", &format!("https://127.0.0.1:{number}2379"), "--command-timeout=5s"]);
        command.args(["--cacert", &self.text("ca.pem"), "--cert", &self.text("client.pem")]);
        command.args(["--key", &self.text("client-key.pem")]).args(arguments).output().unwrap()
    }

    pub fn put(&self, key: &str, value: &str) -> bool {
        self.ctl(1, &["put", key, value]).status.success()
    }

    fn status_of(&self, number: usize) -> Value {
        let output = self.ctl(number, &["endpoint", "status", "-w", "json"]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()[0]["Status"].clone()
    }

    pub fn leader(&self) -> usize {
        wait_for("a leader", || {
            (1..=self.members).find(|number| {
                let status = self.status_of(*number);
                status["leader"].is_u64() && status["leader"] == status["header"]["member_id"]
            })
        })
    }

    pub fn signers(&self) -> Vec<Signer> {
        let key = |number| {
            let path = self.path(&format!("signer-{number}.pem"));
            let mut command = Command::new("openssl");
            let der = command
                .args(["pkey", "-pubout", "-outform", "DER", "-in"])
                .arg(path)
                .output()
                .unwrap()
                .stdout;
            PublicKey(der[der.len() - 32..].try_into().unwrap())
        };
        (1..=3)
            .map(|number| Signer { node: format!("n{number}").try_into().unwrap(), key: key(number) })
            .collect()
    }

    /// The policy of a node, after a change; every call writes all of it.
    pub fn policy(&self, number: usize, change: impl FnOnce(&mut Value)) {
        let id = self.status_of(number)["header"]["cluster_id"].as_u64().unwrap();
        let programs = self.programs();
        let ssh = self.read("ssh.pub");
        let mut policy = json!({
            "schema": 1, "cluster": "s1", "node": format!("n{number}"), "cluster-id": format!("{id:016x}"),
            "generation": 1, "built": 1_764_000_000, "interval": 60, "directory": self.text(&format!("var-{number}/snapshots")),
            "keep": 5, "status": self.text(&format!("run-{number}")), "etcdctl": programs.join("etcdctl"),
            "endpoint": format!("https://127.0.0.1:{number}2379"), "ca": self.text("ca.pem"),
            "cert": self.text("client.pem"), "key": self.text("client-key.pem"),
            "signer": self.text(&format!("signer-{number}.pem")), "signers": self.signers(),
            "recipients": [self.read("recipient"), ssh], "secrets": self.text(&format!("secrets-{number}.json")),
            "s3": {"endpoint": format!("http://127.0.0.1:{S3_PORT}"), "bucket": BUCKET, "prefix": "etcd backups/+x",
                   "region": "eu-1"},
        });
        if programs.join("etcdutl").exists() {
            policy["etcdutl"] = json!(programs.join("etcdutl"));
        }
        change(&mut policy);
        let path = self.work.file(&format!("backup-{number}.json"), policy.to_string());
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// Without a bucket.
    pub fn local_policy(&self, number: usize, change: impl FnOnce(&mut Value)) {
        self.policy(number, |policy| {
            policy.as_object_mut().unwrap().remove("s3");
            change(policy);
        });
    }

    /// The secrets of all nodes from this one on, with these beside the usual ones.
    pub fn secrets(&self, from: usize, more: Value) {
        for number in from..=self.members {
            let mut all = json!({"schema": 1, "access-key-id": "AKIATEST", "secret-access-key": SECRET});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let path = self.work.file(&format!("secrets-{number}.json"), all.to_string());
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    pub fn running(&self, number: usize, fail_at: Option<&str>) -> Command {
        let mut command = self.command("env");
        command.arg("JOURNAL_STREAM=8:1").args(fail_at.map(|step| format!("KILN_FAIL_AT={step}")));
        let policy = self.path(&format!("backup-{number}.json"));
        command.arg(kiln_node()).arg("snapshot").arg("--policy").arg(policy);
        command
    }

    /// The exit code of a run, and what was said.
    pub fn snapshot(&self, number: usize) -> (i32, String) {
        let Output { status, stdout, stderr } = self.running(number, None).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert!(stdout.is_empty() && !said.contains("hush") && !said.contains("PRIVATE"), "{said}");
        (status.code().unwrap_or_else(|| panic!("{status}: {said}")), said)
    }

    /// A run that takes one; its name.
    #[track_caller]
    pub fn taken(&self, number: usize) -> SnapshotName {
        // Names have seconds.
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let (code, said) = self.snapshot(number);
        assert_eq!(code, 0, "{said}");
        self.names(number).pop().unwrap_or_else(|| panic!("{said}"))
    }

    /// A run that takes none, for this reason.
    #[track_caller]
    pub fn takes_none(&self, number: usize, reason: &str) {
        let before = self.names(number);
        let (code, said) = self.snapshot(number);
        assert!(code == 1 && said.contains(reason), "{code}: {said}");
        assert_eq!(self.names(number), before, "{said}");
        self.is_tidy(number);
    }

    /// Below the directory of a node's snapshots.
    pub fn at(&self, number: usize, name: &str) -> PathBuf {
        self.path(&format!("var-{number}/snapshots/{name}"))
    }

    /// The names of all records, oldest first.
    pub fn names(&self, number: usize) -> Vec<SnapshotName> {
        let files = walkdir::WalkDir::new(self.at(number, "")).into_iter().filter_map(Result::ok);
        let mut names: Vec<SnapshotName> = files
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(RECORD)?.parse().ok())
            .collect();
        names.sort();
        names
    }

    /// What is queued on a node.
    pub fn queue(&self, number: usize) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.at(number, "queue"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[track_caller]
    pub fn is_tidy(&self, number: usize) {
        let Ok(left) = fs::read_dir(self.at(number, "work")) else { return };
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    pub fn status(&self, number: usize) -> Value {
        serde_json::from_str(&self.read(&format!("run-{number}/backup-status.json"))).unwrap()
    }

    pub fn record(&self, number: usize, name: &SnapshotName) -> Record {
        open(&fs::read(self.at(number, &name.path(RECORD))).unwrap(), name, &self.signers()).unwrap()
    }

    /// Debian's age decrypts it with this identity, and etcd finds in it what its record says; the plain file.
    #[track_caller]
    pub fn is_sound(&self, number: usize, name: &SnapshotName, identity: &str) -> PathBuf {
        let body = self.at(number, &name.path(BODY));
        let record = self.record(number, name);
        let bytes = fs::read(&body).unwrap();
        assert_eq!((bytes.len() as u64, kiln_wire::Digest::of(&bytes)), (record.size, record.sha256));
        assert_eq!(fs::metadata(&body).unwrap().permissions().mode() & 0o777, 0o600);
        let plain = self.path("plain.db");
        let _ = fs::remove_file(&plain);
        run(Command::new("age").args(["-d", "-i", &self.text(identity), "-o"]).args([&plain, &body]));
        let bytes = fs::read(&plain).unwrap();
        assert_eq!(
            (bytes.len() as u64, kiln_wire::Digest::of(&bytes)),
            (record.plain_size, record.plain_sha256)
        );
        let utl = self.programs().join("etcdutl");
        let program = if utl.exists() { utl } else { self.programs().join("etcdctl") };
        let mut command = Command::new(program);
        command.env("ETCDCTL_API", "3").args(["snapshot", "status", "-w", "json"]).arg(&plain);
        let status: Value = serde_json::from_str(&run(&mut command)).unwrap();
        assert_eq!((&status["revision"], &status["hash"]), (&json!(record.revision), &json!(record.hash)));
        assert_eq!(record.revision, name.revision());
        plain
    }
}

/// The same path, with other bytes in the middle.
pub fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

impl Deref for Lab {
    type Target = Namespaces;
    fn deref(&self) -> &Namespaces {
        &self.inside
    }
}
