//! Renewals under writes, and those that etcd does not follow.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::authority::TAG;
use super::machine::{Machine, PLAIN, Start, UID};
use crate::support::{newer_release, run};

/// What openssl says of a live certificate.
fn judged(machine: &Machine, kind: &str, key_kind: &str) {
    let cert = machine.at(&format!("var/pki/live/{kind}.pem")).display().to_string();
    let key = machine.at(&format!("var/pki/live/{kind}-key.pem")).display().to_string();
    let anchors =
        machine.at(if kind == "peer" { "etc/peer-ca.pem" } else { "etc/ca.pem" }).display().to_string();
    let openssl = |arguments: &[&str]| run(Command::new("openssl").args(arguments));
    let verify =
        ["verify", "-x509_strict", "-CAfile", &anchors, "-untrusted", &cert, "-verify_ip", "127.0.0.1"];
    openssl(&[&verify[..], &["-purpose", "sslserver", &cert]].concat());
    if kind == "peer" {
        openssl(&[&verify[..], &["-purpose", "sslclient", "-verify_hostname", TAG, &cert]].concat());
    }
    let text =
        openssl(&["x509", "-in", &cert, "-noout", "-text", "-nameopt", "RFC2253,sep_comma_plus_space"]);
    let (subject, names, usages) = match kind {
        "peer" => (
            "Subject: CN=n1",
            format!("DNS:{TAG}, IP Address:127.0.0.1"),
            "TLS Web Server Authentication, TLS Web Client Authentication",
        ),
        _ => (
            "Subject: CN=n1, O=b, O=a",
            "DNS:n1, DNS:localhost, IP Address:127.0.0.1".to_owned(),
            "TLS Web Server Authentication",
        ),
    };
    let wanted = [subject, &names, usages, "CA:FALSE", "Digital Signature", key_kind, "ecdsa-with-SHA256"];
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    for line in wanted {
        let found = lines.iter().any(|found| *found == line || found.ends_with(&format!(": {line}")));
        assert!(found, "{line}\n{text}");
    }
    let public = |what: &[&str]| openssl(what);
    assert_eq!(
        public(&["x509", "-in", &cert, "-noout", "-pubkey"]),
        public(&["pkey", "-in", &key, "-pubout"])
    );
    let found = fs::metadata(&key).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o7777), (UID, 0o400));
    assert_eq!(fs::metadata(&cert).unwrap().mode() & 0o7777, 0o644);
}

/// What monitoring reads.
fn stated(machine: &Machine) {
    let status = machine.status();
    assert_eq!(status["good"], true, "{status}");
    assert_eq!(status["overdue"], false, "{status}");
    assert!(status.get("error").is_none(), "{status}");
    assert_eq!(status["serials"], serde_json::json!([machine.serial("server"), machine.serial("peer")]));
    let cert = machine.at("var/pki/live/server.pem");
    let end = run(Command::new("openssl").args(["x509", "-noout", "-enddate", "-in"]).arg(cert));
    let end = end.trim().trim_start_matches("notAfter=").to_owned();
    let end = run(Command::new("date").args(["--date", &end, "+%s"]));
    assert_eq!(status["not-after"].to_string(), end.trim());
    let metrics = machine.read("run/kiln/renew.prom");
    assert!(
        metrics.contains("\nkiln_renew_good{cluster=\"ha3\",node=\"n1\"} 1\n")
            && metrics.contains("\nkiln_renew_overdue{cluster=\"ha3\",node=\"n1\"} 0\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains(&format!(
            "\nkiln_leaf_not_after_timestamp_seconds{{cluster=\"ha3\",node=\"n1\"}} {}\n",
            end.trim()
        )),
        "{metrics}"
    );
    let path = machine.at("run/kiln/renew.prom").display().to_string();
    run(Command::new("sh").args(["-c", &format!("promtool check metrics <{path}")]));
}

