//! A keystore's record of clusters that have formed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use kiln::failure::Exit;
use kiln::pki::{Authority, Keystore, Sealed};
use kiln::profile::Algorithm;
use kiln::values::Lifetime;

use super::tools::{ALGORITHMS, ISSUED, Lab, client, cluster, epoch, keystore_files, made, server};

const EC: &str = "EC -pkeyopt ec_paramgen_curve:P-256";

fn sealed(lab: &Lab, name: &str) -> Vec<String> {
    let keystore = Keystore::open(&lab.path(name), &cluster()).unwrap();
    keystore.sealed().map(ToString::to_string).collect()
}

/// Part of the format: a keystore from before there were seals is read, and does not change until the first one.
#[test]
fn a_keystore_without_a_seal_is_the_one_of_old() {
    let old = "# Written by kiln, and read only as it wrote it: a change by hand is refused.\n\
               schema = 1\ncluster = \"ha3\"\nca = \"derived\"\n\
               check = \"9dc494dca5c30ded54c170c53ec51dafdfbd4473326e66d5466f8c00f8741c0a\"\n\n\
               [[issue]]\nnumber = 1\ndate = \"2026-01-01T00:00:00Z\"\n";
    let lab = Lab::new();
    let dir = lab.path("old");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    for (name, text) in [("keystore.toml", old), ("secret", &format!("{}\n", "07".repeat(32)))] {
        fs::write(dir.join(name), text).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(sealed(&lab, "old").is_empty());
    drop(made(&lab.path("new"), epoch("2026-01-01")));
    assert_eq!(keystore_files(&dir), keystore_files(&lab.path("new")));

    let witness = lab.witness("old", Algorithm::P256);
    for (token, sealed) in [("ha3-2", Sealed::New), ("ha3-1", Sealed::New), ("ha3-2", Sealed::Already)] {
        assert_eq!(lab.seal("old", token, &witness).unwrap(), sealed);
    }
    assert_eq!(sealed(&lab, "old"), ["ha3-1", "ha3-2"]);
    let text = String::from_utf8(lab.read("old/keystore.toml")).unwrap();
    assert!(text.contains("\nca = \"derived\"\nsealed = [\"ha3-1\", \"ha3-2\"]\ncheck = \""), "{text}");
    // Part of the format as well: the record.
    let record = "\n[issued]\nca-algorithm = \"p256\"\nca-lifetime = \"10y\"\netcd = \"3.5\"\n\n\
                  [[formed]]\ntoken = \"ha3-1\"\nid = \"51b1323383288b1a\"\netcd = \"3.5.16\"\nca-algorithm = \"p256\"\n\
                  ca-lifetime = \"10y\"\n\n\
                  [[formed.member]]\nname = \"cp-a\"\nid = \"ab9c16ba7f3c4af5\"\npeer-url = \"https://10.240.16.10:2380\"\n";
    assert!(
        text.starts_with(&old[..77]) && text.contains("\nschema = 2\n") && text.contains(record),
        "{text}"
    );
    // Removing a seal by hand is detected like any other change.
    fs::write(dir.join("keystore.toml"), text.replace("\"ha3-1\", ", "")).unwrap();
    assert_eq!(Keystore::open(&dir, &cluster()).err().unwrap().exit(), Exit::Untrusted);
    fs::write(dir.join("keystore.toml"), text.replace("sealed = [\"ha3-1\", \"ha3-2\"]\n", "")).unwrap();
    assert_eq!(Keystore::open(&dir, &cluster()).err().unwrap().exit(), Exit::Untrusted);
}

#[test]
fn a_bundle_of_any_issue_and_any_algorithm_is_known() {
    let lab = Lab::new();
    lab.ca("ca", EC, "/CN=outside", None, &[]);
    for (name, imported) in [("derived", false), ("imported", true)] {
        drop(lab.keystore(name));
        let dir = lab.path(name);
        if imported {
            let (pem, key) = (lab.read("ca.pem"), lab.read("ca.key"));
            drop(Keystore::import_ca(&dir, &cluster(), &pem, &key, None, epoch(ISSUED)).unwrap());
        }
        let mut witnesses = Vec::new();
        for _ in 0..2 {
            witnesses.extend(ALGORITHMS.map(|algorithm| lab.witness(name, algorithm)));
            drop(Keystore::renew(&dir, &cluster(), epoch(ISSUED)).unwrap());
        }
        for (at, witness) in witnesses.iter().enumerate() {
            assert_eq!(lab.seal(name, &format!("token-{at}"), witness).unwrap(), Sealed::New, "{at}");
        }
        assert_eq!(sealed(&lab, name).len(), 8);
        // Neither a renewal nor a build removes a seal.
        drop(Keystore::renew(&dir, &cluster(), epoch(ISSUED)).unwrap());
        assert_eq!(sealed(&lab, name).len(), 8);
        assert_eq!(lab.seal(name, "token-0", &witnesses[7]).unwrap(), Sealed::Already);
    }
}

/// A CA that was imported after another one had issued: nodes of that bundle trust only the old one.
#[test]
fn a_bundle_under_another_ca_is_not_this_keystores_any_more() {
    let lab = Lab::new();
    lab.ca("ca", EC, "/CN=outside", None, &[]);
    for (name, first) in [("derived-first", true), ("imported-first", false)] {
        drop(lab.keystore(name));
        let dir = lab.path(name);
        let derived = (lab.witness(name, Algorithm::P256), lab.read(&format!("{name}.trust")));
        let (pem, key) = (lab.read("ca.pem"), lab.read("ca.key"));
        drop(Keystore::import_ca(&dir, &cluster(), &pem, &key, None, epoch(ISSUED)).unwrap());
        let imported = (lab.witness(name, Algorithm::P256), lab.read(&format!("{name}.trust")));
        let [good, bad] = if first { [derived, imported] } else { [imported, derived] };
        lab.write(&format!("{name}.trust"), &good.1);
        assert_eq!(lab.seal(name, "a", &good.0).unwrap(), Sealed::New);
        lab.write(&format!("{name}.trust"), &bad.1);
        let failure = lab.seal(name, "b", &bad.0).unwrap_err();
        assert_eq!(failure.exit(), Exit::Unsafe);
        assert!(failure.to_string().contains("under another CA"), "{failure}");
    }
}

/// The keystore's parser refuses an invalid record, and not only the checksum.
#[test]
fn a_record_that_kiln_did_not_write_is_refused() {
    let lab = Lab::new();
    drop(lab.keystore("keystore"));
    let dir = lab.path("keystore");
    let witness = lab.witness("keystore", Algorithm::P256);
    lab.seal("keystore", "t", &witness).unwrap();
    let good = String::from_utf8(lab.read("keystore/keystore.toml")).unwrap();
    let resealed = |text: &str| kiln::pki::resealed(&dir, text).unwrap();
    assert_eq!(resealed(&good), good);
    for (from, to) in [
        ("ca-algorithm = \"p256\"", "ca-algorithm = \"rsa\""),
        ("ca-lifetime = \"10y\"", "ca-lifetime = \"3650d\""),
        ("ca-lifetime = \"10y\"", "ca-lifetime = \"0h\""),
        ("ca-lifetime = \"10y\"\n", "ca-lifetime = \"10y\"\nca-sha256 = \"00\"\n"),
        ("etcd = \"3.5\"", "etcd = \"3.5.16\""),
        ("etcd = \"3.5.16\"", "etcd = \"3.5\""),
        ("name = \"cp-a\"", "name = \"cp-a\u{1b}[2J\""),
        ("name = \"cp-a\"", "name = \"../cp-a\""),
        ("peer-url = \"https://", "peer-url = \"http://"),
        ("10.240.16.10:2380", "10.240.16.11:2380"),
        ("sealed = [\"t\"]", "sealed = [\"u\"]"),
        ("sealed = [\"t\"]\n", ""),
        ("schema = 2", "schema = 1"),
        ("schema = 2", "schema = 3"),
        ("[[formed.member]]", "[[formed.member]]\nrole = \"learner\""),
    ] {
        assert!(good.contains(from), "{from}");
        fs::write(dir.join("keystore.toml"), resealed(&good.replacen(from, to, 1))).unwrap();
        let failure = Keystore::open(&dir, &cluster()).err().unwrap_or_else(|| panic!("{to} is taken"));
        assert_eq!(failure.exit(), Exit::Untrusted, "{to}: {failure}");
        assert!(!failure.to_string().contains('\u{1b}'));
    }
    fs::write(dir.join("keystore.toml"), good).unwrap();
    assert!(Keystore::open(&dir, &cluster()).is_ok());
}

#[test]
fn what_is_not_the_keystores_own_is_not_sealed() {
    let lab = Lab::new();
    drop(lab.keystore("keystore"));
    let other = lab.path("other");
    drop(Keystore::create(&other, &cluster(), Some(&[8; 32]), epoch(ISSUED)).unwrap());
    let own = lab.witness("keystore", Algorithm::Ed25519);
    let issued = |name: &str, spec| {
        let keystore = Keystore::open(&lab.path(name), &cluster()).unwrap();
        let authority = Authority::new(&keystore, Algorithm::P256, Lifetime::years(10)).unwrap();
        authority.issue(&spec, Algorithm::Ed25519, Lifetime::years(1)).unwrap()
    };
    assert_eq!(issued("keystore", client()).cert_pem.as_bytes(), own);
    let cases: [(&str, Vec<u8>, Exit, &str); 6] = [
        (
            "another's",
            issued("other", client()).cert_pem.into_bytes(),
            Exit::Unsafe,
            "built with another keystore",
        ),
        (
            "another use",
            issued("keystore", server()).cert_pem.into_bytes(),
            Exit::Unsafe,
            "no key in the bundle",
        ),
        (
            "a key",
            issued("keystore", client()).key_pem.as_bytes().to_vec(),
            Exit::Untrusted,
            "is not a certificate",
        ),
        ("nothing", Vec::new(), Exit::Untrusted, "it has no -----BEGIN line"),
        ("cut", own[..own.len() / 2].to_vec(), Exit::Untrusted, "has no line -----END CERTIFICATE"),
        (
            "junk",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
            Exit::Untrusted,
            "not an X.509",
        ),
    ];
    let before = keystore_files(&lab.path("keystore"));
    for (case, witness, exit, sentence) in cases {
        let failure = lab.seal("keystore", "token", &witness).expect_err(case);
        assert_eq!(failure.exit(), exit, "{case}: {failure}");
        assert!(failure.to_string().contains(sentence), "{case}: {failure}");
        assert_eq!(keystore_files(&lab.path("keystore")), before, "{case}");
    }
    let held = Keystore::open(&lab.path("keystore"), &cluster()).unwrap();
    assert_eq!(lab.seal("keystore", "token", &own).unwrap_err().exit(), Exit::Locked);
    drop(held);
    assert_eq!(lab.seal("keystore", "token", &own).unwrap(), Sealed::New);
    assert_eq!(
        kiln::disk::list(&lab.path("")).unwrap().iter().filter(|n| n.ends_with(".partial")).count(),
        0
    );
}
