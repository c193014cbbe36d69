//! The programs in a bundle, which run here only as the artifact store has them.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use super::running::Said;
use super::{build, profile};
use crate::support::{self, Workshop, run, store};
use serde_json::Value;

/// A program from a bundle is not run before it was compared with the artifact store.
#[test]
fn verify_runs_the_bundle_only_as_the_store_has_it() {
    let work = Workshop::new();
    let bundle = build(&work, "one", &profile(1, "3.5.16", ""));
    let evil = work.path().join("evil");
    let ran = work.path().join("ran");
    replace_etcdctl(&bundle, &evil, &format!("#!/bin/sh\n: >{}\nexit 1\n", ran.display()));
    let code = |arguments: &[&str], tail: &[&str]| {
        let mut command = work.kiln_without_network(arguments);
        command.arg(&evil).args(tail);
        Said::of(&mut command)
    };
    let known = store().to_str().unwrap();
    let base = support::lab().join("base/live");
    let of_up = ["--no-wait", "--base", base.to_str().unwrap()];
    for (verb, tail) in [
        ("verify", &[][..]),
        ("rehearse", &[]),
        ("etcdctl", &["--", "version"]),
        ("status", &[]),
        ("up", &of_up),
    ] {
        let said = code(&[verb, "--artifacts", known], tail);
        assert_eq!(said.code, Some(4), "{verb}: {}", said.stderr);
        assert!(said.stderr.contains("etcdctl in the bundle is not the one that"), "{verb}: {}", said.stderr);
        assert!(!ran.exists(), "{verb} ran it");
    }
    assert!(!work.path().join(".evil.machines").exists());
    // Explicitly allowed, and reported.
    let said = code(&["etcdctl", "--artifacts", known, "--allow-unverified"], &["--", "version"]);
    assert!(ran.exists() && said.stderr.contains("because --allow-unverified is given"), "{}", said.stderr);
    // Nothing to compare with: reported in one line.
    let said = code(&["etcdctl"], &["--", "version"]);
    assert_eq!(said.stderr.matches("etcdctl from the bundle runs here as").count(), 1, "{}", said.stderr);
    let said = code(&["verify", "--artifacts", "nowhere"], &[]);
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    // With the store that it was built from there is no message.
    let mut good = work.kiln(["etcdctl", "--artifacts", known]);
    let said = Said::of(good.arg(&bundle).args(["--", "version"]));
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

/// A copy of a bundle whose manifest, sums and archive agree on another etcdctl.
fn replace_etcdctl(bundle: &Path, to: &Path, script: &str) {
    use sha2::{Digest, Sha256};
    run(Command::new("cp").arg("-a").arg(bundle).arg(to));
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let archive = "nodes/a/overlay.tar.gz";
    let mut read =
        tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(bundle.join(archive)).unwrap()));
    let packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut made = tar::Builder::new(packed);
    for entry in read.entries().unwrap() {
        let mut entry = entry.unwrap();
        let (mut header, mut bytes) = (entry.header().clone(), Vec::new());
        entry.read_to_end(&mut bytes).unwrap();
        if entry.path().unwrap().ends_with("etcdctl") {
            bytes = script.as_bytes().to_vec();
            header.set_size(bytes.len() as u64);
            header.set_cksum();
        }
        made.append(&header, bytes.as_slice()).unwrap();
    }
    let bytes = made.into_inner().unwrap().finish().unwrap();
    fs::write(to.join(archive), &bytes).unwrap();
    let mut manifest: Value = serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    let binary = &mut manifest["etcd"]["binaries"]["etcdctl"];
    (binary["size"], binary["sha256"]) = (script.len().into(), hex(script.as_bytes()).into());
    let file = &mut manifest["files"][archive];
    (file["size"], file["sha256"]) = (bytes.len().into(), hex(&bytes).into());
    let json = serde_json::to_string_pretty(&manifest).unwrap() + "\n";
    let sums = fs::read_to_string(bundle.join("SHA256SUMS")).unwrap();
    let line = |line: &str| match line.split_once("  ").unwrap() {
        (_, "bundle.json") => format!("{}  bundle.json\n", hex(json.as_bytes())),
        (_, path) if path == archive => format!("{}  {path}\n", hex(&bytes)),
        _ => format!("{line}\n"),
    };
    fs::write(to.join("SHA256SUMS"), sums.lines().map(line).collect::<String>()).unwrap();
    fs::write(to.join("bundle.json"), json).unwrap();
}
