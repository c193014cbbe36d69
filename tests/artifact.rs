//! Release files into the artifact store and out of it: real ones, and the ones of FAULTS B15 and B16.

#[path = "artifact/made.rs"]
mod made;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kiln::artifact::{Accept, Added, Outcome, Program, Store, Trust};
use kiln::disk::{Lock, Scratch};
use kiln::etcd::Release;
use kiln::failure::{Exit, Failure};
use kiln::values::{Arch, Digest, Mode};

use made::{TOP, Tar, ar, control, deb, deb_of, debs, gz, gz_stored, header, program, program_for, zst};

const TRUST: Accept<'_> = Accept { pinned: &[], trust: true, replace: false };
const TARBALL: &str = "etcd-v3.5.16-linux-amd64.tar.gz";

struct Desk {
    scratch: Scratch,
}

impl Desk {
    fn new() -> Self {
        Self { scratch: Scratch::new("artifact").unwrap() }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        self.scratch.write(name, bytes, Mode::FILE).unwrap()
    }

    fn store(&self) -> Store {
        Store::at(&self.scratch.path().join("artifacts"))
    }

    fn add(&self, files: &[PathBuf], accept: &Accept<'_>) -> Result<Vec<Added>, Failure> {
        self.store().add(files, accept)
    }

    fn add_one(&self, name: &str, bytes: &[u8]) -> Result<Vec<Added>, Failure> {
        self.add(&[self.put(name, bytes)], &TRUST)
    }

    /// Refused with exit code 4 and these words, in reasonable time, and nothing is written.
    #[track_caller]
    fn refuses(&self, what: &str, files: &[PathBuf], accept: &Accept<'_>, want: &[&str]) {
        let start = Instant::now();
        let before = self.listing();
        let failure = match self.add(files, accept) {
            Ok(added) => panic!("{what} was added: {added:?}"),
            Err(failure) => failure,
        };
        assert_eq!(failure.exit(), Exit::Untrusted, "{what}: {failure}");
        for part in want {
            assert!(failure.to_string().contains(part), "{what}: {failure}");
        }
        assert_eq!(self.listing(), before, "{what} left something behind");
        assert!(start.elapsed() < Duration::from_secs(20), "{what} took {:?}", start.elapsed());
    }

    fn listing(&self) -> Vec<PathBuf> {
        kiln::disk::walk(self.scratch.path()).unwrap().into_iter().map(|walked| walked.path).collect()
    }
}

fn release(text: &str) -> Release {
    text.parse().unwrap()
}

fn small() -> Vec<u8> {
    program("3.5.16")
}

fn good_tar() -> Tar {
    let program = small();
    Tar::release(&[&program, &program, &program])
}

