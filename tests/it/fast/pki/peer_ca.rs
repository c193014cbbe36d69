//! An imported CA for peers, beside an imported or a derived one for everything else.

use std::fs;

use super::tools::Lab;
use crate::support::{Workshop, output, refused, run, store};

const EC: &str = "EC -pkeyopt ec_paramgen_curve:P-256";

fn import(work: &Workshop, lab: &Lab, name: &str, chain: &[&str], of: &str) -> std::process::Command {
    let bytes: Vec<u8> = chain.iter().flat_map(|file| lab.read(&format!("{file}.pem"))).collect();
    work.file(&format!("{name}.pem"), bytes);
    work.file(&format!("{name}.key"), lab.read(&format!("{name}.key")));
    let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
    work.kiln(["keystore", "import-ca", "golden", "--as", of, "--cert", &cert, "--key", &key])
}

fn profile(tables: &str) -> String {
    format!(
        "schema = 1\n[cluster]\nname = \"golden\"\n[etcd]\nversion = \"3.5.16\"\n[network]\ncidr = \"10.0.0.0/24\"\n[[node]]\n\
         name = \"n1\"\naddress = \"10.0.0.11\"\n{tables}"
    )
}

const BOTH: &str =
    "[pki.ca]\nsource = \"imported\"\n[pki.peer-ca]\nsource = \"imported\"\nfile = \"peers.crt\"\n";

fn build(work: &Workshop, tables: &str) -> std::process::Command {
    work.file("p.toml", profile(tables));
    let mut command = work.kiln(["build", "--profile", "./p.toml", "--artifacts"]);
    command.arg(store());
    command
}

#[test]
fn both_cas_may_be_foreign() {
    let (lab, work) = (Lab::new(), Workshop::new());
    lab.ca("root", EC, "/CN=Corp", None, &[]).ca("ca", EC, "/CN=etcd", Some("root"), &[]);
    lab.ca("peers", "RSA -pkeyopt rsa_keygen_bits:2048", "/CN=peers", None, &[]);
    let message = refused(&mut build(&work, BOTH), 4);
    assert!(message.contains("[pki.ca] source is \"imported\""), "{message}");
    work.desk("golden");
    run(&mut import(&work, &lab, "ca", &["ca", "root"], "ca"));
    let message = refused(&mut build(&work, BOTH), 4);
    let command = "import the CA with kiln keystore import-ca golden --keystore keystore/golden --cert peer-ca.pem \
                   --key peer-ca-key.pem --as peer-ca";
    let parts = [command, "no imported CA for peers"];
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    assert!(!message.contains("keystore init"), "{message}");
    let formed = profile(BOTH).replace("[etcd]", "token = \"t\"\nformed = true\n[etcd]");
    work.file("formed.toml", formed);
    let message = refused(work.kiln(["build", "--profile", "./formed.toml", "--artifacts"]).arg(store()), 6);
    assert!(message.contains("[pki.peer-ca] source") && message.contains("--as peer-ca"), "{message}");

    let said = run(&mut import(&work, &lab, "peers", &["peers"], "peer-ca"));
    assert!(
        said.contains("now signs peers' certificates with the CA of peers.pem (CN=peers, RSA 2048"),
        "{said}"
    );
    let message = refused(&mut import(&work, &lab, "peers", &["peers"], "peer-ca"), 6);
    assert!(message.contains("has an imported CA for peers already"), "{message}");
    let list = work.path().join("keystore/golden/keystore.toml");
    assert!(fs::read_to_string(&list).unwrap().starts_with("# Written by kiln"));
    assert!(fs::read_to_string(&list).unwrap().contains("schema = 4\n"));
    let message = refused(&mut build(&work, "[pki.ca]\nsource = \"imported\"\n"), 6);
    assert!(message.contains("which this profile does not use"), "{message}");

    let planned = run(work.kiln(["plan", "--profile", "./p.toml", "--artifacts"]).arg(store()));
    assert!(!planned.contains("imported: CN=peers"), "{planned}");
    run(&mut build(&work, BOTH));
    let planned = run(work.kiln(["plan", "--profile", "./p.toml", "--artifacts"]).arg(store()));
    assert!(planned.contains("  peer-ca    peers.crt imported: CN=peers, RSA 2048, ends "), "{planned}");
    let client = work.path().join("out/p/client");
    assert_eq!(fs::read(client.join("peer-ca.pem")).unwrap(), lab.read("peers.pem"));
    assert_eq!(fs::read(client.join("ca.pem")).unwrap(), lab.read("root.pem"));
    let text = fs::read_to_string(&list).unwrap();
    assert!(text.contains("\npeer-ca-sha256 = \"") && text.contains("\nca-sha256 = \""), "{text}");
    let shown = run(&mut work.kiln(["keystore", "show", "golden"]));
    assert!(shown.contains("\n  peer-ca imported, CN=peers, RSA 2048, ends "), "{shown}");
    let json = run(&mut work.kiln(["keystore", "show", "golden", "--json"]));
    assert!(json.contains("\"peer_ca\"") && !json.contains("PRIVATE"), "{json}");
    // The same bytes again, and the same CAs after a renewal.
    let before = crate::support::snapshot(&work.path().join("out/p"));
    run(&mut build(&work, BOTH));
    assert_eq!(crate::support::snapshot(&work.path().join("out/p")), before);
    run(&mut work.kiln(["check", "out/p"]));
    run(&mut work.kiln(["seal", "out/p"]));
    run(&mut work.kiln(["keystore", "renew", "golden"]));
    run(&mut build(&work, BOTH));
    assert_eq!(fs::read(client.join("peer-ca.pem")).unwrap(), lab.read("peers.pem"));
    // Nothing that describes a CA has an effect on this one.
    let described = BOTH.replace("source = \"imported\"\nfile", "common-name = \"x\"\nfile");
    let (code, _, warned) = output(&mut build(&work, &described));
    assert!(code == 0 && warned.contains("name-constraints of [pki.peer-ca] have no effect"), "{warned}");
}

