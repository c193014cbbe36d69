//! The JSON documents: manifests, indexes and host states.

use std::fs;

use super::fields::{changed, fields};
use super::{VALUES, assert_clean, assert_refused};
use crate::support::{Workshop, ha3_with, reseal};
use kiln::bundle::{Bundle, Index, Manifest};
use kiln::failure::{Exit, Failure};
use kiln::host::State;
use kiln::values::Digest;
use serde_json::{Value, json};

/// Every field of a document, with the parser in this process; one value of each is also left for the program.
fn try_all<T>(document: &Value, read: impl Fn(&[u8]) -> Result<T, Failure>) -> Vec<(String, Value)> {
    if let Err(failure) = read(document.to_string().as_bytes()) {
        panic!("the good one is refused: {failure}");
    }
    let mut samples = Vec::new();
    for field in fields(document) {
        let changed = changed(document, &field);
        assert!(changed.len() >= VALUES, "{}: {} values", field.kind, changed.len());
        for document in &changed {
            let value = document.pointer(&field.pointer).unwrap().to_string();
            assert_refused(read(document.to_string().as_bytes()), Exit::Wrong, &field.kind, &value);
        }
        // A text with control characters, if there is one.
        let at = samples.len() % changed.len();
        let steering = changed.iter().find(|value| value.to_string().contains("\\u001b"));
        samples.push((field.kind, steering.unwrap_or(&changed[at]).clone()));
    }
    samples
}

/// A bundle with every field that a manifest may have; its base system is made up.
fn bundle(work: &Workshop) -> std::path::PathBuf {
    work.keystore_of_renewal("ha3");
    let changes = [
        (
            "# Client certificates",
            "[pki]\nrenewal = \"node\"\nca-lifetime = \"30y\"\nleaf-lifetime = \"9y\"\nnode-ca-lifetime = \"20y\"\n\n[bundle]\nbinaries = \"shared\"\n\n# Client certificates",
        ),
        ("cidr = \"10.240.0.0/16\"", "cidr = \"10.240.0.0/16\"\ngateway = \"10.240.0.1\""),
    ];
    work.file("ha3.toml", ha3_with(&changes));
    let bundle = work.build("./ha3.toml");
    reseal(&bundle, |manifest| {
        let input = manifest["etcd"]["sources"][0]["sha256"].clone();
        let input = json!({ "size": 7, "sha256": input });
        manifest["machine"]["base"] = json!("live");
        manifest["base"] = json!({ "kernel": input, "initrd": input, "cmdline": "console=ttyS0 quiet" });
        let file = manifest["files"]["network.xml"].clone();
        let mut secret = file.clone();
        secret["mode"] = json!("0600");
        let files = manifest["files"].as_object_mut().unwrap();
        for path in ["boot/vmlinuz", "boot/cmdline"] {
            files.insert(path.to_owned(), file.clone());
        }
        for node in ["cp-a", "cp-b", "cp-c"] {
            files.insert(format!("nodes/{node}/initrd.img"), secret.clone());
        }
        for node in manifest["nodes"].as_array_mut().unwrap() {
            let mut names: Vec<String> = serde_json::from_value(node["files"].clone()).unwrap();
            names.push("initrd.img".to_owned());
            names.sort();
            node["files"] = json!(names);
        }
    });
    bundle
}

#[test]
fn no_bad_value_of_a_manifest_is_taken() {
    let work = Workshop::new();
    let bundle = bundle(&work);
    let document: Value = serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    let samples = try_all(&document, Manifest::from_json);
    assert!(samples.len() > 60, "{} fields", samples.len());
    for (number, (kind, bad)) in samples.into_iter().enumerate() {
        let (text, sums) = (bad.to_string(), bundle.join("SHA256SUMS"));
        let rest = fs::read_to_string(&sums).unwrap();
        let rest: String = rest
            .lines()
            .filter(|line| !line.ends_with("  bundle.json"))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(sums, format!("{}  bundle.json\n{rest}", Digest::of(text.as_bytes()))).unwrap();
        fs::write(bundle.join("bundle.json"), text).unwrap();
        let verb: &[&str] = match number % 4 {
            0 => &["check", "out/ha3"],
            1 => &["show", "out/ha3"],
            2 => &["verify", "out/ha3"],
            _ => &["rehearse", "out/ha3"],
        };
        assert_clean(&work.kiln_without_network(verb).output().unwrap(), 1, &kind);
    }
}

#[test]
fn no_bad_value_of_an_index_is_taken() {
    let work = Workshop::new();
    let digest = "7f".repeat(32);
    let entry = |name: &str| {
        json!({
            "name": name, "cluster": name, "token": format!("{name}-1"), "id": "c1", "nodes": 3, "manifest": digest,
            "sums": digest,
        })
    };
    let document = json!({
        "schema": 1, "builder": "kiln 0.1.0", "profiles": digest, "shard": { "number": 1, "of": 2 },
        "bundles": [entry("a"), entry("b")],
    });
    let samples = try_all(&document, Index::from_json);
    assert!(samples.len() > 12, "{} fields", samples.len());
    for (kind, bad) in samples {
        work.file("fleet/fleet.json", bad.to_string());
        assert_clean(&work.kiln(["check", "fleet"]).output().unwrap(), 1, &kind);
        assert_clean(&work.kiln(["join", "fleet", "--out", "all"]).output().unwrap(), 1, &kind);
    }
}

/// The record of a bundle's machines, as every version of Kiln so far has written it.
#[test]
fn no_bad_value_of_a_host_state_is_taken() {
    let work = Workshop::new();
    work.keystore("ha3");
    work.file(
        "ha3.toml",
        ha3_with(&[("# Client certificates", "[bundle]\nbinaries = \"shared\"\n\n# Client certificates")]),
    );
    let bundle = Bundle::open(&work.build("./ha3.toml")).unwrap();
    let (id, digest) = (bundle.manifest.cluster.id.to_string(), "7f".repeat(32));
    let second = json!({
        "schema": 2, "cluster": "ha3", "cluster_id": id, "named_by": "id", "driver": "qemu", "carrier": "cloud-init",
        "accel": "tcg", "connect": "qemu:///system", "laid": true,
        "nodes": { "cp-a": { "formed": true, "bundle": digest, "system": digest } },
    });
    let first = json!({
        "schema": 1, "cluster": "ha3", "cluster_id": id, "driver": "qemu", "carrier": "cloud-init", "accel": "tcg",
        "connect": "qemu:///system", "defined": true, "formed": ["cp-a"],
    });
    for document in [second, first] {
        let samples = try_all(&document, |bytes| {
            work.file("out/.ha3.machines/machines.json", bytes);
            State::open(&bundle)
        });
        assert!(samples.len() >= 9, "{} fields", samples.len());
        for (kind, bad) in samples {
            work.file("out/.ha3.machines/machines.json", bad.to_string());
            assert_clean(&work.kiln(["status", "out/ha3"]).output().unwrap(), 1, &kind);
        }
    }
}
