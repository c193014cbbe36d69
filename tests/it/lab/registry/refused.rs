//! What is not pushed, and what is not pulled: damaged, changed, or not a bundle.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::daemon::{self, Registry, Setup};
use super::{assert_same, kiln, list, manifest, workshop};
use crate::support::{refused, reseal, run};
use serde_json::Value;

#[test]
fn a_damaged_blob_is_refused_and_nothing_is_left() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let bundle = work.build("one.toml");
    let address = registry.address("ha3:one");
    run(&mut kiln(&work, &["push", "out/one", &address]));
    let blob = |path: &str| registry.blob(manifest(&bundle)["files"][path]["sha256"].as_str().unwrap());
    let seed = blob("nodes/cp-a/seed.iso");
    let config = registry
        .blob(run(Command::new("sha256sum").arg(bundle.join("bundle.json"))).split(' ').next().unwrap());
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, &Path, Damage, &str); 5] = [
        (
            "turned",
            &seed,
            |bytes| bytes[40_000] ^= 1,
            "nodes/cp-a/seed.iso: the received file has the SHA-256",
        ),
        ("shorter", &seed, |bytes| bytes.truncate(9_000), "the registry has 9000 bytes of it, not"),
        ("longer", &seed, |bytes| bytes.extend([0; 4096]), "the registry sends more than its"),
        ("empty", &seed, |bytes| bytes.clear(), "the registry has 0 bytes of it, not"),
        ("manifest", &config, |bytes| bytes[9] ^= 1, "bundle.json: the received file has the SHA-256"),
    ];
    for (name, path, damage, want) in damages {
        let good = fs::read(path).unwrap();
        let mut bad = good.clone();
        damage(&mut bad);
        fs::write(path, &bad).unwrap();
        let said = refused(&mut kiln(&work, &["pull", &address, "--out", &format!("{name}/ha3")]), 4);
        assert!(said.contains(want), "{name}: {said}");
        let left = list(&work.path().join(name));
        assert!(left.is_empty(), "{name}: {left:?}");
        // The old bundle stays.
        refused(&mut kiln(&work, &["pull", &address, "--out", "out/one"]), 4);
        fs::write(path, &good).unwrap();
    }
    assert_same(&bundle, &{
        run(&mut kiln(&work, &["pull", &address]));
        work.path().join("out/ha3")
    });
}

#[test]
fn what_is_not_a_bundle_is_refused() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let bundle = work.build("one.toml");
    let address = registry.address("ha3:one");
    run(&mut kiln(&work, &["push", "out/one", &address]));

    // Unknown names, and a registry that does not exist.
    let said = refused(&mut kiln(&work, &["pull", &registry.address("ha3:two")]), 2);
    assert!(said.contains(&format!("tag two not found in {}/ha3", registry.host())), "{said}");
    let none = format!("oci://127.0.0.1:{}/ha3:one", daemon::free_port());
    for arguments in [["pull", &none].as_slice(), &["push", "out/one", &none]] {
        let said = refused(&mut kiln(&work, arguments), 5);
        assert!(said.contains("refused"), "{said}");
    }
    // An image that is not a bundle.
    registry.put_manifest("ha3", "image", |image| image["artifactType"] = "application/vnd.other".into());
    let said = refused(&mut kiln(&work, &["pull", &registry.address("ha3:image")]), 4);
    assert!(
        said.contains("it is not a bundle that kiln push wrote, but \"application/vnd.other\""),
        "{said}"
    );
    // More than the limit, so none of it is requested.
    registry.put_manifest("ha3", "large", |image| image["config"]["size"] = ((96 << 20) + 1).into());
    let said = refused(&mut kiln(&work, &["pull", &registry.address("ha3:large")]), 4);
    assert!(said.contains("its bundle.json has 100663297 bytes"), "{said}");
    // Files at the target that are locked or not a bundle stay.
    fs::create_dir(work.path().join("mine")).unwrap();
    work.file("mine/notes", "x");
    let said = refused(&mut kiln(&work, &["pull", &address, "--out", "mine"]), 6);
    assert!(said.contains("mine is a directory not created by Kiln"), "{said}");
    assert_eq!(list(&work.path().join("mine")), ["notes"]);
    assert_eq!(list(&work.path().join("out")), ["one"]);
    assert!(bundle.join("bundle.json").exists());
}