/// The programs of a real release.
fn real_programs(version: &str) -> Vec<(Program, Vec<u8>)> {
    let desk = Desk::new();
    desk.add(&debs(version), &TRUST).unwrap();
    let binaries = desk.store().load(release(version), Arch::Amd64, &[]).unwrap();
    binaries.blobs.into_iter().map(|(program, blob)| (program, blob.bytes().to_vec())).collect()
}

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
        let binaries = store.load(release, arch, &[]).unwrap();
        assert_eq!(binaries.record.sources[0].trust, Trust::ByHand);
        assert!(binaries.record.sources[0].file.starts_with("etcd-server_"), "the server comes first");
        for (program, blob) in &binaries.blobs {
            let want = DEBIAN.iter().find(|(v, p, _)| *v == release.to_string() && p == program).unwrap().2;
            assert_eq!(blob.digest().to_string(), want, "{program} {release}");
            let interpreter = binaries.record.binaries[program].interpreter.as_deref();
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
    desk.refuses("not upstream's", &file, &Accept::default(), &[TARBALL, &pin[0].to_string(), "--trust"]);
    let other = Accept { pinned: &[Digest::of(b"other")], ..Accept::default() };
    desk.refuses("another pin", &file, &other, &[&pin[0].to_string(), "3.5.16 for amd64 was published with"]);

    let pinned = Accept { pinned: &pin, ..Accept::default() };
    let added = desk.add(&file, &pinned).unwrap();
    assert_eq!((added[0].outcome, added[0].record.sources[0].trust), (Outcome::Added, Trust::Profile));
    let store = desk.store();
    let loaded = store.load(release("3.5.16"), Arch::Amd64, &pin).unwrap();
    for (program, bytes) in &programs {
        assert!(loaded.blobs[program].bytes() == bytes, "{program}");
    }

    // The same programs out of Debian's packages: no harm done, but then the pin says another source.
    let added = desk.add(&debs("3.5.16"), &TRUST).unwrap();
    assert_eq!(added[0].outcome, Outcome::SourcesUpdated);
    let failure = store.load(release("3.5.16"), Arch::Amd64, &pin).err().unwrap();
    assert_eq!(failure.exit(), Exit::Untrusted);
    assert!(failure.to_string().contains("etcd-server_3.5.16"), "{failure}");
    let both: Vec<_> = added[0].record.sources.iter().map(|source| source.sha256).collect();
    assert!(store.load(release("3.5.16"), Arch::Amd64, &both).is_ok());
    assert!(store.load(release("3.5.16"), Arch::Amd64, &both[..1]).is_err(), "half of the sources");
}

