//! What `kiln verify` believes of a running cluster: real members, held against bundles that they were not made from, and
//! servers that are no members at all.

mod running;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{self, Workshop, newer_release, run, store, turn, wait_for};
use running::{Running, Said, failed};
use serde_json::Value;

/// A profile of members a, b and so on at 10.77.0.11 and up.
fn profile(members: usize, version: &str, more: &str) -> String {
    let mut text = format!(
        "schema = 1\n[cluster]\nname = \"t\"\n[etcd]\nversion = \"{version}\"\n{more}\n[network]\ncidr = \"10.77.0.0/24\"\n"
    );
    for (at, name) in ["a", "b", "c", "d", "e"].into_iter().take(members).enumerate() {
        text += &format!("[[node]]\nname = \"{name}\"\naddress = \"10.77.0.1{}\"\n", at + 1);
    }
    text
}

/// Builds a profile's text as the bundle `out/NAME`.
fn build(work: &Workshop, name: &str, text: &str) -> PathBuf {
    work.file(&format!("{name}.toml"), text);
    work.build(&format!("./{name}.toml"))
}

/// A file out of a node's archive.
fn baked(bundle: &Path, node: &str, path: &str) -> Vec<u8> {
    let archive = fs::File::open(bundle.join("nodes").join(node).join("overlay.tar.gz")).unwrap();
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().to_str() == Some(path) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            return bytes;
        }
    }
    panic!("{node} has no {path}");
}

fn notes(report: &Value) -> String {
    report["notes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|note| note.as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_renewal_is_followed_node_by_node() {
    let work = Workshop::new();
    work.keystore("t");
    let text = profile(3, "3.5.16", "");
    let old = build(&work, "old", &text);
    let running = Running::new(&old);
    assert_eq!(failed(&running.report(&old)), Vec::<String>::new());

    run(&mut work.kiln(["keystore", "renew", "t", "--issued", "2026-02-01"]));
    let new = build(&work, "new", &text);
    let older = |nodes: &[&str]| -> Vec<String> {
        let row = |check: &str| {
            nodes.iter().map(move |node| format!("{check}: older-certificate {node}")).collect::<Vec<_>>()
        };
        [row("certificate as baked"), row("peer certificate as baked")].concat()
    };
    assert_eq!(failed(&running.report(&new)), older(&["a", "b", "c"]));
    let said = running.verify(&new, &[]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.stdout.contains("The node still serves the certificate of an earlier issue."),
        "{}",
        said.stdout
    );
    // Certificates are valid from a day before their issue.
    for dates in ["valid from 2025-12-31T00:00:00Z; the bundle has", "valid from 2026-01-31T00:00:00Z"] {
        assert!(said.stdout.contains(dates), "{}", said.stdout);
    }

    // etcd reads key and certificate again at every handshake.
    for name in ["server", "peer"] {
        for file in [format!("etc/etcd/pki/{name}-key.pem"), format!("etc/etcd/pki/{name}.pem")] {
            fs::write(running.file("a", &file), baked(&new, "a", &file)).unwrap();
        }
    }
    assert_eq!(failed(&running.report(&new)), older(&["b", "c"]));
    let newer =
        ["certificate as baked: newer-certificate a", "peer certificate as baked: newer-certificate a"];
    assert_eq!(failed(&running.report(&old)), newer);
}

#[test]
fn another_version_than_baked_is_named() {
    let work = Workshop::new();
    work.keystore("t");
    let old = build(&work, "old", &profile(1, "3.5.16", ""));
    let newer = support::newer_release();
    let new = build(&work, "new", &profile(1, &newer, ""));
    let running = Running::new(&old);
    assert_eq!(failed(&running.report(&old)), Vec::<String>::new());
    assert_eq!(failed(&running.report(&new)), ["version as baked: other-version a"]);
    let said = running.verify(&new, &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains(&format!("it runs 3.5.16; the bundle has {newer}")), "{}", said.stdout);
}

#[test]
fn other_options_than_baked_are_named_where_etcd_tells() {
    let newest = newer_release();
    for (version, style) in [("3.4.23", "flags"), ("3.5.16", "file"), (newest.as_str(), "env")] {
        let work = Workshop::new();
        let text = |config: &str| {
            profile(
                1,
                version,
                &format!("config-style = \"{style}\"\naccept-risk = [\"{version}\"]\n{config}"),
            )
        };
        let plain = build(&work, "plain", &text(""));
        let running = Running::new(&plain);
        let report = running.report(&plain);
        assert_eq!(failed(&report), Vec::<String>::new(), "{version}");
        let untold = notes(&report);
        assert_eq!(
            untold.contains("not checked, because etcd does not tell: cipher-suites, data-dir"),
            style != "flags",
            "{untold}"
        );

        let config = "[etcd.config]\nheartbeat-interval = 200\nelection-timeout = 2000\nquota-backend-bytes = 8589934592\nmetrics = \"extensive\"\n";
        let tuned = build(&work, "tuned", &text(config));
        let report = running.report(&tuned);
        assert_eq!(failed(&report), ["options as baked: other-options a"], "{version}");
        let row =
            report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "options as baked");
        let detail = row.unwrap()["detail"].as_str().unwrap();
        let told = match style {
            "flags" => {
                vec!["heartbeat-interval is not set; the bundle sets 200", "quota-backend-bytes is not set"]
            }
            _ => vec!["quota-backend-bytes is 2147483648, not 8589934592", "metrics is basic, not extensive"],
        };
        assert!(told.iter().all(|told| detail.contains(told)), "{version}: {detail}");
        assert_eq!(notes(&report).contains("heartbeat-interval"), style != "flags", "{}", notes(&report));
        drop(running);

        let running = Running::new(&tuned);
        assert_eq!(failed(&running.report(&tuned)), Vec::<String>::new(), "{version}");
    }
}

