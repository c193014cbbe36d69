//! Release files into the artifact store and out of it.

mod audit;
mod hostile;
mod missing;
mod packed;

use std::fs;
use std::path::{Path, PathBuf};

use kiln::artifact::{Accept, Kept, Outcome};
use kiln::disk::Lock;
use kiln::failure::Exit;
use kiln::format::deflate::PACKER;
use kiln::tree::Blob;
use kiln::values::{Arch, Digest, Mode};

use crate::support::made::Tar;
use crate::support::test_store::{TARBALL, TRUST, TestStore, good_tar, release, small};

#[test]
fn other_programs_for_a_release_need_replace() {
    let fixture = TestStore::new();
    fixture.add_one(TARBALL, &good_tar().gz()).unwrap();
    let mut other = small();
    other.push(0);
    let file = [fixture.put(TARBALL, &Tar::release(&[&other, &other, &other]).gz())];
    let before = fixture.listing();
    let failure = fixture.add(&file, &TRUST).unwrap_err();
    assert_eq!(failure.exit(), Exit::Unsafe);
    assert!(failure.to_string().contains("--replace") && failure.to_string().contains(TARBALL), "{failure}");
    assert_eq!(fixture.listing(), before);
    let added = fixture.add(&file, &Accept { replace: true, ..TRUST }).unwrap();
    assert_eq!(added[0].outcome, Outcome::Replaced);
    let loaded = fixture.store().load(&added[0].record).unwrap();
    assert!(loaded.values().all(|blob| blob.bytes().unwrap() == other));
}

#[test]
fn what_is_stored_is_plain_data_with_a_record() {
    let fixture = TestStore::new();
    let added = fixture.add_one(TARBALL, &good_tar().gz()).unwrap();
    let digest = Digest::of(&small());
    let root = fixture.scratch.path().join("artifacts");
    let mut want =
        ["blobs", "blobs/sha256", "releases", "releases/3.5.16-amd64.json"].map(PathBuf::from).to_vec();
    want.push(format!("blobs/sha256/{digest}").into());
    want.extend(
        ["packed".to_owned(), format!("packed/{PACKER}"), format!("packed/{PACKER}/{digest}")]
            .map(PathBuf::from),
    );
    want.sort();
    let walked = kiln::disk::walk(&root).unwrap();
    let mut found: Vec<_> = walked.iter().map(|walked| walked.path.clone()).collect();
    found.sort();
    assert_eq!(found, want);
    for walked in walked.iter().filter(|walked| walked.path.ends_with(digest.to_string())) {
        assert_eq!(walked.mode, Mode::FILE);
    }
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(root.join("releases/3.5.16-amd64.json")).unwrap()).unwrap();
    assert_eq!(json["binaries"]["etcdctl"]["sha256"], digest.to_string());
    assert_eq!(json["binaries"]["etcdctl"].get("interpreter"), None, "static");
    assert_eq!(json["sources"][0]["trust"], "trusted by hand");
    let said = serde_json::to_value(&added).unwrap();
    assert_eq!((&said[0]["outcome"], &said[0]["version"]), (&"added".into(), &"3.5.16".into()));
}

