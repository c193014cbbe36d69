//! Real release files into the artifact store.

use std::fs;

use kiln::artifact::{Accept, EtcdProgram, Outcome, Trust};
use kiln::etcd::Release;
use kiln::failure::Exit;
use kiln::values::{Arch, Digest};

use crate::support::made::{self, TOP, Tar, ar, control, deb, deb_of, gz, gz_stored, program, zst};
use crate::support::test_store::{TARBALL, TRUST, TestStore, good_tar, real_programs, release, small};
use crate::support::{ONE, Workshop, debs_of, output};

/// Extracted from the packages with ar, xz and GNU tar.
const DEBIAN: [(&str, EtcdProgram, &str); 5] = [
    ("3.4.23", EtcdProgram::Etcd, "a45de16600eafc57939b84013b0522c4670435471eb4073dd963d01e0eb5a217"),
    ("3.4.23", EtcdProgram::Etcdctl, "b38b6112aaa3d6056e4cd39d2f9769d84c9ae1fd729513ab473ee66f597d8934"),
    ("3.5.16", EtcdProgram::Etcd, "c054131938a55a4a9826c1d566348d5695fe0e4d9ce655dfe936ab18a84e2983"),
    ("3.5.16", EtcdProgram::Etcdctl, "d40ab46650d11e94cec58d1f4c5dfbaed621e7893e9b086529b56e2d3c032d69"),
    ("3.5.16", EtcdProgram::Etcdutl, "c6d689e24f762aef039eee6b9fa4b3db0a4c458a94f3ae5be07d70fc0d108926"),
];

#[test]
fn debians_packages_become_releases() {
    let fixture = TestStore::new();
    let mut files = [debs_of("3.5.16"), debs_of("3.4.23")].concat();
    files.push(files[0].clone());
    let added = fixture.add(&files, &TRUST).unwrap();
    assert_eq!(added.iter().map(|a| a.record.version.to_string()).collect::<Vec<_>>(), ["3.4.23", "3.5.16"]);
    assert!(added.iter().all(|a| a.outcome == Outcome::Added && a.record.sources.len() == 2));

    let store = fixture.store();
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
    let again = fixture.add(&files, &TRUST).unwrap();
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
    let fixture = TestStore::new();
    let file = [fixture.put(TARBALL, &bytes)];
    let pin = [Digest::of(&bytes)];
    fixture.refuses(
        "not upstream's",
        &file,
        &Accept::default(),
        &[TARBALL, &pin[0].to_string(), "get the file again"],
    );
    let other = Accept { pinned: &[Digest::of(b"other")], ..Accept::default() };
    fixture.refuses(
        "another pin",
        &file,
        &other,
        &[&pin[0].to_string(), "checksum mismatch: the SHA-256 of etcd 3.5.16 for amd64"],
    );

    let pinned = Accept { pinned: &pin, ..Accept::default() };
    let added = fixture.add(&file, &pinned).unwrap();
    assert_eq!((added[0].outcome, added[0].record.sources[0].trust), (Outcome::Added, Trust::Profile));
    let store = fixture.store();
    let loaded = store.load(&store.find(release("3.5.16"), Arch::Amd64, &pin).unwrap()).unwrap();
    for (program, bytes) in &programs {
        assert!(loaded[program].bytes().unwrap() == bytes, "{program}");
    }

    // The same programs from Debian's packages: that is accepted, but the pin then names another source.
    let added = fixture.add(&debs_of("3.5.16"), &TRUST).unwrap();
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
    let fixture = TestStore::new();
    for version in versions {
        for (program, bytes) in real_programs(version) {
            for claimed in versions.into_iter().chain(["3.5.1"]) {
                let top = format!("etcd-v{claimed}-linux-amd64");
                let tar = Tar::new().file(&format!("{top}/{program}"), &bytes).end();
                let file = [fixture.put("claimed.tar.gz", &gz_stored(&tar))];
                // One program alone is never a release; this test only checks that it gets that far.
                let want = if claimed == version {
                    "is missing".to_owned()
                } else {
                    format!("it is etcd {version}, not")
                };
                fixture.refuses(&format!("{program} {version} as {claimed}"), &file, &TRUST, &[&want]);
            }
        }
    }
}