/// After a change of members the bundle describes another cluster; what it says must not cost the data of the one that runs.
#[test]
fn a_bundle_of_another_cluster_is_told_from_a_foreign_machine() {
    let work = Workshop::new();
    let three = build(&work, "three", &profile(3, "3.5.16", ""));
    // As a build from before a keystore knew what it had formed: with a token of its own.
    let other = profile(3, "3.5.16", "").replace("[etcd]", "token = \"another\"\n[etcd]");
    let other = build(&work, "other", &other);
    let running = Running::new(&three);
    let said = running.verify(&other, &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("boot no node from this one"), "{}", said.stdout);
    for word in ["empty", "remove", "move its old", "delete it"] {
        assert!(!said.stdout.contains(word), "{word}: {}", said.stdout);
    }
    let report = running.report(&other);
    assert!(
        failed(&report).contains(&"identity as baked: other-bundle a".to_owned()),
        "{:?}",
        failed(&report)
    );
    // What is somebody else's is not written to.
    let written =
        report["checks"].as_array().unwrap().iter().filter(|c| c["check"] == "a write reaches every member");
    assert!(written.map(|check| &check["outcome"]).all(|outcome| outcome == "skipped"));
}

#[test]
fn a_replaced_member_is_one_difference() {
    let work = Workshop::new();
    let bundle = build(&work, "three", &profile(3, "3.5.16", ""));
    let running = Running::new(&bundle);
    let list: Value = serde_json::from_str(&running.etcdctl(&["member", "list", "-w", "json"])).unwrap();
    let old = list["members"].as_array().unwrap().iter().find(|member| member["name"] == "c").unwrap();
    let id = format!("{:x}", old["ID"].as_u64().unwrap());
    // etcd takes no change of membership until its members have been connected for five seconds.
    wait_for("the removal", || running.try_etcdctl(&["member", "remove", &id]).ok());
    wait_for("the end of the removed member", || running.etcd_of("c").is_none().then_some(()));

    wait_for("the new member", || {
        running.try_etcdctl(&["member", "add", "c", "--peer-urls=https://10.77.0.13:2380"]).ok()
    });
    // As the README says: the member's data anew, and for once a configuration that joins.
    fs::rename(running.file("c", "var/lib/etcd/member"), running.file("c", "var/lib/etcd/old")).unwrap();
    let conf = running.file("c", "etc/etcd/etcd.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, text.replace("initial-cluster-state: \"new\"", "initial-cluster-state: \"existing\""))
        .unwrap();
    let _etcd = running.start("c", "/usr/local/bin/etcd --config-file /etc/etcd/etcd.conf");
    let report = wait_for("the new member", || {
        let report = running.report(&bundle);
        (failed(&report).len() == 1).then_some(report)
    });
    assert_eq!(failed(&report), ["identity as baked: replaced c"]);
    let skipped = report["checks"].as_array().unwrap().iter().filter(|check| check["outcome"] == "skipped");
    assert_eq!(skipped.count(), 0, "{report}");
}

