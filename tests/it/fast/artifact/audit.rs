//! `kiln artifacts verify`, and the profiles that an import changes.

use std::fs;
use std::process::Command;

use kiln::format::deflate::PACKER;
use kiln::values::Digest;
use serde_json::Value;

use crate::support::made::{Tar, program};
use crate::support::test_store::{TARBALL, TRUST, TestStore, good_tar, small};
use crate::support::{Workshop, kiln, output, refused, run};

fn verify(fixture: &TestStore) -> Command {
    let mut command = kiln();
    command.args(["artifacts", "verify", "--artifacts"]).arg(fixture.scratch.path().join("artifacts"));
    command
}

#[test]
fn each_damaged_file_of_the_store_is_named_and_stays() {
    let fixture = TestStore::new();
    let file = [fixture.put(TARBALL, &good_tar().gz())];
    fixture.add(&file, &TRUST).unwrap();
    assert!(run(&mut verify(&fixture)).contains("1 release with 1 program, 1 compressed: all match"));
    let store = fixture.scratch.path().join("artifacts");
    let digest = Digest::of(&small()).to_string();
    let (blob, packed) =
        (store.join("blobs/sha256").join(&digest), store.join("packed").join(PACKER).join(&digest));
    let record = store.join("releases/3.5.16-amd64.json");
    for (path, way) in [
        (&packed, "import etcd 3.5.16 amd64 again"),
        (&blob, "import etcd 3.5.16 amd64 again"),
        (&record, "--replace"),
    ] {
        let good = fs::read(path).unwrap();
        let mut bad = good.clone();
        bad[9] ^= 1;
        fs::write(path, &bad).unwrap();
        let said = refused(&mut verify(&fixture), 5);
        for part in ["1 file damaged or missing", &*path.to_string_lossy(), "nothing was removed", way] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(fs::read(path).unwrap() == bad, "it is not Kiln's to change");
        fs::write(path, good).unwrap();
    }
    fs::remove_file(&blob).unwrap();
    let (code, json, _) = output(verify(&fixture).arg("--json"));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, json["damage"][0]["file"].as_str()), (5, blob.to_str()), "{json}");
    assert_eq!(json["damage"][0]["sources"][0], TARBALL, "{json}");
    fixture.add(&file, &TRUST).unwrap();
    run(&mut verify(&fixture));
    assert!(
        refused(kiln().args(["artifacts", "verify", "--artifacts", "/nonexistent"]), 2)
            .contains("there is no")
    );
}

#[test]
fn an_import_names_the_profiles_that_it_changes() {
    let (fixture, shop) = (TestStore::new(), Workshop::new());
    let profile = |name: &str, version: &str| {
        format!(
            "schema = 1\n[cluster]\nname = \"{name}\"\n[network]\ncidr = \"10.0.0.0/24\"\n[etcd]\n{version}\n[[node]]\n\
             name = \"a\"\naddress = \"10.0.0.4\"\n"
        )
    };
    shop.file("profiles/free.toml", profile("free", ""));
    shop.file("profiles/pinned.toml", profile("pinned", "version = \"3.5.16\""));
    shop.file("profiles/broken.toml", "schema = 1\n");
    let add = |version: &str, more: &[&str]| {
        let name = format!("etcd-v{version}-linux-amd64.tar.gz");
        let program = program(version);
        let mut tar = Tar::new();
        for one in ["etcd", "etcdctl", "etcdutl"] {
            tar = tar.file(&format!("etcd-v{version}-linux-amd64/{one}"), &program);
        }
        let file = fixture.put(&name, &tar.gz());
        let mut command = shop.kiln(["artifacts", "add", "--allow-unverified", "--artifacts"]);
        output(command.arg(fixture.scratch.path().join("artifacts")).arg(file).args(more))
    };
    let (code, _, said) = add("3.5.30", &[]);
    assert!(code == 0 && said.contains("free would build 3.5.30 ("), "{said}");
    fs::create_dir_all(shop.path().join("out/ha3")).unwrap();
    let (_, _, said) = add("3.5.33", &["-v"]);
    assert!(said.contains("free would build 3.5.33 instead of 3.5.30 (same minor)"), "{said}");
    assert!(said.contains("ha3 would build 3.5.33 instead of 3.5.30 (same minor)"), "{said}");
    assert!(!said.contains("six would"), "a built-in profile that is not used here: {said}");
    assert!(!said.contains("pinned would") && said.contains("pinned.toml names etcd 3.5.16"), "{said}");
    let (_, json, said) = add("3.6.14", &["--json"]);
    assert!(said.contains("the next minor; upgrade one member at a time"), "{said}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["profiles"][0]["profile"], "free", "{json}");
    assert_eq!(json[0]["profiles"][0]["step"], "next-minor", "{json}");
    let mut list = shop.kiln(["artifacts", "list", "--profile", "free", "--artifacts"]);
    let (_, said, _) = output(list.arg(fixture.scratch.path().join("artifacts")));
    assert!(said.ends_with("\nfree would build 3.6.14\n"), "{said}");
}
