//! Tables in the README that come out of the program. `KILN_BLESS=1` writes them anew.

use std::fs;
use std::path::Path;

use kiln::failure::Exit;
use kiln::{carrier, profile, render};

/// Compares what is between two comments of the README, or writes it.
fn compare(name: &str, want: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let from = text.find(&begin).unwrap_or_else(|| panic!("README.md has no {begin}")) + begin.len();
    let to = text.find(&end).unwrap_or_else(|| panic!("README.md has no {end}"));
    if std::env::var_os("KILN_BLESS").is_some() {
        fs::write(&path, format!("{}{want}{}", &text[..from], &text[to..])).unwrap();
        return;
    }
    assert_eq!(&text[from..to], want, "{name}: KILN_BLESS=1 cargo test --test fast published writes it anew");
}

/// One test, because each part of it may write the file.
#[test]
fn the_readme_has_the_programs_tables() {
    compare("keys", &profile::markdown(carrier::all()));
    compare("variables", &render::variables());
    compare("exit codes", &Exit::markdown());
}
