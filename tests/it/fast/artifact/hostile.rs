//! Hostile content of release files whose digest is trusted all the same.

use std::path::PathBuf;

use crate::support::made::{TOP, Tar, ar, control, deb, deb_of, gz, header, program, program_for, zst};
use crate::support::test_store::{TARBALL, TRUST, TestStore, good_tar, small};

/// Tarballs that --trust accepts and the next check refuses.
// long: one table of cases
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
        ("a symbolic link", alone(b'2'), "etcd in the archive is not a regular file"),
        ("a hard link", alone(b'1'), "etcd in the archive is not a regular file"),
        ("a character device", alone(b'3'), "etcd in the archive is not a regular file"),
        ("a block device", alone(b'4'), "etcd in the archive is not a regular file"),
        ("a directory", alone(b'5'), "etcd in the archive is not a regular file"),
        ("a fifo", alone(b'6'), "etcd in the archive is not a regular file"),
        ("a sparse file", alone(b'S'), "etcd in the archive is not a regular file"),
        (
            "a directory's name",
            Tar::new().entry(&format!("{etcd}/"), b'5', 0, b"").gz(),
            "not a regular file",
        ),
        ("a link after the file", good_tar().entry(&etcd, b'2', 0, b"").gz(), "it has etcd twice"),
        ("a duplicate", good_tar().file(&etcd, &p).gz(), "it has etcd twice"),
        ("a duplicate by ./", good_tar().file(&format!("./{etcd}"), &p).gz(), "it has etcd twice"),
        ("a duplicate by a long name", good_tar().gnu_long(&etcd, &p).gz(), "it has etcd twice"),
        ("a global name", good_tar().pax(b'g', "path", &etcd).gz(), "names an entry twice"),
        (
            "two long names",
            Tar::new().pax(b'x', "path", "a").gnu_long(&etcd, &p).gz(),
            "names an entry twice",
        ),
        ("a second size", good_tar().pax(b'x', "size", "1").gz(), "size of an entry twice"),
        ("an endless name", good_tar().gnu_long(&long, b"").gz(), "longer than any file system's"),
        ("a size too large", Tar::new().entry(&etcd, b'0', 600 << 20, &p).gz(), "at most 536870912"),
        ("a size beyond all", Tar::new().entry(&etcd, b'0', u64::MAX, &p).gz(), "damaged or truncated"),
        ("a size beyond the end", Tar::new().entry(&etcd, b'0', 1 << 20, &p).gz(), "truncated"),
        (
            "a skipped size beyond the end",
            good_tar().entry(&format!("{TOP}/x"), b'0', 1 << 40, &p).gz(),
            "truncated",
        ),
        (
            "a size too small",
            Tar::new().entry(&etcd, b'0', 1, &[p.clone(), p.clone()].concat()).gz(),
            "damaged",
        ),
        ("no end", gz(&good_tar().open_ended()), "its end is missing"),
        (
            "more after the end",
            gz(&[good_tar().end(), p.clone()].concat()),
            "trailing bytes follow its archive",
        ),
        ("more after the gzip", [good_tar().gz(), b"garbage".to_vec()].concat(), "damaged or truncated"),
        ("zeros after the gzip", [good_tar().gz(), vec![0; 512]].concat(), "damaged or truncated"),
        ("two directories", good_tar().file("etcd-v3.5.17-linux-amd64/etcd", &p).gz(), "both \"etcd-v3.5.16"),
        ("another layout", Tar::new().file("etcd", &p).gz(), "its top directory is \"etcd\""),
        ("a preview", Tar::new().file("etcd-v3.6.0-rc.0-linux-amd64/etcd", &p).gz(), "its top directory is"),
        ("an empty archive", Tar::new().gz(), "an empty archive"),
        ("a string", b"404: Not Found\n".to_vec(), "neither a release tarball"),
        ("a zip file", b"PK\x03\x04".to_vec(), "neither a release tarball"),
        ("a bare tar", good_tar().end(), "neither a release tarball"),
        (
            "a script",
            Tar::release(&[b"#!/bin/sh\n", &p, &p]).gz(),
            "checking etcd in the file: it is not a 64-bit ELF",
        ),
        (
            "another release's",
            Tar::release(&[&p, &program("3.5.17"), &p]).gz(),
            "checking etcdctl in the file: it is etcd 3.5.17",
        ),
        (
            "another machine's",
            Tar::release(&[&p, &p, &program_for(183, "3.5.16")]).gz(),
            "checking etcdutl in the file: it is a program for arm64",
        ),
        ("one program missing", Tar::release(&[&p, &p]).gz(), "etcdutl is missing"),
    ];
    let fixture = TestStore::new();
    for (what, bytes, want) in cases {
        let file = [fixture.put(TARBALL, &bytes)];
        fixture.refuses(what, &file, &TRUST, &[TARBALL, want]);
    }
}

/// Small files that unpack to a large size, or to many entries.
#[test]
fn bombs_are_refused() {
    let Some(fixture) = in_a_gibibyte("artifact::hostile::bombs_are_refused") else { return };
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
        // With as much incompressible data again, so that only the limit on the total can stop it.
        ("two gibibytes", repeat(&claimed("x", 1 << 40), &mixed(), 140), "more than 2147483648 bytes"),
    ];
    for (what, bytes, want) in cases {
        let file = [fixture.put(TARBALL, &bytes)];
        fixture.refuses(what, &file, &TRUST, &[TARBALL, want]);
    }
    let data = zst(&[claimed("x", 6 << 30), zeros.repeat(8)].concat());
    let file = [fixture.put("a.deb", &deb_of(&gz(&control("server", "3.5.16-4", "amd64")), &data))];
    fixture.refuses("a zstd bomb", &file, &TRUST, &["reading data.tar.gz", "64 times its size"]);
}