#[test]
fn a_real_program_under_another_releases_name_is_refused() {
    let newest = newest_lab_version();
    let versions = ["3.4.23", "3.5.16", newest.as_str()];
    let desk = Desk::new();
    for version in versions {
        for (program, bytes) in real_programs(version) {
            for claimed in versions.into_iter().chain(["3.5.1", "3.5.0", "3.0.0"]) {
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
fn a_flipped_bit_or_a_cut_in_a_trusted_file_is_noticed() {
    let desk = Desk::new();
    let (_, data_xz) = made::members(&fs::read(&debs("3.5.16")[0]).unwrap()).swap_remove(1);
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
        for cut in 0..good.len() {
            let failure = desk.add_one(name, &good[..cut]).unwrap_err();
            assert_eq!(failure.exit(), Exit::Untrusted, "{name} cut at {cut}: {failure}");
            assert!(!failure.to_string().contains("one half of"), "{name} cut at {cut} went unnoticed");
        }
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << (at % 8);
            match desk.add_one(name, &bytes) {
                // Some bytes mean nothing: a date, a member's owner, padding.
                Ok(added) => {
                    let digest = Digest::of(&small());
                    assert!(added[0].record.binaries.values().all(|b| b.sha256 == digest), "byte {at}");
                    passed += 1;
                }
                Err(failure) => assert_eq!(failure.exit(), Exit::Untrusted, "{name} {at}: {failure}"),
            }
        }
    }
    assert!((1..20).contains(&passed), "{passed} flipped bytes of the gzip header mean nothing");
}

/// Tarballs that --trust lets in and the next gate does not.
#[test]
fn hostile_tarballs_are_refused() {
    let p = small();
    let etcd = format!("{TOP}/etcd");
    let alone = |kind| Tar::new().entry(&etcd, kind, 0, b"").gz();
    let up = format!("{TOP}/../../etc/cron.d/x");
    let long = "x/".repeat(40_000);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("an absolute path", good_tar().file("/etc/passwd", b"x").gz(), "\"/etc/passwd\", which leads out"),
        ("two dots", good_tar().file(&up, b"x").gz(), "which leads out"),
        ("only two dots", good_tar().entry("..", b'5', 0, b"").gz(), "which leads out"),
        ("two dots in a long name", good_tar().gnu_long(&up, b"x").gz(), "which leads out"),
        (
            "two dots in an extension",
            good_tar().pax(b'x', "path", &up).file("cut", b"x").gz(),
            "which leads out",
        ),
        ("a symbolic link", alone(b'2'), "etcd in it is not a regular file"),
        ("a hard link", alone(b'1'), "etcd in it is not a regular file"),
        ("a character device", alone(b'3'), "etcd in it is not a regular file"),
        ("a block device", alone(b'4'), "etcd in it is not a regular file"),
        ("a directory", alone(b'5'), "etcd in it is not a regular file"),
        ("a fifo", alone(b'6'), "etcd in it is not a regular file"),
        ("a sparse file", alone(b'S'), "etcd in it is not a regular file"),
        (
            "a directory's name",
            Tar::new().entry(&format!("{etcd}/"), b'5', 0, b"").gz(),
            "not a regular file",
        ),
        ("a link after the file", good_tar().entry(&etcd, b'2', 0, b"").gz(), "etcd is in it twice"),
        ("a duplicate", good_tar().file(&etcd, &p).gz(), "etcd is in it twice"),
        ("a duplicate by ./", good_tar().file(&format!("./{etcd}"), &p).gz(), "etcd is in it twice"),
        ("a duplicate by a long name", good_tar().gnu_long(&etcd, &p).gz(), "etcd is in it twice"),
        ("a global name", good_tar().pax(b'g', "path", &etcd).gz(), "names an entry twice"),
        (
            "two long names",
            Tar::new().pax(b'x', "path", "a").gnu_long(&etcd, &p).gz(),
            "names an entry twice",
        ),
        ("a second size", good_tar().pax(b'x', "size", "1").gz(), "size of an entry twice"),
        ("an endless name", good_tar().gnu_long(&long, b"").gz(), "longer than any file system's"),
        ("a size too large", Tar::new().entry(&etcd, b'0', 600 << 20, &p).gz(), "at most 536870912"),
        ("a size beyond all", Tar::new().entry(&etcd, b'0', u64::MAX, &p).gz(), "damaged or cut short"),
        ("a size beyond the end", Tar::new().entry(&etcd, b'0', 1 << 20, &p).gz(), "cut short"),
        ("a skipped size beyond the end", good_tar().entry(&up[..24], b'0', 1 << 40, &p).gz(), "top"),
        (
            "a size too small",
            Tar::new().entry(&etcd, b'0', 1, &[p.clone(), p.clone()].concat()).gz(),
            "damaged",
        ),
        ("no end", gz(&good_tar().open_ended()), "its end is missing"),
        ("more after the end", gz(&[good_tar().end(), p.clone()].concat()), "after the end of its archive"),
        ("more after the gzip", [good_tar().gz(), b"garbage".to_vec()].concat(), "damaged or cut short"),
        ("zeros after the gzip", [good_tar().gz(), vec![0; 512]].concat(), "damaged or cut short"),
        ("two directories", good_tar().file("etcd-v3.5.17-linux-amd64/etcd", &p).gz(), "both \"etcd-v3.5.16"),
        ("another layout", Tar::new().file("etcd", &p).gz(), "\"etcd\" is at its top"),
        ("a preview", Tar::new().file("etcd-v3.6.0-rc.0-linux-amd64/etcd", &p).gz(), "is at its top"),
        ("an empty archive", Tar::new().gz(), "an empty archive"),
        ("a text", b"404: Not Found\n".to_vec(), "neither a release tarball"),
        ("a zip file", b"PK\x03\x04".to_vec(), "neither a release tarball"),
        ("a bare tar", good_tar().end(), "neither a release tarball"),
        (
            "a script",
            Tar::release(&[b"#!/bin/sh\n", &p, &p]).gz(),
            "checking etcd in it: it is not a 64-bit ELF",
        ),
        (
            "another release's",
            Tar::release(&[&p, &program("3.5.17"), &p]).gz(),
            "checking etcdctl in it: it is of etcd 3.5.17",
        ),
        (
            "another machine's",
            Tar::release(&[&p, &p, &program_for(183, "3.5.16")]).gz(),
            "etcdutl in it: it is a program for arm64",
        ),
        ("one program missing", Tar::release(&[&p, &p]).gz(), "etcdutl is missing"),
    ];
    let desk = Desk::new();
    for (what, bytes, want) in cases {
        let file = [desk.put(TARBALL, &bytes)];
        desk.refuses(what, &file, &TRUST, &[TARBALL, want]);
    }
}

/// Small files that are large, or many, when they are unpacked.
#[test]
fn bombs_are_refused() {
    let repeat = |start: &[u8], piece: &[u8], times: usize| [gz(start), gz(piece).repeat(times)].concat();
    let zeros = vec![0; 16 << 20];
    let many = header(&format!("{TOP}/x"), b'0', 0).repeat(10_000);
    let claimed = |path: &str, size: u64| header(&format!("{TOP}/{path}"), b'0', size);
    let cases = [
        ("a million entries", repeat(b"", &many, 100), "more than 10000 entries"),
        ("a bomb in a file nobody wants", repeat(&claimed("x", 6 << 30), &zeros, 400), "64 times its size"),
        ("a bomb in a program", repeat(&claimed("etcd", 500 << 20), &zeros, 40), "64 times its size"),
        ("a bomb after the end", repeat(&good_tar().end(), &zeros, 40), "64 times its size"),
        ("a bomb in a long name", repeat(&header("x", b'L', 6 << 30), &zeros, 400), "longer than any"),
        // With as much again that does not shrink, so that only the total is left to stop it.
        ("two gibibytes", repeat(&claimed("x", 1 << 40), &mixed(), 140), "more than 2147483648 bytes"),
    ];
    let desk = Desk::new();
    for (what, bytes, want) in cases {
        let file = [desk.put(TARBALL, &bytes)];
        desk.refuses(what, &file, &TRUST, &[TARBALL, want]);
    }
    let data = zst(&[claimed("x", 6 << 30), zeros.repeat(8)].concat());
    let file = [desk.put("a.deb", &deb_of(&gz(&control("server", "3.5.16-4", "amd64")), &data))];
    desk.refuses("a zstd bomb", &file, &TRUST, &["reading data.tar.gz", "64 times its size"]);
}

/// 16 MiB that compress to about half a MiB: zeros, and a generator's numbers.
fn mixed() -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(512 << 10)
    .collect();
    bytes.resize(16 << 20, 0);
    bytes
}

