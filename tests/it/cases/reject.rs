//! A directory is a test: `tests/reject/CASE/profile.toml` is refused with exactly the text of `error.txt`, whose
//! first line is the exit code. `KILN_BLESS=1` rewrites the texts; read the diff before committing it.

#![allow(clippy::disallowed_methods, reason = "tests use files and programs as people do")]

use std::fs;
use std::path::Path;

use kiln::etcd::Release;
use kiln::profile::{self, Source};
use kiln::values::Arch;

use crate::support::root;

/// The directories of tests/reject, by name.
pub fn cases() -> Vec<String> {
    let entries = fs::read_dir(root().join("tests/reject")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub fn check(name: &str) {
    let case = root().join("tests/reject").join(name);
    let got = refusal(&case.join("profile.toml"));
    check_fitness(&case, &got);
    let want = case.join("error.txt");
    if std::env::var_os("KILN_BLESS").is_some() {
        fs::write(&want, &got).unwrap();
    }
    let wanted = fs::read_to_string(&want).unwrap_or_default();
    assert!(
        got == wanted,
        "{}\n--- want\n{wanted}--- got\n{got}(KILN_BLESS=1 writes it anew)",
        case.display()
    );
}

/// The text of the refusal on a machine whose only release is 3.5.16.
fn refusal(path: &Path) -> String {
    let mut source = Source::file("profile.toml".as_ref(), fs::read(path).unwrap());
    source.base = profile::extends(&source.bytes)
        .map(|base| Ok(Box::new(Source::file(base.as_ref(), fs::read(path.with_file_name(&base)).unwrap()))));
    // A setting of the command line per line.
    let settings = fs::read_to_string(path.with_file_name("set.txt")).unwrap_or_default();
    source.settings = settings.lines().map(|line| line.parse().unwrap()).collect();
    match profile::read(&source, &[(Release::new(3, 5, 16), Arch::Amd64)], kiln::carrier::all()) {
        Ok((_, warnings)) => format!("exit 0\n{warnings:#?}\n"),
        Err(mistakes) => {
            let failure = mistakes.into_failure(false);
            assert!(failure.is_report());
            format!("exit {}\n{failure}", failure.exit() as u8)
        }
    }
}

/// The texts are for an operator at night: none of the words that Kiln's messages avoid, a place or a suggested fix in
/// each mistake, and no terminal control characters.
fn check_fitness(case: &Path, text: &str) {
    let case = case.display();
    assert!(text.starts_with("exit 3\n") || text.starts_with("exit 6\n"), "{case}:\n{text}");
    for word in ["failed to", "unable to", "could not", "Could not", "None", "Some("] {
        assert!(!text.contains(word), "{case}: {word}");
    }
    assert!(!text.contains("c2VjcmV0"), "{case}: a part of a private key");
    for mistake in text.split("\nerror: ").skip(1) {
        assert!(
            mistake.contains(".toml:") || mistake.contains("--> --set ") || mistake.contains("help: "),
            "{case}: {mistake}"
        );
    }
    let obeyed = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(obeyed), "{case}: a control character");
}