#[test]
fn layers_that_differ_from_what_bundle_json_says_are_refused() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    work.build("one.toml");
    run(&mut kiln(&work, &["push", "out/one", &registry.address("ha3:one")]));
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 5] = [
        (
            "missing",
            |image| drop(image["layers"].as_array_mut().unwrap().pop()),
            "does not match bundle.json",
        ),
        (
            "more",
            |image| {
                let mut layer = image["layers"][0].clone();
                layer["annotations"]["org.opencontainers.image.title"] = "../../etc/passwd".into();
                image["layers"].as_array_mut().unwrap().push(layer);
            },
            "which bundle.json does not list",
        ),
        (
            "twice",
            |image| {
                let layer = image["layers"][0].clone();
                image["layers"].as_array_mut().unwrap().push(layer);
            },
            "twice",
        ),
        ("size", |image| image["layers"][3]["size"] = 7.into(), "does not match bundle.json"),
        (
            "swapped",
            |image| {
                let other = image["layers"][4]["digest"].clone();
                image["layers"][3]["digest"] = other;
            },
            "does not match bundle.json",
        ),
    ];
    for (tag, change, want) in changes {
        registry.put_manifest("ha3", tag, change);
        let said = refused(&mut kiln(&work, &["pull", &registry.address(&format!("ha3:{tag}"))]), 4);
        assert!(said.contains(want), "{tag}: {said}");
    }
    assert_eq!(list(&work.path().join("out")), ["one"]);
}

/// An untrusted manifest; the image manifest and SHA256SUMS match it.
#[test]
fn pull_modes_and_escapes_are_not_the_manifests_to_say() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let bundle = work.build("one.toml");
    run(&mut kiln(&work, &["push", "out/one", &registry.address("ha3:one")]));
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 5] = [
        (
            "open",
            |m| {
                m["files"].as_object_mut().unwrap().values_mut().for_each(|file| file["mode"] = "0666".into())
            },
            "client/etcdctl-key.pem has the mode 0666 in the manifest; expected 0600",
        ),
        ("setuid", |m| m["files"]["network.xml"]["mode"] = "4755".into(), "expected 0644"),
        ("token", |m| m["cluster"]["token"] = "\u{1b}]0;x\u{7}".into(), "use A-Z"),
        ("version", |m| m["etcd"]["version"] = "3.5.16\u{9b}31m".into(), "three numbers"),
        ("ids", |m| m["nodes"][0]["member_id"] = "1".into(), "has the member ID 1"),
    ];
    for (tag, change, want) in changes {
        let copy = work.path().join(tag);
        run(Command::new("cp").arg("-al").arg(&bundle).arg(&copy));
        reseal(&copy, change);
        let files = ["bundle.json", "SHA256SUMS"].map(|name| {
            let bytes = fs::read(copy.join(name)).unwrap();
            (name, registry.put_blob("ha3", &bytes), bytes.len())
        });
        registry.put_manifest("ha3", tag, |image| {
            for (name, digest, size) in files {
                let layers = image["layers"].as_array_mut().unwrap();
                let is = |layer: &&mut Value| layer["annotations"]["org.opencontainers.image.title"] == name;
                let layer = layers.iter_mut().find(is).unwrap();
                layer["digest"] = digest.clone().into();
                layer["size"] = size.into();
                if name == "bundle.json" {
                    image["config"]["digest"] = digest.into();
                    image["config"]["size"] = size.into();
                }
            }
        });
        let out = format!("pulled/{tag}");
        let said =
            refused(&mut kiln(&work, &["pull", &registry.address(&format!("ha3:{tag}")), "--out", &out]), 4);
        assert!(said.contains(want), "{tag}: {said}");
        assert!(!said.contains(|c| c != '\n' && kiln::values::steers(c)), "{tag}: {said:?}");
        assert!(!work.path().join(&out).exists());
    }
}

#[test]
fn only_what_is_as_it_was_built_is_pushed() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let bundle = work.build("one.toml");
    let address = registry.address("ha3:one");
    let listing = bundle.join("nodes/cp-a/listing.txt");
    fs::write(&listing, fs::read_to_string(&listing).unwrap() + "x").unwrap();
    let said = refused(&mut kiln(&work, &["push", "out/one", &address]), 1);
    assert!(said.contains("nothing was pushed") && said.contains("nodes/cp-a/listing.txt has"), "{said}");
    work.build("one.toml");
    fs::set_permissions(bundle.join("nodes/cp-a/seed.iso"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = refused(&mut kiln(&work, &["push", "out/one", &address]), 1);
    assert!(said.contains("has mode 0644, not 0600"), "{said}");
    assert!(registry.blobs().is_empty());

    fs::create_dir(work.path().join("fleet")).unwrap();
    work.file("fleet/fleet.json", "{}");
    let said = refused(&mut kiln(&work, &["push", "fleet", &address]), 2);
    assert!(said.contains("fleet is a fleet"), "{said}");
    refused(&mut kiln(&work, &["push", "nowhere", &address]), 2);
    for (address, want) in [
        (registry.address("ha3"), "it names no tag; append :TAG"),
        (registry.address(&format!("ha3@sha256:{}", "0".repeat(64))), "name a tag"),
        ("oci://ann:sesame@registry.lan/ha3:one".to_owned(), "user name before the host"),
    ] {
        let said = refused(&mut kiln(&work, &["push", "out/one", &address]), 2);
        assert!(said.contains(want) && !said.contains("sesame"), "{said}");
    }
}