#[test]
fn only_the_peers_ca_may_be_foreign() {
    let (lab, work) = (Lab::new(), Workshop::new());
    lab.ca("peers", EC, "/CN=peers", None, &[]);
    work.desk("golden");
    run(&mut import(&work, &lab, "peers", &["peers"], "peer-ca"));
    run(&mut build(&work, "[pki.peer-ca]\nsource = \"imported\"\n"));
    let shown = run(&mut work.kiln(["keystore", "show", "golden"]));
    assert!(shown.contains("CA     derived, CN=golden etcd CA") && shown.contains("CN=peers"), "{shown}");
    let message = refused(&mut import(&work, &lab, "peers", &["peers"], "ca"), 6);
    assert!(message.contains("has issued certificates under its own CA"), "{message}");
    let key = work.path().join("keystore/golden/peer-ca-key.pem");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&key).unwrap()) & 0o777, 0o600);
    let mut bytes = fs::read(&key).unwrap();
    bytes[60] ^= 1;
    fs::write(&key, &bytes).unwrap();
    let message = refused(&mut build(&work, "[pki.peer-ca]\nsource = \"imported\"\n"), 4);
    assert!(message.contains("changed") && !message.contains("PRIVATE"), "{message}");
    fs::remove_file(&key).unwrap();
    let message = refused(&mut build(&work, "[pki.peer-ca]\nsource = \"imported\"\n"), 4);
    assert!(message.contains("peer-ca-key.pem is missing"), "{message}");
}

