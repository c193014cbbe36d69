//! Whose CA a cluster has: what the profile says of it, and what the keystore has.

use std::fs;
use std::process::Command;

use crate::support::{Workshop, output, refused, run, store};

fn profile(tables: &str) -> String {
    format!(
        "schema = 1\n[cluster]\nname = \"golden\"\n[etcd]\nversion = \"3.5.16\"\n[network]\ncidr = \"10.0.0.0/24\"\n[[node]]\n\
         name = \"n1\"\naddress = \"10.0.0.11\"\n{tables}"
    )
}

fn kiln(work: &Workshop, verb: &str, tables: &str) -> Command {
    work.file("p.toml", profile(tables));
    let mut command = work.kiln([verb, "--profile", "./p.toml", "--artifacts"]);
    command.arg(store());
    command
}

/// `ca.pem` below `root.pem`, `chain.pem` with both, and `peers.pem`, each with its key.
fn cas(work: &Workshop) {
    let make = |name: &str, by: &str| {
        let usage = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign";
        let line = format!(
            "req -x509 -config /dev/null -newkey rsa:2048 -nodes -keyout {name}.key -subj /CN={name} -days 3000 {usage} \
             -addext subjectKeyIdentifier=hash -addext authorityKeyIdentifier=keyid:always {by} -out {name}.pem"
        );
        work.file("dn.conf", "[req]\ndistinguished_name=dn\n[dn]\n");
        let line = line.replace("/dev/null", "dn.conf");
        run(Command::new("openssl").args(line.split_whitespace()).current_dir(work.path()));
    };
    make("root", "");
    make("ca", "-CA root.pem -CAkey root.key");
    make("peers", "");
    let read = |name: &str| fs::read_to_string(work.path().join(name)).unwrap();
    work.file("chain.pem", read("ca.pem") + &read("root.pem"));
}

fn import(work: &Workshop, cert: &str, key: &str, more: &[&str]) -> Command {
    let mut command = work.kiln(["keystore", "import-ca", "golden", "--cert", cert, "--key", key]);
    command.args(more);
    command
}

/// H12: otherwise the imported CA would sign, and nobody would say so.
#[test]
fn a_derived_ca_is_not_taken_from_a_keystore_with_an_imported_one() {
    let work = Workshop::new();
    cas(&work);
    work.keystore("golden");
    run(&mut import(&work, "chain.pem", "ca.key", &[]));
    for tables in ["[pki.ca]\nsource = \"derived\"\n", "[pki.ca]\nsource = \"derived\"\nlifetime = \"5y\"\n"]
    {
        let said = refused(&mut kiln(&work, "build", tables), 6);
        assert!(said.contains("[pki.ca] source is \"derived\", but the keystore"), "{said}");
    }
    // What cannot be so is a warning where the profile does not say whose CA it is.
    let (code, _, said) = output(&mut kiln(&work, "check", "[pki.ca]\nlifetime = \"5y\"\n"));
    assert!(code == 0 && said.contains("algorithm, lifetime, subject"), "{said}");
    let (code, _, said) = output(&mut kiln(&work, "check", ""));
    assert!(code == 0 && !said.contains("have no effect"), "{said}");
    run(&mut import(&work, "peers.pem", "peers.key", &["--as", "peer-ca"]));
    let mut command = kiln(&work, "check", "[pki.peer-ca]\nsource = \"imported\"\n");
    let said = refused(command.args(["--set", "pki.peer-ca.source=\"derived\""]), 6);
    assert!(said.contains("[pki.peer-ca] source is \"derived\"") && said.contains("CA for peers"), "{said}");
}