/// The version in sid changes, so it is not named here.
fn newest_lab_version() -> String {
    let debs = debs_of("3.5.16");
    let names = fs::read_dir(debs[0].parent().unwrap()).unwrap();
    let versions = names.filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.strip_prefix("etcd-server_")?.split('-').next()?.parse::<Release>().ok()
    });
    versions.max().unwrap().to_string()
}

#[test]
fn a_real_program_for_another_machine_is_refused() {
    let fixture = TestStore::new();
    let (_, mut etcd) = real_programs("3.5.16").swap_remove(0);
    let as_arm = Tar::new().file("etcd-v3.5.16-linux-arm64/etcd", &etcd).end();
    etcd[18..20].copy_from_slice(&183_u16.to_le_bytes());
    let patched = Tar::new().file(&format!("{TOP}/etcd"), &etcd).end();
    for (tar, want) in [
        (as_arm, "it is a program for amd64, not for arm64"),
        (patched, "it is a program for arm64, not for amd64"),
    ] {
        let file = [fixture.put("machine.tar.gz", &gz_stored(&tar))];
        fixture.refuses(want, &file, &TRUST, &["machine.tar.gz", "checking etcd in the file", want]);
    }
}

#[test]
fn what_is_not_trusted_is_not_opened() {
    let fixture = TestStore::new();
    let real = fs::read(&debs_of("3.5.16")[1]).unwrap();
    let pin = [Digest::of(&real)];
    let pinned = Accept { pinned: &pin, ..Accept::default() };
    let mut flipped = real.clone();
    flipped[real.len() / 2] ^= 1;
    let cases: [(&str, &[u8]); 4] = [
        ("one flipped bit", &flipped),
        ("truncated", &real[..real.len() - 1]),
        ("text", b"<html>404 Not Found</html>\n"),
        ("a hostile archive", &Tar::new().file("/etc/passwd", b"root::0:0::/:").gz()),
    ];
    for (what, bytes) in cases {
        let file = [fixture.put("etcd-server_3.5.16-4_amd64.deb", bytes)];
        let digest = Digest::of(bytes).to_string();
        fixture.refuses(
            what,
            &file,
            &pinned,
            &["checking", &digest, "unknown checksum", "--allow-unverified"],
        );
    }
    let file = [fixture.put("etcd-v3.5.999-linux-amd64.tar.gz", b"x")];
    fixture.refuses("an unknown release", &file, &pinned, &["3.5.999", "not in this version's catalogue"]);
    fixture.refuses("an empty file", &[fixture.put("empty", b"")], &TRUST, &["it is empty"]);
    let missing = fixture.add(&[fixture.scratch.path().join("missing")], &TRUST).unwrap_err();
    assert_eq!(missing.exit(), Exit::Io);
}

#[test]
fn unusual_but_honest_files_are_taken() {
    let p = small();
    let old = program("3.4.23");
    let top = "etcd-v3.4.23-linux-amd64";
    let pieces = good_tar().end();
    let xz = made::members(&fs::read(&debs_of("3.5.16")[0]).unwrap()).swap_remove(1).1;
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
        let fixture = TestStore::new();
        let files: Vec<_> =
            files.iter().enumerate().map(|(at, bytes)| fixture.put(&at.to_string(), bytes)).collect();
        let added = fixture.add(&files, &TRUST).unwrap_or_else(|failure| panic!("{what}: {failure}"));
        assert_eq!(added.len(), 1, "{what}");
        let loaded = fixture.store().load(&added[0].record).unwrap();
        assert!(loaded.values().all(|blob| blob.bytes().is_ok()), "{what}");
    }
}

