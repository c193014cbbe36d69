//! `kiln seal`, through the program: nodes built after it never bootstrap a cluster, and are otherwise the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Workshop, ha3_with, refused, run, store};

/// Three nodes, binaries in a layer. The token is the keystore's, unless one is given.
fn workshop(token: &str) -> Workshop {
    let work = Workshop::new();
    profile(&work, token);
    work.keystore("ha3");
    work
}

fn profile(work: &Workshop, token: &str) {
    let name = match token {
        "" => "name = \"ha3\"".to_owned(),
        token => format!("name = \"ha3\"\ntoken = \"{token}\""),
    };
    let shared = "[bundle]\nbinaries = \"shared\"\ncarriers = [\"tar\"]\n\n# Client certificates";
    work.file("ha3.toml", ha3_with(&[("name = \"ha3\"", &name), ("# Client certificates", shared)]));
}

/// Runs a verb on the profile; its messages on stderr are separate from its result.
fn kiln(work: &Workshop, arguments: &[&str]) -> (String, String) {
    let mut command = work.kiln(arguments);
    let output = command.args(["--profile", "./ha3.toml", "--artifacts"]).arg(store()).output().unwrap();
    let [printed, said] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{arguments:?}: {said}");
    (printed, said)
}

fn manifest(bundle: &Path) -> Value {
    serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap()
}

/// Every file of every node's overlay, and every other file of the bundle that is not made from these.
fn contents(bundle: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in walkdir::WalkDir::new(bundle).into_iter().map(|entry| entry.unwrap()) {
        let name = entry.path().strip_prefix(bundle).unwrap().display().to_string();
        if entry.file_type().is_dir() {
            continue;
        }
        if !name.ends_with("overlay.tar.gz") {
            all.insert(name, fs::read(entry.path()).unwrap());
            continue;
        }
        let unpacked = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        run(Command::new("tar").arg("-xzf").arg(entry.path()).arg("-C").arg(unpacked.path()));
        for file in walkdir::WalkDir::new(unpacked.path()).into_iter().map(|file| file.unwrap()) {
            if file.file_type().is_file() {
                let inside = file.path().strip_prefix(unpacked.path()).unwrap().display().to_string();
                all.insert(format!("{name}/{inside}"), fs::read(file.path()).unwrap());
            }
        }
    }
    all
}

/// The guards of a bundle's three nodes contain this text.
#[track_caller]
fn assert_formed(bundle: &Path, formed: bool) {
    let all = contents(bundle);
    let guards: Vec<_> = all.iter().filter(|(name, _)| name.ends_with("/etc/kiln/guard.sh")).collect();
    assert_eq!(guards.len(), 3);
    for (name, text) in guards {
        let text = std::str::from_utf8(text).unwrap();
        let said: Vec<_> = text.lines().filter(|line| line.starts_with("formed=")).collect();
        assert_eq!(said, [format!("formed={formed}")], "{name}");
    }
    assert_eq!(manifest(bundle)["cluster"]["formed"], Value::Bool(formed));
}

