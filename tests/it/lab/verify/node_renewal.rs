//! Clusters whose nodes renew their certificates: what they make themselves, and what a copy of a node's CA could make.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::running::{Running, Said, failed};
use super::{baked, build, notes, profile};
use crate::support::{Workshop, run, wait_for};

const ETCD: &str = "/usr/local/bin/etcd --config-file=/etc/etcd/etcd.conf";

/// Three members, from a keystore of today. No rehearsal starts kiln-node: openssl makes these certificates.
fn renewing(work: &Workshop) -> PathBuf {
    build(work, "t", &profile(3, "3.5.16", "[pki]\nrenewal = \"node\""))
}

/// The detail of a row.
pub fn detail(report: &serde_json::Value, check: &str, node: &str) -> String {
    let rows = report["checks"].as_array().unwrap();
    let row = rows.iter().find(|row| row["check"] == check && row["node"] == node);
    row.unwrap_or_else(|| panic!("no row {check} of {node}: {report}"))["detail"].as_str().unwrap().to_owned()
}

/// Certificates that openssl makes with a node's CA, whose key is in the node's files.
struct Mint<'a> {
    work: &'a Workshop,
    bundle: &'a Path,
}

impl Mint<'_> {
    fn openssl(&self, line: &str) -> String {
        run(Command::new("openssl").args(line.split_whitespace()).current_dir(self.work.path()))
    }

    /// The names of the node's first certificate, as openssl reads them.
    fn names(&self, node: &str, kind: &str) -> String {
        self.work.file("first.pem", baked(self.bundle, node, &format!("etc/kiln/pki/{kind}.pem")));
        let text = self.openssl("x509 -in first.pem -noout -ext subjectAltName");
        text.lines().last().unwrap().trim().replace("IP Address:", "IP:").replace(", ", ",")
    }

    /// Gives the node a certificate with these names for this number of days, from the CA of `by`, with its key.
    fn give(&self, running: &Running, (node, kind, by): (&str, &str, &str), names: &str, days: u32) {
        for part in [".pem", "-key.pem"] {
            let file = format!("etc/kiln/issuer/{kind}{part}");
            self.work.file(&format!("ca{part}"), baked(self.bundle, by, &file));
        }
        self.work.file("first.pem", baked(self.bundle, node, &format!("etc/kiln/pki/{kind}.pem")));
        let subject = self.openssl("x509 -in first.pem -noout -subject -nameopt compat,utf8");
        let subject = subject.trim().trim_start_matches("subject=").trim().replace("/CN = ", "/CN=");
        let subject =
            if subject.starts_with('/') { subject } else { format!("/{}", subject.replace(" = ", "=")) };
        let usages = if kind == "peer" { "serverAuth,clientAuth" } else { "serverAuth" };
        self.work.file(
            "ext",
            format!(
                "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage={usages}\n\
                 subjectAltName={names}\n"
            ),
        );
        self.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out new-key.pem");
        self.openssl(&format!("req -new -utf8 -key new-key.pem -subj {subject} -out new.csr"));
        let sign =
            "x509 -req -in new.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -extfile ext -out new.pem";
        self.openssl(&format!("{sign} -days {days}"));
        let read = |name: &str| fs::read(self.work.path().join(name)).unwrap();
        let chain = [read("new.pem"), read("ca.pem")].concat();
        // The link that is live leads to the first generation, which is there.
        for (part, bytes) in [("-key.pem", read("new-key.pem")), (".pem", chain)] {
            fs::write(running.file(node, &format!("etc/kiln/pki/{kind}{part}")), bytes).unwrap();
        }
    }
}

/// The rows of tries with copies of a CA.
const TRIES: [&str; 5] = [
    "peer port refuses no name",
    "peer port refuses another tag",
    "peer port refuses another address",
    "client port refuses a peer",
    "client port refuses a node as root",
];

#[test]
fn what_a_node_makes_is_told_from_what_it_does_not() {
    let work = Workshop::new();
    let bundle = renewing(&work);
    let running = Running::new(&bundle);
    let report = running.report(&bundle);
    assert_eq!(failed(&report), Vec::<String>::new());
    assert!(notes(&report).contains("not tried: certificates that a copy of one node's CA could make"));
    assert!(!notes(&report).contains("accept certificates of every CA below"), "{}", notes(&report));
    assert!(detail(&report, "renewal", "a").starts_with("renews by itself, next on "));

    let mint = Mint { work: &work, bundle: &bundle };
    for kind in ["server", "peer"] {
        mint.give(&running, ("a", kind, "a"), &mint.names("a", kind), 90);
    }
    let report = running.report(&bundle);
    assert_eq!(failed(&report), Vec::<String>::new());
    for check in ["certificate as baked", "peer certificate as baked"] {
        assert!(detail(&report, check, "a").starts_with("made by the node on "), "{report}");
        assert!(detail(&report, check, "b").starts_with("serial "), "{report}");
    }

    let names = mint.names("a", "peer");
    let tag = names.split(',').next().unwrap().trim_start_matches("DNS:");
    let more = format!("{names},DNS:x.{tag}");
    let cases = [
        ("a", more.as_str(), 90, "other-form", format!("also names DNS:x.{tag}")),
        ("a", &names, 91, "too-long", "lives 91d".to_owned()),
        ("b", &names, 90, "wrong-name", "which the CA of b has made".to_owned()),
    ];
    for (by, names, days, fault, text) in cases {
        mint.give(&running, ("a", "peer", by), names, days);
        let report = running.verify(&bundle, &["--json"]).report();
        let row = format!("peer certificate as baked: {fault} a");
        assert!(failed(&report).contains(&row), "{row}: {:?}", failed(&report));
        let said = detail(&report, "peer certificate as baked", "a");
        assert!(said.contains(&text), "{text}: {said}");
    }
}

