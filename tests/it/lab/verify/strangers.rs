//! Servers at the members' addresses that are not members.

use std::fs;
use std::process::Command;

use super::running::{Said, failed};
use super::{baked, build, profile};
use crate::support::{Workshop, run, turn};

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
    // terminates TLS, in front of c; e: no TLS at all.
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
    // Nothing from such a server counts: neither its dates, nor its refusals.
    let ok: Vec<_> =
        rows.iter().filter(|row| row["outcome"] == "ok").map(|row| row["check"].as_str().unwrap()).collect();
    assert_eq!(ok, ["all certificates in date"]);
}
