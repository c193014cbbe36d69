//! All certificates of one keystore come from one CA: derived or imported, before the seal and after it.

use std::fs;
use std::process::Command;

use super::{
    Changes, FOURTH, SMALL, all_are_refused, build, changed, import, list, own_ca, sealed_workshop, workshop,
};
use crate::support::{refused, run, store};
use serde_json::Value;

/// Advice names the key that the profile has, and otherwise the one of today.
#[test]
fn advice_about_the_ca_names_the_key_that_the_profile_uses() {
    let work = workshop();
    run(&mut build(&work, &[]));
    let with =
        |table: &str| format!("{SMALL}\n{table}\n").replace("pki = { leaf-algorithm = \"p256\" }\n", "");
    let advice_old =
        ["set [pki] ca-lifetime = \"10y\" (leaf-lifetime may change)", "set [pki] ca-algorithm = \"p256\""];
    let advice =
        ["set [pki.ca] lifetime = \"10y\" (leaf-lifetime may change)", "set [pki.ca] algorithm = \"p256\""];
    let changes: Changes = &[
        ("older names", with("[pki]\nca-algorithm = \"p384\"\nca-lifetime = \"20y\""), &advice_old),
        ("names of today", with("[pki.ca]\nalgorithm = \"p384\"\nlifetime = \"20y\""), &advice),
        ("one for all keys", with("[pki]\nalgorithm = \"p384\""), &advice[1..]),
    ];
    all_are_refused(&work, changes);
}

#[test]
fn a_formed_cluster_takes_no_other_ca() {
    let work = sealed_workshop();
    let before = list(&work);
    own_ca(&work);
    let message = refused(&mut import(&work), 6);
    assert!(message.contains("keystore/small is sealed: its cluster has formed under the CA"), "{message}");
    assert!(message.contains("kiln keystore init small --keystore DIR"), "{message}");
    assert_eq!(list(&work), before);
}

/// Nodes of an unsealed cluster may run all the same: their certificates tie them to one CA.
#[test]
fn certificates_of_one_keystore_come_from_one_ca() {
    let work = workshop();
    own_ca(&work);
    run(&mut build(&work, &[]));
    let changes: Changes = &[
        (
            "another key",
            changed("leaf-algorithm", "ca-algorithm = \"ed25519\", leaf-algorithm"),
            &["this profile does not fit the keystore keystore/small", "the CA's key would be ed25519"],
        ),
        (
            "another life",
            changed("leaf-algorithm", "ca-lifetime = \"20y\", leaf-algorithm"),
            &["set [pki] ca-lifetime = \"10y\" (leaf-lifetime may change)"],
        ),
    ];
    all_are_refused(&work, changes);
    let message = refused(&mut import(&work), 6);
    assert!(message.contains("has issued certificates under its own CA"), "{message}");
    // Nothing has formed yet, as far as the keystore knows.
    work.file("small.toml", format!("{}{FOURTH}", changed("10.0.0.5", "10.0.0.50")));
    run(&mut build(&work, &[]));

    // Before the first build, a CA can be imported: once.
    let work = workshop();
    own_ca(&work);
    run(&mut import(&work));
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    // The imported one has its own key and lifetime.
    work.file("small.toml", changed("leaf-algorithm", "ca-algorithm = \"ed25519\", leaf-algorithm"));
    run(&mut build(&work, &[]));
    refused(&mut import(&work), 6);
    assert!(list(&work).contains("ca-sha256 = "), "{}", list(&work));
}

/// The bundle's clients trust the root, and members the intermediate: sealing finds the issuing CA.
#[test]
fn a_cluster_under_an_intermediate_ca_is_sealed_by_the_ca_that_issued() {
    let work = workshop();
    let script = "set -e; new() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $1.key; }; new root; new ca; \
                  openssl req -x509 -new -key root.key -subj /CN=root -days 3650 -addext keyUsage=critical,keyCertSign,cRLSign \
                  -out root.pem; \
                  openssl req -x509 -new -key ca.key -CA root.pem -CAkey root.key -subj /CN=issuing -days 3650 \
                  -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign -out sub.pem; \
                  cat sub.pem root.pem >ca.pem";
    run(Command::new("sh").args(["-c", script]).current_dir(work.path()));
    run(&mut import(&work));
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    run(&mut build(&work, &[]));
    assert_eq!(list(&work).matches("ca-sha256 = ").count(), 2, "{}", list(&work));
    work.file("small.toml", format!("{SMALL}{FOURTH}"));
    refused(&mut build(&work, &[]), 6);
}

