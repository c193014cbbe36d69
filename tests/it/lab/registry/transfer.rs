//! Bundles that are pushed, pulled and copied: the same bytes, each sent once, none held in memory.

use std::fs;
use std::process::Command;

use super::daemon::{Registry, Setup};
use super::{assert_same, json, kiln, list, manifest, workshop};
use crate::support::{self, peak, run};
use serde_json::Value;

#[test]
fn what_is_pulled_is_what_was_pushed() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let one = work.build("one.toml");
    let address = registry.address("clusters/ha3:one");

    let output = kiln(&work, &["push", "out/one", &address]).output().unwrap();
    let [printed, said] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{said}");
    assert!(said.contains("has the private keys of these nodes"), "{said}");
    assert!(
        printed.contains(": sent ") && printed.contains(", 0 blobs (0.0 MiB) already there\n"),
        "{printed}"
    );
    let pinned = printed.lines().last().unwrap().to_owned();
    assert!(pinned.contains("/clusters/ha3@sha256:"), "{printed}");

    // By tag, by digest, and over an older bundle.
    let output = kiln(&work, &["pull", &address]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains(&format!(
            "the tag one can be moved to another bundle; pull {pinned} to get this one again"
        )),
        "{said}"
    );
    assert_same(&one, &work.path().join("out/ha3"));
    let output = kiln(&work, &["pull", &pinned, "--out", "elsewhere/deep"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    assert_same(&one, &work.path().join("elsewhere/deep"));
    work.build("two.toml");
    let pulled = json(&mut kiln(&work, &["pull", &address, "--out", "out/two"]));
    assert_same(&one, &work.path().join("out/two"));
    assert_eq!(list(&work.path().join("elsewhere")), ["deep"]);
    assert_eq!(pulled["pinned"], pinned.as_str());
    assert_eq!(pulled["cluster"]["token"], "one");
    assert_eq!(pulled["files"], manifest(&one)["files"].as_object().unwrap().len() + 2);
    run(&mut kiln(&work, &["check", "out/two"]));
}

#[test]
fn nothing_is_sent_twice() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let (one, two) = (work.build("one.toml"), work.build("two.toml"));
    let layers = ["layers/etcd.tar.gz", "layers/etcd.cpio.gz", "layers/layer.iso"];
    let size = |path: &str| fs::metadata(one.join(path)).unwrap().len();
    let shared: u64 = layers.iter().map(|path| size(path)).sum();
    assert!(shared > 50_000_000, "{shared}");

    let push = |bundle: &str, tag: &str| {
        json(&mut kiln(&work, &["push", bundle, &registry.address(&format!("ha3:{tag}"))]))
    };
    let first = push("out/one", "one");
    assert!(first["sent"]["bytes"].as_u64().unwrap() > shared, "{first}");
    assert_eq!(first["there"]["blobs"], 0);
    assert_eq!(first["unchanged"], false);

    let again = push("out/one", "one");
    assert_eq!((&again["sent"]["blobs"], &again["sent"]["bytes"]), (&0.into(), &0.into()), "{again}");
    assert_eq!(again["unchanged"], true);
    assert_eq!(again["pinned"], first["pinned"], "the same bundle is the same manifest");
    assert_eq!(again["there"], first["sent"]);
    // Another tag for the same bundle is another manifest with the same digest.
    let renamed = push("out/one", "latest");
    assert_eq!(renamed["sent"]["blobs"], 0);
    assert_eq!(renamed["unchanged"], false);
    assert_eq!(renamed["pinned"], first["pinned"]);

    let other = push("out/two", "two");
    assert!(other["there"]["bytes"].as_u64().unwrap() >= shared, "{other}");
    assert!(other["sent"]["bytes"].as_u64().unwrap() < 5_000_000, "{other}");
    for path in layers {
        let sha256 = &manifest(&one)["files"][path]["sha256"];
        assert_eq!(sha256, &manifest(&two)["files"][path]["sha256"]);
        assert_eq!(fs::metadata(registry.blob(sha256.as_str().unwrap())).unwrap().len(), size(path));
    }
    let stored: u64 = registry.blobs().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(stored < shared + 10_000_000, "{stored} bytes are stored for two bundles");
}

#[test]
fn skopeo_reads_what_kiln_wrote() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let bundle = work.build("one.toml");
    let pushed = json(&mut kiln(&work, &["push", "out/one", &registry.address("ha3:one")]));
    let docker = format!("docker://{}/ha3:one", registry.host());
    let skopeo = |arguments: &[&str]| run(Command::new("skopeo").arg("--insecure-policy").args(arguments));

    let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &docker]);
    let image: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(image["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(image["artifactType"], "application/vnd.kiln.bundle.v1");
    assert_eq!(image["config"]["mediaType"], "application/vnd.kiln.bundle.manifest.v1+json");

    // skopeo checks every digest; its output is the bundle, file by file.
    let copy = work.path().join("copy");
    skopeo(&["copy", "--src-tls-verify=false", &docker, &format!("oci:{}:one", copy.display())]);
    let blob =
        |digest: &Value| fs::read(copy.join("blobs/sha256").join(&digest.as_str().unwrap()[7..])).unwrap();
    let index: Value = serde_json::from_slice(&fs::read(copy.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    assert!(pushed["pinned"].as_str().unwrap().ends_with(digest), "{pushed} {digest}");
    assert!(blob(&image["config"]["digest"]) == fs::read(bundle.join("bundle.json")).unwrap());
    let mut titles = Vec::new();
    for layer in image["layers"].as_array().unwrap() {
        let title = layer["annotations"]["org.opencontainers.image.title"].as_str().unwrap();
        assert_eq!(layer["mediaType"], "application/vnd.kiln.bundle.file.v1");
        assert!(blob(&layer["digest"]) == fs::read(bundle.join(title)).unwrap(), "{title}");
        titles.push(title.to_owned());
    }
    let mut files: Vec<_> = manifest(&bundle)["files"].as_object().unwrap().keys().cloned().collect();
    files.extend(["SHA256SUMS".to_owned(), "bundle.json".to_owned()]);
    files.sort();
    assert_eq!(titles, files);

    // A bundle that skopeo copies to another registry is valid there.
    let second = Registry::start(Setup::default());
    let to = format!("docker://{}/moved:x", second.host());
    skopeo(&["copy", "--src-tls-verify=false", "--dest-tls-verify=false", &docker, &to]);
    run(&mut kiln(&work, &["pull", &second.address("moved:x")]));
    assert_same(&bundle, &work.path().join("out/moved"));
}

#[test]
fn large_files_are_not_held() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    work.build("one.toml");
    let address = registry.address("ha3:one");
    let (push, pull) = (peak(&work, &["push", "out/one", &address]), peak(&work, &["pull", &address]));
    let largest = fs::metadata(work.path().join("out/one/layers/layer.iso")).unwrap().len() / 1024;
    println!("push {push} KiB, pull {pull} KiB, largest file {largest} KiB");
    // Besides the program's own memory, which depends on how it was compiled.
    const PIECES: u64 = 12_000;
    let most = peak(&work, &["check", "--help"]) + PIECES;
    assert!(
        PIECES < largest / 2 && push < most && pull < most,
        "push {push} KiB, pull {pull} KiB, at most {most} KiB"
    );
}

#[test]
fn the_address_of_a_bundle_is_in_the_help() {
    for verb in ["push", "pull"] {
        let help = run(support::kiln().args([verb, "--help"]));
        assert!(
            help.contains("oci://HOST[:PORT]/REPOSITORY:TAG") && help.contains("--password-file"),
            "{help}"
        );
    }
}
