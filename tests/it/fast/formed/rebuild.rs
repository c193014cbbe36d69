//! Which changes to a profile the builds of a formed cluster refuse, and which bundle they replace.

use std::fs;
use std::path::Path;

use super::{Changes, FOURTH, SMALL, all_are_refused, build, changed, sealed_workshop, workshop};
use crate::support::{refused, run, snapshot, store};
use serde_json::Value;

// long: one table of cases
#[test]
fn a_formed_cluster_is_not_rebuilt_as_another_one() {
    let work = sealed_workshop();
    let id = |of: &Path| {
        let manifest: Value = serde_json::from_slice(&fs::read(of.join("bundle.json")).unwrap()).unwrap();
        manifest["cluster"]["id"].as_str().unwrap().to_owned()
    };
    let has_formed = format!(
        "small has formed (sealed in keystore/small) with the cluster ID {}",
        id(&work.path().join("out/small"))
    );
    let by_hand = "README, \"Changing a formed cluster\"";
    let changes: Changes = &[
        (
            "a fourth node",
            format!("{SMALL}{FOURTH}"),
            &[
                &has_formed,
                "d (https://10.0.0.7:2380) is not a member",
                "etcdctl member add d --peer-urls",
                "existing",
                by_hand,
            ],
        ),
        (
            "a missing node",
            changed("name = \"small\"", "name = \"small\", allow-two-members = true")
                .split("[[node]]\nname = \"c\"")
                .next()
                .unwrap()
                .to_owned(),
            &[&has_formed, "the member c is missing: restore its [[node]]", by_hand],
        ),
        (
            "another address",
            changed("10.0.0.5", "10.0.0.50"),
            &[
                &has_formed,
                "b has the peer URL https://10.0.0.5:2380, not https://10.0.0.50:2380",
                "member update",
            ],
        ),
        (
            "another name",
            changed("name = \"b\"", "name = \"x\""),
            &["small has formed", "the member at https://10.0.0.5:2380 is b, not x"],
        ),
        (
            "another token",
            changed("name = \"small\"", "name = \"small\", token = \"other\""),
            &["the token is other", "remove [cluster] token from the profile", "another --keystore"],
        ),
        (
            "another CA key",
            changed("leaf-algorithm", "ca-algorithm = \"p384\", leaf-algorithm"),
            &["the CA's key would be p384", "set [pki] ca-algorithm = \"p256\" (leaf-algorithm may change)"],
        ),
        (
            "all at once",
            changed("10.0.0.5", "10.0.0.50")
                .replace("leaf-algorithm", "ca-lifetime = \"5y\", leaf-algorithm")
                + FOURTH,
            &["made for 5y instead of 10y", "d (https://10.0.0.7:2380)", "b has the peer URL"],
        ),
        (
            "a release that etcd cannot go back to",
            changed("3.5.16", "3.4.23"),
            &["etcd 3.4.23 does not start with the data of 3.5: set [etcd] version to a release of 3.5"],
        ),
    ];
    all_are_refused(&work, changes);
}

#[test]
fn leaves_and_the_release_of_a_formed_cluster_may_change() {
    let work = sealed_workshop();
    work.file(
        "small.toml",
        changed("leaf-algorithm = \"p256\"", "leaf-algorithm = \"ed25519\", leaf-lifetime = \"90d\""),
    );
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["keystore", "renew", "small", "--issued", "2026-02-01"]));
    run(&mut build(&work, &[]));
    work.file("small.toml", changed("3.5.16", "3.5.30"));
    run(&mut build(&work, &[]));
}

/// Built in another directory, or after its keystore was lost: the bundle may be the only record of what runs.
#[test]
fn the_bundle_of_a_formed_cluster_is_not_replaced_by_one_from_another_keystore() {
    let work = workshop();
    run(&mut build(&work, &[]));
    // Its keys may be nowhere else.
    let said = refused(&mut build(&work, &["--keystore", "second"]), 6);
    assert!(said.contains("there is no keystore second") && !work.path().join("second").exists(), "{said}");
    // If the keystore exists, there is a message until the cluster has formed.
    run(&mut work.kiln(["keystore", "init", "small", "--keystore", "second"]));
    let output = build(&work, &["--quiet", "--keystore", "second"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("out/small is the bundle of another cluster"), "{said}");
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    run(&mut build(&work, &[]));
    let before = snapshot(&work.path().join("out/small"));
    fs::create_dir(work.path().join("sites")).unwrap();
    fs::copy(work.path().join("small.toml"), work.path().join("sites/small.toml")).unwrap();
    for keystore in ["second", "third"] {
        let message = refused(&mut build(&work, &["--keystore", keystore]), 6);
        assert!(message.contains("out/small is the bundle of a formed cluster"), "{message}");
        let mut check =
            work.kiln(["check", "--profile", "small.toml", "--keystore", keystore, "--artifacts"]);
        refused(check.arg(store()), 6);
    }
    assert!(!work.path().join("third").exists());
    assert!(snapshot(&work.path().join("out/small")) == before);
}
