//! `kiln artifacts` knows a `kiln-node` by what it is.

use std::fs;

use kiln::artifact::{Accept, Imported, Outcome, Trust};
use kiln::failure::Exit;
use kiln::format::deflate::PACKER;
use kiln::values::{Arch, Digest, Version};
use serde_json::Value;

use super::{OWN, add, own, work_with_program};
use crate::support::made::{AMD64, ARM64, Tar, dynamic_node_program, node_program, program};
use crate::support::test_store::{TARBALL, TRUST, TestStore, good_tar};
use crate::support::{output, refused, run};

fn add_all(fixture: &TestStore, files: &[(&str, &[u8])], accept: &Accept<'_>) -> Imported {
    let files: Vec<_> = files.iter().map(|(name, bytes)| fixture.put(name, bytes)).collect();
    fixture.store().add(&files, accept).unwrap()
}

#[test]
fn a_program_is_known_by_its_content_and_stored_beside_releases() {
    let fixture = TestStore::new();
    let (tar, arm) = (good_tar().gz(), node_program(ARM64, OWN, 0));
    let files: [(&str, &[u8]); 3] = [("any-name", &own()), (TARBALL, &tar), ("other", &arm)];
    let added = add_all(&fixture, &files, &TRUST);
    assert_eq!(added.releases.len(), 1);
    let archs: Vec<_> = added.nodes.iter().map(|node| (node.outcome, node.record.arch)).collect();
    assert_eq!(archs, [(Outcome::Added, Arch::Amd64), (Outcome::Added, Arch::Arm64)]);
    let root = fixture.scratch.path().join("artifacts");
    let digest = Digest::of(&own()).to_string();
    for path in [
        format!("node/{OWN}-amd64.json"),
        format!("node/{OWN}-arm64.json"),
        format!("blobs/sha256/{digest}"),
        format!("packed/{PACKER}/{digest}"),
    ] {
        assert!(root.join(&path).is_file(), "{path}");
    }
    let record = fixture.store().find_node(&Version::own(), Arch::Amd64).unwrap().unwrap();
    assert_eq!((record.source.file.as_str(), record.source.trust), ("any-name", Trust::ByHand));
    assert_eq!(fixture.store().load_node(&record).unwrap().bytes().unwrap(), own());
    assert!(fixture.store().find_node(&Version::own(), Arch::S390x).unwrap().is_none());
    // What a killed run has left is removed by the next.
    let left = root.join("node/.kiln-left");
    fs::write(&left, "{").unwrap();
    assert_eq!(fixture.store().list_nodes().unwrap().len(), 2);
    assert_eq!(add_all(&fixture, &files[..1], &TRUST).nodes[0].outcome, Outcome::AlreadyThere);
    assert!(!left.exists());
}

#[test]
fn another_program_of_the_same_version_needs_replace() {
    let fixture = TestStore::new();
    add_all(&fixture, &[("first", &own())], &TRUST);
    let other = [fixture.put("second", &node_program(AMD64, OWN, 1))];
    let before = fixture.listing();
    let failure = fixture.store().add(&other, &TRUST).unwrap_err();
    assert_eq!(failure.exit(), Exit::Unsafe);
    for part in ["--replace", "from first", "kiln-node", "amd64"] {
        assert!(failure.to_string().contains(part), "{failure}");
    }
    assert_eq!(fixture.listing(), before);
    let added = fixture.store().add(&other, &Accept { replace: true, ..TRUST }).unwrap();
    assert_eq!(added.nodes[0].outcome, Outcome::Replaced);
    // A record that cannot be read is replaced, too, and only then.
    let record = fixture.scratch.path().join(format!("artifacts/node/{OWN}-amd64.json"));
    fs::write(&record, "{}").unwrap();
    let failure = fixture.store().add(&other, &TRUST).unwrap_err().to_string();
    assert!(failure.contains("--replace"), "{failure}");
    fixture.store().add(&other, &Accept { replace: true, ..TRUST }).unwrap();
    assert_eq!(fixture.store().list_nodes().unwrap().len(), 1);
}

#[test]
fn a_program_in_no_catalogue_is_trusted_by_hand_or_by_its_checksum() {
    let fixture = TestStore::new();
    let file = [fixture.put("kiln-node-amd64", &own())];
    fixture.refuses(
        "unknown",
        &file,
        &Accept::default(),
        &["unknown checksum", "--sha256", "--allow-unverified"],
    );
    let pinned = [Digest::of(&own())];
    let added = fixture.store().add(&file, &Accept { pinned: &pinned, ..Accept::default() }).unwrap();
    assert_eq!(added.nodes[0].record.source.trust, Trust::Profile);
}

