//! Independent programs read the archives that Kiln writes: GNU tar, GNU cpio, gzip, cdrkit's isoinfo, xorriso, blkid,
//! and bsdtar and busybox where they are installed.
//!
//! A missing program is named and left out, except where `CI` is set.

use std::fs;
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use kiln::format::gzip::Compressor;
use kiln::format::{Piece, Stream, cpio, iso, joined, read, tar};
use kiln::tree::{Blob, Content, Entry, Kind, Tree};
use kiln::values::{Epoch, Mode};

use crate::support::{have, have_optional};

fn epoch() -> Epoch {
    "2026-11-21".parse().unwrap()
}

/// Standard output of a program that succeeds without complaints.
fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let (output, complaint) = try_run(command, input);
    assert!(complaint.is_empty(), "{command:?}: {complaint}");
    output
}

/// Standard output and error of a program that succeeds.
fn try_run(command: &mut Command, input: &[u8]) -> (Vec<u8>, String) {
    command.env("LC_ALL", "C").env("TZ", "UTC");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // It may stop reading before the end of its input.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    });
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {} {complaint}", output.status);
    (output.stdout, complaint)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Long enough for several chunks, all of them different.
fn binary() -> Vec<u8> {
    (0..2_500_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 27) as u8).collect()
}

fn insert(tree: &mut Tree, path: &str, entry: Entry) {
    tree.insert(path.parse().unwrap(), entry).unwrap();
}

fn overlay() -> Tree {
    let mut tree = Tree::default();
    let long = format!("opt/{}/{}/{}", "a".repeat(200), "b".repeat(250), "c".repeat(255));
    for (path, entry) in [
        ("etc/etcd", Entry::directory(Mode::DIRECTORY, "t")),
        ("etc/etcd/etcd.conf", Entry::file(b"name: cp-a\n".to_vec(), Mode::FILE, "t")),
        ("etc/etcd/pki", Entry::directory(Mode::SECRET_DIRECTORY, "t")),
        ("etc/etcd/pki/server-key.pem", Entry::file(b"key\n".to_vec(), Mode::SECRET, "t")),
        ("etc/etcd/none", Entry::file(Vec::new(), Mode::from_bits(0o440), "t")),
        ("etc/systemd/system/multi-user.target.wants/etcd.service", Entry::link("../etcd.service", "t")),
        (&long, Entry::file(vec![b'x'; 512], Mode::FILE, "t")),
        ("opt/long-link", Entry::link("t".repeat(300), "t")),
        (&"n".repeat(100), Entry::file(vec![b'y'; 513], Mode::FILE, "t")),
        ("spaces and ümlauts", Entry::file(b"z".to_vec(), Mode::FILE, "t")),
        ("usr/local/bin/etcd", Entry::shared(Arc::new(Blob::new(binary())), Mode::PROGRAM, "t")),
    ] {
        insert(&mut tree, path, entry);
    }
    tree
}

fn plain(archive: &[Content]) -> Vec<u8> {
    archive.iter().flat_map(|content| content.bytes().unwrap()).copied().collect()
}

fn gzip(archive: &[Content]) -> Vec<u8> {
    joined(&Compressor::new(NonZeroUsize::MIN).compress(archive).unwrap()).unwrap()
}

fn tar_gz(tree: &Tree) -> Vec<u8> {
    gzip(&tar::tar(tree, epoch()).unwrap())
}

