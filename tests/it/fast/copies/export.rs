//! Exports, as Debian's age reads them, and back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{build, closed, export, importing, public, read, renewing, workshop};
use crate::support::{Workshop, output, refused, run, snapshot};

/// A public key of SSH, as ssh-keygen made it; nobody has its private half.
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDydvT7gSl9aIsEKMsyo+f/74mj1FJ7JCQtz88ox0175L/cweRQ4XN/Mn24\
    k2RFk4N42AbMRFsub3R/Jc9q38ugVf/va4cMdZHg+o0/pKfC+qQolHUhW6mErv2PZTY5DVauq8+4zFhnCh4MMppdABKOj4T2\
    vKVnETeEUrRMvXW7VH6jzSTyBQubxIg3m2KzcElRXNGIXCckFcsCwbfq9DTJuixRa3j8isNOtiG3owEsXLeWd1pTPQjK6F/R\
    1obJ+aim8lBSJ9Ns4xKNI4sf7bPG8+ZdihS+3mrx/ozOr2M6QXW6WKVem4b0FWFHhGc7P8E1yIv4RDvKQsLjnnFtRc63";

fn decrypted(work: &Workshop, file: &str, identity: &str) -> String {
    run(Command::new("age").args(["-d", "-i", identity, file]).current_dir(work.path()))
}

/// The export is restored on another machine, where the same profile gives the same bundle, byte for byte.
fn comes_back_whole(work: &Workshop, cluster: &str) {
    let keystore = work.path().join("keystore").join(cluster);
    run(&mut export(work, cluster));
    let file = format!("{cluster}.keystore.age");
    let mut restore = work.kiln(["keystore", "restore", &file, cluster, "--keystore", "again"]);
    run(restore.args(["--identity", "key"]));
    assert_eq!(snapshot(&work.path().join("again")), snapshot(&keystore));
    let profile = format!("./{cluster}.toml");
    run(build(work, &profile, "again").args(["--keystore", "again"]));
    run(&mut build(work, &profile, "first"));
    assert_eq!(snapshot(&work.path().join("out/again")), snapshot(&work.path().join("out/first")));
    // Neither the export nor the restoration is a change of the cluster: the record says so.
    let (_, shown, _) = output(&mut work.kiln(["keystore", "show", cluster, "--keystore", "again"]));
    assert!(shown.contains(", up to date"), "{shown}");
}

#[test]
fn an_export_restores_the_keystore_of_nodes_that_renew_and_its_bundle() {
    let Some(work) = workshop() else { return };
    renewing(&work);
    comes_back_whole(&work, "ha3");
}

#[test]
fn an_export_restores_an_imported_ca_and_its_bundle() {
    let Some(work) = workshop() else { return };
    importing(&work);
    comes_back_whole(&work, "small");
}

