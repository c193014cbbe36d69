//! Compressed programs, kept beside the programs.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kiln::artifact::{Kept, Outcome};
use kiln::format::deflate::PACKER;
use kiln::format::gzip::Compressor;
use kiln::tree::Blob;
use kiln::values::Digest;

use crate::support::made::Tar;
use crate::support::test_store::{TARBALL, TRUST, TestStore, good_tar, small};

/// Whatever happens to the packed form of a program: it is not used unless it is intact, and adding the release
/// repairs it.
#[test]
fn a_packed_form_that_is_not_the_programs_is_not_used() {
    let fixture = TestStore::new();
    let file = [fixture.put(TARBALL, &good_tar().gz())];
    fixture.add(&file, &TRUST).unwrap();
    let directory = fixture.scratch.path().join("artifacts/packed").join(PACKER);
    let path = directory.join(Digest::of(&small()).to_string());
    let good = fs::read(&path).unwrap();
    let program = Blob::new(small());
    let other = TestStore::new();
    let longer = [small(), vec![0; 9]].concat();
    other.add_one(TARBALL, &Tar::release(&[&longer, &longer, &longer]).gz()).unwrap();
    let others = other.scratch.path().join("artifacts/packed").join(PACKER);
    let others = fs::read(others.join(Digest::of(&longer).to_string())).unwrap();

    let set_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let flip = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    type Harm<'h> = (&'h str, &'h dyn Fn(), &'h str);
    let harms: [Harm; 10] = [
        ("its first byte", &|| flip(0), "is damaged"),
        ("its length", &|| flip(good.len() - 33), "is damaged"),
        ("its seal", &|| flip(good.len() - 1), "is damaged"),
        ("cut", &|| fs::write(&path, &good[..good.len() / 2]).unwrap(), "is damaged"),
        ("empty", &|| fs::write(&path, b"").unwrap(), "is damaged"),
        ("huge", &|| fs::write(&path, vec![0; 9 << 20]).unwrap(), "cannot be read"),
        ("another program's", &|| fs::write(&path, &others).unwrap(), "is damaged"),
        ("a link", &|| link_away(&path), "is not a file"),
        ("open to others", &|| set_mode(&path, 0o666), "others may write to it"),
        ("in a directory open to others", &|| set_mode(&directory, 0o777), "others may write to it"),
    ];
    for (what, harm, want) in harms {
        assert!(matches!(fixture.store().packed(&program), Kept::Whole(_)), "{what}");
        harm();
        match fixture.store().packed(&program) {
            Kept::Unusable(why) => {
                assert!(why.contains(want) && why.contains("artifacts/packed"), "{what}: {why}")
            }
            _ => panic!("{what} was not noticed"),
        }
        // Its contents are another user's decision, and not Kiln's to change.
        set_mode(&directory, 0o755);
        assert_eq!(fixture.add(&file, &TRUST).unwrap()[0].outcome, Outcome::AlreadyThere, "{what}");
        assert!(fs::read(&path).unwrap() == good, "{what}");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(fixture.store().packed(&program), Kept::Missing));
    fixture.add(&file, &TRUST).unwrap();
    assert!(fs::read(&path).unwrap() == good);
    // With a valid checksum, but of other bytes of the same length.
    let mut changed = small();
    changed[5] ^= 1;
    let kept = Compressor::new(NonZeroUsize::MIN).teach(&Blob::new(changed)).unwrap();
    assert!(fixture.store().keep_packed(&program, &kept));
    fixture.add(&file, &TRUST).unwrap();
    assert!(fs::read(&path).unwrap() == good, "adding compares it with the program itself");
}

/// The same bytes through a link.
fn link_away(path: &Path) {
    let elsewhere = path.with_extension("elsewhere");
    fs::rename(path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(elsewhere, path).unwrap();
}
