//! What a keystore records of its cluster, and how one learns it that was written before there was a record.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{FOURTH, SMALL, build, list, workshop};
use crate::support::{Workshop, refused, run, snapshot, store};
use kiln::failure::Exit;
use kiln::pki::Keystore;
use kiln::plan;
use kiln::profile::{self, Source};
use serde_json::Value;

/// A keystore as Kiln wrote it before it recorded anything.
fn forget(work: &Workshop) {
    let dir = work.path().join("keystore/small");
    let text = list(work).replace("schema = 2", "schema = 1");
    let (head, rest) = text.split_once("\n[issued]").unwrap();
    let issues = &rest[rest.find("\n[[issue]]").unwrap()..];
    let old = kiln::pki::resealed(&dir, &format!("{head}{issues}")).unwrap();
    fs::write(dir.join("keystore.toml"), old).unwrap();
    let shown = run(&mut work.kiln(["keystore", "show", "small", "--json"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["authority"], Value::Null);
}

#[test]
fn a_keystore_from_before_the_record_is_read_as_it_is_and_learns_it() {
    let work = workshop();
    run(&mut build(&work, &[]));
    let bundle = snapshot(&work.path().join("out"));
    forget(&work);
    let old = list(&work);
    run(&mut work.kiln(["check", "out/small"]));
    run(work.kiln(["check", "--profile", "small.toml", "--artifacts"]).arg(store()));
    assert_eq!(list(&work), old, "check writes nothing");
    // A build that fails records nothing.
    work.file("site/etc/broken.hbs", "{{nope}}\n");
    refused(&mut build(&work, &["--overlays", "site"]), 3);
    assert_eq!(list(&work), old);
    run(&mut build(&work, &[]));
    assert!(
        list(&work).contains("\n[issued]\nca-algorithm = \"p256\"\nca-lifetime = \"10y\"\netcd = \"3.5\"\n")
    );
    assert_eq!(snapshot(&work.path().join("out")), bundle, "the bytes are the same");
    let mode = fs::metadata(work.path().join("keystore/small/keystore.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_sealed_keystore_from_before_the_record_learns_it_from_a_bundle_only() {
    let work = workshop();
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    run(&mut build(&work, &[]));
    let whole = list(&work);
    forget(&work);
    let old = list(&work);
    assert!(old.contains("\nsealed = ["), "{old}");

    // Never from the profile that is being built, nor from another cluster's bundle.
    run(&mut work.kiln(["keystore", "init", "small", "--keystore", "another"]));
    run(&mut build(&work, &["--keystore", "another", "--out", "other"]));
    for out in ["elsewhere", "other"] {
        let message = refused(&mut build(&work, &["--out", out]), 6);
        assert!(
            message.contains("was sealed in keystore/small by a Kiln that did not record the cluster"),
            "{message}"
        );
        assert!(message.contains("kiln seal --adopt BUNDLE"), "{message}");
        assert_eq!(list(&work), old);
    }
    refused(&mut work.kiln(["seal", "--adopt", "other"]), 6);

    // From the bundle at --out: the profile that would make it another cluster is refused, and nothing is recorded.
    work.file("small.toml", format!("{SMALL}{FOURTH}"));
    let message = refused(&mut build(&work, &[]), 6);
    assert!(message.contains("d (https://10.0.0.7:2380) is not a member"), "{message}");
    assert_eq!(list(&work), old);
    work.file("small.toml", SMALL);
    run(&mut build(&work, &[]));
    assert_eq!(list(&work), whole);

    // Or by name.
    forget(&work);
    let said = run(&mut work.kiln(["seal", "out/small"]));
    assert!(said.contains("already, without a record") && said.contains("--adopt"), "{said}");
    assert_eq!(list(&work), old);
    let said = run(&mut work.kiln(["seal", "--adopt", "out/small"]));
    assert!(said.contains("recorded small (small-"), "{said}");
    assert_eq!(list(&work), whole);
    run(&mut work.kiln(["seal", "--adopt", "out/small"]));
    run(&mut build(&work, &["--out", "elsewhere"]));
}

#[test]
fn what_is_not_sealed_is_not_adopted_and_a_seal_is_not_changed() {
    let work = workshop();
    run(&mut build(&work, &[]));
    let message = refused(&mut work.kiln(["seal", "--adopt", "out/small"]), 6);
    assert!(message.contains("is not sealed in keystore/small"), "{message}");
    // Two bundles of one keystore and one token, of which one has formed.
    work.file("small.toml", format!("{SMALL}{FOURTH}"));
    run(&mut build(&work, &["--out", "four"]));
    run(&mut work.kiln(["seal", "out/small"]));
    let before = list(&work);
    for arguments in [&["seal", "four"][..], &["seal", "--adopt", "four"]] {
        let message = refused(&mut work.kiln(arguments), 6);
        assert!(
            message.contains("is sealed in keystore/small with other members than this bundle has"),
            "{message}"
        );
        assert_eq!(list(&work), before);
    }
    // A bundle whose IDs were changed by hand.
    let path = work.path().join("four/bundle.json");
    let text = fs::read_to_string(&path).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    for id in [&manifest["cluster"]["id"], &manifest["nodes"][1]["member_id"]] {
        fs::write(&path, text.replace(id.as_str().unwrap(), "abcdef")).unwrap();
        refused(&mut work.kiln(["seal", "four"]), 1);
    }
}

#[test]
fn show_says_what_is_recorded() {
    let work = workshop();
    let shown = run(&mut work.kiln(["keystore", "show", "small"]));
    assert!(shown.contains("CA     derived; the first build fixes its algorithm and lifetime\n"), "{shown}");
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    let shown = run(&mut work.kiln(["keystore", "show", "small"]));
    let json: Value =
        serde_json::from_str(&run(&mut work.kiln(["keystore", "show", "small", "--json"]))).unwrap();
    let manifest: Value =
        serde_json::from_slice(&fs::read(work.path().join("out/small/bundle.json")).unwrap()).unwrap();
    let (cluster, nodes) = (&manifest["cluster"], &manifest["nodes"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for want in [
        "CA     derived, CN=small etcd CA, p256, 2025-12-31T00:00:00Z to 2035-12-30T00:00:00Z\n".to_owned(),
        format!("sealed {}, cluster ID {}, etcd 3.5.16\n", text(&cluster["token"]), text(&cluster["id"])),
        format!("b {} https://10.0.0.5:2380\n", text(&nodes[1]["member_id"])),
    ] {
        assert!(shown.contains(&want), "{want}: {shown}");
    }
    assert_eq!(json["authority"]["subject"], "CN=small etcd CA");
    assert_eq!(json["authority"]["algorithm"], "p256");
    assert_eq!(json["authority"]["not_after"], "2035-12-30T00:00:00Z");
    assert_eq!(json["formed"][0]["id"], cluster["id"]);
    assert_eq!(json["formed"][0]["members"][2]["id"], nodes[2]["member_id"]);
    assert_eq!(json["formed"][0]["members"][2]["peer_url"], nodes[2]["peer_urls"][0]);
    assert_eq!(json["sealed"][0], cluster["token"]);
}

/// Two hundred at a time, one of which another run has changed since it was read.
#[test]
fn many_keystores_are_recorded_at_once_and_none_over_another_runs_work() {
    let work = Workshop::new();
    let name = |number: usize| format!("c{number}").parse().unwrap();
    let path = |number: usize| work.path().join(format!("keystore/c{number}"));
    let issued = "2026-01-01".parse().unwrap();
    let drafts = (0..250).map(|n| (Keystore::draft(&name(n), None, issued).unwrap(), path(n))).collect();
    Keystore::save_all(drafts, || Ok(())).unwrap();
    let text = SMALL.replace("\"small\"", "\"c\"");
    let source = Source::file(Path::new("small.toml"), text.into_bytes());
    let available = [("3.5.16".parse().unwrap(), "amd64".parse().unwrap())];
    let Ok((profile, _)) = profile::read(&source, &available, kiln::carrier::all()) else {
        panic!("a profile has mistakes")
    };
    let admitted = || -> Vec<_> {
        let admit = |number: usize| {
            let mut keystore = Keystore::open(&path(number), &name(number)).unwrap();
            keystore.admit(&path(number), &plan::resolve(&profile, &keystore.names().unwrap())).unwrap();
            keystore.release();
            (keystore, path(number))
        };
        (0..250).map(admit).filter(|(keystore, _)| keystore.is_unsaved()).collect()
    };
    let all = admitted();
    assert_eq!(all.len(), 250);
    drop(Keystore::renew(&path(249), &name(249), issued).unwrap());
    let failure = Keystore::save_all(all, || Ok(())).unwrap_err();
    assert_eq!(failure.exit(), Exit::Locked);
    assert!(failure.to_string().contains("another run changed"), "{failure}");
    assert_eq!(Keystore::open(&path(249), &name(249)).unwrap().issue_number(), 2);
    // The first two hundred are saved, the others are not.
    let rest = admitted();
    assert_eq!(rest.len(), 50);
    Keystore::save_all(rest, || Ok(())).unwrap();
    assert!(admitted().is_empty());
    let left: Vec<_> = kiln::disk::walk(&work.path().join("keystore"))
        .unwrap()
        .into_iter()
        .filter(|found| found.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
        .collect();
    assert!(left.is_empty());
}