#[test]
fn hostile_packages_are_refused() {
    let p = small();
    let good_control = gz(&control("server", "3.5.16-4", "amd64"));
    let data = Tar::new().file("./usr/bin/etcd", &p).gz();
    let of = |control: &[u8]| deb_of(&gz(control), &data);
    let with_data = |tar: Tar| deb_of(&good_control, &tar.gz());
    let parts = |parts: &[(&str, &[u8])]| ar(&[&[("debian-binary", &b"2.0\n"[..])], parts].concat());
    let control_as = |kind| Tar::new().entry("./control", kind, 0, b"").end();
    let mut lying = deb_of(&good_control, &data);
    let size_at = lying.len() - data.len().next_multiple_of(2) - 12;
    lying[size_at..size_at + 10].copy_from_slice(b"9999999999");
    let window = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0][..]].concat();
    let c = ("control.tar.gz", &*good_control);
    let d = ("data.tar.gz", &*data);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("half a release", of(&control("server", "3.5.16-4", "amd64")), "add etcd-client 3.5.16-4"),
        (
            "another package",
            of(&Tar::new().file("./control", b"Package: bash\nVersion: 1\n").end()),
            "\"bash\"",
        ),
        ("another architecture", of(&control("server", "3.5.16-4", "riscv64")), "\"riscv64\""),
        ("no architecture", of(&control("server", "3.5.16-4", "all")), "\"all\""),
        ("a strange version", of(&control("server", "3.5-4", "amd64")), "\"3.5-4\""),
        ("no control file", of(&Tar::new().file("./md5sums", b"").end()), "no control file"),
        ("control is a link", of(&control_as(b'2')), "control in it is not a regular file"),
        (
            "two control files",
            of(&[Tar::new().file("control", b"").open_ended(), control("server", "3.5.16-4", "amd64")]
                .concat()),
            "control is in it twice",
        ),
        ("an absolute path", with_data(Tar::new().file("/usr/bin/etcd", &p)), "which leads out"),
        ("two dots", with_data(Tar::new().file("./usr/bin/../../x", &p)), "which leads out"),
        (
            "a link",
            with_data(Tar::new().entry("./usr/bin/etcd", b'2', 0, b"")),
            "etcd in it is not a regular file",
        ),
        (
            "a duplicate",
            with_data(Tar::new().file("./usr/bin/etcd", &p).file("usr/bin/etcd", &p)),
            "in it twice",
        ),
        (
            "another release inside",
            with_data(Tar::new().file("./usr/bin/etcd", &program("3.5.30"))),
            "of etcd 3.5.30",
        ),
        ("another archive", ar(&[("hello.o", b"x")]), "not a Debian package"),
        ("an empty archive", ar(&[]), "not a Debian package"),
        ("a newer format", ar(&[("debian-binary", b"3.0\n"), c, d]), "newer than deb 2.0"),
        ("data first", parts(&[d, c]), "out of place"),
        ("data twice", parts(&[c, d, d]), "out of place"),
        ("control twice", parts(&[c, c, d]), "out of place"),
        ("a stranger", parts(&[c, ("x", b"y"), d]), "out of place"),
        ("no data", parts(&[c]), "is missing"),
        ("nothing", parts(&[]), "is missing"),
        ("no compression", parts(&[c, ("data.tar", &Tar::new().end())]), "neither gzip, nor xz, nor zstd"),
        ("a lying size", lying, "cut short"),
        ("garbage at the end", [deb_of(&good_control, &data), b"garbage".to_vec()].concat(), "damaged"),
        (
            "garbage in a part",
            deb_of(&good_control, &[data.clone(), b"garbage".to_vec()].concat()),
            "damaged",
        ),
        ("a vast zstd window", deb_of(&good_control, &window), "Frame requires too much memory"),
        ("a vast xz dictionary", deb_of(&vast_xz(), &data), "mem_limit"),
    ];
    let desk = Desk::new();
    for (what, bytes, want) in cases {
        let file = [desk.put("etcd.deb", &bytes)];
        desk.refuses(what, &file, &TRUST, &["etcd.deb", want]);
    }
}

