//! Small archives in a bundle that unpack to a large size.

use std::fs;
use std::io::Write;

use crate::support::bundles::{copy, gzip, put, with, with_little_memory};
use crate::support::{peak, refused, reseal, run};

/// A `newc` archive of `files` empty files.
fn many(files: usize) -> Vec<u8> {
    let mut archive = Vec::new();
    for name in (0..files).map(|n| format!("f{n}")).chain(["TRAILER!!!".to_owned()]) {
        let fields = [1, 0o100_644, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() + 1, 0];
        archive.extend(b"070701");
        fields.iter().for_each(|field| archive.extend(format!("{field:08x}").bytes()));
        archive.extend(name.bytes().chain([0]));
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

/// As many members as an archive may have, in two archives: listed one after the other.
#[test]
fn archive_bombs_that_are_just_allowed_are_shown_in_little_memory() {
    let work = with("[bundle]\ncarriers = [\"tar\", \"initramfs\"]\n\n");
    let bundle = copy(&work);
    put(&bundle.join("nodes/cp-a/overlay.cpio.gz"), &gzip(&many(262_000)), 0o600);
    let mut made = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for file in 0..262_000 {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        made.append_data(&mut header, format!("f{file}"), &b""[..]).unwrap();
    }
    let tar = made.into_inner().unwrap().finish().unwrap();
    put(&bundle.join("nodes/cp-a/overlay.tar.gz"), &tar, 0o600);
    reseal(&bundle, |_| {});
    run(&mut work.kiln(["show", "b", "cp-a"]));
    for arguments in [&["show", "b", "cp-a"][..], &["show", "b", "cp-a", "--json"]] {
        let took = peak(&work, arguments);
        println!("{arguments:?}: {took} KiB");
        assert!(took < 500_000, "{arguments:?}: {took} KiB");
    }
    let shown: serde_json::Value =
        serde_json::from_str(&run(&mut work.kiln(["show", "b", "cp-a", "--json"]))).unwrap();
    let counts: Vec<_> =
        shown.as_array().unwrap().iter().map(|one| one["members"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [262_000, 262_000]);
}

#[test]
fn archive_bombs_take_neither_memory_nor_the_wrong_exit_code() {
    let work = with("[bundle]\ncarriers = [\"tar\", \"initramfs\"]\n\n");
    let bundle = copy(&work);
    let (tar, cpio) = (bundle.join("nodes/cp-a/overlay.tar.gz"), bundle.join("nodes/cp-a/overlay.cpio.gz"));
    let good = fs::read(&tar).unwrap();
    // A long name of 3 GiB.
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(3 << 30);
    header.set_cksum();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..1024).for_each(|_| bomb.write_all(&zeros).unwrap());
    put(&tar, &bomb.finish().unwrap(), 0o600);
    reseal(&bundle, |_| {});
    for arguments in [
        &["verify", "b"][..],
        &["etcdctl", "b", "--", "version"],
        &["rehearse", "b"],
        &["show", "b", "cp-a"],
        &["check", "b"],
    ] {
        let said = refused(&mut with_little_memory(&work, arguments), 1);
        assert!(said.contains("at most 4096 are expected"), "{arguments:?}: {said}");
    }
    // Thirty segments, each of which has as many members as an archive may have.
    put(&tar, &good, 0o600);
    put(&cpio, &gzip(&many(99_000)).repeat(30), 0o600);
    reseal(&bundle, |_| {});
    let said = refused(&mut with_little_memory(&work, &["show", "b", "cp-a"]), 1);
    assert!(said.contains("more than 262144 members"), "{said}");
    // A sparse file of 4 GiB.
    put(&cpio, b"", 0o600);
    fs::OpenOptions::new().write(true).open(&cpio).unwrap().set_len(4 << 30).unwrap();
    let said = refused(&mut with_little_memory(&work, &["show", "b", "cp-a"]), 1);
    assert!(said.contains("nodes/cp-a/overlay.cpio.gz does not match the manifest"), "{said}");
}