#[test]
fn damage_in_the_store_is_noticed_and_mended() {
    let fixture = TestStore::new();
    let file = [fixture.put(TARBALL, &good_tar().gz())];
    fixture.add(&file, &TRUST).unwrap();
    let blob = fixture.scratch.path().join("artifacts/blobs/sha256").join(Digest::of(&small()).to_string());
    let load = || {
        let store = fixture.store();
        store
            .find(release("3.5.16"), Arch::Amd64, &[])
            .and_then(|record| store.load(&record)?.values().try_for_each(|blob| blob.bytes().map(drop)))
    };
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[7] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let cut = |path: &Path| fs::write(path, &small()[1..]).unwrap();
    let grow = |path: &Path| fs::write(path, [small(), small()].concat()).unwrap();
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let link = |path: &Path| {
        fs::remove_file(path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", path).unwrap();
    };
    type Harm<'h> = (&'h dyn Fn(&Path), &'h str);
    let harms: [Harm; 5] = [
        (&flip, "is damaged"),
        (&cut, "is damaged"),
        (&grow, "is damaged"),
        (&remove, "is missing"),
        (&link, "is damaged"),
    ];
    for (harm, want) in harms {
        assert!(load().is_ok());
        harm(&blob);
        let failure = load().err().unwrap();
        assert_eq!(failure.exit(), Exit::Untrusted);
        for part in [want, &*blob.to_string_lossy(), "add the release file again"] {
            assert!(failure.to_string().contains(part), "{failure}");
        }
        assert_eq!(fixture.add(&file, &TRUST).unwrap()[0].outcome, Outcome::AlreadyThere);
    }
    let record = fixture.scratch.path().join("artifacts/releases/3.5.16-amd64.json");
    let good = fs::read_to_string(&record).unwrap();
    for bad in ["", "{}", &good[..good.len() / 2], &good.replace("3.5.16", "3.5.17")] {
        fs::write(&record, bad).unwrap();
        for failure in [
            load().err().unwrap(),
            fixture.store().list().unwrap_err(),
            fixture.add(&file, &TRUST).unwrap_err(),
        ] {
            assert_eq!(failure.exit(), Exit::Untrusted);
            assert!(failure.to_string().contains("add the release again with --replace"), "{failure}");
        }
    }
    fixture.add(&file, &Accept { replace: true, ..TRUST }).unwrap();
    assert!(load().is_ok());
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let fixture = TestStore::new();
    let store = fixture.store();
    assert!(store.available().unwrap().is_empty() && store.list().unwrap().is_empty());
    let say = || fixture.store().find(release("3.5.30"), Arch::Arm64, &[]).err().unwrap().to_string();
    assert!(say().contains("which has nothing; add it: kiln artifacts add --artifacts"), "{}", say());
    fixture.add_one(TARBALL, &good_tar().gz()).unwrap();
    assert!(say().contains("which has 3.5.16 (amd64); add it"), "{}", say());
    assert!(say().contains("etcd-v3.5.30-linux-arm64.tar.gz"), "{}", say());
    assert_eq!(store.find(release("3.5.30"), Arch::Arm64, &[]).err().unwrap().exit(), Exit::Untrusted);
    assert!(fixture.add(&[], &TRUST).unwrap().is_empty());
}

#[test]
fn a_second_run_waits_for_nobody_and_a_killed_one_leaves_nothing() {
    let fixture = TestStore::new();
    fixture.add_one(TARBALL, &good_tar().gz()).unwrap();
    let root = fixture.scratch.path().join("artifacts");
    let packed = format!("packed/{PACKER}/.kiln-a1b2c3");
    for remains in ["blobs/sha256/.kiln-a1b2c3", "releases/.kiln-a1b2c3", &packed] {
        fs::write(root.join(remains), "half").unwrap();
    }
    assert_eq!(fixture.store().list().unwrap().len(), 1, "what is half written is no record");
    let lock = Lock::exclusive(&root.join(".lock")).unwrap();
    let failure = fixture.add_one(TARBALL, &good_tar().gz()).unwrap_err();
    assert_eq!(failure.exit(), Exit::Locked);
    let record = fixture.store().find(release("3.5.16"), Arch::Amd64, &[]).unwrap();
    assert!(fixture.store().load(&record).is_ok(), "reading needs no lock");
    let program = Blob::new(small());
    assert!(matches!(fixture.store().packed(&program), Kept::Whole(_)), "reading needs no lock");
    assert!(!fixture.store().keep_packed(&program, b""), "a build waits for nobody");
    drop(lock);
    fixture.add_one(TARBALL, &good_tar().gz()).unwrap();
    assert!(fixture.listing().iter().all(|path| !path.to_string_lossy().contains(".kiln-")));
}
