//! Clusters whose nodes renew their own certificates: what each CA signs, what a node's CA can make, the CAs that
//! follow, and that a keystore decides once. openssl is the judge.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Workshop, ha3_with, output, refused, run, store};

/// The keystore of tests has a date, and a build refuses certificates that have ended.
pub const NODES: &str =
    "renewal = \"node\"\nca-lifetime = \"30y\"\nleaf-lifetime = \"9y\"\nnode-ca-lifetime = \"20y\"\n";

pub fn profile(pki: &str) -> String {
    ha3_with(&[("[[node]]\nname = \"cp-a\"", &format!("[pki]\n{pki}\n[[node]]\nname = \"cp-a\""))])
}

pub fn build(work: &Workshop, pki: &str) -> Command {
    work.file("p/ha3.toml", profile(pki));
    let mut command = work.kiln(["build", "--profile", "p/ha3.toml", "--artifacts"]);
    command.arg(store());
    command
}

/// A bundle with the files of each node unpacked beside it.
fn built(work: &Workshop, pki: &str) -> PathBuf {
    work.keystore_of_renewal("ha3");
    run(&mut build(work, pki));
    let bundle = work.path().join("out/ha3");
    for node in ["cp-a", "cp-b", "cp-c"] {
        let to = work.path().join(node);
        fs::create_dir(&to).unwrap();
        let archive = bundle.join(format!("nodes/{node}/overlay.tar.gz"));
        run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(to));
    }
    bundle
}

fn shown(certificate: &Path, what: &[&str]) -> String {
    run(Command::new("openssl").args(["x509", "-noout", "-in"]).arg(certificate).args(what))
}

/// What `openssl verify` says of a certificate, for this purpose; at any time, as the keystore of tests has a date.
fn verify(work: &Workshop, ca: &str, above: &Path, leaf: &Path, purpose: &str) -> Result<(), String> {
    let mut command = Command::new("openssl");
    command
        .args(["verify", "-no_check_time", "-purpose", purpose, "-CAfile"])
        .arg(work.path().join("out/ha3/client").join(ca));
    let done = command.arg("-untrusted").arg(above).arg(leaf).output().unwrap();
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

/// All files below a directory that begin with a certificate.
fn certificates(of: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(of).into_iter().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path());
    files.filter(|path| fs::read(path).unwrap().starts_with(b"-----BEGIN CERTIFICATE")).collect()
}

#[test]
fn a_bundle_says_what_its_nodes_renew() {
    let work = Workshop::new();
    let bundle = built(&work, NODES);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    // Below a root that Kiln made for a cluster are the CAs of its nodes, and no others.
    assert_eq!(manifest["etcd"]["trusts_own_roots"], true);
    let renewed = run(work.kiln(["show"]).arg(&bundle));
    assert!(
        renewed.contains("certificates, the first expires at ")
            && renewed.contains("\n6 more that the nodes renew\n"),
        "{renewed}"
    );
}

#[test]
fn the_cas_of_the_cluster_sign_no_certificate_of_a_member() {
    let work = Workshop::new();
    let bundle = built(&work, NODES);
    let (mut of_nodes, mut of_clients) = (0, 0);
    let client = certificates(&bundle.join("client"));
    let nodes = ["cp-a", "cp-b", "cp-c"].map(|node| certificates(&work.path().join(node))).concat();
    assert!(client.len() >= 4 && nodes.len() >= 18, "{client:?} {nodes:?}");
    for path in client.iter().chain(&nodes) {
        let text = shown(path, &["-issuer", "-subject", "-ext", "basicConstraints,extendedKeyUsage"]);
        let by_cluster =
            text.contains("issuer=CN = ha3 etcd CA") || text.contains("issuer=CN = ha3 etcd peer CA");
        match (by_cluster, text.contains("CA:TRUE"), text.contains("TLS Web Server Authentication")) {
            (true, false, true) => panic!("{}: {text}", path.display()),
            (true, true, _) => {}
            (true, false, false) => {
                assert!(text.contains("TLS Web Client Authentication"), "{text}");
                of_clients += 1;
            }
            (false, is_ca, _) => {
                assert!(!is_ca, "{}: {text}", path.display());
                of_nodes += 1;
            }
        }
    }
    // server and peer of three nodes; etcdctl of each, and the two clients of the bundle.
    assert_eq!((of_nodes, of_clients), (6, 5));
}