#[test]
fn a_member_that_is_down_leaves_a_quorum_that_is_said() {
    let work = Workshop::new();
    let bundle = build(&work, "three", &profile(3, "3.5.16", ""));
    let running = Running::new(&bundle);
    running.kill("c");
    let report = wait_for("an election", || {
        let report = running.report(&bundle);
        (failed(&report) == ["answers: stopped c"]).then_some(report)
    });
    let quorum = "2 of 3 members are healthy as seen from here; the quorum is 2: no further member may fail";
    assert!(notes(&report).contains(quorum), "{}", notes(&report));
    // The verdict stands in the report, and nowhere else.
    let said = running.verify(&bundle, &[]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.stdout.matches("does NOT match the bundle").count(), 1, "{}", said.stdout);
    assert!(!said.stderr.contains("match"), "{}", said.stderr);

    running.kill("b");
    wait_for("the loss of the quorum", || {
        let notes = notes(&running.report(&bundle));
        notes
            .contains(
                "0 of 3 members are healthy as seen from here; the quorum is 2: the cluster takes no writes",
            )
            .then_some(())
    });
}

#[test]
fn auth_advice() {
    let newest = newer_release();
    for version in ["3.4.23", "3.5.16", newest.as_str()] {
        let work = Workshop::new();
        let bundle = build(&work, "one", &profile(1, version, &format!("accept-risk = [\"{version}\"]")));
        let running = Running::new(&bundle);
        let root = |arguments: &[&str]| running.etcdctl(&[&["--user", "root:secret"], arguments].concat());
        for arguments in [
            &["user", "add", "root:secret"][..],
            &["user", "grant-role", "root", "root"],
            &["auth", "enable"],
        ] {
            running.etcdctl(arguments);
        }
        let report = running.report(&bundle);
        let faults = failed(&report);
        assert!(
            !faults.is_empty() && faults.iter().all(|row| row.contains(": no-user ")),
            "{version}: {faults:?}"
        );
        let said = running.verify(&bundle, &[]).stdout;
        let advice = "`user add etcdctl --no-password`, then `user grant-role etcdctl root`";
        assert!(said.contains(advice), "{version}: {said}");
        assert!(!said.contains("kiln/verify/"), "{version}: {said}");

        root(&["user", "add", "etcdctl", "--no-password"]);
        let faults = failed(&running.report(&bundle));
        assert!(
            !faults.is_empty() && faults.iter().all(|row| row.contains(": permission ")),
            "{version}: {faults:?}"
        );
        root(&["user", "grant-role", "etcdctl", "root"]);
        assert_eq!(failed(&running.report(&bundle)), Vec::<String>::new(), "{version}");
    }
}

#[test]
fn test_keys_hang_on_a_lease_and_do_not_outlive_ctrl_c() {
    let work = Workshop::new();
    let bundle = build(&work, "three", &profile(3, "3.5.16", ""));
    let running = Running::new(&bundle);
    let keys = || running.etcdctl(&["get", "--prefix", "kiln/verify/", "--keys-only"]);
    let revision = || -> u64 {
        let status: Value =
            serde_json::from_str(&running.etcdctl(&["endpoint", "status", "-w", "json"])).unwrap();
        status
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["Status"]["header"]["revision"].as_u64().unwrap())
            .max()
            .unwrap()
    };

    let before = revision();
    let said = running.verify(&bundle, &["--json", "--read-only"]);
    assert_eq!((said.code, revision()), (Some(0), before), "{}", said.stderr);
    let report = said.report();
    assert!(notes(&report).contains("read-only: no test keys were written"), "{}", notes(&report));
    assert!(!report.to_string().contains("a write reaches"), "{report}");

    let mut watch = running.command(env!("CARGO_BIN_EXE_kiln"));
    watch.args(["etcdctl", "-q"]).arg(&bundle).args([
        "--",
        "watch",
        "--prefix",
        "kiln/verify/",
        "-w",
        "json",
    ]);
    let mut watch = watch.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut events = std::io::BufReader::new(watch.stdout.take().unwrap());
    let mut put = None;
    // The watch needs a moment until it sees anything: whichever verify it sees first is the one that is interrupted.
    while put.is_none() {
        let mut command = running.command(env!("CARGO_BIN_EXE_kiln"));
        let mut child =
            command.arg("verify").arg(&bundle).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let seen = std::thread::scope(|scope| {
            let reader = scope.spawn(|| next_event(&mut events));
            while !reader.is_finished() && child.try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
            if reader.is_finished() {
                let pid = rustix::process::Pid::from_child(&child);
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            } else {
                // It came too late to see anything of this one; a key of our own lets the reader go on.
                running.etcdctl(&["put", "kiln/verify/none", "x"]);
                running.etcdctl(&["del", "kiln/verify/none"]);
            }
            reader.join().unwrap()
        });
        let code = child.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 130)), "{code:?}");
        put = Some(seen).filter(|event| event["Events"][0]["kv"]["lease"].is_number());
        assert_eq!(keys(), "");
    }
    assert!(put.unwrap()["Events"][0]["kv"]["lease"].as_u64().unwrap() != 0);
    // So that it ends what it started.
    let pid = rustix::process::Pid::from_child(&watch);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let _ = watch.wait();
}