#[test]
fn a_flipped_bit_or_a_cut_in_a_trusted_file_is_noticed() {
    let fixture = TestStore::new();
    let (_, data_xz) = made::members(&fs::read(&debs_of("3.5.16")[0]).unwrap()).swap_remove(1);
    let (server, client) = (small(), small());
    let gz_deb = deb("server", "3.5.16-4", &[("etcd", &server)]);
    let zst_deb = deb_of(
        &zst(&control("client", "3.5.16-4", "amd64")),
        &zst(&Tar::new().file("usr/bin/etcdctl", &client).end()),
    );
    let xz_deb = deb_of(&data_xz, &Tar::new().gz());
    let mut passed = 0;
    for (name, good) in
        [(TARBALL, good_tar().gz()), ("gz.deb", gz_deb), ("zst.deb", zst_deb), ("xz.deb", xz_deb)]
    {
        // Each time xz is read it allocates a dictionary of at least 8 MiB, so only some places are tried.
        let step = if name == "xz.deb" { 23 } else { 1 };
        for cut in (0..good.len()).step_by(step) {
            let failure = fixture.add_one(name, &good[..cut]).unwrap_err();
            assert_eq!(failure.exit(), Exit::Untrusted, "{name} cut at {cut}: {failure}");
            assert!(!failure.to_string().contains("one half of"), "{name} cut at {cut} went unnoticed");
        }
        for at in (0..good.len()).step_by(step) {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            match fixture.add_one(name, &bytes) {
                // Some bits have no effect: gzip's date, and the distance to the beginning of a run of zeros.
                Ok(added) => {
                    let digest = Digest::of(&small());
                    assert!(added[0].record.binaries.values().all(|b| b.sha256 == digest), "byte {at}");
                    passed += 1;
                }
                Err(failure) => assert_eq!(failure.exit(), Exit::Untrusted, "{name} {at}: {failure}"),
            }
        }
    }
    assert!((6..40).contains(&passed), "{passed} flipped bits went through");
}

#[test]
fn a_vast_xz_dictionary_is_refused() {
    let fixture = TestStore::new();
    let data = Tar::new().file("./usr/bin/etcd", &small()).gz();
    let file = [fixture.put("etcd.deb", &deb_of(&vast_xz(), &data))];
    fixture.refuses("a vast xz dictionary", &file, &TRUST, &["etcd.deb", "mem_limit"]);
}

/// Debian's own control.tar.xz, claiming that it needs a dictionary of 3 GiB.
fn vast_xz() -> Vec<u8> {
    let mut xz = made::members(&fs::read(&debs_of("3.5.16")[0]).unwrap()).swap_remove(1).1;
    // .xz format 3.1: after 12 bytes comes the block header, its size in words less one, ending in a CRC-32.
    let end = 12 + (usize::from(xz[12]) + 1) * 4;
    let filter = xz[12..end].windows(2).position(|pair| pair == [0x21, 1]).unwrap();
    xz[12 + filter + 2] = 39;
    let crc = crc32fast::hash(&xz[12..end - 4]);
    xz[end - 4..end].copy_from_slice(&crc.to_le_bytes());
    xz
}

/// A store is empty before its first release, and a profile need not name one.
#[test]
fn a_profile_pins_the_first_release_of_a_store() {
    let work = Workshop::new();
    let files = debs_of("3.5.16");
    let digests: Vec<_> =
        files.iter().map(|file| format!("\"{}\"", Digest::of(&fs::read(file).unwrap()))).collect();
    let pins = |digests: &str| ONE.replace("version = \"3.5.16\"", &format!("sha256 = [{digests}]"));
    work.file("one.toml", pins(&digests.join(", ")));
    work.file("half.toml", pins(&digests[0]));
    let add = |more: &[&str]| {
        let mut command = work.kiln(["artifacts", "add"]);
        output(command.args(&files).args(more))
    };
    let (code, _, said) = add(&[]);
    assert!(code == 4 && said.contains("or --profile with a profile that has it in [etcd] sha256"), "{said}");
    assert_eq!(add(&["--profile", "half.toml"]).0, 4);
    let (code, printed, said) = add(&["--profile", "one.toml"]);
    assert!(code == 0 && printed.contains("3.5.16"), "{printed}{said}");
}