/// `kiln verify` says which other certificates a port accepts: those below an imported root, not those below Kiln's
/// own.
#[test]
fn the_manifest_says_for_each_authority_whether_its_root_is_kilns_own() {
    let lab = Lab::new();
    lab.ca("root", EC, "/CN=Corp", None, &[]).ca("one", EC, "/CN=one", Some("root"), &[]);
    let (own, own_peers) = ("[pki.ca]\nintermediate = true\n", "[pki.peer-ca]\nintermediate = true\n");
    let peers = "[pki.peer-ca]\n";
    let both = serde_json::json!(true);
    for (imported, tables, want) in [
        ("", own.to_owned(), both.clone()),
        ("", format!("{own}{own_peers}"), both.clone()),
        ("", format!("{own}{peers}"), both),
        ("", peers.to_owned(), serde_json::Value::Null),
        ("ca", own.to_owned(), serde_json::Value::Null),
        ("ca", format!("{own}{own_peers}"), serde_json::json!(["peer-ca"])),
        ("peer-ca", format!("{own}{peers}"), serde_json::json!(["ca"])),
    ] {
        let work = Workshop::new();
        work.desk("golden");
        if !imported.is_empty() {
            run(&mut import(&work, &lab, "one", &["one", "root"], imported));
        }
        run(&mut build(&work, &tables));
        let bundle = fs::read(work.path().join("out/p/bundle.json")).unwrap();
        let bundle: serde_json::Value = serde_json::from_slice(&bundle).unwrap();
        assert_eq!(bundle["etcd"]["trusts_own_roots"], want, "{imported} {tables}");
        run(&mut work.kiln(["check", "out/p"]));
    }
}

/// etcd lets in what a CA below a trusted one has issued.
#[test]
fn neither_ca_is_or_issues_the_other() {
    let lab = Lab::new();
    lab.ca("root", EC, "/CN=Corp", None, &[]);
    for name in ["one", "two"] {
        lab.ca(
            name,
            EC,
            &format!("/CN={name}"),
            Some("root"),
            &["basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign"],
        );
    }
    // Each: the first CA, the second, and what is said; none where both are taken.
    let cases: [(&[&str], &[&str], &str); 6] = [
        (&["root"], &["root"], "would be one CA, CN=Corp"),
        (&["one", "root"], &["one"], "would be one CA, CN=one"),
        (&["root"], &["one", "root"], "the CA peer-ca is issued by the CA ca, CN=Corp"),
        (&["root"], &["one"], "the CA peer-ca is issued by the CA ca, CN=Corp"),
        (&["one"], &["root"], "the CA ca is issued by the CA peer-ca, CN=Corp"),
        (&["one", "root"], &["two", "root"], ""),
    ];
    for (first, second, why) in cases {
        let work = Workshop::new();
        work.desk("golden");
        run(&mut import(&work, &lab, first[0], first, "ca"));
        let before = fs::read(work.path().join("keystore/golden/keystore.toml")).unwrap();
        let mut second = import(&work, &lab, second[0], second, "peer-ca");
        if why.is_empty() {
            run(&mut second);
            continue;
        }
        let message = refused(&mut second, 4);
        assert!(message.contains(why), "{why}: {message}");
        assert_eq!(before, fs::read(work.path().join("keystore/golden/keystore.toml")).unwrap());
        assert!(!work.path().join("keystore/golden/peer-ca.pem").exists());
    }
}

/// The checks of any imported CA, before anything is written.
#[test]
fn an_unfit_ca_for_peers_is_refused() {
    let lab = Lab::new();
    let usage = "keyUsage=critical,keyCertSign,cRLSign";
    lab.ca("leaf", EC, "/CN=leaf", None, &["basicConstraints=critical,CA:FALSE"]);
    lab.ca(
        "signs",
        EC,
        "/CN=signs",
        None,
        &["basicConstraints=critical,CA:TRUE", "keyUsage=critical,cRLSign"],
    );
    lab.ca(
        "small",
        "RSA -pkeyopt rsa_keygen_bits:1024",
        "/CN=small",
        None,
        &["basicConstraints=critical,CA:TRUE", usage],
    );
    lab.ca("other", EC, "/CN=other", None, &[]).ca("fine", EC, "/CN=fine", None, &[]);
    lab.write("mixed.pem", lab.read("fine.pem")).write("mixed.key", lab.read("other.key"));
    lab.write("junk.pem", "junk").write("junk.key", lab.read("other.key"));
    let work = Workshop::new();
    work.desk("golden");
    let before = fs::read(work.path().join("keystore/golden/keystore.toml")).unwrap();
    for name in ["leaf", "signs", "small", "mixed", "junk"] {
        let message = refused(&mut import(&work, &lab, name, &[name], "peer-ca"), 4);
        assert!(!message.contains("PRIVATE"), "{name}: {message}");
        assert_eq!(before, fs::read(work.path().join("keystore/golden/keystore.toml")).unwrap(), "{name}");
        assert!(!work.path().join("keystore/golden/peer-ca.pem").exists(), "{name}");
    }
    let message = refused(&mut import(&work, &lab, "fine", &["fine"], "peers"), 2);
    assert!(message.contains("peer-ca"), "{message}");
}

