//! The checker itself, on small texts.

use super::circles::circles;
use super::paths::Crate;
use super::rooms::{Rows, strays};
use super::uses::{Use, uses};

fn read(texts: &[(&str, &str)]) -> Vec<Use> {
    let texts = texts.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
    uses(&Crate::read(&texts.collect()))
}

/// A crate of the modules `pack` and `plan`, with these texts of `pack/mod.rs`, `pack/read.rs` and `pack/write.rs`.
fn pack(room: &str, reading: &str, writing: &str) -> Vec<Use> {
    read(&[
        ("lib.rs", "pub mod pack; pub mod plan; pub mod values;"),
        ("pack/mod.rs", &format!("mod read; mod write; pub use read::Reader; {room}")),
        ("pack/read.rs", &format!("pub struct Reader; pub const LIMIT: u8 = 1; {reading}")),
        ("pack/write.rs", &format!("pub fn write() {{}} pub struct Writer; {writing}")),
        ("plan.rs", "pub struct Plan; pub use crate::values::Word;"),
        ("values.rs", "pub struct Word;"),
    ])
}

const ROWS: Rows = &[("pack", &["plan"]), ("plan", &["values"]), ("values", &[])];

#[test]
fn a_room_is_seen_however_it_is_named() {
    for text in [
        "use crate::plan::Plan;",
        "use crate::{values::Word, plan::{self, Plan as Decided}};",
        "fn f() { let x = super::super::plan::Plan; }",
        "fn f(p: Vec<crate::plan::Plan>) {}",
        "use super::super::plan; impl Into<plan::Plan> for Reader {}",
        "fn f() { assert!(g(&[crate::plan::Plan])); }",
        "#[serde(with = \"crate::plan::Plan\")] struct S;",
        "mod inner { use super::super::super::plan::Plan; }",
        "#[cfg(test)] mod tests { use crate::plan::Plan; }",
    ] {
        let wrong = strays(
            &pack("", text, ""),
            &[("pack", &[]), ("plan", &["values"]), ("values", &[])],
            &["values"],
        );
        assert!(
            wrong.iter().any(|w| w.starts_with("pack/read.rs:1: pack uses ") && w.ends_with(" of plan")),
            "{text}: {wrong:?}"
        );
        let wrong = strays(&pack("", text, ""), ROWS, &["values"]);
        assert_eq!(wrong, ["plan needs no permission to use values"], "{text}");
    }
}

#[test]
fn what_a_room_re_exports_is_that_rooms_own() {
    let uses = pack("", "fn f(_: crate::plan::Word) {}", "");
    assert_eq!(strays(&uses, ROWS, &[]), [""; 0]);
}

#[test]
fn other_crates_and_local_names_are_no_rooms() {
    let text = "use std::fs; use ::plan::Plan; fn f(plan: u8) { dbg!(plan); plan(); pack.plan(); }";
    assert_eq!(
        strays(&pack("", text, ""), ROWS, &[]),
        ["pack needs no permission to use plan", "plan needs no permission to use values"][..1]
    );
}

#[test]
fn a_room_without_a_row_is_named() {
    let uses = pack("", "use crate::plan::Plan;", "");
    assert!(strays(&uses, &ROWS[..2], &[]).contains(&"room values has no row in tests/tidy.rs".to_owned()));
}

#[test]
fn a_sub_room_has_its_own_row() {
    let uses = pack("", "use crate::plan::Plan;", "use crate::pack::Reader;");
    let rows: Rows = &[("pack", &["plan"]), ("pack/read", &[]), ("plan", &["values"]), ("values", &[])];
    assert_eq!(
        strays(&uses, rows, &[]),
        ["pack needs no permission to use plan", "pack/read.rs:1: pack/read uses Plan of plan"]
    );
    let rows: Rows = &[("pack", &[]), ("pack/read", &["plan"]), ("plan", &["values"]), ("values", &[])];
    assert_eq!(strays(&uses, rows, &[]), [""; 0]);
    // Items of the parent module that a submodule uses are in its row, too.
    let uses = pack("pub fn helper() {}", "fn f() { super::helper(); crate::plan::Plan; }", "");
    assert_eq!(strays(&uses, rows, &[]), ["pack/read.rs:1: pack/read uses helper of pack"]);
}

fn circle(room: &str, reading: &str, writing: &str) -> Vec<String> {
    circles(&pack(room, reading, writing))
}

#[test]
fn a_circle_is_told_with_its_items() {
    for (room, reading, writing, told) in [
        (
            "",
            "use super::write::write;",
            "use super::read::LIMIT;",
            "pack/read.rs:1 uses write of pack/write.rs; pack/write.rs:1 uses LIMIT of pack/read.rs",
        ),
        // Through the module's re-export, the file with the definition counts.
        (
            "",
            "fn f() { crate::pack::write::write() }",
            "fn f() -> super::Reader { todo!() }",
            "pack/read.rs:1 uses write of pack/write.rs; pack/write.rs:1 uses Reader of pack/read.rs",
        ),
        (
            "pub const SIZE: u8 = 1; fn f() { let x = matches!(x, write::Writer); }",
            "",
            "fn f() { self::g(crate::pack::SIZE) }",
            "pack/mod.rs:1 uses Writer of pack/write.rs; pack/write.rs:1 uses SIZE of pack/mod.rs",
        ),
        (
            "pub const SIZE: u8 = 1;  fn f() { read::LIMIT }",
            "use super::write;\nfn f() { write::write() }",
            "fn f() { super::SIZE }",
            "pack/mod.rs:1 uses LIMIT of pack/read.rs; pack/read.rs:2 uses write of pack/write.rs; pack/write.rs:1 uses SIZE of pack/mod.rs",
        ),
    ] {
        assert_eq!(circle(room, reading, writing), [told]);
    }
}

#[test]
fn what_is_no_circle() {
    for (room, reading, writing) in [
        // Re-exports and modules alone.
        ("", "fn f() { super::write::write() }", ""),
        ("pub(crate) use write::write; pub const SIZE: u8 = 1;", "", "fn f() { super::SIZE }"),
        // Unit tests.
        ("", "#[cfg(test)] mod tests { use super::super::write::write; }", "use super::Reader;"),
        ("", "#[cfg(test)] fn f() { super::write::write() }", "use super::Reader;"),
        // A local variable with an item's name.
        (
            "pub const SIZE: u8 = 1; pub use write::write; fn f(write: u8) { dbg!(write); g(write) }",
            "",
            "use super::SIZE;",
        ),
        // A function with a module's name.
        (
            "pub use write::read; pub const SIZE: u8 = 1; fn f() { read::LIMIT }",
            "",
            "pub fn read() { super::SIZE }",
        ),
        // A method with an item's name.
        (
            "pub const SIZE: u8 = 1; pub use write::write; fn f(x: u8) { x.write(); dbg!(x.write) }",
            "",
            "use super::SIZE;",
        ),
    ] {
        assert_eq!(circle(room, reading, writing), [""; 0], "{room} {reading} {writing}");
    }
}

#[test]
fn an_item_that_a_macro_makes_is_one() {
    let uses = pack("", "use crate::plan::{MadeByMacro, Plan as _};", "");
    assert!(
        uses.iter().any(|a_use| a_use.item.as_deref() == Some("MadeByMacro") && a_use.target == ["plan"])
    );
}