#[test]
fn a_sealed_cluster_is_built_so_that_it_founds_nothing() {
    let work = workshop("");
    let [before, after] = ["before", "after"].map(|name| work.path().join(name));
    let (_, said) = kiln(&work, &["build", "--out", "before"]);
    assert!(!said.contains("never bootstraps"), "{said}");
    assert_formed(&before, false);
    assert!(!run(&mut work.kiln(["show", "before"])).contains("has formed"));
    assert!(!run(&mut work.kiln(["keystore", "show", "ha3"])).contains("sealed"));
    let token = manifest(&before)["cluster"]["token"].as_str().unwrap().to_owned();

    let printed = run(&mut work.kiln(["seal", "before", "--json"]));
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let want = serde_json::json!({
        "keystore": "keystore/ha3", "cluster": "ha3", "token": token, "new": true, "recorded": true,
        "warnings": [],
    });
    assert_eq!(printed, want);
    let list = fs::read(work.path().join("keystore/ha3/keystore.toml")).unwrap();
    let again = run(&mut work.kiln(["seal", "before"]));
    assert_eq!(again, format!("ha3 ({token}) was sealed in keystore/ha3 already\n"));
    assert_eq!(fs::read(work.path().join("keystore/ha3/keystore.toml")).unwrap(), list);

    for verb in [&["build", "--out", "after"][..], &["check"]] {
        let (_, said) = kiln(&work, verb);
        let line = "ha3 is sealed in keystore/ha3: nodes of this build never bootstrap a new cluster from an empty disk\n";
        assert_eq!(said.matches(line).count(), 1, "{verb:?}: {said}");
    }
    assert_formed(&after, true);
    assert!(
        kiln(&work, &["plan"]).0.contains("\n  has formed: an empty disk never bootstraps a new cluster\n")
    );
    let plan: Value = serde_json::from_str(&kiln(&work, &["plan", "--json"]).0).unwrap();
    assert_eq!(plan["cluster"]["formed"], Value::Bool(true));
    assert!(
        run(&mut work.kiln(["show", "after"]))
            .contains("\nhas formed: an empty disk never bootstraps a new cluster\n")
    );
    let shown = run(&mut work.kiln(["keystore", "show", "ha3"]));
    assert!(shown.contains(&format!("\n  sealed {token}")), "{shown}");

    // Everything else is the same: keys, certificates, IDs, configuration.
    let (old, new) = (contents(&before), contents(&after));
    assert_eq!(old.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>());
    let differ: Vec<_> = old.keys().filter(|name| old[*name] != new[*name]).map(String::as_str).collect();
    let mut want = vec!["SHA256SUMS".to_owned(), "bundle.json".to_owned()];
    for node in ["cp-a", "cp-b", "cp-c"] {
        want.extend(
            ["files.json", "listing.txt", "overlay.tar.gz/etc/kiln/guard.sh"]
                .map(|f| format!("nodes/{node}/{f}")),
        );
    }
    assert_eq!(differ, want);
    let [mut old, mut new] = [manifest(&before), manifest(&after)];
    for manifest in [&mut old, &mut new] {
        manifest["cluster"]["formed"].take();
        manifest["files"].take();
    }
    assert_eq!(old, new);
}

#[test]
fn a_seal_makes_the_bundle_that_formed_in_the_profile_makes() {
    let work = workshop("");
    kiln(&work, &["build", "--out", "before"]);
    run(&mut work.kiln(["seal", "before"]));
    kiln(&work, &["build", "--keystore", "keystore/ha3", "--out", "sealed"]);
    let text = fs::read_to_string(work.path().join("ha3.toml")).unwrap();
    work.file("ha3.toml", text.replace("name = \"ha3\"", "name = \"ha3\"\nformed = true"));
    work.keystore_at("new", "ha3");
    let (_, said) = kiln(&work, &["build", "--keystore", "new", "--out", "by-profile"]);
    assert!(said.contains("the profile marks ha3 as formed: nodes of this build"), "{said}");
    assert_eq!(contents(&work.path().join("sealed")), contents(&work.path().join("by-profile")));
}

#[test]
fn a_seal_outlives_a_renewal_and_takes_bundles_from_before_it() {
    let work = workshop("");
    kiln(&work, &["build", "--out", "old"]);
    run(&mut work.kiln(["keystore", "renew", "ha3", "--issued", "2026-02-01"]));
    // Bundles from before there were seals do not have the field.
    let mut old = manifest(&work.path().join("old"));
    assert_eq!(old["cluster"].as_object_mut().unwrap().remove("formed"), Some(Value::Bool(false)));
    work.file("old/bundle.json", serde_json::to_vec_pretty(&old).unwrap());
    assert!(!run(&mut work.kiln(["show", "old"])).contains("has formed"));
    run(&mut work.kiln(["seal", "old"]));
    run(&mut work.kiln(["keystore", "renew", "ha3", "--issued", "2026-03-01"]));
    kiln(&work, &["build", "--out", "new"]);
    assert_formed(&work.path().join("new"), true);
    assert!(run(&mut work.kiln(["seal", "new"])).contains("already"));
}