/// A backup from before the first build has no record of its CAs.
#[test]
fn a_seal_records_no_derived_ca_for_peers_that_it_cannot_know() {
    let work = Workshop::new();
    let tables = "[pki.peer-ca]\nalgorithm = \"p384\"\n";
    let list = || fs::read_to_string(work.path().join("keystore/golden/keystore.toml")).unwrap();
    work.desk("golden");
    let backup = list();
    run(&mut build(&work, tables));
    let recorded = list();
    fs::write(work.path().join("keystore/golden/keystore.toml"), &backup).unwrap();
    let message = refused(&mut work.kiln(["seal", "out/p"]), 6);
    for part in [
        "the bundle's peers have a CA of their own, of which keystore/golden has no record",
        "build the bundle's profile",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(list(), backup);
    // The way out.
    run(&mut build(&work, tables));
    assert_eq!(list(), recorded);
    run(&mut work.kiln(["seal", "out/p"]));
    assert!(list().contains("name = \"peer-ca\""), "{}", list());
    run(&mut build(&work, tables));

    // The same of the CA for everything else.
    let work = Workshop::new();
    let list = || fs::read_to_string(work.path().join("keystore/golden/keystore.toml")).unwrap();
    work.desk("golden");
    let backup = list();
    run(&mut build(&work, "[pki.ca]\nintermediate = true\n"));
    fs::write(work.path().join("keystore/golden/keystore.toml"), &backup).unwrap();
    let message = refused(&mut work.kiln(["seal", "out/p"]), 6);
    assert!(message.contains("which has no record of its CA; use the keystore as it was"), "{message}");
    run(&mut build(&work, "[pki.ca]\nintermediate = true\n"));
    run(&mut work.kiln(["seal", "out/p"]));
}

#[test]
fn a_seal_records_the_imported_ca_for_peers_if_it_is_the_bundles() {
    let (lab, work) = (Lab::new(), Workshop::new());
    lab.ca("peers", EC, "/CN=peers", None, &[]).ca("others", EC, "/CN=others", None, &[]);
    let path = work.path().join("keystore/golden/keystore.toml");
    let tables = "[pki.peer-ca]\nsource = \"imported\"\n";
    work.desk("golden");
    let empty = fs::read_to_string(&path).unwrap();
    run(&mut import(&work, &lab, "peers", &["peers"], "peer-ca"));
    let imported = fs::read_to_string(&path).unwrap();
    run(&mut build(&work, tables));
    fs::write(&path, &imported).unwrap();
    run(&mut work.kiln(["seal", "out/p"]));
    assert!(fs::read_to_string(&path).unwrap().contains("\npeer-ca-sha256 = \""));

    // A bundle without such a CA, and one with another.
    let secret = fs::read(work.path().join("keystore/golden/secret")).unwrap();
    for (name, tables) in [("none", ""), ("others", tables)] {
        let work = Workshop::new();
        let keystore = work.path().join("keystore/golden");
        work.desk("golden");
        fs::write(keystore.join("secret"), &secret).unwrap();
        fs::write(keystore.join("keystore.toml"), &empty).unwrap();
        if !tables.is_empty() {
            run(&mut import(&work, &lab, name, &[name], "peer-ca"));
        }
        run(&mut build(&work, tables));
        for file in ["peer-ca.pem", "peer-ca-key.pem"] {
            let _ = fs::remove_file(keystore.join(file));
        }
        fs::write(keystore.join("keystore.toml"), &empty).unwrap();
        run(&mut import(&work, &lab, "peers", &["peers"], "peer-ca"));
        let message = refused(&mut work.kiln(["seal", "out/p"]), 6);
        assert!(
            message.contains("has an imported CA for peers, CN=peers, which is not the bundle's"),
            "{message}"
        );
    }
}