/// H14c, N4: the warning about a missing root can be followed, as long as nothing is built.
#[test]
fn the_chain_of_an_imported_ca_is_completed_before_the_first_build() {
    let work = Workshop::new();
    cas(&work);
    work.keystore("golden");
    let (_, _, said) = output(&mut import(&work, "ca.pem", "ca.key", &[]));
    assert!(said.contains("has no root") && said.contains("append its certificate"), "{said}");
    let said = refused(&mut import(&work, "ca.pem", "ca.key", &[]), 6);
    assert!(said.contains("has an imported CA already;"), "{said}");
    run(&mut import(&work, "chain.pem", "ca.key", &[]));
    let said = refused(&mut import(&work, "peers.pem", "peers.key", &[]), 6);
    assert!(said.contains("has an imported CA already;"), "{said}");
    run(&mut kiln(&work, "build", ""));
    let trusted = fs::read(work.path().join("out/p/client/ca.pem")).unwrap();
    assert_eq!(trusted, fs::read(work.path().join("root.pem")).unwrap());
    let said = refused(&mut import(&work, "ca.pem", "ca.key", &[]), 6);
    assert!(said.contains("already, and nodes trust it"), "{said}");
}

/// H13: the issue that begins with the CA has a date, too.
#[test]
fn two_people_make_the_same_bytes_with_an_imported_ca() {
    let work = Workshop::new();
    cas(&work);
    let mut lists = Vec::new();
    // The CA is valid from when it was made.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 60;
    let (date, seconds) = (kiln::values::Epoch::from_seconds(now).unwrap().to_string(), now.to_string());
    for by_flag in [true, true, false] {
        let _ = fs::remove_dir_all(work.path().join("keystore"));
        work.keystore("golden");
        let mut command = import(&work, "chain.pem", "ca.key", &[]);
        match by_flag {
            true => command.args(["--issue-date", &date]),
            false => command.env("SOURCE_DATE_EPOCH", &seconds),
        };
        run(&mut command);
        lists.push(fs::read_to_string(work.path().join("keystore/golden/keystore.toml")).unwrap());
    }
    assert!(lists[0].contains(&date), "{}", lists[0]);
    assert!(lists.iter().all(|list| *list == lists[0]), "{lists:?}");
}

/// N5: a plan shows no CA that will never be.
#[test]
fn a_plan_says_that_an_imported_ca_is_missing() {
    let work = Workshop::new();
    cas(&work);
    let both = "[pki.ca]\nsource = \"imported\"\n[pki.peer-ca]\nsource = \"imported\"\n";
    let said = run(&mut kiln(&work, "plan", both));
    assert_eq!(
        said.matches("imported: missing; a build is refused until kiln keystore import-ca").count(),
        3,
        "{said}"
    );
    assert!(!said.contains(", 10y"), "{said}");
    let json: serde_json::Value =
        serde_json::from_str(&run(kiln(&work, "plan", both).arg("--json"))).unwrap();
    assert_eq!(json["ca"], serde_json::json!({ "origin": "missing" }));
    assert!(json["authorities"].as_array().unwrap().iter().all(|one| one["origin"] == "missing"), "{json}");
    work.keystore("golden");
    run(&mut import(&work, "chain.pem", "ca.key", &[]));
    let said = run(&mut kiln(&work, "plan", "[pki.ca]\nsource = \"imported\"\n"));
    assert!(said.contains("imported: CN=ca, RSA 2048, ends "), "{said}");
}

/// H14a: the lifetime that is too short is the intermediate's.
#[test]
fn a_leaf_that_outlives_the_intermediate_names_it_and_its_line() {
    let work = Workshop::new();
    let said = refused(
        &mut kiln(&work, "check", "[pki.ca]\nintermediate = true\nintermediate-lifetime = \"30d\"\n"),
        3,
    );
    assert!(said.contains("intermediate-lifetime longer") && said.contains("p.toml:13:"), "{said}");
}

/// The way out is not one that is then refused.
#[test]
fn a_keystore_that_has_issued_is_not_told_to_import() {
    let work = Workshop::new();
    work.keystore("golden");
    run(&mut kiln(&work, "build", ""));
    let said = refused(&mut kiln(&work, "build", "[pki.ca]\nsource = \"imported\"\n"), 4);
    assert!(said.contains("none can be imported any more") && said.contains("--keystore DIR"), "{said}");
    let steps = "create another keystore with kiln keystore init golden --keystore DIR, and import the CA with kiln keystore \
                 import-ca golden --keystore DIR";
    assert!(said.contains(steps) && said.matches("import-ca").count() == 1, "{said}");
}