/// Makes the files of a fourth member as in the README, "Changing a formed cluster".
#[test]
fn a_second_keystore_with_the_same_secret_issues_under_the_same_ca() {
    let work = workshop();
    run(&mut work.kiln(["keystore", "renew", "small", "--issued", "2026-02-01"]));
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    // The test's secret is one that --seed-file refuses.
    work.keystore_at("aside/small", "small");
    work.file("small.toml", format!("{SMALL}{FOURTH}"));
    run(&mut build(&work, &["--keystore", "aside/small", "--out", "aside/four"]));
    let read = |path: &str| fs::read(work.path().join(path)).unwrap();
    assert_eq!(read("out/small/client/ca.pem"), read("aside/four/client/ca.pem"));
    let token = |path: &str| -> Value {
        let manifest: Value = serde_json::from_slice(&read(path)).unwrap();
        manifest["cluster"]["token"].clone()
    };
    assert_eq!(token("out/small/bundle.json"), token("aside/four/bundle.json"));
}

/// Leaves end with their CA: a renewal after that would only make a keystore from which nothing can be built.
#[test]
fn a_keystore_whose_ca_has_ended_is_not_renewed() {
    let work = workshop();
    run(&mut work.kiln(["keystore", "init", "old", "--issued", "2010-01-01"]));
    let old = SMALL.replace("\"small\"", "\"old\"").replace("pki = { ", "pki = { renewal = \"desk\", ");
    work.file("old.toml", old);
    run(work.kiln(["build", "--profile", "old.toml", "--artifacts"]).arg(store()));
    let path = work.path().join("keystore/old/keystore.toml");
    let before = fs::read(&path).unwrap();
    let message = refused(&mut work.kiln(["keystore", "renew", "old"]), 4);
    assert!(
        message.contains("the CA of old expired on 2019-12-30") && message.contains("Nothing was changed")
    );
    assert_eq!(fs::read(&path).unwrap(), before);
    run(&mut work.kiln(["keystore", "renew", "old", "--issued", "2019-01-01"]));
}

/// A keystore that has issued takes no other CA: the way out of a formed profile is another keystore.
#[test]
fn a_formed_profile_whose_keystore_has_issued_is_not_sent_to_import_ca() {
    let work = workshop();
    run(&mut build(&work, &[]));
    let formed = changed("name = \"small\"", "name = \"small\", formed = true");
    work.file(
        "small.toml",
        formed.replace("leaf-algorithm = \"p256\"", "leaf-algorithm = \"p256\", ca.source = \"imported\""),
    );
    let message = refused(&mut build(&work, &[]), 6);
    for part in [
        "it has issued certificates, so none can be imported any more",
        "kiln keystore init small --keystore DIR",
        "initial-cluster-token in [cluster] token",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("keystore import-ca small --keystore keystore/small"), "{message}");
    own_ca(&work);
    assert!(refused(&mut import(&work), 6).contains("kiln keystore init small --keystore DIR"));
}

/// Only the round that certificates are issued from, and the token as what it is.
#[test]
fn a_keystore_shows_what_is_in_use() {
    let work = workshop();
    run(&mut work.kiln(["keystore", "init", "other"]));
    own_ca(&work);
    let show = |name: &str| run(&mut work.kiln(["keystore", "show", name]));
    assert!(show("other").contains(", where the profile has no [cluster] token\n"), "{}", show("other"));
    let mut import = work.kiln(["keystore", "import-ca", "other", "--cert", "ca.pem", "--key", "ca.key"]);
    run(&mut import);
    let shown = show("other");
    let (_, issued) = shown.split_once("  issued ").unwrap();
    assert_eq!(issued.lines().count(), 1, "{shown}");
}