#[test]
fn certificates_are_renewed_while_etcd_serves() {
    let machine = Machine::new();
    machine.policy(|policy| policy["life"] = 15.into());
    let (code, said) = machine.renew(&["--ensure"]);
    assert!(code == 0 && said.contains("<6>kiln: n1 has new certificates (generation 1)"), "{code}: {said}");
    machine.etcd(&PLAIN);
    let (is_over, started) = (AtomicBool::new(false), Instant::now());
    let (mut writes, mut serials) = ((0, 0), BTreeSet::new());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut good, mut bad) = (0, 0);
            while !is_over.load(Ordering::Relaxed) {
                *if machine.put("key", "value") { &mut good } else { &mut bad } += 1;
            }
            (good, bad)
        });
        // As a timer, but for five lives of certificates.
        while serials.len() < 5 {
            let (code, said) = machine.renew(&[]);
            assert_eq!(code, 0, "{said}");
            if serials.insert((machine.serial("server"), machine.serial("peer"))) {
                assert_eq!(machine.presented(2379), machine.serial("server"));
                assert_eq!(machine.presented(2380), machine.serial("peer"));
                for kind in ["server", "peer"] {
                    judged(&machine, kind, "NIST CURVE: P-256");
                }
                stated(&machine);
            }
            assert!(started.elapsed() < Duration::from_secs(120), "{serials:?}");
            std::thread::sleep(Duration::from_secs(1));
        }
        is_over.store(true, Ordering::Relaxed);
        writes = writer.join().unwrap();
    });
    assert_eq!(machine.names(), ["3", "4", "5", "live", "lock"]);
    assert!(writes.1 == 0 && writes.0 > 50, "{writes:?} {}", machine.read("etcd.log"));
    let log = machine.read("etcd.log");
    assert!(!log.contains("private key does not match"), "{log}");
}

#[test]
fn the_oldest_and_the_newest_etcd_follow_the_link() {
    for release in ["3.4.23", &newer_release()] {
        let machine = Machine::new();
        machine.renewed();
        machine.etcd(&Start { release, ..PLAIN });
        for number in ["1", "2"] {
            machine.another_subject(number);
            let (code, said) = machine.renew(&[]);
            assert!(code == 0 && said.contains("etcd presents them"), "{release}: {code}: {said}");
            machine.serves();
        }
    }
}

#[test]
fn addresses_of_both_families_are_in_certificates() {
    let machine = Machine::new();
    machine.policy(|policy| {
        for pair in policy["pairs"].as_array_mut().unwrap() {
            pair["ips"] = serde_json::json!(["127.0.0.1", "::1"]);
            let port = pair["ports"][0].as_str().unwrap().replace("127.0.0.1", "[::1]");
            pair["ports"].as_array_mut().unwrap().push(port.into());
        }
    });
    machine.renewed();
    machine.etcd(&PLAIN);
    for (kind, anchor) in [("server", "ca"), ("peer", "peer-ca")] {
        let [cert, anchor] =
            [format!("var/pki/live/{kind}.pem"), format!("etc/{anchor}.pem")].map(|name| machine.at(&name));
        for ip in ["127.0.0.1", "::1"] {
            let mut command = Command::new("openssl");
            command.args(["verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", ip, "-CAfile"]);
            run(command.arg(&anchor).arg("-untrusted").args([&cert, &cert]));
        }
    }
    machine.serves();
    // One that the policy does not have any more is an address too many.
    machine.policy(|_| {});
    machine.renewed();
    machine.serves();
}

#[test]
fn keys_of_every_kind_are_made() {
    let machine = Machine::new();
    machine.renewed();
    machine.etcd(&PLAIN);
    for (algorithm, curve) in
        [("p384", "NIST CURVE: P-384"), ("ed25519", "ED25519"), ("p256", "NIST CURVE: P-256")]
    {
        machine.policy(|policy| {
            for pair in policy["pairs"].as_array_mut().unwrap() {
                pair["algorithm"] = algorithm.into();
            }
        });
        let (code, said) = machine.renew(&[]);
        assert!(code == 0 && said.contains("etcd presents them"), "{algorithm}: {code}: {said}");
        machine.serves();
        for kind in ["server", "peer"] {
            judged(&machine, kind, curve);
        }
    }
}

/// Everything that a kernel and an operator may have lost, at once.
#[test]
fn missing_directories_are_made_again() {
    let machine = Machine::new();
    machine.renewed();
    machine.etcd(&PLAIN);
    machine.shell("rm -r /mnt/var /mnt/run");
    machine.renewed();
    let mode = |name: &str| fs::metadata(machine.at(name)).unwrap().mode() & 0o7777;
    assert_eq!(["var", "var/pki", "var/pki/1", "run/kiln"].map(mode), [0o755, 0o711, 0o711, 0o755]);
    machine.serves();
}