/// Debian's own control.tar.xz, saying that it needs a dictionary of 3 GiB.
fn vast_xz() -> Vec<u8> {
    let mut xz = made::members(&fs::read(&debs("3.5.16")[0]).unwrap()).swap_remove(1).1;
    // .xz format 3.1: after 12 bytes comes the block header, its size in words less one, ending in a CRC-32.
    let end = 12 + (usize::from(xz[12]) + 1) * 4;
    let filter = xz[12..end].windows(2).position(|pair| pair == [0x21, 1]).unwrap();
    xz[12 + filter + 2] = 39;
    let crc = crc32fast::hash(&xz[12..end - 4]);
    xz[end - 4..end].copy_from_slice(&crc.to_le_bytes());
    xz
}

#[test]
fn halves_are_put_together_or_refused() {
    let p = small();
    let desk = Desk::new();
    let server = desk.put("server.deb", &deb("server", "3.5.16-4", &[("etcd", &p), ("etcdutl", &p)]));
    let client = desk.put("client.deb", &deb("client", "3.5.16-4", &[("etcdctl", &p)]));
    let rebuilt = desk.put("rebuilt.deb", &deb("client", "3.5.16-4+b1", &[("etcdctl", &p)]));
    let whole = desk.put("client-utl.deb", &deb("client", "3.5.16-4", &[("etcdctl", &p), ("etcdutl", &p)]));
    let bare = desk.put("bare.deb", &deb("server", "3.5.16-4", &[("etcd", &p)]));
    let tarball = desk.put(TARBALL, &good_tar().gz());
    let later = program("3.5.17");
    let other = desk.put("later.deb", &deb("client", "3.5.17-1", &[("etcdctl", &later)]));
    let script = desk.put("script", b"#!/bin/sh\n");
    let cases: Vec<(&str, Vec<&PathBuf>, &str)> = vec![
        (
            "one half",
            vec![&client],
            "client.deb is one half of etcd 3.5.16 for amd64; add etcd-server 3.5.16-4",
        ),
        ("halves of two releases", vec![&server, &other], "add etcd-client 3.5.16-4"),
        ("two builds", vec![&server, &rebuilt], "two different builds"),
        ("two servers", vec![&server, &bare], "both bring etcd 3.5.16"),
        ("three halves", vec![&server, &client, &whole], "both bring etcd 3.5.16"),
        ("a tarball and a half", vec![&tarball, &client], "both bring etcd 3.5.16"),
        ("a program twice", vec![&server, &whole], "etcdutl is in both"),
        ("a program missing", vec![&bare, &client], "etcdutl is missing"),
        ("a good release and a bad file", vec![&tarball, &script], "neither a release tarball"),
    ];
    for (what, files, want) in cases {
        let files: Vec<_> = files.into_iter().cloned().collect();
        desk.refuses(what, &files, &TRUST, &[want]);
    }
    for files in [[&client, &server], [&bare, &whole]] {
        let added = Desk::new().add(&files.map(Clone::clone), &TRUST).unwrap();
        assert_eq!((added.len(), added[0].record.binaries.len()), (1, 3));
    }
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
        assert!(desk.store().load(added[0].record.version, Arch::Amd64, &[]).is_ok(), "{what}");
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
    let loaded = desk.store().load(release("3.5.16"), Arch::Amd64, &[]).unwrap();
    assert!(loaded.blobs.values().all(|blob| blob.bytes() == other));
}

