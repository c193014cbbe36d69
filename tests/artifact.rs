//! Release files into the artifact store and out of it.

#![allow(clippy::disallowed_methods, reason = "tests use files and programs as people do")]

#[path = "artifact/desk.rs"]
mod desk;
#[path = "artifact/hostile.rs"]
mod hostile;
#[path = "artifact/made.rs"]
mod made;

use std::fs;
use std::path::{Path, PathBuf};

use kiln::artifact::{Accept, Outcome, Program, Trust};
use kiln::disk::Lock;
use kiln::etcd::Release;
use kiln::failure::Exit;
use kiln::values::{Arch, Digest, Mode};

use desk::{Desk, TARBALL, TRUST, good_tar, real_programs, release, small};
use made::{TOP, Tar, ar, control, deb, deb_of, debs, gz, gz_stored, program, zst};

/// Taken out of the packages with ar, xz and GNU tar.
const DEBIAN: [(&str, Program, &str); 5] = [
    ("3.4.23", Program::Etcd, "a45de16600eafc57939b84013b0522c4670435471eb4073dd963d01e0eb5a217"),
    ("3.4.23", Program::Etcdctl, "b38b6112aaa3d6056e4cd39d2f9769d84c9ae1fd729513ab473ee66f597d8934"),
    ("3.5.16", Program::Etcd, "c054131938a55a4a9826c1d566348d5695fe0e4d9ce655dfe936ab18a84e2983"),
    ("3.5.16", Program::Etcdctl, "d40ab46650d11e94cec58d1f4c5dfbaed621e7893e9b086529b56e2d3c032d69"),
    ("3.5.16", Program::Etcdutl, "c6d689e24f762aef039eee6b9fa4b3db0a4c458a94f3ae5be07d70fc0d108926"),
];

#[test]
fn debians_packages_become_releases() {
    let desk = Desk::new();
    let mut files = [debs("3.5.16"), debs("3.4.23")].concat();
    files.push(files[0].clone());
    let added = desk.add(&files, &TRUST).unwrap();
    assert_eq!(added.iter().map(|a| a.record.version.to_string()).collect::<Vec<_>>(), ["3.4.23", "3.5.16"]);
    assert!(added.iter().all(|a| a.outcome == Outcome::Added && a.record.sources.len() == 2));

    let store = desk.store();
    let newest_first = [(release("3.5.16"), Arch::Amd64), (release("3.4.23"), Arch::Amd64)];
    assert_eq!(store.available().unwrap(), newest_first);
    assert_eq!(store.list().unwrap().len(), 2);
    let mut seen = 0;
    for (release, arch) in newest_first {
        let record = store.find(release, arch, &[]).unwrap();
        assert_eq!(record.sources[0].trust, Trust::ByHand);
        assert!(record.sources[0].file.starts_with("etcd-server_"), "the server comes first");
        for (program, blob) in &store.load(&record).unwrap() {
            let want = DEBIAN.iter().find(|(v, p, _)| *v == release.to_string() && p == program).unwrap().2;
            assert_eq!(blob.digest().to_string(), want, "{program} {release}");
            let interpreter = record.binaries[program].interpreter.as_deref();
            assert_eq!(interpreter, Some("/lib64/ld-linux-x86-64.so.2"));
            seen += 1;
        }
    }
    assert_eq!(seen, DEBIAN.len());
    let again = desk.add(&files, &TRUST).unwrap();
    assert!(again.iter().all(|added| added.outcome == Outcome::AlreadyThere), "{again:?}");
}

