use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{collection, sample};

use super::super::gzip::Compressor;
use super::super::samples::{epoch, plain, sample, tree};
use super::super::{Piece, cpio, iso, joined, tar};
use super::archive::initramfs;
use super::source::{Bounded, Budget, Source};
use super::*;
use crate::failure::{Exit, Result};
use crate::tree::{self, Blob, Content, Entry, Tree};
use crate::values::Mode;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    joined(&Compressor::new(NonZeroUsize::MIN).compress(&[Content::Own(bytes.to_vec())]).unwrap()).unwrap()
}

fn tar_gz_of(tree: &Tree) -> Vec<u8> {
    joined(&Compressor::new(NonZeroUsize::MIN).compress(&tar::tar(tree, epoch()).unwrap()).unwrap()).unwrap()
}

fn plain_cpio(tree: &Tree) -> Vec<u8> {
    plain(&cpio::cpio(tree, epoch()).unwrap())
}

fn cpio_gz_of(tree: &Tree) -> Vec<u8> {
    gzip(&plain_cpio(tree))
}

/// Members with their contents.
fn all(archive: Archive, bytes: &[u8]) -> Result<Vec<(Member, Vec<u8>)>> {
    let mut all = Vec::new();
    archive.visit(bytes, |member, body| {
        all.push((member.clone(), body.whole(1 << 20)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}

fn assert_same(tree: &Tree, members: &[(Member, Vec<u8>)]) {
    assert_eq!(tree.len(), members.len());
    for ((path, entry), (member, content)) in tree.iter().zip(members) {
        assert_eq!(path, &member.path);
        assert_eq!(entry.mode, member.mode, "{path}");
        assert_eq!((member.uid, member.gid, member.mtime), (0, 0, epoch().seconds()), "{path}");
        match (&entry.kind, &member.kind) {
            (tree::Kind::Directory, MemberKind::Directory) => assert!(content.is_empty()),
            (tree::Kind::File(want), MemberKind::File) => {
                assert_eq!(want.bytes().unwrap(), content, "{path}")
            }
            (tree::Kind::Link(want), MemberKind::Link(target)) => assert_eq!(want, target, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
}

fn wrong<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.exit(), Exit::Wrong, "{error}");
    error.to_string()
}

#[test]
fn one_of_everything_comes_back() {
    let tree = sample();
    assert_same(&tree, &all(Archive::TarGz, &tar_gz_of(&tree)).unwrap());
    assert_same(&tree.with_parents(), &all(Archive::Initramfs, &cpio_gz_of(&tree)).unwrap());
    assert_same(&tree.with_parents(), &all(Archive::Initramfs, &plain_cpio(&tree)).unwrap());
}

#[test]
fn contents_may_be_passed_over() {
    let tree = sample();
    let members = Archive::TarGz.members(&tar_gz_of(&tree)[..]).unwrap();
    assert_eq!(members.len(), tree.len());
    assert_eq!(Archive::Initramfs.members(&cpio_gz_of(&tree)[..]).unwrap().len(), tree.with_parents().len());
}

#[test]
fn one_file_is_found_and_nothing_behind_it_is_read() {
    let tree = tree([
        ("a", Entry::file(b"first".to_vec(), Mode::FILE, "t")),
        ("b", Entry::file(b"second".to_vec(), Mode::FILE, "t")),
    ]);
    for (archive, mut bytes) in [(Archive::TarGz, tar_gz_of(&tree)), (Archive::Initramfs, cpio_gz_of(&tree))]
    {
        assert_eq!(archive.file(&bytes[..], "b", 6).unwrap().unwrap(), b"second");
        assert_eq!(archive.file(&bytes[..], "c", 6).unwrap(), None);
        assert!(wrong(archive.file(&bytes[..], "b", 5)).contains("reading b: it has 6 bytes"));
        // The CRC-32 is wrong now, which only a visit to the end can see.
        let crc = bytes.len() - 8;
        bytes[crc] ^= 1;
        assert_eq!(archive.file(&bytes[..], "a", 6).unwrap().unwrap(), b"first");
        wrong(archive.members(&bytes[..]));
    }
}

#[test]
fn archives_are_put_behind_each_other_as_linux_reads_them() {
    let one = tree([("etc/one", Entry::file(b"1".to_vec(), Mode::FILE, "t"))]);
    let two = tree([("etc/two", Entry::file(b"22".to_vec(), Mode::FILE, "t"))]);
    let rows = [
        [cpio_gz_of(&one), cpio_gz_of(&two)],
        [plain_cpio(&one), cpio_gz_of(&two)],
        [cpio_gz_of(&one), plain_cpio(&two)],
        [plain_cpio(&one), plain_cpio(&two)],
        [[cpio_gz_of(&one), vec![0; 100]].concat(), [plain_cpio(&two), vec![0; 3]].concat()],
    ];
    for row in rows {
        let members = Archive::Initramfs.members(&row.concat()[..]).unwrap();
        let paths: Vec<_> = members.iter().map(|member| member.path.as_str()).collect();
        assert_eq!(paths, ["etc", "etc/one", "etc", "etc/two"]);
    }
    // Linux looks for an archive that is not compressed at multiples of four only.
    wrong(Archive::Initramfs.members(&[cpio_gz_of(&one), vec![0], plain_cpio(&two)].concat()[..]));
    assert!(Archive::Initramfs.members(&b""[..]).unwrap().is_empty());
}

/// A tar archive with one member whose header was tampered with.
fn tampered(change: impl FnOnce(&mut ::tar::Header)) -> Vec<u8> {
    let mut header = ::tar::Header::new_gnu();
    header.as_old_mut().name[..4].copy_from_slice(b"evil");
    header.set_entry_type(::tar::EntryType::Regular);
    for set in [::tar::Header::set_uid, ::tar::Header::set_gid, ::tar::Header::set_size] {
        set(&mut header, 0);
    }
    header.set_mode(0o644);
    change(&mut header);
    header.set_cksum();
    gzip(&[&header.as_bytes()[..], &[0; 1024]].concat())
}

#[test]
fn hostile_tar_members_are_refused() {
    use ::tar::{EntryType, Header};
    assert_eq!(Archive::TarGz.members(&tampered(|_| {})[..]).unwrap().len(), 1);
    let name = |name: &'static [u8]| {
        move |header: &mut Header| header.as_old_mut().name[..name.len()].copy_from_slice(name)
    };
    let kind = |kind| move |header: &mut Header| header.set_entry_type(kind);
    let cases = [
        tampered(name(b"/etc/passwd")),
        tampered(name(b"../evil")),
        tampered(name(b"a/../b")),
        tampered(name(b"\xff\xfe")),
        tampered(name(b"a\nb")),
        tampered(name(b"\0\0\0\0")),
        tampered(kind(EntryType::Link)),
        tampered(kind(EntryType::Char)),
        tampered(kind(EntryType::Fifo)),
        tampered(kind(EntryType::XHeader)),
        tampered(kind(EntryType::GNUSparse)),
        tampered(kind(EntryType::GNULongName)),
        tampered(|header| header.set_size(u64::MAX)),
        tampered(|header| header.set_size(1 << 40)),
        tampered(|header| {
            header.set_entry_type(EntryType::GNULongName);
            header.set_size(5000);
        }),
        tampered(|header| header.as_old_mut().mode = *b"whatever"),
        tampered(|header| {
            header.set_entry_type(EntryType::Directory);
            header.set_size(512);
        }),
    ];
    for (at, case) in cases.iter().enumerate() {
        let error = wrong(Archive::TarGz.members(&case[..]));
        assert!(!error.is_empty(), "{at}");
    }
}

#[test]
fn hostile_cpio_members_are_refused() {
    let good = plain_cpio(&tree([("evil", Entry::file(b"x".to_vec(), Mode::FILE, "t"))]));
    assert_eq!(Archive::Initramfs.members(&good[..]).unwrap().len(), 1);
    let with = |at: usize, text: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + text.len()].copy_from_slice(text);
        bytes
    };
    let cases = [
        with(110, b"/etc"),
        with(110, b"../x"),
        with(110, b"\xff\xff\xff\xff"),
        with(94, b"FFFFFFFF"),
        with(94, b"00001001"),
        with(94, b"00000000"),
        with(94, b"whatever"),
        with(54, b"FFFFFFFF"),
        with(14, b"00002180"),
        with(14, b"000041ED"),
        with(14, b"0000A1FF000000000000000000000000000000000FFFFFFF"),
        with(0, b"070707"),
        good[..200].to_vec(),
    ];
    for (at, case) in cases.iter().enumerate() {
        let error = wrong(Archive::Initramfs.members(&case[..]));
        assert!(!error.is_empty(), "{at}");
    }
}

#[test]
fn a_member_that_comes_twice_is_refused() {
    let tree = tree([("a", Entry::file(b"x".to_vec(), Mode::FILE, "t"))]);
    let tar = plain(&tar::tar(&tree, epoch()).unwrap());
    assert!(wrong(Archive::TarGz.members(&gzip(&[&tar[..1024], &tar].concat())[..])).contains("twice"));
    let cpio = plain_cpio(&tree);
    // One member: header and name 116, content 4.
    assert!(wrong(Archive::Initramfs.members(&[&cpio[..116], &cpio].concat()[..])).contains("twice"));
}

#[test]
fn nothing_may_follow_a_tar_archive() {
    let archive = tar_gz_of(&sample());
    assert!(
        wrong(Archive::TarGz.members(&[&archive[..], b"x"].concat()[..])).contains("trailing bytes follow")
    );
    assert!(
        wrong(Archive::TarGz.members(&[&archive[..], &archive].concat()[..]))
            .contains("trailing bytes follow")
    );
    let mut tar = plain(&tar::tar(&sample(), epoch()).unwrap());
    tar.push(1);
    assert!(wrong(Archive::TarGz.members(&gzip(&tar)[..])).contains("trailing bytes follow"));
}

#[test]
fn a_tar_archive_has_an_end() {
    let tar = plain(&tar::tar(&sample(), epoch()).unwrap());
    let end = tar.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // After the last content, and after the first of the two blocks that make the end.
    for cut in [end.next_multiple_of(512), end.next_multiple_of(512) + 512] {
        assert!(
            wrong(Archive::TarGz.members(&gzip(&tar[..cut])[..])).contains("its end is missing"),
            "{cut}"
        );
    }
}

/// A cpio archive of empty files, as Linux reads it.
fn many(files: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in (0..files).map(|n| format!("f{n}")).chain(["TRAILER!!!".to_owned()]) {
        let fields = [1, 0o100_644, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() + 1, 0];
        bytes.extend(b"070701");
        fields.iter().for_each(|field| bytes.extend(format!("{field:08x}").bytes()));
        bytes.extend(name.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

#[test]
fn archive_bombs_have_one_budget_for_all_segments() {
    let segment = gzip(&many(140_000));
    let file = [&segment[..], &segment].concat();
    assert_eq!(Archive::Initramfs.members(&segment[..]).unwrap().len(), 140_000);
    assert!(wrong(Archive::Initramfs.members(&file[..])).contains("more than 262144 members"));
}

#[test]
fn archive_bombs_do_not_fill_the_memory_with_names() {
    let link = |n: usize| (format!("{n:05}{}", "/x".repeat(500)), Entry::link("t".repeat(4000), "t"));
    let links: Vec<_> = (0..10_000).map(link).collect();
    let mut tree = Tree::default();
    for (path, entry) in links {
        tree.insert(path.parse().unwrap(), entry).unwrap();
    }
    assert!(wrong(Archive::TarGz.members(&tar_gz_of(&tree)[..])).contains("the archive's names have more"));
}

/// A long name of 1 GiB in a megabyte, as GNU tar writes them.
#[test]
fn archive_bombs_of_long_names_are_refused_at_their_header() {
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::GNULongName);
    header.set_size(1 << 30);
    header.set_cksum();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut packed, header.as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(1 << 24), &mut packed).unwrap();
    assert!(wrong(Archive::TarGz.members(&packed.finish().unwrap()[..])).contains("at most 4096"));
}

#[test]
fn archive_bombs_are_stopped_where_the_bound_is() {
    struct Zeros;
    impl Read for Zeros {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(0);
            Ok(buffer.len())
        }
    }
    // A sparse file costs nothing to make, but all of it is read.
    let budget = Budget::small(100_000);
    let mut source = Source::new(Zeros, &budget);
    let failure = initramfs(&mut source, &budget, &mut |_, _| Ok(ControlFlow::Continue(()))).unwrap_err();
    assert!(budget.judge(failure).to_string().contains("more than"));
    let budget = Budget::small(100_000);
    let error = io::copy(&mut Bounded::new(io::repeat(0), &budget), &mut io::sink()).unwrap_err();
    assert!(error.to_string().contains("unpacks to more than"), "{error}");
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let size = prop_oneof![
        0..20_usize,
        sample::select(vec![511, 512, 513, 1023, 1024, 1025, 65_535, 65_536, 65_537, 70_000])
    ];
    let mode = (0..0o10000_u32).prop_map(Mode::from_bits);
    prop_oneof![
        mode.clone().prop_map(|mode| Entry::directory(mode, "t")),
        (size, mode, any::<bool>(), any::<u8>()).prop_map(|(size, mode, shared, byte)| {
            let content: Vec<u8> = (0..size).map(|at| (at as u8).wrapping_mul(byte)).collect();
            match shared {
                true => Entry::shared(Arc::new(Blob::new(content)), mode, "t"),
                false => Entry::file(content, mode, "t"),
            }
        }),
        prop_oneof!["[a-z./ é]{1,12}", "[a-z/]{99,103}", "x{4095}"]
            .prop_map(|target| Entry::link(target, "t")),
    ]
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let part = prop_oneof![Just("a".to_owned()), "[a-c.]{2,3}", "[a-zA-Z0-9 é_+~-]{1,12}", "[a-z]{80,127}"];
    let path = collection::vec(part, 1..5).prop_map(|parts| parts.join("/"));
    collection::vec((path, any_entry()), 0..25).prop_map(|entries| {
        let mut tree = Tree::default();
        for (path, entry) in entries {
            // Names that are not paths, or that conflict with another one, are left out.
            if let Ok(path) = path.parse() {
                let _ = tree.insert(path, entry);
            }
        }
        tree
    })
}

proptest! {
    #[test]
    fn any_tree_comes_back(tree in any_tree()) {
        assert_same(&tree, &all(Archive::TarGz, &tar_gz_of(&tree)).unwrap());
        assert_same(&tree.with_parents(), &all(Archive::Initramfs, &cpio_gz_of(&tree)).unwrap());
        assert_same(&tree.with_parents(), &all(Archive::Initramfs, &plain_cpio(&tree)).unwrap());
    }

    #[test]
    fn any_files_come_back_from_an_image(
        files in collection::btree_map("[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,63}", 0..5000_usize, 0..40)
    ) {
        let files: Vec<(String, Vec<Piece>)> =
            files.into_iter().map(|(name, size)| (name, vec![Piece::Own(vec![size as u8; size])])).collect();
        let image = joined(&iso::iso(&files, "CIDATA", epoch()).unwrap()).unwrap();
        let back = iso(&image).unwrap();
        assert_eq!(back.files.len(), files.len());
        for (name, stream) in &files {
            assert_eq!(&image[back.file(name).unwrap().content.clone()], &*stream[0].bytes().unwrap(), "{}", name);
        }
    }

    /// For any bytes, the result is a list or an error, within bounded time.
    #[test]
    fn damage_is_no_disaster(
        changes in collection::vec((any::<sample::Index>(), any::<u8>()), 1..6),
        end in any::<sample::Index>(),
        cut in any::<bool>(),
    ) {
        let image = joined(&iso::iso(&[("a".into(), vec![Piece::Own(vec![1; 9])])], "A", epoch()).unwrap()).unwrap();
        let damage = |mut bytes: Vec<u8>, from: usize| {
            let length = bytes.len() - from;
            for (at, byte) in &changes {
                bytes[from + at.index(length)] = *byte;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            bytes
        };
        let tar = plain(&tar::tar(&sample(), epoch()).unwrap());
        let results = [
            Archive::TarGz.members(&damage(tar_gz_of(&sample()), 0)[..]).err(),
            Archive::TarGz.members(&gzip(&damage(tar[..2560].to_vec(), 0))[..]).err(),
            Archive::Initramfs.members(&damage(plain_cpio(&sample())[..1024].to_vec(), 0)[..]).err(),
            iso(&damage(image, 16 * 2048)).err(),
        ];
        for error in results.into_iter().flatten() {
            assert_eq!(error.exit(), Exit::Wrong, "{}", error);
        }
    }
}