#[test]
fn what_is_stored_is_plain_data_with_a_record() {
    let desk = Desk::new();
    let added = desk.add_one(TARBALL, &good_tar().gz()).unwrap();
    let digest = Digest::of(&small());
    let root = desk.scratch.path().join("artifacts");
    let mut want = [".lock", "blobs", "blobs/sha256", "releases", "releases/3.5.16-amd64.json"]
        .map(PathBuf::from)
        .to_vec();
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
    let load = || desk.store().load(release("3.5.16"), Arch::Amd64, &[]);
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
    let harms: [(&dyn Fn(&Path), &str); 5] = [
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
            assert!(failure.to_string().contains("remove it and add the release again"), "{failure}");
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
    let say = || desk.store().load(release("3.5.30"), Arch::Arm64, &[]).err().unwrap().to_string();
    assert!(say().contains("which has nothing; add it: kiln artifacts add --artifacts"), "{}", say());
    desk.add_one(TARBALL, &good_tar().gz()).unwrap();
    assert!(say().contains("which has 3.5.16 (amd64); add it"), "{}", say());
    assert!(say().contains("etcd-v3.5.30-linux-arm64.tar.gz"), "{}", say());
    assert_eq!(store.load(release("3.5.30"), Arch::Arm64, &[]).err().unwrap().exit(), Exit::Untrusted);
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
    assert!(desk.store().load(release("3.5.16"), Arch::Amd64, &[]).is_ok(), "reading needs no lock");
    drop(lock);
    desk.add_one(TARBALL, &good_tar().gz()).unwrap();
    assert!(desk.listing().iter().all(|path| !path.to_string_lossy().contains(".kiln-")));
}