/// Which dates a program restores.
#[derive(PartialEq)]
enum Dates {
    All,
    /// GNU cpio and busybox set the date of a directory before they fill it, and busybox does not set those of links.
    Files,
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Every entry of the tree is below `root` with the tree's properties.
fn assert_unpacked(tree: &Tree, root: &Path, dates: Dates) {
    let is_root = is_root();
    for (path, entry) in tree.iter() {
        let place = root.join(path.as_str());
        let meta = fs::symlink_metadata(&place).unwrap_or_else(|error| panic!("{path}: {error}"));
        match &entry.kind {
            Kind::Directory => assert!(meta.is_dir(), "{path}"),
            Kind::File(content) => {
                assert!(meta.is_file(), "{path}");
                assert!(fs::read(&place).unwrap() == content.bytes().unwrap(), "{path} has other bytes");
            }
            Kind::Link(target) => assert_eq!(fs::read_link(&place).unwrap(), Path::new(target), "{path}"),
        }
        if dates == Dates::All || meta.is_file() {
            assert_eq!(meta.mtime(), epoch().seconds() as i64, "{path}");
        }
        if !matches!(entry.kind, Kind::Link(_)) {
            assert_eq!(meta.permissions().mode() & 0o7777, entry.mode.bits(), "{path}");
        }
        if is_root {
            assert_eq!((meta.uid(), meta.gid()), (0, 0), "{path}");
        }
    }
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn gnu_tar_unpacks_an_overlay() {
    let (tree, root) = (overlay(), scratch());
    // As on a running host: existing directories keep their properties.
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::set_permissions(root.path().join("etc"), fs::Permissions::from_mode(0o711)).unwrap();
    let archive = tar_gz(&tree);
    run(Command::new("tar").args(["-xpzf", "-", "-C"]).arg(root.path()), &archive);
    assert_unpacked(&tree, root.path(), Dates::All);
    let etc = fs::metadata(root.path().join("etc")).unwrap();
    assert_eq!(etc.permissions().mode() & 0o7777, 0o711);
    // Its own comparison finds no difference either, except for owners that only root could have set.
    let file = root.path().with_extension("tar.gz");
    fs::write(&file, &archive).unwrap();
    let compared =
        Command::new("tar").env("LC_ALL", "C").arg("-dzf").arg(&file).arg("-C").arg(root.path()).output();
    fs::remove_file(&file).unwrap();
    let compared = compared.unwrap();
    let said = text(compared.stdout);
    let owners = |line: &str| line.ends_with(": Uid differs") || line.ends_with(": Gid differs");
    assert!(compared.stderr.is_empty() && said.lines().all(|line| !is_root() && owners(line)), "{said}");
    assert_eq!(compared.status.success(), said.is_empty(), "{said}");

    let listing =
        text(run(Command::new("tar").args(["--numeric-owner", "--full-time", "-tvzf", "-"]), &archive));
    assert_eq!(listing.lines().count(), tree.len());
    assert!(
        listing.contains("drwx------ 0/0               0 2026-11-21 00:00:00 etc/etcd/pki/\n"),
        "{listing}"
    );
    assert!(
        listing.contains("-rw------- 0/0               4 2026-11-21 00:00:00 etc/etcd/pki/server-key.pem\n")
    );
}

#[test]
fn gnu_tar_takes_an_empty_archive_and_a_late_date() {
    let late = Epoch::from_seconds(9_000_000_000).unwrap();
    let mut tree = Tree::default();
    assert_eq!(run(Command::new("tar").args(["-tzf", "-"]), &tar_gz(&tree)), b"");
    insert(&mut tree, "a", Entry::file(b"x".to_vec(), Mode::FILE, "t"));
    let archive = gzip(&tar::tar(&tree, late).unwrap());
    let listing = text(run(Command::new("tar").args(["--full-time", "-tvzf", "-"]), &archive));
    assert!(listing.contains("2255-03-14"), "{listing}");
}

#[test]
fn bsdtar_and_busybox_unpack_an_overlay() {
    let tree = overlay();
    let programs = [
        ("bsdtar", &["-xpzf", "-", "-C"][..], Dates::All),
        ("busybox", &["tar", "-xpzf", "-", "-C"], Dates::Files),
    ];
    for (program, arguments, dates) in programs {
        if have_optional(program) {
            let root = scratch();
            run(Command::new(program).args(arguments).arg(root.path()), &tar_gz(&tree));
            assert_unpacked(&tree, root.path(), dates);
        } else {
            eprintln!("{program} is not installed; what it would say is not tested");
        }
    }
}

#[test]
fn gnu_cpio_unpacks_an_initramfs() {
    if !have("cpio") {
        return;
    }
    let (tree, root) = (overlay(), scratch());
    let archive = plain(&cpio::cpio(&tree, epoch()).unwrap());
    run(Command::new("cpio").args(["-idm", "--quiet"]).current_dir(root.path()), &archive);
    assert_unpacked(&tree.with_parents(), root.path(), Dates::Files);
    let listing = text(run(Command::new("cpio").args(["-t", "--quiet"]), &archive));
    assert_eq!(listing.lines().count(), tree.with_parents().len());
    // Complete, in whole blocks.
    run(Command::new("cpio").args(["-i", "--only-verify-crc", "--quiet"]), &archive);
}

#[test]
fn initramfs_segments_may_stand_in_a_row() {
    if !have("cpio") {
        return;
    }
    let mut base = Tree::default();
    insert(&mut base, "init", Entry::file(b"#!/bin/sh\n".to_vec(), Mode::PROGRAM, "t"));
    let mut node = Tree::default();
    insert(&mut node, "etc/hostname", Entry::file(b"cp-a\n".to_vec(), Mode::FILE, "t"));
    let (base, node) = (cpio::cpio(&base, epoch()).unwrap(), cpio::cpio(&node, epoch()).unwrap());

    let want = "init\netc\netc/hostname\n";
    let rows = [
        [gzip(&base), gzip(&node)].concat(),
        [plain(&base), gzip(&node)].concat(),
        [gzip(&base), plain(&node)].concat(),
        [plain(&base), plain(&node)].concat(),
    ];
    for row in &rows {
        let members = read::Archive::Initramfs.members(&row[..]).unwrap();
        let names: String = members.iter().map(|member| format!("{}\n", member.path)).collect();
        assert_eq!(names, want);
    }
    // GNU cpio reads up to a trailer, block by block; a second one continues after it.
    let plain = scratch();
    let file = plain.path().join("row");
    fs::write(&file, run(Command::new("gzip").arg("-dc"), &rows[0])).unwrap();
    for row in [rows[3].clone(), fs::read(&file).unwrap()] {
        fs::write(&file, row).unwrap();
        let twice = "(cpio -t --quiet; cpio -t --quiet) < \"$1\"";
        let listing = run(Command::new("sh").args(["-c", twice, "sh"]).arg(&file), b"");
        assert_eq!(text(listing), want);
    }
}

#[test]
fn gzip_finds_one_whole_member() {
    let content = binary();
    for stream in [
        vec![],
        vec![Content::Own(b"small".to_vec())],
        vec![
            Content::Own(content[..1_100_000].to_vec()),
            Content::Shared(Arc::new(Blob::new(content.clone()))),
        ],
    ] {
        let archive = gzip(&stream);
        run(Command::new("gzip").arg("-t"), &archive);
        assert!(run(Command::new("gzip").arg("-dc"), &archive) == plain(&stream));
        if have("python3") {
            // Counts the gzip members: a stream that ends once, with nothing unused after it.
            let count = "import sys, zlib; d = zlib.decompressobj(31); d.decompress(sys.stdin.buffer.read()); \
                         print(d.eof, len(d.unused_data))";
            assert_eq!(run(Command::new("python3").args(["-c", count]), &archive), b"True 0\n");
        }
    }
}

fn seed() -> Vec<(String, Stream)> {
    let overlay =
        Compressor::new(NonZeroUsize::MIN).compress(&tar::tar(&overlay(), epoch()).unwrap()).unwrap();
    let mut files = vec![
        ("user-data".to_owned(), vec![Piece::Own(b"#cloud-config\n{}\n".to_vec())]),
        ("meta-data".to_owned(), vec![Piece::Own(b"{\"instance-id\": \"i\"}\n".to_vec())]),
        ("network-config".to_owned(), vec![Piece::Own(vec![b'n'; 2048])]),
        ("vendor-data".to_owned(), vec![]),
        ("overlay.tar.gz".to_owned(), overlay),
        ("CAPITALS-and.two.dots".to_owned(), vec![Piece::Own(vec![b'c'; 2049])]),
    ];
    // Enough for a directory of several sectors.
    for number in 0..40 {
        files.push((format!("{number}-{}", "m".repeat(60)), vec![Piece::Own(vec![b'm'; number])]));
    }
    files
}

/// An image in a file, because none of these programs reads from a pipe.
fn image() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = scratch();
    let path = directory.path().join("seed.iso");
    fs::write(&path, joined(&iso::iso(&seed(), "CIDATA", epoch()).unwrap()).unwrap()).unwrap();
    (directory, path)
}

#[test]
fn isoinfo_reads_both_trees_of_an_image() {
    if !have("isoinfo") {
        return;
    }
    let (_directory, path) = image();
    let isoinfo = |arguments: &[&str]| run(Command::new("isoinfo").arg("-i").arg(&path).args(arguments), b"");
    let about = text(isoinfo(&["-d"]));
    for want in
        ["Volume id: CIDATA", "Joliet with UCS level 3 found", "Rock Ridge signatures version 1 found"]
    {
        assert!(about.contains(want), "{want}: {about}");
    }
    let listing = text(isoinfo(&["-R", "-l"]));
    assert!(listing.contains("-r--------   1    0    0              17 Nov 21 2026"), "{listing}");
    assert!(listing.contains("dr-x------   2    0    0"), "{listing}");
    for tree in ["-R", "-J"] {
        let names = text(isoinfo(&[tree, "-f"]));
        assert_eq!(names.lines().count(), seed().len());
        for (name, content) in seed() {
            assert!(names.lines().any(|line| line == format!("/{name}")), "{name}: {names}");
            assert!(
                isoinfo(&[tree, "-x", &format!("/{name}")]) == joined(&content).unwrap(),
                "{tree} {name}"
            );
        }
    }
    // And without either extension, by the names of ISO 9660 alone.
    assert_eq!(isoinfo(&["-x", "/USER_DATA.;1"]), b"#cloud-config\n{}\n");
}

#[test]
fn xorriso_finds_nothing_wrong_with_an_image() {
    if !have("xorriso") {
        return;
    }
    let (directory, path) = image();
    let target = directory.path().join("out");
    // Warnings make it fail; notes, which it prints about every drive, do not.
    let mut command = Command::new("xorriso");
    command.args(["-abort_on", "WARNING", "-return_with", "WARNING", "32", "-report_about", "WARNING"]);
    command.arg("-indev").arg(&path);
    command.args(["-osirrox", "on", "-pvd_info", "-lsl", "--", "-extract", "/"]).arg(&target);
    command.args(["-rollback_end"]);
    let (listing, complaint) = try_run(&mut command, b"");
    assert_eq!(
        complaint.lines().filter(|line| !line.is_empty()).count(),
        1,
        "its own name only: {complaint}"
    );
    let listing = text(listing);
    assert!(listing.contains("'user-data'") && listing.contains("-r--------"), "{listing}");
    for (name, content) in seed() {
        let place = target.join(&name);
        assert!(fs::read(&place).unwrap() == joined(&content).unwrap(), "{name}");
        let meta = fs::metadata(&place).unwrap();
        assert_eq!(meta.mtime(), epoch().seconds() as i64, "{name}");
        assert_eq!(meta.permissions().mode() & 0o7777, 0o400, "{name}");
    }
}

#[test]
fn blkid_finds_the_label() {
    if !have("blkid") {
        return;
    }
    let (_directory, path) = image();
    let found = text(run(Command::new("blkid").args(["-p", "-o", "export"]).arg(&path), b""));
    for want in ["LABEL=CIDATA", "TYPE=iso9660", "UUID=2026-11-21-00-00-00-00"] {
        assert!(found.lines().any(|line| line == want), "{want}: {found}");
    }
}