#[test]
fn an_etcd_that_reads_other_files_gets_the_link_back() {
    let machine = Machine::new();
    machine.renewed();
    machine.shell("cp -a /mnt/var/pki/1 /mnt/copies");
    machine.etcd(&Start { pki: "/mnt/copies", ..PLAIN });
    machine.serves();
    machine.another_subject("other");
    // Also the second time: what etcd does not present is not kept.
    for _ in 0..2 {
        let (code, said) = machine.renew(&[]);
        assert_eq!(code, 1, "{said}");
        let reason = "127.0.0.1:2379 presents another certificate; the certificates from before are back";
        assert!(said.contains(&format!("<4>kiln: n1 has not renewed its certificates: {reason}")), "{said}");
        assert_eq!(machine.status()["error"], reason);
        assert_eq!(machine.names(), ["1", "live", "lock"]);
        assert_eq!(machine.live(), "1");
        machine.serves();
    }
    // What --ensure has made is proven, and taken back, by the next run.
    assert_eq!(machine.renew(&["--ensure"]).0, 0);
    assert_eq!(machine.live(), "2");
    // So is it each time, until etcd reads the links.
    for _ in 0..2 {
        let (code, said) = machine.renew(&[]);
        assert!(code == 1 && said.contains("the certificates from before are back"), "{code}: {said}");
        assert_eq!(machine.live(), "1");
        assert_eq!(machine.names(), ["1", "live", "lock"]);
    }
    machine.stop_etcd();
    machine.etcd(&PLAIN);
    assert_eq!(machine.renew(&[]).0, 0);
    assert_eq!(machine.live(), "2");
    machine.serves();
}

#[test]
fn certificates_that_peers_refuse_are_taken_back() {
    let machine = Machine::new();
    machine.renewed();
    machine.etcd(&PLAIN);
    // etcd closes the connection of an address that is not in the certificate, after the handshake.
    machine.policy(|policy| policy["pairs"][1]["ips"] = serde_json::json!(["127.0.0.2"]));
    let refused = "127.0.0.1:2380 presents the new certificate, but refuses it from a peer";
    let (code, said) = machine.renew(&[]);
    assert!(code == 1 && said.contains(refused), "{code}: {said}");
    assert_eq!(machine.live(), "1");
    machine.serves();
    // It ends the handshake where the name is missing that it demands of peers.
    machine.stop_etcd();
    machine.etcd(&Start { tag: "peer-8899aabbccddeeff.kiln.invalid", ..PLAIN });
    machine.another_subject("other");
    let (code, said) = machine.renew(&[]);
    assert!(code == 1 && said.contains(refused), "{code}: {said}");
    assert_eq!(machine.live(), "1");
    machine.serves();
}

const SLOW: &str = "import socket, threading, time
def serve(port, byte):
    listener = socket.create_server(('127.0.0.1', port))
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=talk, args=(peer, byte), daemon=True).start()
def talk(peer, byte):
    # The first bytes of a handshake's record, which announce more.
    for piece in [b'\\x16', b'\\x03', b'\\x03', b'\\x3f', b'\\xff', b'\\x02', b'\\x00', b'\\x3f', b'\\xfb'] + [b'\\x03'] * 900:
        if byte: peer.sendall(piece)
        time.sleep(1)
threading.Thread(target=serve, args=(2379, True), daemon=True).start()
open('/mnt/listening', 'w').close()
serve(2380, False)";

/// Ports that answer with nothing, or with a byte a second, for ever.
#[test]
fn a_port_that_is_slow_is_not_waited_for() {
    let machine = Machine::new();
    fs::write(machine.at("slow.py"), SLOW).unwrap();
    machine.background("python3 /mnt/slow.py");
    crate::support::wait_for("the ports", || machine.at("listening").exists().then_some(()));
    let started = Instant::now();
    let (code, said) = machine.renew(&[]);
    assert!(code == 0 && said.contains("etcd does not serve yet"), "{code}: {said}");
    assert!((3..15).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    machine.another_subject("other");
    let started = Instant::now();
    assert_eq!(machine.renew(&["--ensure"]).0, 0);
    assert!(started.elapsed() < Duration::from_secs(2), "--ensure asks no port: {:?}", started.elapsed());
}

#[test]
fn runs_at_the_same_time_make_one_generation() {
    let machine = Machine::new();
    machine.renewed();
    machine.etcd(&PLAIN);
    machine.another_subject("other");
    let runs: Vec<_> = (0..6)
        .map(|number| {
            machine.renewing(if number % 2 == 0 { &[] } else { &["--ensure"] }, None).spawn().unwrap()
        })
        .collect();
    for mut each in runs {
        assert!(each.wait().unwrap().success());
    }
    assert_eq!(machine.renew(&[]).0, 0);
    assert_eq!(machine.names(), ["1", "2", "live", "lock"]);
    machine.serves();
}