/// The next line that etcdctl's watch prints.
fn next_event(events: &mut impl std::io::BufRead) -> Value {
    let mut line = String::new();
    events.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Servers of all kinds at the members' addresses, in a network of their own.
#[test]
fn what_is_not_etcd_or_not_of_this_ca_is_named_as_such() {
    let _turn = turn::cluster();
    let work = Workshop::new();
    let bundle = build(&work, "five", &profile(5, "3.5.16", ""));
    let etcd = work.path().join("etcd");
    fs::write(&etcd, baked(&bundle, "a", "usr/local/bin/etcd")).unwrap();
    run(Command::new("chmod").arg("755").arg(&etcd));
    // a: a web server with a certificate of its own; b: etcd with one; c: etcd without TLS; d: etcd's own proxy, which
    // terminates TLS, before c; e: no TLS at all.
    let script = r#"set -e
ip link set lo up
for n in 1 2 3 4 5; do ip address add 10.77.0.1$n/32 dev lo; done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 3650 \
    -subj /CN=proxy -addext subjectAltName=IP:10.77.0.11,IP:10.77.0.14 2>/dev/null
openssl s_server -accept 10.77.0.11:2379 -cert cert.pem -key key.pem -www >/dev/null 2>&1 &
openssl s_server -accept 10.77.0.11:2380 -cert cert.pem -key key.pem -www >/dev/null 2>&1 &
member() { # address, scheme, options
    ./etcd --name m$1 --data-dir data-$1 --listen-client-urls $2://$1:2379 --advertise-client-urls $2://$1:2379 \
        --listen-peer-urls http://$1:2380 --initial-advertise-peer-urls http://$1:2380 \
        --initial-cluster m$1=http://$1:2380 $3 >log-$1 2>&1 &
}
member 10.77.0.12 https --auto-tls
member 10.77.0.13 http ""
./etcd grpc-proxy start --endpoints=http://10.77.0.13:2379 --listen-addr=10.77.0.14:2379 --cert-file=cert.pem \
    --key-file=key.pem >log-proxy 2>&1 &
./etcd gateway start --endpoints=10.77.0.13:2379 --listen-addr=10.77.0.15:2379 >log-gateway 2>&1 &
for address in 10.77.0.11/2379 10.77.0.11/2380 10.77.0.12/2379 10.77.0.13/2379 10.77.0.14/2379 10.77.0.15/2379; do
    until (exec 3<>/dev/tcp/$address) 2>/dev/null; do sleep 0.05; done
done
code=0
"$KILN" verify "$BUNDLE" --json || code=$?
kill $(jobs -p)
exit $code
"#;
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--", "bash", "-c", script]).current_dir(work.path());
    command.env("KILN", env!("CARGO_BIN_EXE_kiln")).env("BUNDLE", &bundle);
    let said = Said::of(&mut command);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let report = said.report();
    let want = ["not-etcd a", "proxied b", "not-tls c", "not-etcd d", "not-tls e"]
        .map(|row| format!("answers: {row}"));
    assert_eq!(failed(&report), want, "{report}");
    let rows = report["checks"].as_array().unwrap();
    let detail = rows[0]["detail"].as_str().unwrap();
    assert!(detail.contains("CN=proxy of the CA CN=proxy, not of this cluster's"), "{detail}");
    // Nothing that such a server says is taken for an answer: not its dates, nor what it refuses.
    let ok: Vec<_> =
        rows.iter().filter(|row| row["outcome"] == "ok").map(|row| row["check"].as_str().unwrap()).collect();
    assert_eq!(ok, ["all certificates in date"]);
}

/// A program out of a bundle is not run before it was compared with what the artifact store has.
#[test]
fn verify_runs_the_bundle_only_as_the_store_has_it() {
    let work = Workshop::new();
    let bundle = build(&work, "one", &profile(1, "3.5.16", ""));
    let evil = work.path().join("evil");
    let ran = work.path().join("ran");
    replace_etcdctl(&bundle, &evil, &format!("#!/bin/sh\n: >{}\nexit 1\n", ran.display()));
    let code = |arguments: &[&str], tail: &[&str]| {
        let mut command = work.kiln_without_network(arguments);
        command.arg(&evil).args(tail);
        Said::of(&mut command)
    };
    let known = store().to_str().unwrap();
    let base = support::lab().join("base/live");
    let of_up = ["--no-wait", "--base", base.to_str().unwrap()];
    for (verb, tail) in [
        ("verify", &[][..]),
        ("rehearse", &[]),
        ("etcdctl", &["--", "version"]),
        ("status", &[]),
        ("up", &of_up),
    ] {
        let said = code(&[verb, "--artifacts", known], tail);
        assert_eq!(said.code, Some(4), "{verb}: {}", said.stderr);
        assert!(said.stderr.contains("etcdctl in the bundle is not the one that"), "{verb}: {}", said.stderr);
        assert!(!ran.exists(), "{verb} ran it");
    }
    assert!(!work.path().join(".evil.machines").exists());
    // Explicitly allowed, and said.
    let said = code(&["etcdctl", "--artifacts", known, "--allow-unverified"], &["--", "version"]);
    assert!(ran.exists() && said.stderr.contains("because --allow-unverified is given"), "{}", said.stderr);
    // Nothing to compare with: said in one line.
    let said = code(&["etcdctl"], &["--", "version"]);
    assert_eq!(said.stderr.matches("etcdctl from the bundle runs here as").count(), 1, "{}", said.stderr);
    let said = code(&["verify", "--artifacts", "nowhere"], &[]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    // The store that it was built from has nothing to say.
    let mut good = work.kiln(["etcdctl", "--artifacts", known]);
    let said = Said::of(good.arg(&bundle).args(["--", "version"]));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

/// A copy of a bundle whose manifest, sums and archive agree on another etcdctl.
fn replace_etcdctl(bundle: &Path, to: &Path, script: &str) {
    use sha2::{Digest, Sha256};
    run(Command::new("cp").arg("-a").arg(bundle).arg(to));
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let archive = "nodes/a/overlay.tar.gz";
    let mut read =
        tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(bundle.join(archive)).unwrap()));
    let packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut made = tar::Builder::new(packed);
    for entry in read.entries().unwrap() {
        let mut entry = entry.unwrap();
        let (mut header, mut bytes) = (entry.header().clone(), Vec::new());
        entry.read_to_end(&mut bytes).unwrap();
        if entry.path().unwrap().ends_with("etcdctl") {
            bytes = script.as_bytes().to_vec();
            header.set_size(bytes.len() as u64);
            header.set_cksum();
        }
        made.append(&header, bytes.as_slice()).unwrap();
    }
    let bytes = made.into_inner().unwrap().finish().unwrap();
    fs::write(to.join(archive), &bytes).unwrap();
    let mut manifest: Value = serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    let binary = &mut manifest["etcd"]["binaries"]["etcdctl"];
    (binary["size"], binary["sha256"]) = (script.len().into(), hex(script.as_bytes()).into());
    let file = &mut manifest["files"][archive];
    (file["size"], file["sha256"]) = (bytes.len().into(), hex(&bytes).into());
    let json = serde_json::to_string_pretty(&manifest).unwrap() + "\n";
    let sums = fs::read_to_string(bundle.join("SHA256SUMS")).unwrap();
    let line = |line: &str| match line.split_once("  ").unwrap() {
        (_, "bundle.json") => format!("{}  bundle.json\n", hex(json.as_bytes())),
        (_, path) if path == archive => format!("{}  {path}\n", hex(&bytes)),
        _ => format!("{line}\n"),
    };
    fs::write(to.join("SHA256SUMS"), sums.lines().map(line).collect::<String>()).unwrap();
    fs::write(to.join("bundle.json"), json).unwrap();
}