#[test]
fn what_a_copy_of_a_nodes_ca_makes_is_refused() {
    let work = Workshop::new();
    let bundle = renewing(&work);
    let running = Running::new(&bundle);
    let keystores = work.path().join("keystore");
    let arguments = ["--json", "--keystore", keystores.to_str().unwrap()];
    let report = running.verify(&bundle, &arguments).report();
    assert_eq!(failed(&report), Vec::<String>::new());
    assert_eq!(report["passed"], true, "{report}");
    for (check, node) in TRIES.iter().flat_map(|check| ["a", "b", "c"].map(|node| (check, node))) {
        detail(&report, check, node);
    }
    assert!(!notes(&report).contains("not tried"), "{}", notes(&report));

    // From a node, whose own address a certificate of its CA may be used from.
    let said = Said::of(running.on("a").arg("verify").arg(&bundle).args(arguments));
    assert_eq!(failed(&said.report()), Vec::<String>::new());
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);

    // What another keystore has made is of another CA, and would be refused for that alone.
    run(&mut work.kiln(["keystore", "init", "t", "--keystore", "other"]));
    run(&mut work.kiln(["keystore", "init", "u", "--keystore", "u"]));
    for (keystore, code, text) in [
        ("other", 4, "this keystore did not make the server CA of a"),
        ("u", 6, "it is the keystore of cluster u, not of t"),
        ("nowhere", 2, "there is no keystore at"),
    ] {
        let keystore = work.path().join(keystore);
        let said = running.verify(&bundle, &["--keystore", keystore.to_str().unwrap()]);
        assert!(said.code == Some(code) && said.stderr.contains(text), "{:?} {}", said.code, said.stderr);
    }

    // A later issue of the keystore still has the CAs of this bundle.
    run(&mut work.kiln(["keystore", "renew", "t"]));
    let report = running.verify(&bundle, &arguments).report();
    assert_eq!(failed(&report), Vec::<String>::new());

    // A peer port that does not ask for the tag takes a peer without any name.
    let file = running.file("c", "etc/etcd/etcd.conf");
    let text = fs::read_to_string(&file).unwrap();
    let without: String = text
        .lines()
        .filter(|line| !line.contains("allowed-hostname"))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_ne!(without, text);
    fs::write(&file, without).unwrap();
    running.kill("c");
    let _again = running.start("c", ETCD);
    let said = wait_for("the member", || {
        let said = running.verify(&bundle, &arguments);
        let is_silent = failed(&said.report()).iter().any(|check| check.starts_with("answers"));
        (!is_silent).then_some(said)
    });
    assert_eq!(failed(&said.report()), ["peer port refuses no name: open-to-copies c"], "{}", said.stdout);
    assert!(detail(&said.report(), TRIES[0], "c").contains("it was accepted and got: HTTP/1.0 200 OK"));
}

/// With authentication on, the key that was copied off one node's disk opens nothing once that node's user is gone.
#[test]
fn a_client_key_of_one_node_is_shut_out_alone() {
    let work = Workshop::new();
    let bundle = renewing(&work);
    let running = Running::new(&bundle);
    for node in ["a", "b"] {
        for part in [".pem", "-key.pem"] {
            let file = baked(&bundle, node, &format!("etc/etcd/pki/etcdctl{part}"));
            work.file(&format!("{node}{part}"), file);
        }
    }
    let as_node = |node: &str| {
        let path = |part: &str| work.path().join(format!("{node}{part}")).display().to_string();
        let (cert, key) = (path(".pem"), path("-key.pem"));
        running.try_etcdctl(&["--cert", &cert, "--key", &key, "put", "k", node])
    };
    // Without authentication any client is everyone.
    as_node("a").unwrap();
    let report = running.report(&bundle);
    for node in ["a", "b", "c"] {
        let row = detail(&report, "client certificates in date", node);
        let begin = format!("etc/etcd/pki/etcdctl.pem (CN=etcdctl@{node}) expires in 36");
        assert!(row.starts_with(&begin), "{row}");
    }
    let users = ["root", "etcdctl", "etcdctl@a", "etcdctl@b"];
    for user in users {
        running.etcdctl(&["user", "add", user, "--no-password"]);
        running.etcdctl(&["user", "grant-role", user, "root"]);
    }
    running.etcdctl(&["auth", "enable"]);
    for node in ["a", "b"] {
        as_node(node).unwrap();
    }
    running.etcdctl(&["user", "delete", "etcdctl@a"]);
    let said = as_node("a").unwrap_err();
    assert!(
        said.stderr.contains("user name not found") || said.stderr.contains("permission denied"),
        "{}",
        said.stderr
    );
    as_node("b").unwrap();
    assert_eq!(failed(&running.report(&bundle)), Vec::<String>::new(), "the desk's own has another name");
}

/// Where the desk renews, no node has a CA of which there could be a copy.
#[test]
fn a_keystore_has_no_use_where_the_desk_renews() {
    let work = Workshop::new();
    let bundle = build(&work, "t", &profile(1, "3.5.16", ""));
    let running = Running::new(&bundle);
    let keystore = work.path().join("keystore/t");
    let said = running.verify(&bundle, &["--json", "--keystore", keystore.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    assert!(notes(&said.report()).contains("the keystore was not used: nodes do not renew"));
    assert!(!said.stdout.contains("renewal\""), "{}", said.stdout);
}
