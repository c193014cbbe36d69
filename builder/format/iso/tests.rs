use std::sync::Arc;

use super::super::samples::{epoch, noise};
use super::super::{Piece, joined, read};
use super::*;
use crate::values::{Digest, Mode};

fn files(all: &[(&str, &[u8])]) -> Vec<(String, Stream)> {
    all.iter().map(|(name, bytes)| ((*name).to_owned(), vec![Piece::Own(bytes.to_vec())])).collect()
}

fn seed() -> Vec<(String, Stream)> {
    let mut all = files(&[("user-data", b"#cloud-config\n"), ("meta-data", b"{}"), ("vendor-data", b"")]);
    all.push((
        "overlay.tar.gz".into(),
        vec![Piece::Packed(Arc::new(noise(70_000))), Piece::Own(b"end".to_vec())],
    ));
    all
}

#[test]
fn what_goes_in_comes_out() {
    let image = joined(&iso(&seed(), "CIDATA", epoch()).unwrap()).unwrap();
    assert_eq!(image.len() % SECTOR, 0);
    let back = read::iso(&image).unwrap();
    assert_eq!(back.volume, "CIDATA");
    assert_eq!(back.files.len(), 4);
    for (name, stream) in seed() {
        let file = back.file(&name).unwrap();
        assert_eq!(image[file.content.clone()], joined(&stream).unwrap(), "{name}");
        assert_eq!(file.mode, Mode::from_bits(0o400));
    }
    let names: Vec<_> = back.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["meta-data", "overlay.tar.gz", "user-data", "vendor-data"], "sorted");
}

#[test]
fn both_descriptors_agree_on_the_volume() {
    let image = joined(&iso(&seed(), "CIDATA", epoch()).unwrap()).unwrap();
    let primary = &image[16 * SECTOR..17 * SECTOR];
    let joliet = &image[17 * SECTOR..18 * SECTOR];
    assert_eq!(&primary[40..72], format!("{:32}", "CIDATA").as_bytes());
    assert_eq!(joliet[40..72], wide(&format!("{:16}", "CIDATA")));
    let sectors = (image.len() / SECTOR) as u32;
    for descriptor in [primary, joliet] {
        assert_eq!(descriptor[80..88], both(sectors));
        assert_eq!(&descriptor[813..830], b"2026112100000000\0");
    }
    assert_eq!(&image[18 * SECTOR..18 * SECTOR + 7], b"\xffCD001\x01");
}

#[test]
fn shared_content_is_not_copied() {
    let shared = Arc::new(noise(70_000));
    let image = iso(&[("a".into(), vec![Piece::Packed(Arc::clone(&shared))])], "A", epoch()).unwrap();
    assert!(
        matches!(&image[..], [Piece::Own(_), Piece::Packed(same), Piece::Own(_)] if Arc::ptr_eq(same, &shared))
    );
}

#[test]
fn a_directory_of_many_sectors_has_no_record_across_a_border() {
    let names: Vec<String> = (0..100).map(|n| format!("{n:03}-{}", "x".repeat(60))).collect();
    let many: Vec<(String, Stream)> =
        names.iter().map(|name| (name.clone(), vec![Piece::Own(name.as_bytes().to_vec())])).collect();
    let image = joined(&iso(&many, "MANY", epoch()).unwrap()).unwrap();
    let back = read::iso(&image).unwrap();
    assert_eq!(back.files.len(), 100);
    for file in &back.files {
        assert_eq!(image[file.content.clone()], *file.name.as_bytes());
    }
}

#[test]
fn identifiers_are_cut_and_told_apart() {
    let mut taken = BTreeSet::new();
    let mut next = |name: &str| {
        let (name, extension) = identifier(name, &mut taken);
        format!("{name}.{extension}")
    };
    let cases = [
        ("user-data", "USER_DATA."),
        ("user_data", "USER_DATA1."),
        ("USER-DATA", "USER_DATA2."),
        ("overlay.tar.gz", "OVERLAY_TAR.GZ"),
        (".profile", ".PROFILE"),
        ("a.longextension", "A.LONGEXTE"),
    ];
    for (name, want) in cases {
        assert_eq!(next(name), want, "{name}");
    }
    let long = "n".repeat(64);
    assert_eq!(next(&long), format!("{}.", "N".repeat(30)));
    assert_eq!(next(&long[1..]), format!("{}1.", "N".repeat(29)));
}

#[test]
fn what_does_not_fit_is_refused() {
    for volume in ["", "cidata", "A B", "A/B", "ABCDEFGHIJKLMNOPQ", "Ä"] {
        assert!(iso(&[], volume, epoch()).is_err(), "{volume}");
    }
    for name in ["", ".", "..", "a/b", "/a", "a b", "a\0", "ä", &"n".repeat(65)] {
        assert!(iso(&files(&[(name, b"")]), "A", epoch()).is_err(), "{name}");
    }
    let twice = iso(&files(&[("a", b"1"), ("a", b"2")]), "A", epoch());
    assert!(twice.is_err_and(|e| e.exit() == Exit::Unsafe));
    let (fits, late) = ("2155-12-31".parse().unwrap(), "2156-01-01".parse().unwrap());
    assert!(iso(&[], "A", fits).is_ok());
    assert!(iso(&[], "A", late).is_err_and(|e| e.exit() == Exit::Profile));
    assert_eq!(size_field("a", u64::from(u32::MAX)).unwrap(), u32::MAX);
    assert!(size_field("a", 1 << 32).is_err());
}

#[test]
fn the_order_of_the_files_does_not_matter() {
    let (mut one, two) = (seed(), seed());
    one.reverse();
    let image = |files: &[_]| joined(&iso(files, "CIDATA", epoch()).unwrap()).unwrap();
    assert!(image(&one) == image(&two));
}

/// A digest here guards the format: when it changes on purpose, every bundle's digest changes too.
#[test]
fn the_format_stays_as_it_is() {
    let files = [
        ("user-data".to_owned(), vec![Piece::Own(noise(3000))]),
        ("meta-data".to_owned(), vec![Piece::Own(noise(10))]),
    ];
    let digest = Digest::of(&joined(&iso(&files, "CIDATA", epoch()).unwrap()).unwrap());
    assert_eq!(digest.to_string(), "05420e61861073e0809d86ed55165393d1c99ee2a0ff53d9201ce146c131db8f");
}
