//! Numbers with which etcd starts, but serves no client: Kiln refuses them, and takes the next ones.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use kiln::etcd::Release;
use kiln::profile::{self, Source};
use kiln::values::Arch;

use crate::support;

/// With these, a transaction that writes one key fails.
const USELESS: [&str; 7] = [
    "max-request-bytes = 0",
    "max-request-bytes = 1",
    "max-request-bytes = 9223372036854775807",
    "quota-backend-bytes = 1",
    "quota-backend-bytes = 16384",
    "max-txn-ops = 0",
    "max-request-bytes = 9223372036854251520",
];

const USEFUL: [&str; 6] = [
    "max-request-bytes = 1024",
    "max-request-bytes = 536870912",
    "quota-backend-bytes = 0",
    "quota-backend-bytes = 1048576",
    "quota-backend-bytes = -1",
    "max-txn-ops = 1",
];

/// Kiln's verdict.
fn takes(release: Release, option: &str) -> Result<(), String> {
    let text = format!(
        "schema = 1\n[cluster]\nname = 't'\n[network]\ncidr = '10.77.0.0/24'\n[[node]]\nname = 'a'\naddress = '10.77.0.11'\n\
         [etcd]\nversion = '{release}'\naccept-risk = ['{release}']\n[etcd.config]\n{option}\n"
    );
    let source = Source::file(Path::new("t.toml"), text.into_bytes());
    let read = profile::read(&source, &[(release, Arch::Amd64)], kiln::carrier::all());
    read.map(drop).map_err(|mistakes| mistakes.render(false))
}

/// Whether a member with this option writes a key, on a loopback of its own.
fn writes(etcd: &Path, data: &Path, option: &str) -> bool {
    let flag = format!("--{}", option.replace(" = ", "="));
    let script = "ip link set lo up; timeout 60 \"$0\" --data-dir \"$1\" \"$2\" >\"$1.log\" 2>&1 & \
                  for n in $(seq 100); do grep -q 'ready to serve' \"$1.log\" && break; sleep 0.1; done; \
                  sleep 1; timeout 20 \"${0%etcd}etcdctl\" --dial-timeout 2s --command-timeout 2s txn; \
                  kill $!; wait";
    let mut shell = Command::new("unshare")
        .args(["--net", "sh", "-c", script])
        .args([etcd, data])
        .arg(flag)
        .env("ETCDCTL_API", "3")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // No conditions; one operation if they are met; none if they are not.
    shell.stdin.take().unwrap().write_all(b"\nput a b\n\n\n\n").unwrap();
    let output = shell.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains("SUCCESS")
}

#[test]
fn numbers_with_which_etcd_never_serves_are_refused() {
    support::needs_root();
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let mut compared = 0;
    for suite in ["bookworm", "trixie", "sid"] {
        let root = here.join(suite);
        for deb in support::debs(suite) {
            support::run(Command::new("dpkg-deb").arg("-x").args([&deb, &root]));
        }
        let etcd = root.join("usr/bin/etcd");
        let said = support::run(Command::new(&etcd).arg("--version"));
        let release: Release = said.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        std::thread::scope(|scope| {
            let all =
                USELESS.iter().map(|option| (*option, false)).chain(USEFUL.map(|option| (option, true)));
            for (at, (option, is_good)) in all.enumerate() {
                compared += 1;
                let (etcd, data) = (&etcd, here.join(format!("{suite}-{at}")));
                scope.spawn(move || {
                    assert_eq!(writes(etcd, &data, option), is_good, "etcd {release} with {option}");
                    let verdict = takes(release, option);
                    assert_eq!(verdict.is_ok(), is_good, "Kiln for {release}: {option}: {verdict:?}");
                    if let Err(why) = verdict {
                        assert!(why.contains("t.toml:13:"), "{why}");
                    }
                });
            }
        });
    }
    assert_eq!(compared, 3 * (USELESS.len() + USEFUL.len()));
}
