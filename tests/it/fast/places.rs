//! Paths that are something other than expected, or inside each other: reported as what they are, and not modified.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{SMALL, Workshop, output, refused, run, snapshot, store};

fn small() -> Workshop {
    let work = Workshop::new();
    work.file("small.toml", SMALL);
    work.file("sites/small.toml", SMALL);
    work
}

fn build(work: &Workshop, arguments: &[&str]) -> Command {
    let mut command = work.kiln(["build", "--profile", "small.toml"]);
    if !arguments.contains(&"--artifacts") {
        command.arg("--artifacts").arg(store());
    }
    command.args(arguments);
    command
}

/// No message advises to remove what may be a user's only copy.
#[track_caller]
fn assert_harmless(message: &str) {
    for advice in ["remove it", "delete", "empty it", "overwrite", "create a new keystore"] {
        assert!(!message.contains(advice), "{message}");
    }
}

#[test]
fn places_in_one_another_are_refused_first() {
    let work = small();
    for (arguments, sentence) in [
        (&["--out", "ka", "--keystore", "ka/ks"][..], "--keystore (ka/ks) is in --out (ka)"),
        (&["--out", "ka/out", "--keystore", "ka"], "--out (ka/out)"),
        (&["--out", "ka", "--keystore", "./ka/"], "--out and --keystore are both ./ka/"),
        (&["--out", "ka", "--cache", "ka/cache"], "the cache (ka/cache) is in --out (ka)"),
        (&["--out", "ka/out", "--cache", "ka"], "--out (ka/out) is in the cache (ka)"),
        (&["--keystore", "ka/ks", "--cache", "ka"], "--keystore (ka/ks) is in the cache (ka)"),
        (&["--cache", "out/small"], "--out and the cache are both out/small"),
    ] {
        let message = refused(&mut build(&work, arguments), 6);
        assert!(message.contains(sentence), "{message}");
        assert_harmless(&message);
        let names = kiln::disk::list(work.path()).unwrap();
        assert_eq!(names, ["sites", "small.toml"], "{arguments:?} {message}");
    }
    // A store that is not there would be refused for that.
    for (store, more, sentence) in [
        ("out/small/store", &[][..], "--artifacts (out/small/store) is in --out (out/small)"),
        ("ka", &["--cache", "ka/../ka"], "are both ka/../ka"),
    ] {
        let there = work.path().join(store);
        fs::create_dir_all(&there).unwrap();
        let message = refused(build(&work, &["--artifacts", store]).args(more), 6);
        assert!(message.contains(sentence), "{message}");
        assert!(kiln::disk::list(&there).unwrap().is_empty());
        fs::remove_dir_all(work.path().join(store.split('/').next().unwrap())).unwrap();
    }
    // Through a link.
    fs::create_dir(work.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", work.path().join("link")).unwrap();
    refused(&mut build(&work, &["--out", "real/out", "--keystore", "link/out/ks"]), 6);
    // Of a fleet, the keystore of any cluster.
    let mut fleet =
        work.kiln(["build", "--fleet", "sites", "--out", "k/small", "--keystore", "k", "--artifacts"]);
    let message = refused(fleet.arg(store()), 6);
    assert!(message.contains("--out and --keystore are both k/small"), "{message}");
    assert!(!work.path().join("k").exists());
    // Beside each other they are fine.
    run(&mut build(&work, &["--out", "ka/out", "--keystore", "ka/ks", "--cache", "ka/cache"]));
}

#[test]
fn an_output_that_is_something_else_is_named() {
    let work = small();
    run(&mut build(&work, &[]));
    run(work.kiln(["build", "--fleet", "sites", "--keystore", "keystore", "--artifacts"]).arg(store()));
    fs::create_dir(work.path().join("nothing")).unwrap();
    let before = snapshot(work.path());
    for (out, what) in [
        ("/", "/ is the root directory"),
        ("sites", "sites is a directory of profiles"),
        ("out", "out is a directory with the bundles sites and small"),
        ("out/sites", "out/sites is a fleet's directory"),
        ("small.toml", "small.toml is a file"),
        ("nothing", "nothing is an empty directory"),
    ] {
        // "out" has a bundle and a fleet in it.
        let what = if out == "out" { "out is a directory with the bundle small" } else { what };
        let message = refused(&mut build(&work, &["--out", out, "--keystore", "other"]), 6);
        assert!(message.contains(what) && message.contains("choose another --out"), "{message}");
        assert_harmless(&message);
    }
    let message = refused(
        work.kiln(["build", "--fleet", "sites", "--out", "out/small", "--artifacts"]).arg(store()),
        6,
    );
    assert!(
        message.contains("out/small is a bundle, but Kiln replaces only a fleet's directory"),
        "{message}"
    );
    // Another cluster's keystore; and a bundle that can no longer be read.
    run(&mut work.kiln(["keystore", "init", "other", "--keystore", "aside"]));
    let message = refused(&mut build(&work, &["--out", "aside"]), 6);
    assert!(message.contains("aside is a keystore"), "{message}");
    fs::remove_dir_all(work.path().join("aside")).unwrap();
    assert_eq!(snapshot(work.path()), before);
    work.file("out/small/bundle.json", "{}");
    let message = refused(&mut build(&work, &[]), 6);
    assert!(message.contains("out/small is not a bundle that this version of Kiln can read"), "{message}");
    assert_harmless(&message);
}

#[test]
fn a_keystore_that_is_something_else_is_named() {
    let work = small();
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["keystore", "init", "other", "--keystore", "keys/other"]));
    let before = snapshot(work.path());
    for (path, what) in [
        ("keys", "keys is a directory with the keystore other, not a keystore"),
        ("out/small", "out/small is a bundle, not a keystore"),
        ("sites", "sites is a directory of profiles, not a keystore"),
        ("small.toml", "small.toml is a file, not a keystore"),
        ("/", "/ has no name of its own"),
    ] {
        let message = refused(&mut work.kiln(["keystore", "renew", "small", "--keystore", path]), 2);
        assert!(message.contains(what), "{message}");
        assert_harmless(&message);
        let message = refused(
            &mut build(&work, &["--keystore", path, "--out", "elsewhere"]),
            if path == "/" { 6 } else { 2 },
        );
        assert!(path == "/" || message.contains(what), "{message}");
    }
    for path in ["keys", "out/small", "small.toml"] {
        let message = refused(&mut work.kiln(["keystore", "init", "small", "--keystore", path]), 6);
        assert!(message.contains("already exists, and is "), "{message}");
        assert_harmless(&message);
    }
    assert_eq!(snapshot(work.path()), before);
}

