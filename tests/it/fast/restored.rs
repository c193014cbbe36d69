//! Generations of a cluster in its keystore, in builds and in the guards of nodes. What a node does with them is tested
//! with real members (`tests/it/lab/generations.rs`).

use std::fs;
use std::path::Path;
use std::process::Command;

use kiln::pki::{Keystore, RestoredFrom};
use serde_json::Value;

use crate::support::{Workshop, ha3_with, refused, run, store};

fn workshop(token: &str) -> Workshop {
    let work = Workshop::new();
    let name = match token {
        "" => "name = \"ha3\"".to_owned(),
        token => format!("name = \"ha3\"\ntoken = \"{token}\""),
    };
    let shared = "[bundle]\nbinaries = \"shared\"\ncarriers = [\"tar\"]\n\n# Client certificates";
    work.file("ha3.toml", ha3_with(&[("name = \"ha3\"", &name), ("# Client certificates", shared)]));
    work.keystore("ha3");
    build(&work, "out");
    run(&mut work.kiln(["seal", "out"]));
    build(&work, "out");
    work
}

fn kiln(work: &Workshop, arguments: &[&str]) -> Command {
    let mut command = work.kiln(arguments);
    command.args(["--profile", "./ha3.toml", "--artifacts"]).arg(store());
    command
}

fn build(work: &Workshop, out: &str) -> Value {
    run(&mut kiln(work, &["build", "--out", out]));
    serde_json::from_slice(&fs::read(work.path().join(out).join("bundle.json")).unwrap()).unwrap()
}

/// What `kiln restore` does with the keystore.
fn begin(work: &Workshop, keystore: &str, token: &str, snapshot: &[u8]) -> kiln::failure::Result<()> {
    let from = RestoredFrom {
        sha256: kiln::values::Digest::of(snapshot),
        revision: 7,
        date: "2026-02-01".parse().unwrap(),
        release: "3.5.16".parse().unwrap(),
    };
    let dir = work.path().join(keystore);
    let cluster = "ha3".parse().unwrap();
    let mut keystore = Keystore::begin_generation(&dir, &cluster, &token.parse().unwrap(), &from)?;
    if keystore.is_unsaved() {
        keystore.save(&dir)?;
    }
    Ok(())
}

fn token(manifest: &Value) -> String {
    manifest["cluster"]["token"].as_str().unwrap().to_owned()
}

fn guard(work: &Workshop, bundle: &str) -> String {
    let archive = work.path().join(bundle).join("nodes/cp-a/overlay.tar.gz");
    run(Command::new("tar").arg("-xzOf").arg(archive).arg("etc/kiln/guard.sh"))
}

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

#[test]
fn each_restore_makes_another_cluster_of_the_same_members() {
    for own in ["", "set.by.profile"] {
        let work = workshop(own);
        let first = build(&work, "out");
        assert!(first["cluster"].get("restored").is_none());
        copy(&work.path().join("keystore/ha3"), &work.path().join("old-keystore"));

        begin(&work, "keystore/ha3", &token(&first), b"one").unwrap();
        let second = build(&work, "out");
        assert_eq!(token(&second), format!("{}-g2", token(&first)));
        assert_eq!(second["cluster"]["formed"], Value::Bool(true));
        assert_eq!(second["cluster"]["restored"]["generation"], 2);
        assert_eq!(
            second["cluster"]["restored"]["earlier"],
            Value::from(vec![first["cluster"]["id"].clone()])
        );
        assert_ne!(second["cluster"]["id"], first["cluster"]["id"]);
        // The same certificates, whose keys do not depend on the token.
        assert_eq!(second["certificates"], first["certificates"]);
        let text = guard(&work, "out");
        let id = second["cluster"]["restored"]["id"].as_str().unwrap();
        assert!(text.contains(id) && text.contains("has the data of generation 1 of ha3"), "{text}");
        let printed = run(&mut work.kiln(["keystore", "show", "ha3"]));
        assert!(printed.contains("\n  restored as generation 2 on 2026-02-01"), "{printed}");
        assert!(run(&mut work.kiln(["show", "out"])).contains("\ngeneration 2, restored from a snapshot\n"));

        // A third one knows both before it.
        begin(&work, "keystore/ha3", &token(&second), b"two").unwrap();
        let third = build(&work, "out");
        assert_eq!(token(&third), format!("{}-g3", token(&first)));
        assert_eq!(third["cluster"]["restored"]["earlier"].as_array().unwrap().len(), 2);

        // An old copy of the keystore builds the first generation, and does not replace the bundle of the third.
        let said = refused(&mut kiln(&work, &["build", "--out", "out", "--keystore", "old-keystore"]), 6);
        assert!(said.contains("older than the cluster"), "{said}");
    }
}

#[test]
fn a_restore_is_of_the_present_generation_and_goes_on_where_it_was_begun() {
    let work = workshop("");
    let first = token(&build(&work, "out"));
    begin(&work, "keystore/ha3", &first, b"one").unwrap();
    let there = fs::read(work.path().join("keystore/ha3/keystore.toml")).unwrap();
    // The same snapshot again, from the same generation.
    begin(&work, "keystore/ha3", &first, b"one").unwrap();
    assert_eq!(fs::read(work.path().join("keystore/ha3/keystore.toml")).unwrap(), there);
    let said = begin(&work, "keystore/ha3", &first, b"two").unwrap_err().to_string();
    assert!(said.contains("restored since, as generation 2"), "{said}");
    let said = begin(&work, "keystore/ha3", "other", b"one").unwrap_err().to_string();
    assert!(said.contains("not sealed"), "{said}");
}

#[test]
fn a_restore_that_came_to_no_node_is_taken_back() {
    let work = workshop("");
    let before = fs::read(work.path().join("keystore/ha3/keystore.toml")).unwrap();
    let first = token(&build(&work, "old"));
    let said = refused(&mut work.kiln(["restore", "old", "--abandon", "--cluster", "ha3"]), 6);
    assert!(said.contains("no restore of generation 1"), "{said}");
    begin(&work, "keystore/ha3", &first, b"one").unwrap();
    let said = refused(&mut work.kiln(["restore", "old", "--abandon", "--cluster", "ha4"]), 2);
    assert!(said.contains("the bundle is of ha3"), "{said}");
    run(&mut work.kiln(["restore", "old", "--abandon", "--cluster", "ha3"]));
    assert_eq!(fs::read(work.path().join("keystore/ha3/keystore.toml")).unwrap(), before);
    assert_eq!(token(&build(&work, "old")), first);
}

#[test]
fn two_restores_of_one_number_are_told_apart() {
    let work = workshop("");
    let first = token(&build(&work, "out"));
    copy(&work.path().join("keystore/ha3"), &work.path().join("old-keystore"));
    begin(&work, "keystore/ha3", &first, b"one").unwrap();
    begin(&work, "old-keystore", &first, b"two").unwrap();
    let one = build(&work, "out");
    run(&mut kiln(&work, &["build", "--out", "other", "--keystore", "old-keystore"]));
    let other = fs::read(work.path().join("other/bundle.json")).unwrap();
    let other: Value = serde_json::from_slice(&other).unwrap();
    // To etcd they are the same cluster.
    assert_eq!(one["cluster"]["id"], other["cluster"]["id"]);
    assert_ne!(one["cluster"]["restored"]["id"], other["cluster"]["restored"]["id"]);
    assert_ne!(guard(&work, "out"), guard(&work, "other"));
}