#[test]
fn age_opens_what_is_exported_with_each_identity_alone() {
    let Some(work) = workshop() else { return };
    renewing(&work);
    work.file("all", format!("# two people\n\n{}\n", public(&work, "id")));
    run(export(&work, "ha3").args(["--recipients-file", "all"]));
    run(export(&work, "ha3").args(["--recipients-file", "all", "--armor", "-o", "letters"]));
    let keystore = work.path().join("keystore/ha3");
    let letters = read(&work.path().join("letters"));
    assert!(letters.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"), "{letters}");
    for file in ["ha3.keystore.age", "letters"] {
        let mode = fs::metadata(work.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let texts = ["key", "id"].map(|identity| decrypted(&work, file, identity));
        assert_eq!(texts[0], texts[1]);
        assert!(texts[0].starts_with("kiln keystore export, schema 1\nsha256 "), "{}", texts[0]);
        for part in kiln::disk::list(&keystore).unwrap() {
            let text = read(&keystore.join(&part));
            // The list is as it was at that export.
            let there = texts[0].contains(&format!("file {part} {}\n{text}", text.len()));
            assert!(there || part == "keystore.toml", "{part}: {}", texts[0]);
        }
    }
}

#[test]
fn an_export_replaces_nothing_and_says_who_can_read_it() {
    let Some(work) = workshop() else { return };
    work.keystore("ha3");
    work.file("there", "mine");
    let before = read(&work.path().join("keystore/ha3/keystore.toml"));
    let said = refused(export(&work, "ha3").args(["--out", "there"]), 6);
    assert!(said.contains("there exists, and is not replaced; name another file with --out"), "{said}");
    std::os::unix::fs::symlink("nowhere", work.path().join("link")).unwrap();
    refused(export(&work, "ha3").args(["--out", "link"]), 6);
    refused(export(&work, "ha3").args(["--out", "keystore/ha3/copy"]), 6);
    assert_eq!(read(&work.path().join("there")), "mine");
    assert_eq!(read(&work.path().join("keystore/ha3/keystore.toml")), before, "nothing was exported");
    let said = run(export(&work, "ha3").args(["--recipient", &format!("{} me@home", public(&work, "id"))]));
    assert!(said.contains(&public(&work, "key")) && !said.contains("me@home"), "{said}");
}

#[test]
fn what_is_no_recipient_is_refused_with_its_line_and_no_private_key_is_repeated() {
    let Some(work) = workshop() else { return };
    work.keystore("ha3");
    let secret = read(&work.path().join("key"));
    let secret = secret.lines().find(|line| line.starts_with("AGE-SECRET")).unwrap();
    let key = public(&work, "key");
    closed(&work, "file", format!("# me\n{key}\n{}x\n", key));
    for (recipient, want) in [
        (secret, "this is a private key"),
        ("age1yubikey1q2w3e", "those of plug-ins are not supported"),
        ("ssh-dss AAAA", "is no SSH public key"),
        (RSA, "is no SSH public key that Kiln encrypts to"),
        ("hunter2", "is no recipient"),
        ("", "is no recipient"),
    ] {
        let said = refused(&mut work.kiln(["keystore", "export", "ha3", "--recipient", recipient]), 2);
        assert!(said.contains(want) && !said.contains("SECRET-KEY-1"), "{said}");
    }
    let said = refused(&mut work.kiln(["keystore", "export", "ha3", "--recipients-file", "file"]), 2);
    assert!(said.contains("reading line 3 of file"), "{said}");
    let said = refused(&mut work.kiln(["keystore", "export", "ha3", "--recipients-file", "none"]), 2);
    assert!(said.contains("there is no file none"), "{said}");
    let said = refused(&mut work.kiln(["keystore", "export", "ha3"]), 2);
    assert!(said.contains("there are no recipients"), "{said}");
    assert!(!work.path().join("ha3.keystore.age").exists());
}

#[test]
fn an_export_without_the_successors_secret_says_so() {
    let Some(work) = workshop() else { return };
    renewing(&work);
    fs::rename(work.path().join("keystore/ha3/successor"), work.path().join("apart")).unwrap();
    let (code, _, said) = output(&mut export(&work, "ha3"));
    assert!(code == 0 && said.contains("without the secret of the successors"), "{said}");
    let mut restore = work.kiln(["keystore", "restore", "ha3.keystore.age", "ha3", "--keystore", "again"]);
    let (code, _, said) = output(restore.args(["--identity", "id", "--identity", "key"]));
    assert!(code == 0 && said.contains("made without the secret of the successors"), "{said}");
    assert!(!work.path().join("again/successor").exists() && work.path().join("again/ca-next.pem").exists());
    // With it the export is no longer all of it.
    fs::rename(work.path().join("apart"), work.path().join("keystore/ha3/successor")).unwrap();
    let (_, shown, _) = output(&mut work.kiln(["keystore", "show", "ha3"]));
    assert!(shown.contains("older than its last change"), "{shown}");
}

#[test]
fn json_says_what_was_exported_and_whether_it_is_current() {
    let Some(work) = workshop() else { return };
    work.keystore("ha3");
    let json = run(export(&work, "ha3").arg("--json"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["export"], "ha3.keystore.age");
    assert_eq!(json["recipients"][0], public(&work, "key"));
    let shown = run(&mut work.kiln(["keystore", "show", "ha3", "--json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["exported"]["current"], true);
}
