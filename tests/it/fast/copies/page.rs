//! Keystores on paper.

use std::fs;

use proptest::prelude::*;

use super::{closed, importing, read, renewing};
use crate::support::{Workshop, output, refused, run, snapshot};

fn printed(work: &Workshop, cluster: &str) -> String {
    let (code, page, said) = output(&mut work.kiln(["keystore", "export", cluster, "--paper", "--yes"]));
    assert!(code == 0 && said.contains("holds the secret of"), "{said}");
    page
}

fn restored(work: &Workshop, page: &str, cluster: &str) {
    closed(work, "typed", page);
    run(&mut work.kiln(["keystore", "restore", "--paper", "typed", cluster, "--keystore", "again"]));
    let keystore = work.path().join("keystore").join(cluster);
    assert_eq!(snapshot(&work.path().join("again")), snapshot(&keystore));
    fs::remove_dir_all(work.path().join("again")).unwrap();
}

#[test]
fn a_page_gives_back_every_file_of_every_kind_of_keystore() {
    let work = Workshop::new();
    work.keystore("small");
    let page = printed(&work, "small");
    assert!(page.lines().count() < 25, "{page}");
    restored(&work, &page, "small");
    renewing(&work);
    let page = printed(&work, "ha3");
    assert!(!page.contains("CERTIFICATE"), "what follows from a secret is not typed: {page}");
    assert!(page.is_ascii() && page.lines().all(|line| line.len() <= 120), "{page}");
    restored(&work, &page, "ha3");
    // As a person types it.
    let typed: String = page.lines().map(|line| format!("  {line} \r\n\n")).collect();
    restored(&work, &format!("\u{feff}{typed}"), "ha3");
    let bare: String =
        page.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    restored(&work, &bare, "ha3");
    fs::rename(work.path().join("keystore/ha3/successor"), work.path().join("apart")).unwrap();
    let page = printed(&work, "ha3");
    assert!(page.contains("BEGIN CERTIFICATE"), "their certificates are in no secret here: {page}");
    restored(&work, &page, "ha3");
}

#[test]
fn an_imported_ca_is_printed_with_its_key() {
    let work = Workshop::new();
    importing(&work);
    let page = printed(&work, "small");
    assert!(page.contains("BEGIN PRIVATE KEY") && page.contains("BEGIN CERTIFICATE"), "{page}");
    restored(&work, &page, "small");
}

#[test]
fn a_page_is_printed_only_after_yes() {
    let work = Workshop::new();
    work.keystore("ha3");
    let secret = read(&work.path().join("keystore/ha3/secret"));
    let mut ask = work.kiln(["keystore", "export", "ha3", "--paper"]);
    let (code, page, said) = output(ask.stdin(std::process::Stdio::null()));
    assert!(code == 6 && page.is_empty(), "{page}");
    assert!(said.contains("print it? [y/N]") && said.contains("nothing was printed"), "{said}");
    assert!(!said.contains(&secret[..4]), "{said}");
    let (_, shown, _) = output(&mut work.kiln(["keystore", "show", "ha3"]));
    assert!(!shown.contains("export"), "what was not printed was not exported: {shown}");
}

#[test]
fn lines_that_are_missing_twice_or_in_another_order_are_named() {
    let work = Workshop::new();
    work.keystore("ha3");
    let page = printed(&work, "ha3");
    let lines: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
    let refused = |lines: &[&str]| {
        closed(&work, "typed", lines.join("\n"));
        refused(&mut work.kiln(["keystore", "restore", "--paper", "typed", "ha3", "--keystore", "again"]), 4)
    };
    let (count, mut other) = (lines.len(), lines.clone());
    other.remove(5);
    assert!(refused(&other).contains("line 6 of the page is missing"));
    other.clone_from(&lines);
    other.insert(3, lines[3]);
    assert!(refused(&other).contains("line 5 of the page is missing, or its number is wrong"));
    other.clone_from(&lines);
    other.swap(12, 13);
    assert!(refused(&other).contains("line 13 of the page"));
    let said = refused(&lines[..count - 1]);
    assert!(said.contains(&format!("the page ends after line {}; type the rest of it", count - 1)), "{said}");
    assert!(refused(&[]).contains("it has no lines of a page"));
    assert!(refused(&["hello"]).contains("line 1 of the page is not a number"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Any single changed character is found, and in its line.
    #[test]
    fn a_changed_character_is_found_in_its_line(line in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), to in "[!-~]|ä|ß|€") {
        use std::sync::OnceLock;
        static PAGE: OnceLock<String> = OnceLock::new();
        let page = PAGE.get_or_init(|| {
            let work = Workshop::new();
            renewing(&work);
            let page = printed(&work, "ha3");
            page.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{}\n", line.trim())).collect()
        });
        let lines: Vec<&str> = page.lines().collect();
        let number = line.index(lines.len());
        let at = at.index(lines[number].len());
        let mut changed = lines[number].to_owned();
        changed.replace_range(at..=at, &to);
        // A line that begins with # is a remark, so it is the line that is missing.
        prop_assume!(changed != lines[number]);
        let mut other = lines.clone();
        other[number] = &changed;
        let work = Workshop::new();
        closed(&work, "typed", other.join("\n"));
        let command = &mut work.kiln(["keystore", "restore", "--paper", "typed", "ha3"]);
        let said = refused(command, 4);
        prop_assert!(said.contains(&format!("line {} of the page ", number + 1))
            || changed.starts_with('#') && said.contains("the page ends after line"), "{} {}", changed, said);
        prop_assert!(!work.path().join("keystore").exists());
    }
}

#[test]
fn a_page_of_another_schema_is_refused() {
    let work = Workshop::new();
    closed(&work, "typed", "1 0000 kiln keystore page, schema 2\n");
    let restore = || work.kiln(["keystore", "restore", "--paper", "typed", "ha3", "--keystore", "again"]);
    assert!(refused(&mut restore(), 4).contains("line 1 of the page does not match its checksum"));
    let crc = |text: &str| {
        text.bytes().fold(0xffff_u16, |crc, byte| {
            (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            })
        })
    };
    let want = format!("1 {:04x} kiln keystore page, schema 2", crc("1 kiln keystore page, schema 2"));
    closed(&work, "typed", want);
    assert!(
        refused(&mut restore(), 4)
            .contains("page schema 2 is not supported; this version of Kiln reads schema 1")
    );
}