/// Runs this test a second time in a process with no more memory than that: `Some` in that process.
fn in_a_gibibyte(test: &str) -> Option<TestStore> {
    const INSIDE: &str = "KILN_TEST_IN_A_GIBIBYTE";
    if std::env::var_os(INSIDE).is_some() {
        let limit = rustix::process::Rlimit { current: Some(1 << 30), maximum: Some(1 << 30) };
        rustix::process::setrlimit(rustix::process::Resource::As, limit).unwrap();
        return Some(TestStore::new());
    }
    let mut inside = std::process::Command::new(std::env::current_exe().unwrap());
    let done = inside.args([test, "--exact", "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("1 passed"), "{said}");
    None
}

/// 16 MiB that compress to about half a MiB: zeros, and output of a generator.
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

// long: one table of cases
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
        ("control is a link", of(&control_as(b'2')), "control in the archive is not a regular file"),
        (
            "two control files",
            of(&[Tar::new().file("control", b"").open_ended(), control("server", "3.5.16-4", "amd64")]
                .concat()),
            "it has control twice",
        ),
        ("an absolute path", with_data(Tar::new().file("/usr/bin/etcd", &p)), "which leads out"),
        ("two dots", with_data(Tar::new().file("./usr/bin/../../x", &p)), "which leads out"),
        (
            "a link",
            with_data(Tar::new().entry("./usr/bin/etcd", b'2', 0, b"")),
            "etcd in the archive is not a regular file",
        ),
        ("a duplicate", with_data(Tar::new().file("./usr/bin/etcd", &p).file("usr/bin/etcd", &p)), "twice"),
        (
            "another release inside",
            with_data(Tar::new().file("./usr/bin/etcd", &program("3.5.30"))),
            "it is etcd 3.5.30",
        ),
        ("another archive", ar(&[("hello.o", b"x")]), "not a Debian package"),
        ("an empty archive", ar(&[]), "not a Debian package"),
        ("a newer format", ar(&[("debian-binary", b"3.0\n"), c, d]), "newer than deb 2.0"),
        ("data first", parts(&[d, c]), "out of order"),
        ("data twice", parts(&[c, d, d]), "out of order"),
        ("control twice", parts(&[c, c, d]), "out of order"),
        ("a stranger", parts(&[c, ("x", b"y"), d]), "out of order"),
        ("no data", parts(&[c]), "is missing"),
        ("nothing", parts(&[]), "is missing"),
        ("no compression", parts(&[c, ("data.tar", &Tar::new().end())]), "not gzip, xz or zstd"),
        ("a lying size", lying, "truncated"),
        ("garbage at the end", [deb_of(&good_control, &data), b"garbage".to_vec()].concat(), "damaged"),
        (
            "garbage in a part",
            deb_of(&good_control, &[data.clone(), b"garbage".to_vec()].concat()),
            "damaged",
        ),
        ("a vast zstd window", deb_of(&good_control, &window), "Frame requires too much memory"),
    ];
    let fixture = TestStore::new();
    for (what, bytes, want) in cases {
        let file = [fixture.put("etcd.deb", &bytes)];
        fixture.refuses(what, &file, &TRUST, &["etcd.deb", want]);
    }
}

#[test]
fn halves_are_put_together_or_refused() {
    let p = small();
    let fixture = TestStore::new();
    let server = fixture.put("server.deb", &deb("server", "3.5.16-4", &[("etcd", &p), ("etcdutl", &p)]));
    let client = fixture.put("client.deb", &deb("client", "3.5.16-4", &[("etcdctl", &p)]));
    let rebuilt = fixture.put("rebuilt.deb", &deb("client", "3.5.16-4+b1", &[("etcdctl", &p)]));
    let whole =
        fixture.put("client-utl.deb", &deb("client", "3.5.16-4", &[("etcdctl", &p), ("etcdutl", &p)]));
    let bare = fixture.put("bare.deb", &deb("server", "3.5.16-4", &[("etcd", &p)]));
    let tarball = fixture.put(TARBALL, &good_tar().gz());
    let later = program("3.5.17");
    let other = fixture.put("later.deb", &deb("client", "3.5.17-1", &[("etcdctl", &later)]));
    let script = fixture.put("script", b"#!/bin/sh\n");
    let cases: Vec<(&str, Vec<&PathBuf>, &str)> = vec![
        (
            "one half",
            vec![&client],
            "client.deb is one half of etcd 3.5.16 for amd64; add etcd-server 3.5.16-4",
        ),
        ("halves of two releases", vec![&server, &other], "add etcd-client 3.5.16-4"),
        ("two builds", vec![&server, &rebuilt], "from different builds"),
        ("two servers", vec![&server, &bare], "both contain etcd 3.5.16"),
        ("three halves", vec![&server, &client, &whole], "both contain etcd 3.5.16"),
        ("a tarball and a half", vec![&tarball, &client], "both contain etcd 3.5.16"),
        ("a program twice", vec![&server, &whole], "etcdutl is in both"),
        ("a program missing", vec![&bare, &client], "etcdutl is missing"),
        ("a good release and a bad file", vec![&tarball, &script], "neither a release tarball"),
    ];
    for (what, files, want) in cases {
        let files: Vec<_> = files.into_iter().cloned().collect();
        fixture.refuses(what, &files, &TRUST, &[want]);
    }
    for files in [[&client, &server], [&bare, &whole]] {
        let added = TestStore::new().add(&files.map(Clone::clone), &TRUST).unwrap();
        assert_eq!((added.len(), added[0].record.binaries.len()), (1, 3));
    }
}
