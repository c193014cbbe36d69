//! A node: namespaces of its own with the node's files below `/mnt`, kiln-node, and one member of a real etcd.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::authority::{self, Days, TAG};
use crate::support::namespaces::Namespaces;
use crate::support::{self, Workshop, node::kiln_node, run, wait_for};

/// etcd's account, which this machine does not have.
pub const UID: u32 = 61_001;
const GID: u32 = 61_002;

/// How etcd is started.
pub struct Start<'s> {
    pub release: &'s str,
    /// The directory of its certificates and keys.
    pub pki: &'s str,
    /// The name that it demands of peers.
    pub tag: &'s str,
}

/// As Kiln configures it.
pub const PLAIN: Start<'static> = Start { release: "3.5.16", pki: "/mnt/var/pki/live", tag: TAG };

pub struct Machine {
    pub work: Workshop,
    inside: Namespaces,
}

impl Machine {
    /// With CAs that are valid at these days. No certificates are made yet.
    pub fn with(issuers: Days) -> Self {
        support::needs_root();
        kiln_node();
        let work = Workshop::new();
        authority::all(work.path(), issuers);
        let passwd =
            work.file("passwd", format!("root:x:0:0::/root:/bin/sh\netcd:x:{UID}:{GID}::/:/bin/false\n"));
        fs::set_permissions(&passwd, fs::Permissions::from_mode(0o644)).unwrap();
        let first = "mount -t tmpfs -o mode=0755 tmpfs /mnt; mount --bind \"$0/passwd\" /etc/passwd;";
        let inside = Namespaces::new(work.path(), first);
        let machine = Self { work, inside };
        machine.deliver();
        machine
    }

    /// Its generations are on a disk, as they are unless it runs from memory.
    pub fn remembers(&self) {
        let disk = self.work.path().join("disk");
        fs::create_dir(&disk).unwrap();
        fs::set_permissions(&disk, fs::Permissions::from_mode(0o755)).unwrap();
        self.shell(&format!("mkdir -p /mnt/var && mount --bind {} /mnt/var", disk.display()));
    }

    /// With CAs for five years, of which one is over.
    pub fn new() -> Self {
        Self::with(-400..1425)
    }

    /// The files that Kiln would bring, but for a first generation.
    fn deliver(&self) {
        for directory in ["etc/issuer", "var"] {
            fs::create_dir_all(self.at(directory)).unwrap();
        }
        fs::set_permissions(self.at("etc/issuer"), fs::Permissions::from_mode(0o700)).unwrap();
        for name in ["ca", "peer-ca"] {
            self.bring(&format!("{name}.pem"), &format!("etc/{name}.pem"), 0o644);
        }
        for name in ["server", "peer"] {
            self.bring_issuer(name, name);
        }
        for name in ["client.pem", "client-key.pem"] {
            self.bring(name, &format!("etc/{name}"), 0o600);
        }
        self.policy(|_| {});
    }