#[test]
fn a_tarball_in_upstreams_layout_is_let_in_by_its_pin() {
    let programs = real_programs("3.5.16");
    let mut tar = Tar::new().entry(&format!("{TOP}/"), b'5', 0, b"");
    for (program, bytes) in &programs {
        tar = tar.file(&format!("{TOP}/{program}"), bytes);
    }
    let deep = format!("{TOP}/Documentation/{}", "deep/".repeat(30));
    let bytes = tar
        .file(&format!("{TOP}/README.md"), b"# etcd")
        .gnu_long(&format!("{deep}a.md"), b"a")
        .pax(b'x', "path", &format!("{deep}b.md"))
        .file("cut", b"b")
        .gz();
    let desk = Desk::new();
    let file = [desk.put(TARBALL, &bytes)];
    let pin = [Digest::of(&bytes)];
    desk.refuses(
        "not upstream's",
        &file,
        &Accept::default(),
        &[TARBALL, &pin[0].to_string(), "get the file again"],
    );
    let other = Accept { pinned: &[Digest::of(b"other")], ..Accept::default() };
    desk.refuses("another pin", &file, &other, &[&pin[0].to_string(), "3.5.16 for amd64 was published with"]);

    let pinned = Accept { pinned: &pin, ..Accept::default() };
    let added = desk.add(&file, &pinned).unwrap();
    assert_eq!((added[0].outcome, added[0].record.sources[0].trust), (Outcome::Added, Trust::Profile));
    let store = desk.store();
    let loaded = store.load(&store.find(release("3.5.16"), Arch::Amd64, &pin).unwrap()).unwrap();
    for (program, bytes) in &programs {
        assert!(loaded[program].bytes().unwrap() == bytes, "{program}");
    }

    // The same programs out of Debian's packages: no harm done, but then the pin says another source.
    let added = desk.add(&debs("3.5.16"), &TRUST).unwrap();
    assert_eq!(added[0].outcome, Outcome::SourcesUpdated);
    let failure = store.find(release("3.5.16"), Arch::Amd64, &pin).err().unwrap();
    assert_eq!(failure.exit(), Exit::Untrusted);
    assert!(failure.to_string().contains("etcd-server_3.5.16"), "{failure}");
    let both: Vec<_> = added[0].record.sources.iter().map(|source| source.sha256).collect();
    assert!(store.find(release("3.5.16"), Arch::Amd64, &both).is_ok());
    assert!(store.find(release("3.5.16"), Arch::Amd64, &both[..1]).is_err(), "half of the sources");
}

#[test]
fn a_real_program_under_another_releases_name_is_refused() {
    let newest = newest_lab_version();
    let versions = ["3.4.23", "3.5.16", newest.as_str()];
    let desk = Desk::new();
    for version in versions {
        for (program, bytes) in real_programs(version) {
            for claimed in versions.into_iter().chain(["3.5.1"]) {
                let top = format!("etcd-v{claimed}-linux-amd64");
                let tar = Tar::new().file(&format!("{top}/{program}"), &bytes).end();
                let file = [desk.put("claimed.tar.gz", &gz_stored(&tar))];
                // One program alone is never a release; that it gets so far is what is looked for here.
                let want = if claimed == version {
                    "is missing".to_owned()
                } else {
                    format!("it is of etcd {version}, not")
                };
                desk.refuses(&format!("{program} {version} as {claimed}"), &file, &TRUST, &[&want]);
            }
        }
    }
}

/// sid's version moves, so it is not named here.
fn newest_lab_version() -> String {
    let debs = debs("3.5.16");
    let names = fs::read_dir(debs[0].parent().unwrap()).unwrap();
    let versions = names.filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.strip_prefix("etcd-server_")?.split('-').next()?.parse::<Release>().ok()
    });
    versions.max().unwrap().to_string()
}

#[test]
fn a_real_program_for_another_machine_is_refused() {
    let desk = Desk::new();
    let (_, mut etcd) = real_programs("3.5.16").swap_remove(0);
    let as_arm = Tar::new().file("etcd-v3.5.16-linux-arm64/etcd", &etcd).end();
    etcd[18..20].copy_from_slice(&183_u16.to_le_bytes());
    let patched = Tar::new().file(&format!("{TOP}/etcd"), &etcd).end();
    for (tar, want) in [
        (as_arm, "it is a program for amd64, not for arm64"),
        (patched, "it is a program for arm64, not for amd64"),
    ] {
        let file = [desk.put("machine.tar.gz", &gz_stored(&tar))];
        desk.refuses(want, &file, &TRUST, &["machine.tar.gz", "checking etcd in it", want]);
    }
}