#[test]
fn a_nodes_ca_makes_servers_and_peers_of_its_own_names_only() {
    let work = Workshop::new();
    built(&work, NODES);
    let kiln = work.path().join("cp-a/etc/kiln");
    let (server, peer) = (kiln.join("issuer/server.pem"), kiln.join("issuer/peer.pem"));
    verify(&work, "ca.pem", &server, &kiln.join("pki/server.pem"), "sslserver").unwrap();
    verify(&work, "peer-ca.pem", &peer, &kiln.join("pki/peer.pem"), "sslserver").unwrap();
    verify(&work, "peer-ca.pem", &peer, &kiln.join("pki/peer.pem"), "sslclient").unwrap();
    assert!(verify(&work, "ca.pem", &server, &kiln.join("pki/server.pem"), "sslclient").is_err());
    assert!(verify(&work, "ca.pem", &peer, &kiln.join("pki/peer.pem"), "sslserver").is_err());

    let made = |ca: &str, name: &str, usage: &str, names: &str| {
        let (key, request) = (work.path().join("k.pem"), work.path().join("r.csr"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        run(openssl
            .arg("-keyout")
            .arg(&key)
            .args(["-subj", &format!("/CN={name}")])
            .arg("-out")
            .arg(&request));
        let names = if names.is_empty() { String::new() } else { format!("subjectAltName={names}\n") };
        let extensions = work.file("e.txt", format!("extendedKeyUsage={usage}\n{names}"));
        let leaf = work.path().join("leaf.pem");
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-req", "-days", "30", "-in"]).arg(&request).arg("-CA");
        openssl
            .arg(kiln.join(format!("issuer/{ca}.pem")))
            .arg("-CAkey")
            .arg(kiln.join(format!("issuer/{ca}-key.pem")));
        openssl.args(["-CAcreateserial", "-CAserial"]).arg(work.path().join("serial"));
        output(openssl.arg("-extfile").arg(&extensions).arg("-out").arg(&leaf));
        leaf
    };
    let tag = shown(&kiln.join("pki/peer.pem"), &["-ext", "subjectAltName"]);
    let tag = tag.split("DNS:").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert!(tag.starts_with("peer-") && tag.ends_with(".kiln.invalid"), "{tag}");
    let outside = "permitted subtree violation";
    for (ca, usage, purpose, names, want) in [
        ("server", "serverAuth", "sslserver", "IP:10.240.16.10,DNS:cp-a", None),
        ("server", "serverAuth", "sslserver", "IP:10.240.48.10", Some(outside)),
        ("server", "serverAuth", "sslserver", "DNS:cp-b", Some(outside)),
        ("server", "clientAuth", "sslclient", "", Some("unsuitable certificate purpose")),
        ("peer", "clientAuth", "sslclient", &format!("DNS:{tag},IP:10.240.16.10"), None),
        ("peer", "clientAuth", "sslclient", &format!("DNS:{tag},IP:10.240.48.10"), Some(outside)),
        ("peer", "clientAuth", "sslclient", "DNS:peer-0000000000000000.kiln.invalid", Some(outside)),
    ] {
        let leaf = made(ca, "root", usage, names);
        let trusted = if ca == "peer" { "peer-ca.pem" } else { "ca.pem" };
        let issuer = kiln.join(format!("issuer/{ca}.pem"));
        let verdict = verify(&work, trusted, &issuer, &leaf, purpose);
        match want {
            None => assert_eq!(verdict, Ok(()), "{ca} {names}"),
            Some(why) => {
                assert!(verdict.clone().is_err_and(|said| said.contains(why)), "{ca} {names}: {verdict:?}")
            }
        }
    }
}

#[test]
fn the_cas_that_follow_are_trusted_from_the_first_build_on() {
    let work = Workshop::new();
    let bundle = built(&work, NODES);
    let keystore = work.path().join("keystore/ha3");
    for (ca, next, name) in [
        ("ca.pem", "ca-next.pem", "ha3 etcd CA 2"),
        ("peer-ca.pem", "peer-ca-next.pem", "ha3 etcd peer CA 2"),
    ] {
        let trusted = fs::read_to_string(bundle.join("client").join(ca)).unwrap();
        let follows = fs::read_to_string(keystore.join(next)).unwrap();
        assert!(trusted.ends_with(&follows) && trusted.len() > follows.len(), "{ca}");
        assert_eq!(trusted, fs::read_to_string(work.path().join("cp-a/etc/etcd/pki").join(ca)).unwrap());
        let dates = shown(&keystore.join(next), &["-subject", "-enddate", "-ext", "basicConstraints"]);
        // Thirty years, and thirty more: the keystore's date is 2026-01-01, and a year has 365 days.
        for part in [name, "Dec 17 00:00:00 2085", "CA:TRUE, pathlen:1"] {
            assert!(dates.contains(part), "{part}: {dates}");
        }
    }
    // Their secret is not needed by builds, and what it made is not made again.
    let before = crate::support::snapshot(&bundle);
    fs::rename(keystore.join("successor"), work.path().join("elsewhere")).unwrap();
    run(&mut build(&work, NODES));
    assert!(before == crate::support::snapshot(&bundle));

    let good = fs::read(keystore.join("ca-next.pem")).unwrap();
    let back = work.path().join("ca-next.pem");
    fs::write(keystore.join("ca-next.pem"), fs::read(keystore.join("peer-ca-next.pem")).unwrap()).unwrap();
    let said = refused(&mut build(&work, NODES), 4);
    assert!(said.contains("its file ca-next.pem is not the one that it has recorded"), "{said}");
    fs::rename(keystore.join("ca-next.pem"), &back).unwrap();
    let said = refused(&mut build(&work, NODES), 4);
    assert!(said.contains("its file ca-next.pem is missing; restore it from a backup"), "{said}");
    fs::write(&back, good).unwrap();
    fs::rename(&back, keystore.join("ca-next.pem")).unwrap();
    let secret =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(keystore.join("successor"));
    secret.unwrap().write_all(b"short\n").unwrap();
    let said = refused(&mut build(&work, NODES), 4);
    assert!(said.contains("the file successor is not 64 lower-case hex digits"), "{said}");
    assert!(!said.contains("short"), "{said}");
    fs::write(keystore.join("successor"), format!("{}\n", "07".repeat(32))).unwrap();
    let said = refused(&mut build(&work, NODES), 4);
    assert!(said.contains("the file successor is not the secret of the successor of ca"), "{said}");
}

#[test]
fn without_a_seed_the_cas_that_follow_have_a_secret_of_their_own() {
    let work = Workshop::new();
    run(&mut build(&work, NODES));
    let keystore = work.path().join("keystore/ha3");
    let secret = |file: &str| fs::read_to_string(keystore.join(file)).unwrap();
    assert_eq!((secret("successor").len(), secret("secret").len()), (65, 65));
    assert_ne!(secret("successor"), secret("secret"));
    let of_one = secret("ca-next.pem");
    // The secret that is kept elsewhere is not made again.
    fs::remove_file(keystore.join("successor")).unwrap();
    run(&mut build(&work, NODES));
    run(&mut work.kiln(["keystore", "renew", "ha3"]));
    run(&mut build(&work, NODES));
    assert_eq!(secret("ca-next.pem"), of_one);
    assert!(!keystore.join("successor").exists());
}

/// Where the desk renews, all nodes have the same: `tests/golden`.
#[test]
fn each_node_has_a_user_of_its_own() {
    let work = Workshop::new();
    built(&work, NODES);
    let of_node = |node: &str| {
        let etcdctl = work.path().join(node).join("etc/etcd/pki/etcdctl.pem");
        shown(&etcdctl, &["-subject", "-issuer", "-nameopt", "RFC2253"])
    };
    for node in ["cp-a", "cp-b", "cp-c"] {
        assert_eq!(of_node(node), format!("subject=CN=etcdctl@{node}\nissuer=CN=ha3 etcd CA\n"));
    }
    let client = work.path().join("out/ha3/client/etcdctl.pem");
    assert_eq!(shown(&client, &["-subject", "-nameopt", "RFC2253"]), "subject=CN=etcdctl\n");
    let plan = run(work.kiln(["plan", "--profile", "p/ha3.toml", "--artifacts"]).arg(store()));
    assert!(plan.contains("/etc/etcd/pki/etcdctl.pem  CN=etcdctl@cp-b\n"), "{plan}");

    let same = Workshop::new();
    same.keystore_of_renewal("ha3");
    let of_client = "[pki.client]\ncommon-name = \"operator\"\n";
    let (_, _, said) = output(&mut build(&same, &format!("{NODES}{of_client}")));
    assert!(said.contains("[pki.client] common-name is the same on every node"), "{said}");
}

#[test]
fn the_constraints_are_those_that_the_profile_wants() {
    let work = Workshop::new();
    built(&work, &format!("{NODES}node-ca-constraints = \"names\"\n"));
    let issuer = |kind: &str| {
        shown(&work.path().join(format!("cp-a/etc/kiln/issuer/{kind}.pem")), &["-ext", "nameConstraints"])
    };
    assert!(
        !issuer("server").contains("IP:") && issuer("server").contains("DNS:cp-a.kloud.lan"),
        "{}",
        issuer("server")
    );
    assert!(issuer("peer").contains("IP:10.240.16.10/255.255.255.255"), "{}", issuer("peer"));
    let rule = fs::read_to_string(work.path().join("cp-a/etc/kiln/renew.json")).unwrap();
    assert!(rule.contains("\"life\": 7776000"), "{rule}");
}

#[test]
fn an_issuing_ca_may_be_above_those_of_nodes() {
    let work = Workshop::new();
    let tables = format!(
        "{NODES}[pki.ca]\nintermediate = true\nname-constraints = true\n[pki.peer-ca]\nlifetime = \"30y\"\nintermediate = true\n"
    );
    built(&work, &tables);
    let kiln = work.path().join("cp-a/etc/kiln");
    for (ca, kind) in [("ca.pem", "server"), ("peer-ca.pem", "peer")] {
        let above = kiln.join(format!("issuer/{kind}.pem"));
        assert_eq!(
            fs::read_to_string(&above).unwrap().matches("BEGIN").count(),
            2,
            "its own CA and the issuing one"
        );
        verify(&work, ca, &above, &kiln.join(format!("pki/{kind}.pem")), "sslserver").unwrap();
    }
    let root =
        shown(&work.path().join("out/ha3/client/ca.pem"), &["-ext", "basicConstraints,nameConstraints"]);
    assert!(root.contains("pathlen:2") && root.contains("IP:10.240.16.10"), "{root}");
}

#[test]
fn peers_that_are_dialed_by_name_have_that_name() {
    let work = Workshop::new();
    work.keystore("ha3");
    let text = profile(NODES).replace("# [etcd] version", "[etcd]\npeer-url = \"fqdn\"\n# [etcd] version");
    work.file("p/ha3.toml", text);
    run(work.kiln(["build", "--profile", "p/ha3.toml", "--artifacts"]).arg(store()));
    let to = work.path().join("cp-a");
    fs::create_dir(&to).unwrap();
    let archive = work.path().join("out/ha3/nodes/cp-a/overlay.tar.gz");
    run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&to));
    let names = shown(&to.join("etc/kiln/pki/peer.pem"), &["-ext", "subjectAltName"]);
    assert!(names.contains(".kiln.invalid, DNS:cp-a.kloud.lan, IP Address:10.240.16.10"), "{names}");
}