/// A variable serves fleets and single clusters alike.
#[test]
fn the_keystore_of_one_cluster_is_found_among_several() {
    let work = small();
    for cluster in ["small", "other"] {
        run(&mut work.kiln(["keystore", "init", cluster, "--keystore", &format!("keys/{cluster}")]));
    }
    let of_several = |arguments: &[&str]| {
        let mut command = work.kiln(arguments);
        output(command.env("KILN_KEYSTORE", "keys"))
    };
    let (code, said, _) = of_several(&["keystore", "show", "other"]);
    assert!(code == 0 && said.contains("keys/other"), "{said}");
    let (code, said, _) = of_several(&["keystore", "renew", "small", "--json"]);
    assert!(code == 0 && said.contains("keys/small"), "{said}");
    let (code, _, said) = of_several(&["keystore", "show", "third"]);
    assert!(code == 2 && said.contains("a directory with the keystores other and small"), "{said}");
}

/// A new keystore is a new cluster: that is reported even with --quiet.
#[test]
fn a_keystore_that_is_made_is_said_always() {
    let work = small();
    let said = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stderr).unwrap();
        said.lines()
            // A warning, and the list below it.
            .filter(|line| !line.starts_with("warning: ") && !line.starts_with("  "))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    for json in [&["--quiet"][..], &["--quiet", "--json"]] {
        let keystore = format!("k{}", json.len());
        let out = format!("out/{keystore}");
        let first = said(build(&work, &["--keystore", &keystore, "--out", &out]).args(json));
        assert!(
            first.contains(&format!("created the keystore {keystore}: all keys of this cluster")),
            "{first}"
        );
        assert_eq!(said(build(&work, &["--keystore", &keystore, "--out", &out]).args(json)), "");
    }
    let mut fleet = work.kiln(["build", "--quiet", "--fleet", "sites", "--keystore", "k", "--artifacts"]);
    let first = said(fleet.arg(store()));
    assert!(first.contains("created 1 keystore in k: all keys"), "{first}");
    assert_eq!(said(&mut fleet), "");
}

#[test]
fn a_build_that_is_refused_leaves_nothing() {
    let work = small();
    run(&mut build(&work, &[]));
    work.file("out/small/notes.txt", "mine");
    refused(&mut build(&work, &[]), 6);
    refused(&mut work.kiln(["keystore", "renew", "small", "--issued", "2001-01-01"]), 6);
    for place in ["out", "keystore"] {
        assert_eq!(kiln::disk::list(&work.path().join(place)).unwrap(), ["small"]);
    }
}