/// Another token is another cluster, which needs another keystore; bundles that were built before the seal can be
/// sealed all the same, each for itself.
#[test]
fn a_seal_holds_for_one_token() {
    // The second has the form of a keystore's own token.
    for (first, second) in [("first", "ha3-20261121"), ("ha3-20261121", "")] {
        let work = workshop(first);
        kiln(&work, &["build", "--out", "a"]);
        profile(&work, second);
        kiln(&work, &["build", "--out", "b"]);
        profile(&work, first);
        run(&mut work.kiln(["seal", "a"]));
        kiln(&work, &["build", "--out", "a"]);
        assert_formed(&work.path().join("a"), true);
        profile(&work, second);
        let mut build = work.kiln(["build", "--out", "c", "--profile", "./ha3.toml", "--artifacts"]);
        let message = refused(build.arg(store()), 6);
        assert!(message.contains(&format!("the formed cluster has {first}: another token")), "{message}");
        assert!(message.contains(&format!("set [cluster] token = \"{first}\"")), "{message}");
        assert!(!work.path().join("c").exists());
        run(&mut work.kiln(["seal", "b"]));
        kiln(&work, &["build", "--out", "b"]);
        assert_formed(&work.path().join("b"), true);
        let shown = run(&mut work.kiln(["keystore", "show", "ha3", "--json"]));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["sealed"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn a_bundle_is_sealed_in_its_own_keystore_only() {
    // A token that the profile sets does not show which keystore the bundle was built with.
    for token in ["", "mine"] {
        let work = workshop(token);
        kiln(&work, &["build", "--out", "ha3"]);
        run(&mut work.kiln(["keystore", "init", "ha3", "--keystore", "same-name"]));
        run(&mut work.kiln(["keystore", "init", "ha4", "--keystore", "other-name"]));
        for (keystore, code, sentence) in [
            (
                "same-name",
                6,
                "no key in the bundle derives from same-name: the bundle was built with another keystore",
            ),
            ("other-name", 6, "it is the keystore of cluster ha4, not of ha3"),
            ("none", 2, "there is no keystore at none"),
        ] {
            let message = refused(&mut work.kiln(["seal", "ha3", "--keystore", keystore]), code);
            assert!(message.contains(sentence), "{message}");
        }
        for (keystore, cluster) in [("same-name", "ha3"), ("other-name", "ha4"), ("keystore/ha3", "ha3")] {
            let shown = run(&mut work.kiln(["keystore", "show", cluster, "--keystore", keystore]));
            assert!(!shown.contains("sealed"), "{shown}");
        }
        assert!(!work.path().join("none").exists());
        let secret = fs::read_to_string(work.path().join("keystore/ha3/secret")).unwrap();
        let output = work.kiln(["seal", "ha3", "--quiet"]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(!String::from_utf8_lossy(&output.stdout).contains(secret.trim()));
    }
}

#[test]
fn what_is_not_a_whole_bundle_is_not_sealed() {
    let work = workshop("");
    kiln(&work, &["build", "--out", "ha3"]);
    let bundle = work.path().join("ha3");
    let good = fs::read_to_string(bundle.join("bundle.json")).unwrap();
    let token = manifest(&bundle)["cluster"]["token"].as_str().unwrap().to_owned();
    for (from, to, sentence) in [
        (
            "\"name\": \"ha3\"",
            "\"name\": \"../ha3\"",
            "'.' is not allowed; use a-z, 0-9 and - only at line 6",
        ),
        (token.as_str(), "a token", "' ' is not allowed; use A-Z"),
    ] {
        assert!(good.contains(from));
        fs::write(bundle.join("bundle.json"), good.replace(from, to)).unwrap();
        let message = refused(&mut work.kiln(["seal", "ha3"]), 1);
        assert!(message.contains(sentence), "{message}");
    }
    fs::write(bundle.join("bundle.json"), good).unwrap();
    let key = fs::read(bundle.join("client/etcdctl-key.pem")).unwrap();
    fs::write(bundle.join("client/etcdctl.pem"), key).unwrap();
    let message = refused(&mut work.kiln(["seal", "ha3"]), 4);
    assert!(message.contains("the first PEM block is not a certificate"), "{message}");
    fs::remove_file(bundle.join("client/etcdctl.pem")).unwrap();
    let message = refused(&mut work.kiln(["seal", "ha3"]), 5);
    assert!(message.contains("ha3/client/etcdctl.pem"), "{message}");
    let message = refused(&mut work.kiln(["seal", "keystore"]), 1);
    assert!(message.contains("keystore is not a bundle"), "{message}");
    assert!(!run(&mut work.kiln(["keystore", "show", "ha3"])).contains("sealed"));
}