#[test]
fn what_is_not_trusted_is_not_opened() {
    let desk = Desk::new();
    let real = fs::read(&debs("3.5.16")[1]).unwrap();
    let pin = [Digest::of(&real)];
    let pinned = Accept { pinned: &pin, ..Accept::default() };
    let mut flipped = real.clone();
    flipped[real.len() / 2] ^= 1;
    let cases: [(&str, &[u8]); 4] = [
        ("one flipped bit", &flipped),
        ("cut short", &real[..real.len() - 1]),
        ("text", b"<html>404 Not Found</html>\n"),
        ("a hostile archive", &Tar::new().file("/etc/passwd", b"root::0:0::/:").gz()),
    ];
    for (what, bytes) in cases {
        let file = [desk.put("etcd-server_3.5.16-4_amd64.deb", bytes)];
        let digest = Digest::of(bytes).to_string();
        desk.refuses(what, &file, &pinned, &["checking", &digest, "does not know", "--trust"]);
    }
    let file = [desk.put("etcd-v3.5.999-linux-amd64.tar.gz", b"x")];
    desk.refuses("an unknown release", &file, &pinned, &["3.5.999", "not in this kiln's catalogue"]);
    desk.refuses("an empty file", &[desk.put("empty", b"")], &TRUST, &["it is empty"]);
    let missing = desk.add(&[desk.scratch.path().join("missing")], &TRUST).unwrap_err();
    assert_eq!(missing.exit(), Exit::Io);
}

#[test]
fn unusual_but_honest_files_are_taken() {
    let p = small();
    let old = program("3.4.23");
    let top = "etcd-v3.4.23-linux-amd64";
    let pieces = good_tar().end();
    let xz = made::members(&fs::read(&debs("3.5.16")[0]).unwrap()).swap_remove(1).1;
    let client = deb_of(&xz, &zst(&Tar::new().file("./usr/bin/etcdctl", &p).end()));
    let signed = ar(&[
        ("debian-binary/", b"2.0\n"),
        ("control.tar.zst/", &zst(&control("server", "1:3.5.16-4", "amd64"))),
        ("_gpgbuilder", b"odd"),
        ("data.tar.gz", &Tar::new().file("usr/bin/etcd", &p).file("usr/bin/etcdutl", &p).gz()),
    ]);
    let same_version = deb("client", "1:3.5.16-4", &[("etcdctl", &p)]);
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("several gzip members", vec![pieces.chunks(1000).flat_map(gz).collect()]),
        (
            "paths that begin with ./",
            vec![
                Tar::new()
                    .file(&format!("./{TOP}/etcd"), &p)
                    .file(&format!("./{TOP}/etcdctl"), &p)
                    .file(&format!("{TOP}/etcdutl"), &p)
                    .gz(),
            ],
        ),
        ("a link that nobody wants", vec![good_tar().entry(&format!("{TOP}/link"), b'2', 0, b"").gz()]),
        ("a program's name elsewhere", vec![good_tar().file(&format!("{TOP}/doc/etcd"), b"x").gz()]),
        (
            "3.4 without etcdutl",
            vec![Tar::new().file(&format!("{top}/etcd"), &old).file(&format!("{top}/etcdctl"), &old).gz()],
        ),
        ("zstd and xz packages", vec![deb("server", "3.5.16-4", &[("etcd", &p), ("etcdutl", &p)]), client]),
        ("signatures, epochs, slashes", vec![signed, same_version]),
    ];
    for (what, files) in cases {
        let desk = Desk::new();
        let files: Vec<_> =
            files.iter().enumerate().map(|(at, bytes)| desk.put(&at.to_string(), bytes)).collect();
        let added = desk.add(&files, &TRUST).unwrap_or_else(|failure| panic!("{what}: {failure}"));
        assert_eq!(added.len(), 1, "{what}");
        let loaded = desk.store().load(&added[0].record).unwrap();
        assert!(loaded.values().all(|blob| blob.bytes().is_ok()), "{what}");
    }
}

#[test]
fn other_programs_for_a_release_need_replace() {
    let desk = Desk::new();
    desk.add_one(TARBALL, &good_tar().gz()).unwrap();
    let mut other = small();
    other.push(0);
    let file = [desk.put(TARBALL, &Tar::release(&[&other, &other, &other]).gz())];
    let before = desk.listing();
    let failure = desk.add(&file, &TRUST).unwrap_err();
    assert_eq!(failure.exit(), Exit::Unsafe);
    assert!(failure.to_string().contains("--replace") && failure.to_string().contains(TARBALL), "{failure}");
    assert_eq!(desk.listing(), before);
    let added = desk.add(&file, &Accept { replace: true, ..TRUST }).unwrap();
    assert_eq!(added[0].outcome, Outcome::Replaced);
    let loaded = desk.store().load(&added[0].record).unwrap();
    assert!(loaded.values().all(|blob| blob.bytes().unwrap() == other));
}

