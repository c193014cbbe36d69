//! The members of a rehearsal renew their certificates every few seconds, while clients write to them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Workshop, wait_for};
use crate::verify::running::{Running, Said};
use crate::verify::{build, profile};

/// Of each of the three members, server and peer together.
const RENEWALS: usize = 100;
/// Of a certificate, in seconds. Two thirds of it pass before a renewal, and one third is time for that.
const LIFE: u64 = 8;
const NODES: [&str; 3] = ["a", "b", "c"];
const WRITERS: usize = 2;
/// What etcd asks a client to repeat: gRPC's `Unavailable` in api/v3rpc/rpctypes/error.go.
const TO_REPEAT: [&str; 4] =
    ["leader changed", "request timed out", "etcdserver: no leader", "too many requests"];

/// etcdctl with a new connection, and so a new handshake, for each request.
struct Client<'a> {
    running: &'a Running,
    bundle: &'a Path,
}

impl Client<'_> {
    /// To the member with this number.
    fn ask(&self, member: usize, arguments: &[&str]) -> Said {
        let program = self.running.file(NODES[0], "usr/local/bin/etcdctl");
        let mut command = self.running.command(program);
        command.current_dir(self.bundle.join("client")).env("ETCDCTL_API", "3");
        command.args(["--cacert", "ca.pem", "--cert", "etcdctl.pem", "--key", "etcdctl-key.pem"]);
        command.args(["--command-timeout", "20s", "--endpoints"]);
        Said::of(command.arg(format!("https://10.77.0.1{}:2379", member + 1)).args(arguments))
    }

    /// All keys with their values, from the data of one member, which first waits for what is committed.
    fn all(&self, member: usize) -> BTreeMap<String, String> {
        let said = self.ask(member, &["get", "--prefix", "w"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let lines: Vec<_> = said.stdout.lines().map(str::to_owned).collect();
        lines.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }
}

#[derive(Default)]
struct Written {
    acknowledged: BTreeMap<String, String>,
    repeated: usize,
    failed: Vec<String>,
}

/// Writes until it is over, each key through the next member.
fn write(client: &Client<'_>, writer: usize, over: &AtomicBool) -> Written {
    let mut written = Written::default();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let (key, value) = (format!("w{writer}-{number}"), format!("v{number}"));
        let said = client.ask(number % NODES.len(), &["put", &key, &value]);
        if said.code == Some(0) {
            written.acknowledged.insert(key, value);
        } else if TO_REPEAT.iter().any(|text| said.stderr.contains(text)) {
            written.repeated += 1;
        } else {
            written.failed.push(format!("{key}: {}", said.stderr));
        }
    }
    written
}

/// As a timer that never rests, until it is over.
fn renew(running: &Running, node: &str, made: &AtomicUsize, over: &AtomicBool) -> Vec<String> {
    // The first ones live for a year, and would be used again: another kind of key is wanted.
    running.let_renew(node, |policy| {
        policy["life"] = LIFE.into();
        for pair in policy["pairs"].as_array_mut().unwrap() {
            pair["algorithm"] = "p384".into();
        }
    });
    let mut failed = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let said = running.renew(node);
        let is_new = said.stderr.contains("has new certificates");
        if said.code != Some(0) || (is_new && !said.stderr.contains("etcd presents them")) {
            failed.push(format!("{node}: {:?} {}", said.code, said.stderr));
        }
        made.fetch_add(usize::from(is_new), Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(200));
    }
    failed
}

#[test]
#[ignore = "it takes ten minutes: ci/long runs it"]
fn three_hundred_hot_renewals_lose_no_write() {
    let work = Workshop::new();
    let bundle = build(&work, "t", &profile(3, "3.5.16", "[pki]\nrenewal = \"node\""));
    let running = Running::new(&bundle);
    let client = Client { running: &running, bundle: &bundle };
    wait_for("three members", || {
        (0..NODES.len()).all(|member| client.ask(member, &["put", "x", "x"]).code == Some(0)).then_some(())
    });
    let (made, written_enough, over) =
        (NODES.map(|_| AtomicUsize::new(0)), AtomicBool::new(false), AtomicBool::new(false));
    let started = Instant::now();
    let done = |made: &AtomicUsize| made.load(Ordering::Relaxed) >= RENEWALS;
    let (written, mut failed, counted) = std::thread::scope(|scope| {
        let renewers: Vec<_> = NODES
            .iter()
            .zip(&made)
            .map(|(node, made)| scope.spawn(|| renew(&running, node, made, &over)))
            .collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|at| {
                let (client, enough) = (&client, &written_enough);
                scope.spawn(move || write(client, at, enough))
            })
            .collect();
        let is_lost = || renewers.iter().any(|renewer| renewer.is_finished());
        while !made.iter().all(done) && !is_lost() && started.elapsed() < Duration::from_secs(1800) {
            std::thread::sleep(Duration::from_secs(1));
        }
        written_enough.store(true, Ordering::Relaxed);
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        let counted: Vec<_> = (0..NODES.len()).map(|member| client.all(member)).collect();
        over.store(true, Ordering::Relaxed);
        let failed: Vec<_> = renewers.into_iter().flat_map(|renewer| renewer.join().unwrap()).collect();
        (written, failed, counted)
    });
    let acknowledged: BTreeMap<_, _> = written.iter().flat_map(|one| one.acknowledged.clone()).collect();
    failed.extend(written.iter().flat_map(|one| one.failed.clone()));
    let lost = |there: &BTreeMap<String, String>| {
        acknowledged.iter().filter(|(key, value)| there.get(*key) != Some(*value)).count()
    };
    let repeated: usize = written.iter().map(|one| one.repeated).sum();
    println!(
        "| seconds | renewals of a, b, c | writes acknowledged | to be repeated | failed | lost on a, b, c |\n|---|---|---|---|---|---|"
    );
    println!(
        "| {} | {made:?} | {} | {repeated} | {} | {:?} |",
        started.elapsed().as_secs(),
        acknowledged.len(),
        failed.len(),
        counted.iter().map(lost).collect::<Vec<_>>()
    );
    assert!(made.iter().all(done), "{made:?} {failed:?}");
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(acknowledged.len() > RENEWALS && counted.iter().all(|there| lost(there) == 0));
}