#[test]
fn what_is_no_program_for_nodes_of_this_kiln_is_refused() {
    let fixture = TestStore::new();
    let refuses = |what: &str, bytes: &[u8], want: &[&str]| {
        let name = what.replace(' ', "-");
        let file = [fixture.put(&name, bytes)];
        fixture.refuses(what, &file, &TRUST, want);
        fs::remove_file(&file[0]).unwrap();
    };
    refuses(
        "dynamic",
        &dynamic_node_program(AMD64, OWN),
        &["kiln-node", "for amd64, but dynamically linked", "ci/node"],
    );
    let foreign = dynamic_node_program(183, OWN);
    refuses(
        "dynamic for arm64",
        &foreign,
        &["for arm64, but dynamically linked", "build it with ci/node-cross arm64 in"],
    );
    let old = node_program(AMD64, "0.0.9", 0);
    refuses("of another version", &old, &["it is kiln-node 0.0.9, and this is Kiln", OWN, "ci/node"]);
    refuses("for i386", &node_program(3, OWN, 0), &["for machine type 3; nodes are amd64, arm64"]);
    refuses("etcd itself", &program("3.5.16"), &["a program, but not kiln-node", "release tarball"]);
    refuses("a script", b"#!/bin/sh\n", &["nor a kiln-node"]);
    let mut big_endian = own();
    big_endian[5] = 2;
    refuses("of the other byte order", &big_endian, &["ELF"]);
    let good = own();
    refuses("cut in its header", &good[..100], &["its ELF header is damaged"]);
    refuses("cut before the mark", &good[..0x200], &["a program, but not kiln-node"]);
    let mut large = good.clone();
    large.resize((64 << 20) + 1, 0);
    refuses("large", &large, &["no kiln-node has that many"]);
    let two = [fixture.put("one", &good), fixture.put("two", &node_program(AMD64, OWN, 1))];
    fixture.refuses("two", &two, &TRUST, &["one and two are both kiln-node", "add one of them"]);
    let with_bad = [fixture.put(TARBALL, &Tar::release(&[b"", b"", b""]).gz()), fixture.put("one", &good)];
    fixture.refuses("a good one and a bad release", &with_bad, &TRUST, &["etcd"]);
}

/// A mark in Kiln itself would make Kiln a `kiln-node`.
#[test]
fn kilns_own_program_is_not_taken_for_it() {
    let kiln = fs::read(env!("CARGO_BIN_EXE_kiln")).unwrap();
    let mark = b"\x01kiln-node\x02";
    assert!(kiln.windows(mark.len()).all(|window| window != mark));
}

#[test]
fn list_and_verify_show_it_and_damage_is_mended() {
    let work = work_with_program();
    let listed = run(&mut work.kiln(["artifacts", "list"]));
    let digest = Digest::of(&own()).to_string();
    let line = format!("kiln-node {OWN} amd64\n  from kiln-node-amd64, trusted by hand, sha256 {digest}");
    assert!(listed.contains(&line), "{listed}");
    let json: Value = serde_json::from_str(&run(&mut work.kiln(["artifacts", "list", "--json"]))).unwrap();
    let last = json.as_array().unwrap().last().unwrap();
    assert_eq!((&last["program"], &last["version"]), (&"kiln-node".into(), &OWN.into()), "{json}");
    assert_eq!(last["source"]["sha256"], digest, "{json}");
    let verified = run(&mut work.kiln(["artifacts", "verify"]));
    assert!(verified.contains("3 releases and 1 kiln-node with"), "{verified}");
    let artifacts = work.path().join("artifacts");
    let (blob, record) =
        (artifacts.join("blobs/sha256").join(&digest), artifacts.join(format!("node/{OWN}-amd64.json")));
    for (path, flag) in [(&blob, ""), (&record, " --replace")] {
        let mut bad = fs::read(path).unwrap();
        bad[9] ^= 1;
        fs::write(path, bad).unwrap();
        let said = refused(&mut work.kiln(["artifacts", "verify"]), 5);
        let way =
            format!("import kiln-node {OWN} amd64 again: kiln artifacts add --artifacts artifacts{flag} ");
        assert!(said.contains(&way) && said.contains("--allow-unverified"), "{said}");
        let said = refused(&mut work.kiln(["build", "renewing.toml"]), 4);
        assert!(said.contains(path.file_name().unwrap().to_str().unwrap()), "{said}");
        add(&work, &own());
        run(&mut work.kiln(["artifacts", "verify"]));
    }
    let (_, json, _) = output(work.kiln(["artifacts", "verify", "--json"]).env("NO_COLOR", "1"));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["nodes"], 1, "{json}");
    let said =
        run(work.kiln(["artifacts", "add", "--allow-unverified", "--json", "kiln-node-amd64"]).arg("-q"));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said[0]["outcome"], &said[0]["program"]), (&"already-there".into(), &"kiln-node".into()));
}