/// What a killed first build has left of the successors means nothing before the list names them.
#[test]
fn a_first_build_that_was_killed_between_its_files_leaves_a_keystore_that_works() {
    let (work, other) = (Workshop::new(), Workshop::new());
    run(&mut build(&other, NODES));
    let left = other.path().join("keystore/ha3");
    for parts in [
        &["ca-next.pem"][..],
        &["ca-next.pem", "peer-ca-next.pem"],
        &["successor"],
        &["successor", "ca-next.pem"],
    ] {
        let keystore = work.path().join("keystore/ha3");
        run(&mut work.kiln(["keystore", "init", "ha3"]));
        for part in parts {
            fs::copy(left.join(part), keystore.join(part)).unwrap();
        }
        run(&mut build(&work, NODES));
        let before = crate::support::snapshot(&keystore);
        run(&mut build(&work, NODES));
        assert!(before == crate::support::snapshot(&keystore), "{parts:?}");
        let trusted = fs::read_to_string(work.path().join("out/ha3/client/ca.pem")).unwrap();
        assert!(trusted.ends_with(&fs::read_to_string(keystore.join("ca-next.pem")).unwrap()), "{parts:?}");
        fs::rename(&keystore, work.path().join(parts.join("-"))).unwrap();
        fs::rename(work.path().join("out/ha3"), work.path().join(format!("{}.out", parts.join("-"))))
            .unwrap();
    }
}