#[test]
fn what_is_stored_is_plain_data_with_a_record() {
    let desk = Desk::new();
    let added = desk.add_one(TARBALL, &good_tar().gz()).unwrap();
    let digest = Digest::of(&small());
    let root = desk.scratch.path().join("artifacts");
    let mut want =
        ["blobs", "blobs/sha256", "releases", "releases/3.5.16-amd64.json"].map(PathBuf::from).to_vec();
    want.push(format!("blobs/sha256/{digest}").into());
    want.sort();
    let walked = kiln::disk::walk(&root).unwrap();
    let mut found: Vec<_> = walked.iter().map(|walked| walked.path.clone()).collect();
    found.sort();
    assert_eq!(found, want);
    let blob = walked.iter().find(|walked| walked.path.ends_with(digest.to_string())).unwrap();
    assert_eq!(blob.mode, Mode::FILE);
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
    let desk = Desk::new();
    let file = [desk.put(TARBALL, &good_tar().gz())];
    desk.add(&file, &TRUST).unwrap();
    let blob = desk.scratch.path().join("artifacts/blobs/sha256").join(Digest::of(&small()).to_string());
    let load = || {
        let store = desk.store();
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
        assert_eq!(desk.add(&file, &TRUST).unwrap()[0].outcome, Outcome::AlreadyThere);
    }
    let record = desk.scratch.path().join("artifacts/releases/3.5.16-amd64.json");
    let good = fs::read_to_string(&record).unwrap();
    for bad in ["", "{}", &good[..good.len() / 2], &good.replace("3.5.16", "3.5.17")] {
        fs::write(&record, bad).unwrap();
        for failure in
            [load().err().unwrap(), desk.store().list().unwrap_err(), desk.add(&file, &TRUST).unwrap_err()]
        {
            assert_eq!(failure.exit(), Exit::Untrusted);
            assert!(failure.to_string().contains("add the release again with --replace"), "{failure}");
        }
    }
    desk.add(&file, &Accept { replace: true, ..TRUST }).unwrap();
    assert!(load().is_ok());
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let desk = Desk::new();
    let store = desk.store();
    assert!(store.available().unwrap().is_empty() && store.list().unwrap().is_empty());
    let say = || desk.store().find(release("3.5.30"), Arch::Arm64, &[]).err().unwrap().to_string();
    assert!(say().contains("which has nothing; add it: kiln artifacts add --artifacts"), "{}", say());
    desk.add_one(TARBALL, &good_tar().gz()).unwrap();
    assert!(say().contains("which has 3.5.16 (amd64); add it"), "{}", say());
    assert!(say().contains("etcd-v3.5.30-linux-arm64.tar.gz"), "{}", say());
    assert_eq!(store.find(release("3.5.30"), Arch::Arm64, &[]).err().unwrap().exit(), Exit::Untrusted);
    assert!(desk.add(&[], &TRUST).unwrap().is_empty());
}

#[test]
fn a_second_run_waits_for_nobody_and_a_killed_one_leaves_nothing() {
    let desk = Desk::new();
    desk.add_one(TARBALL, &good_tar().gz()).unwrap();
    let root = desk.scratch.path().join("artifacts");
    for remains in ["blobs/sha256/.kiln-a1b2c3", "releases/.kiln-a1b2c3"] {
        fs::write(root.join(remains), "half").unwrap();
    }
    assert_eq!(desk.store().list().unwrap().len(), 1, "what is half written is no record");
    let lock = Lock::exclusive(&root.join(".lock")).unwrap();
    let failure = desk.add_one(TARBALL, &good_tar().gz()).unwrap_err();
    assert_eq!(failure.exit(), Exit::Locked);
    let record = desk.store().find(release("3.5.16"), Arch::Amd64, &[]).unwrap();
    assert!(desk.store().load(&record).is_ok(), "reading needs no lock");
    drop(lock);
    desk.add_one(TARBALL, &good_tar().gz()).unwrap();
    assert!(desk.listing().iter().all(|path| !path.to_string_lossy().contains(".kiln-")));
}
