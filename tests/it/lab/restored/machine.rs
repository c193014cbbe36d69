//! Members of a real etcd in a network of their own, which run as an account; and kiln-node, which is root.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use kiln_wire::{Digest, Id};
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::support::namespaces::Namespaces;
use crate::support::{self, Workshop, node::kiln_node, wait_for};

/// What is added to the revision, where etcd can.
pub const BUMP: u64 = 1_000_000_000;
/// Of the first generation and of the second.
pub const TOKENS: [&str; 2] = ["t-1", "t-2"];

pub struct Lab {
    pub work: Workshop,
    inside: Namespaces,
    pub release: &'static str,
    pub members: usize,
    pub has_wal: bool,
}

impl Lab {
    /// Places for so many members, none of which runs. `has_wal`: their logs are on a file system of their own.
    pub fn new(release: &'static str, members: usize, has_wal: bool) -> Self {
        support::needs_root();
        kiln_node();
        let work = Workshop::new();
        fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let first = "sed \"\\$aetcd:x:998:997::/:/bin/false\" /etc/passwd >\"$0/passwd\"
                     mount --bind \"$0/passwd\" /etc/passwd;";
        let inside = Namespaces::new(work.path(), first);
        let lab = Self { work, inside, release, members, has_wal };
        lab.shell(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -days 9 -keyout ca-key.pem \
             -out ca.pem
             echo subjectAltName=IP:127.0.0.1 >san
             openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=root -keyout key.pem -out csr
             openssl x509 -req -in csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 9 -extfile san -out cert.pem
             chmod 644 key.pem",
        );
        for number in 1..=members {
            lab.place(number);
        }
        lab
    }