#[test]
fn verbs_of_the_keystore_speak_json() {
    let work = small();
    let json = |arguments: &[&str]| -> serde_json::Value {
        let mut command = work.kiln(arguments);
        serde_json::from_str(&run(command.arg("--json"))).unwrap()
    };
    let made = json(&["keystore", "init", "small", "--issued", "2026-01-01"]);
    assert_eq!(made["path"], "keystore/small");
    assert_eq!(made["issues"].as_array().unwrap().len(), 1);
    let renewed = json(&["keystore", "renew", "small", "--issued", "2026-02-01"]);
    assert_eq!(renewed["issues"][1], "2026-02-01T00:00:00Z");
    assert_eq!(renewed["token"], made["token"]);
    let mut openssl = Command::new("openssl");
    openssl
        .current_dir(work.path())
        .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "ca.key"])
        .args(["-addext", "keyUsage=critical,keyCertSign"]);
    run(openssl.args(["-out", "ca.pem", "-days", "3650", "-subj", "/CN=outside"]));
    let imported = json(&["keystore", "import-ca", "small", "--cert", "ca.pem", "--key", "ca.key"]);
    assert_eq!(imported["ca"], "imported");
    assert_eq!(imported["authority"]["subject"], "CN=outside");
    assert_eq!(imported["authority"]["algorithm"], "Ed25519");
    let secret = fs::read_to_string(work.path().join("keystore/small/secret")).unwrap();
    for value in [&made, &renewed, &imported] {
        assert!(!value.to_string().contains(secret.trim()));
    }
    let mut fleet =
        work.kiln(["keystore", "init", "--fleet", "sites", "--keystore", "k", "--json", "--artifacts"]);
    let made: serde_json::Value = serde_json::from_str(&run(fleet.arg(store()))).unwrap();
    assert_eq!(made["made"][0], "small");
    assert_eq!(made["there"], 0);
}

#[test]
fn a_seed_that_everybody_guesses_and_a_date_that_is_none_are_refused() {
    let work = small();
    let init = |seed: &[u8], issued: &str| {
        work.file("seed", seed);
        work.kiln(["keystore", "init", "small", "--seed-file", "seed", "--issued", issued])
    };
    for seed in
        [&[0; 32][..], &[7; 32], "00".repeat(32).as_bytes(), format!("{}\n", "a5".repeat(32)).as_bytes()]
    {
        let message = refused(&mut init(seed, "2026-01-01"), 4);
        assert!(message.contains("all 32 bytes are the same"), "{message}");
    }
    let good = format!("{:064}", 7);
    for (issued, way_out) in [("2026", "as @2026"), ("20260101", "as 2026-11-21")] {
        let message = refused(&mut init(good.as_bytes(), issued), 2);
        assert!(message.contains(way_out), "{message}");
    }
    assert!(!work.path().join("keystore").exists());
    run(&mut init(good.as_bytes(), "1767225600"));
    assert!(run(&mut work.kiln(["keystore", "show", "small"])).contains("2026-01-01T00:00:00Z"));
}

/// A warning that leaves end with the CA is given where they end sooner than requested, with the date.
#[test]
fn certificates_that_end_with_the_ca_are_told_by_what_was_asked() {
    let work = small();
    let lives = |ca: &str, leaf: &str| {
        let pki = format!("pki = {{ ca-lifetime = \"{ca}\", leaf-lifetime = \"{leaf}\" }}\nbundle");
        work.file("small.toml", SMALL.replace("bundle", &pki));
    };
    let warning = |arguments: &[&str]| {
        let output = build(&work, arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said.lines().find(|line| line.contains("with the CA")).map(str::to_owned)
    };
    lives("2y", "2y");
    work.keystore("small");
    assert_eq!(warning(&[]), None, "the lives are equal");
    run(&mut work.kiln(["keystore", "renew", "small", "--issued", "2026-02-01"]));
    let want =
        "warning: certificates expire on 2028-01-01T00:00:00Z with the CA, earlier than leaf-lifetime allows";
    assert_eq!(warning(&[]).as_deref(), Some(want));
    lives("2y", "1y");
    assert_eq!(warning(&[]), None);
}

/// No message of these modules advises to remove anything.
#[test]
fn messages_do_not_advise_to_destroy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("builder");
    for room in ["artifact", "bundle", "cache", "commands", "disk", "pki"] {
        for entry in walkdir::WalkDir::new(root.join(room)).into_iter().map(|entry| entry.unwrap()) {
            if !entry.file_type().is_file() {
                continue;
            }
            let text = fs::read_to_string(entry.path()).unwrap();
            for (number, line) in text.lines().enumerate() {
                let lower = line.to_lowercase();
                let is_message = line.contains('"') && !line.trim_start().starts_with("//");
                for advice in [
                    "remove it",
                    "remove them",
                    "delete it",
                    "delete them",
                    "empty it",
                    "empty this",
                    "overwrite it",
                ] {
                    assert!(
                        !(is_message && lower.contains(advice)),
                        "{}:{}: {line}",
                        entry.path().display(),
                        number + 1
                    );
                }
            }
        }
    }
}