#[test]
fn nodes_do_not_renew_under_an_imported_ca() {
    let (work, lab) = (Workshop::new(), super::tools::Lab::new());
    lab.ca("ca", "EC -pkeyopt ec_paramgen_curve:P-256", "/CN=Corp", None, &[]);
    work.file("ca.pem", lab.read("ca.pem"));
    work.file("ca.key", lab.read("ca.key"));
    run(&mut work.kiln(["keystore", "init", "ha3"]));
    run(&mut work.kiln(["keystore", "import-ca", "ha3", "--cert", "ca.pem", "--key", "ca.key"]));
    let said = refused(&mut build(&work, NODES), 6);
    assert!(
        said.contains("needs CAs that Kiln makes, and the keystore keystore/ha3 has an imported CA"),
        "{said}"
    );
    assert!(!work.path().join("keystore/ha3/ca-next.pem").exists());
}

/// Copies of a fleet's keystores on several machines, each of which builds a part of it.
#[test]
fn copies_of_a_fleets_keystore_come_to_the_same_successors() {
    let (one, other) = (Workshop::new(), Workshop::new());
    one.file("p/ha3.toml", profile(NODES));
    let store = store();
    run(one.kiln(["keystore", "init", "--fleet", "p", "--keystore", "keystore", "--artifacts"]).arg(store));
    run(Command::new("cp").arg("-a").arg(one.path().join("keystore")).arg(other.path().join("keystore")));
    run(&mut build(&one, NODES));
    run(&mut build(&other, NODES));
    let trusted = |work: &Workshop| fs::read_to_string(work.path().join("out/ha3/client/ca.pem")).unwrap();
    assert_eq!(trusted(&one), trusted(&other));
}