    /// Empty directories for a member.
    pub fn place(&self, number: usize) {
        self.shell(&format!("install -d -m 700 -o 998 -g 997 data-{number}"));
        if self.has_wal {
            self.shell(&format!(
                "mkdir wal-{number}; mount -t tmpfs -o size=400m,mode=700,uid=998,gid=997 none wal-{number}"
            ));
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn programs(&self) -> PathBuf {
        self.inside.programs(self.release)
    }

    fn url(number: usize) -> String {
        format!("https://127.0.0.1:{number}2380")
    }

    /// Starts a member with this data as the account, of this generation.
    pub fn start_with(&self, number: usize, generation: usize, data: &str, wal: Option<&str>) {
        let all: Vec<_> =
            (1..=self.members).map(|number| format!("n{number}={}", Self::url(number))).collect();
        let (client, peer) = (format!("https://127.0.0.1:{number}2379"), Self::url(number));
        let wal = wal.map_or(String::new(), |wal| format!("--wal-dir {wal}"));
        self.shell(&format!(
            "exec </dev/null; (echo $(exec sh -c 'echo $PPID') >n{number}.pid
             exec setpriv --reuid 998 --regid 997 --clear-groups {}/etcd --name n{number} --data-dir {data} {wal} \
             --listen-client-urls {client} --advertise-client-urls {client} --listen-peer-urls {peer} \
             --initial-advertise-peer-urls {peer} --initial-cluster {} --initial-cluster-state new \
             --initial-cluster-token {} --cert-file cert.pem --key-file key.pem --client-cert-auth \
             --trusted-ca-file ca.pem --peer-cert-file cert.pem --peer-key-file key.pem --peer-trusted-ca-file ca.pem \
             --peer-client-cert-auth --logger zap) >>n{number}.out 2>&1 &",
            self.programs().display(),
            all.join(","),
            TOKENS[generation - 1],
        ));
    }

    pub fn start(&self, number: usize, generation: usize) {
        let wal = self.has_wal.then(|| format!("wal-{number}/wal"));
        self.start_with(number, generation, &format!("data-{number}"), wal.as_deref());
    }

    /// All members are started, and serve.
    pub fn serve(&self, generation: usize) {
        (1..=self.members).for_each(|number| self.start(number, generation));
        wait_for("etcd", || self.put("served", "yes").then_some(()));
    }

    /// Ends a member, and waits until it has ended.
    pub fn stop(&self, number: usize) {
        self.shell(&format!(
            "kill -TERM $(cat n{number}.pid) 2>/dev/null || :
             for _ in $(seq 100); do [ -e /proc/$(cat n{number}.pid)/exe ] || exit 0; sleep 0.05; done
             kill -KILL $(cat n{number}.pid); while [ -e /proc/$(cat n{number}.pid)/exe ]; do sleep 0.05; done"
        ));
    }

    pub fn stop_all(&self) {
        (1..=self.members).for_each(|number| self.stop(number));
    }

    pub fn ctl(&self, number: usize, arguments: &[&str]) -> Output {
        self.ctl_command(number, arguments).output().unwrap()
    }

    pub fn ctl_command(&self, number: usize, arguments: &[&str]) -> Command {
        let text = |name| self.path(name).to_str().unwrap().to_owned();
        let mut command = self.command(self.programs().join("etcdctl"));
        command.env("ETCDCTL_API", "3").args(["--endpoints", &format!("https://127.0.0.1:{number}2379")]);
        command.args(["--command-timeout=5s", "--cacert", &text("ca.pem"), "--cert", &text("cert.pem")]);
        command.args(["--key", &text("key.pem")]).args(arguments);
        command
    }

    pub fn put(&self, key: &str, value: &str) -> bool {
        self.ctl(1, &["put", key, value]).status.success()
    }

    /// What etcd has for a key, as JSON with the revision.
    pub fn get(&self, number: usize, key: &str) -> Value {
        let output = wait_for("an answer", || {
            let output = self.ctl(number, &["get", key, "-w", "json"]);
            output.status.success().then_some(output)
        });
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn has(&self, number: usize, key: &str) -> bool {
        self.get(number, key)["count"] == 1
    }

    /// Keys, a snapshot of them, and a key that is not in it. The revision of the snapshot.
    pub fn fill(&self) -> u64 {
        for key in 0..20 {
            assert!(self.put(&format!("k{key}"), "before"));
        }
        let revision = self.get(1, "k0")["header"]["revision"].as_u64().unwrap();
        let file = self.path("snapshot.db");
        let output = self.ctl(1, &["snapshot", "save", file.to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(self.put("after", "lost"));
        revision
    }

    /// The IDs of the members and of their cluster, as etcd computes them of a token
    /// (server/etcdserver/api/membership).
    pub fn ids(&self, generation: usize) -> (Vec<Id>, Id) {
        let first = |bytes: &[u8]| Id(u64::from_be_bytes(Sha1::digest(bytes)[..8].try_into().unwrap()));
        let of = |number| first(format!("{}{}", Self::url(number), TOKENS[generation - 1]).as_bytes());
        let members: Vec<_> = (1..=self.members).map(of).collect();
        let mut sorted = members.clone();
        sorted.sort();
        let joined: Vec<u8> = sorted.iter().flat_map(|id| id.0.to_be_bytes()).collect();
        (members, first(&joined))
    }

    /// Whether this release can add to the revision.
    pub fn can_bump(&self) -> bool {
        !self.release.starts_with("3.4")
    }

    /// The orders of a member, after a change; every call writes all of it.
    pub fn orders(&self, number: usize, change: impl FnOnce(&mut Value)) {
        let (members, cluster) = self.ids(2);
        let (old_members, old_cluster) = self.ids(1);
        let snapshot = fs::read(self.path("snapshot.db")).unwrap();
        let program = self.programs().join(if self.can_bump() { "etcdutl" } else { "etcdctl" });
        let member = |number: usize| json!({"name": format!("n{number}"), "peer-url": Self::url(number)});
        let mut orders = json!({
            "schema": 1, "cluster": "r1", "node": format!("n{number}"), "generation": 2, "restore": "00000000000000aa",
            "cluster-id": cluster, "member-id": members[number - 1],
            "earlier": [{"generation": 1, "cluster-id": old_cluster, "member-id": old_members[number - 1]}],
            "snapshot": {"size": snapshot.len(), "sha256": Digest::of(&snapshot), "revision": 1},
            "token": TOKENS[1], "members": (1..=self.members).map(member).collect::<Vec<_>>(),
            "program": program, "program-sha256": Digest::of(&fs::read(&program).unwrap()),
            "data": self.path(&format!("data-{number}")), "account": "etcd", "unit": "etcd.service",
        });
        if self.has_wal {
            orders["wal"] = json!(self.path(&format!("wal-{number}/wal")));
        }
        if self.can_bump() {
            orders["bump"] = json!(BUMP);
        }
        change(&mut orders);
        self.work.file(&format!("restore-{number}.json"), orders.to_string());
    }

    pub fn restoring(&self, number: usize, verb: &str, fail_at: Option<&str>) -> Command {
        let mut command = self.command("env");
        command.args(fail_at.map(|step| format!("KILN_FAIL_AT={step}"))).arg(kiln_node());
        command.args(["restore", verb, "--policy"]).arg(self.path(&format!("restore-{number}.json")));
        if verb == "prepare" {
            command.arg("--snapshot").arg(self.path("snapshot.db"));
        }
        command
    }

    /// A run that succeeds and says this.
    #[track_caller]
    pub fn does(&self, number: usize, verb: &str, saying: &str) {
        let (code, out, said) = support::output(&mut self.restoring(number, verb, None));
        assert!(code == 0 && out.is_empty() && said.contains(saying), "{verb}: {code}: {said}");
        assert!(said.starts_with(&format!("kiln: n{number} ")), "{said}");
    }

    /// A run that refuses, for this reason, and changes nothing.
    #[track_caller]
    pub fn refuses(&self, number: usize, verb: &str, reason: &str) {
        let before = self.listed(number);
        let (code, out, said) = support::output(&mut self.restoring(number, verb, None));
        assert!(code == 1 && out.is_empty() && said.contains(reason), "{verb}: {code}: {said}");
        assert_eq!(self.listed(number), before, "{verb}: {said}");
    }

    /// Everything of a member, but what etcd changes while it runs.
    pub fn listed(&self, number: usize) -> String {
        self.shell(&format!(
            "find data-{number} $(ls -d wal-{number} 2>/dev/null) -printf '%p %y %u %m %i %l\\n' | grep -v tmp | sort"
        ))
    }

    /// Everything that etcd finds is its account's alone, and nothing is left of what was prepared.
    #[track_caller]
    pub fn is_tidy(&self, number: usize) {
        let wrong = self.shell(&format!(
            "find data-{number} $(ls -d wal-{number} 2>/dev/null) \\( -not -user 998 -o -not -group 997 -o -perm /077 \
             -o -name 'kiln-restor*' -o -name '*.new' -o -type l \\) -printf '%p %u %m\\n'"
        ));
        assert!(wrong.is_empty(), "{wrong}");
    }
}

impl Deref for Lab {
    type Target = Namespaces;
    fn deref(&self) -> &Namespaces {
        &self.inside
    }
}
