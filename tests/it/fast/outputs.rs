//! Places that Kiln writes to: never a file or directory of another purpose.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{SMALL, Workshop, refused, run, snapshot, store};

/// A keystore, a bundle, a fleet of one and a cache.
fn full() -> Workshop {
    let work = Workshop::new();
    work.file("small.toml", SMALL);
    work.keystore("small");
    let mut build = work.kiln(["build", "--profile", "small.toml", "--cache", "cache", "--artifacts"]);
    run(build.arg(store()).env_remove("KILN_NO_CACHE"));
    work
}

#[test]
fn a_report_never_replaces_a_file_of_another_kind() {
    let work = full();
    work.file("notes.txt", "mine");
    work.file("domain.xml", "<?xml version=\"1.0\"?><domain/>");
    symlink("notes.txt", work.path().join("link")).unwrap();
    symlink("keystore/small", work.path().join("way")).unwrap();
    let before = snapshot(work.path());
    for path in [
        "keystore/small/secret",
        "keystore/small/new.xml",
        "way/new.xml",
        "out/small/bundle.json",
        "out/small/nodes/new.xml",
        "cache/1/new.xml",
        "notes.txt",
        "domain.xml",
        "link",
        "keystore/small",
    ] {
        for verb in ["verify", "rehearse"] {
            let message = refused(&mut work.kiln([verb, "out/small", "--junit", path]), 6);
            assert!(message.contains("for --junit"), "{message}");
        }
        refused(work.kiln(["verify", "out/small"]).env("KILN_JUNIT", path), 6);
    }
    assert_eq!(snapshot(work.path()), before);
}

#[test]
fn a_cache_is_never_in_a_directory_of_something_else() {
    let work = full();
    work.file("mine/notes.txt", "mine");
    let before = snapshot(work.path());
    for cache in
        ["keystore/small", "keystore/small/cache", "out/small", "out/small/nodes", "mine", "keystore"]
    {
        let mut build = work.kiln(["build", "--profile", "small.toml", "--out", "new", "--cache", cache]);
        let message = refused(build.arg("--artifacts").arg(store()).env_remove("KILN_NO_CACHE"), 6);
        assert!(message.contains("--cache"), "{message}");
        for verb in ["prune", "show"] {
            refused(&mut work.kiln(["cache", verb, "--cache", cache]), 6);
        }
    }
    assert_eq!(snapshot(work.path()), before);
}

#[test]
fn pruning_removes_only_what_a_cache_has_written() {
    let work = full();
    let hex = "ab".repeat(32);
    let mine = ["1/part/mine.txt", "1/seen/.kiln-notes", "1/new/.kiln-my-own-notes", "1/packed/AB", "2/x"];
    let upper = format!("1/part/{}", hex.to_uppercase());
    for name in mine.iter().copied().chain([upper.as_str()]) {
        work.file(&format!("cache/{name}"), "mine");
    }
    work.file(&format!("cache/1/part/{hex}"), "an entry");
    run(&mut work.kiln(["cache", "prune", "--cache", "cache", "--max-size", "0"]));
    for name in mine.iter().copied().chain([upper.as_str()]) {
        assert_eq!(fs::read_to_string(work.path().join("cache").join(name)).unwrap(), "mine");
    }
    assert!(!work.path().join(format!("cache/1/part/{hex}")).exists());
    // As a tester found it: a directory that only looks a little like a cache.
    work.file("f/1/part/mine.txt", "x");
    refused(&mut work.kiln(["cache", "prune", "--cache", "f", "--max-size", "0"]), 6);
    assert!(work.path().join("f/1/part/mine.txt").exists());
}

#[test]
fn stores_keystores_and_pages_are_not_written_into_something_else() {
    let work = full();
    work.file("mine/notes.txt", "mine");
    work.file("etcd.tar.gz", "no release");
    let before = snapshot(work.path());
    for place in ["keystore/small", "keystore/small/new", "out/small", "out/small/client", "cache", "mine"] {
        let message = refused(&mut work.kiln(["artifacts", "add", "etcd.tar.gz", "--artifacts", place]), 6);
        assert!(message.contains("--artifacts"), "{message}");
    }
    for place in ["keystore/small/new", "out/small/new", "out/small/client/new", "cache/new"] {
        let message = refused(&mut work.kiln(["keystore", "init", "other", "--keystore", place]), 6);
        assert!(message.contains("choose another --keystore"), "{message}");
        let mut build = work.kiln(["build", "--profile", "small.toml", "--out", "new", "--keystore", place]);
        let message = refused(build.arg("--artifacts").arg(store()), 6);
        assert!(message.contains("choose another --keystore"), "{message}");
    }
    for place in ["keystore/small", "out/small", "out/small/client", "cache"] {
        refused(&mut work.kiln(["man", place]), 6);
    }
    for place in ["keystore/x", "keystore/small/x", "keystore/x/y", "cache/x"] {
        let mut build =
            work.kiln(["build", "--profile", "small.toml", "--keystore", "other", "--out", place]);
        let message = refused(build.arg("--artifacts").arg(store()), 6);
        assert!(message.contains("choose another --out"), "{message}");
    }
    assert_eq!(snapshot(work.path()), before);
}