    /// A file of the workshop, to a place on the node.
    pub fn bring(&self, from: &str, to: &str, mode: u32) {
        fs::copy(self.work.path().join(from), self.at(to)).unwrap();
        fs::set_permissions(self.at(to), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A CA of the workshop as the node's own for this kind.
    pub fn bring_issuer(&self, from: &str, kind: &str) {
        self.bring(&format!("{from}.pem"), &format!("etc/issuer/{kind}.pem"), 0o600);
        self.bring(&format!("{from}-key.pem"), &format!("etc/issuer/{kind}-key.pem"), 0o600);
    }

    /// A path below `/mnt`, as it is seen from here.
    pub fn at(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/mnt/{name}", self.inside.pid()))
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The policy, after a change; every call writes all of it.
    pub fn policy(&self, change: impl FnOnce(&mut Value)) {
        let pair = |kind: &str, subject: Value, dns: Value, usages: Value, port: u16| {
            let anchors = if kind == "peer" { "/mnt/etc/peer-ca.pem" } else { "/mnt/etc/ca.pem" };
            json!({
                "kind": kind, "issuer": format!("/mnt/etc/issuer/{kind}.pem"),
                "issuer-key": format!("/mnt/etc/issuer/{kind}-key.pem"), "anchors": anchors,
                "cert": format!("{kind}.pem"), "key": format!("{kind}-key.pem"), "algorithm": "p256",
                "subject": subject, "dns": dns, "ips": ["127.0.0.1"], "usages": usages,
                "ports": [format!("127.0.0.1:{port}")],
            })
        };
        let server = json!([["O", "a"], ["O", "b"], ["CN", "n1"]]);
        let mut policy = json!({
            "schema": 1, "cluster": "ha3", "node": "n1", "built": 1_764_000_000, "life": 86_400,
            "directory": "/mnt/var/pki", "first": "/mnt/etc/first", "status": "/mnt/run/kiln", "account": "etcd",
            "pairs": [
                pair("server", server, json!(["n1", "localhost"]), json!(["serverAuth"]), 2379),
                pair("peer", json!([["CN", "n1"]]), json!([TAG]), json!(["serverAuth", "clientAuth"]), 2380),
            ],
        });
        change(&mut policy);
        fs::write(self.at("etc/renew.json"), policy.to_string()).unwrap();
    }

    /// Another subject, so that the live certificates have to be replaced.
    pub fn another_subject(&self, organization: &str) {
        self.policy(|policy| policy["pairs"][0]["subject"][0][1] = organization.into());
    }

    pub fn shell(&self, script: &str) -> String {
        run(self.command("sh").args(["-ec", script]))
    }

    /// kiln-node, as a service of the journal would run it.
    pub fn renewing(&self, options: &[&str], fail_at: Option<&str>) -> Command {
        let mut command = self.command("env");
        command.arg("JOURNAL_STREAM=8:1");
        command.args(fail_at.map(|step| format!("KILN_FAIL_AT={step}")));
        command.arg(kiln_node()).args(["renew", "--policy", "/mnt/etc/renew.json"]).args(options);
        command
    }

    /// The exit code, and what was said.
    pub fn renew(&self, options: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = self.renewing(options, None).output().unwrap();
        assert!(stdout.is_empty());
        let said = String::from_utf8(stderr).unwrap();
        assert!(!said.contains("-----"), "{said}");
        (status.code().unwrap_or_else(|| panic!("{status}: {said}")), said)
    }

    /// A run that renews.
    #[track_caller]
    pub fn renewed(&self) {
        let (code, said) = self.renew(&[]);
        assert!(code == 0 && said.contains("has new certificates"), "{code}: {said}");
    }

    /// A run that fails for this reason, and changes nothing that etcd reads; with `--ensure`, all is well then.
    #[track_caller]
    pub fn keeps_what_it_has(&self, reason: &str) {
        let before = (self.live(), self.files());
        let (code, said) = self.renew(&[]);
        assert!(code == 1 && said.contains(reason), "{code}: {said}");
        assert!(self.status()["error"].as_str().unwrap().contains(reason), "{said}");
        let (code, said) = self.renew(&["--ensure"]);
        assert!(code == 0 && said.contains(reason), "{code}: {said}");
        assert_eq!((self.live(), self.files()), before, "{said}");
    }

    /// Where the link leads.
    pub fn live(&self) -> String {
        fs::read_link(self.at("var/pki/live")).unwrap().to_str().unwrap().to_owned()
    }

    /// The names in the directory of generations.
    pub fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.at("var/pki")).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// All that is in it, with modes and digests, but for the lock.
    pub fn files(&self) -> Vec<String> {
        let all = support::snapshot(&self.at("var/pki")).into_iter().filter(|(name, ..)| name != "lock");
        all.map(|(name, mode, bytes)| format!("{name} {mode:o} {}", kiln::values::Digest::of(&bytes)))
            .collect()
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.read("run/kiln/renew.json")).unwrap()
    }

    /// A generation that was made elsewhere, valid at these days.
    pub fn generation(&self, at: &str, days: &Days) {
        fs::create_dir_all(self.at(at)).unwrap();
        for kind in ["server", "peer"] {
            authority::leaf(self.work.path(), kind, days.clone());
            self.bring("leaf.pem", &format!("{at}/{kind}.pem"), 0o644);
            self.bring("leaf-key.pem", &format!("{at}/{kind}-key.pem"), 0o400);
            chown(self.at(&format!("{at}/{kind}-key.pem")), Some(UID), Some(GID)).unwrap();
        }
    }

    /// Makes it the live one.
    pub fn point(&self, target: &str) {
        fs::create_dir_all(self.at("var/pki")).unwrap();
        let _ = fs::remove_file(self.at("var/pki/live"));
        std::os::unix::fs::symlink(target, self.at("var/pki/live")).unwrap();
    }

    /// Runs a script beside the test, until the node ends.
    pub fn background(&self, script: &str) {
        self.shell(&format!("exec </dev/null >/dev/null 2>&1\n({script}) &"));
    }

    /// Starts the member, and waits until it serves.
    pub fn etcd(&self, start: &Start<'_>) {
        let Start { release, pki, tag } = start;
        let program = self.programs(release).join("etcd");
        let urls = "--listen-peer-urls https://127.0.0.1:2380 --initial-advertise-peer-urls https://127.0.0.1:2380 \
                    --initial-cluster n1=https://127.0.0.1:2380 --listen-client-urls https://127.0.0.1:2379 \
                    --advertise-client-urls https://127.0.0.1:2379";
        self.background(&format!(
            "mkdir -p /mnt/data; chown {UID}:{GID} /mnt/data; chmod 700 /mnt/data; cd /mnt/data;
            exec setpriv --reuid={UID} --regid={GID} --clear-groups {} --name n1 --data-dir /mnt/data {urls} \
            --enable-grpc-gateway=false --cert-file {pki}/server.pem --key-file {pki}/server-key.pem \
            --client-cert-auth --trusted-ca-file /mnt/etc/ca.pem --peer-cert-file {pki}/peer.pem \
            --peer-key-file {pki}/peer-key.pem --peer-client-cert-auth --peer-trusted-ca-file /mnt/etc/peer-ca.pem \
            --peer-cert-allowed-hostname {tag} >>/mnt/etcd.log 2>&1",
            program.display()
        ));
        wait_for("etcd", || self.put("started", "1").then_some(()));
    }

    pub fn stop_etcd(&self) {
        self.shell(
            "for process in /proc/[0-9]*; do
                [ \"$(cat $process/comm)\" = etcd ] || continue
                kill ${process#/proc/}
                while [ -e $process ] && ! grep -q '^State:.Z' $process/status; do sleep 0.05; done
            done",
        );
    }

    /// Whether a write is acknowledged by a new connection.
    pub fn put(&self, key: &str, value: &str) -> bool {
        let mut command = self.command(self.programs(PLAIN.release).join("etcdctl"));
        command.env("ETCDCTL_API", "3").args([
            "--endpoints",
            "https://127.0.0.1:2379",
            "--command-timeout",
            "5s",
        ]);
        command.args(["--cacert", "/mnt/etc/ca.pem", "--cert", "/mnt/etc/client.pem"]);
        command.args(["--key", "/mnt/etc/client-key.pem", "put", key, value]);
        let output = command.output().unwrap();
        output.status.success() && output.stdout == b"OK\n"
    }

    /// The serial number that a port presents to openssl, in lower case.
    pub fn presented(&self, port: u16) -> String {
        let script = format!(
            "openssl s_client -connect 127.0.0.1:{port} </dev/null 2>/dev/null | openssl x509 -noout -serial"
        );
        self.shell(&script).trim().trim_start_matches("serial=").to_lowercase()
    }

    /// The serial number of a live certificate, by openssl.
    pub fn serial(&self, kind: &str) -> String {
        let cert = self.at(&format!("var/pki/live/{kind}.pem"));
        let printed = run(Command::new("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(cert));
        printed.trim().trim_start_matches("serial=").to_lowercase()
    }

    /// That etcd serves, with what is live.
    #[track_caller]
    pub fn serves(&self) {
        assert!(self.put("a", "b"), "{}", self.read("etcd.log"));
        assert_eq!(self.presented(2379), self.serial("server"));
        assert_eq!(self.presented(2380), self.serial("peer"));
    }
}

impl Deref for Machine {
    type Target = Namespaces;
    fn deref(&self) -> &Namespaces {
        &self.inside
    }
}
