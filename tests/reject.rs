//! A directory is a test: `tests/reject/CASE/profile.toml` is refused with exactly the text of `error.txt`, whose
//! first line is the exit code. `KILN_BLESS=1` writes the texts anew; read the difference before committing it.

#![allow(clippy::disallowed_methods, reason = "tests use files and programs as people do")]

use std::fs;
use std::path::Path;

use kiln::etcd::Release;
use kiln::profile::{self, Source};
use kiln::values::Arch;

#[test]
fn every_bad_profile_is_refused_with_its_own_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reject");
    let bless = std::env::var_os("KILN_BLESS").is_some();
    let mut cases: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let mut different = Vec::new();
    for case in &cases {
        let got = refusal(&case.join("profile.toml"));
        check_fitness(case, &got);
        let want_path = case.join("error.txt");
        if bless {
            fs::write(&want_path, &got).unwrap();
        }
        let want = fs::read_to_string(&want_path).unwrap_or_default();
        if got != want {
            different.push(format!("{}\n--- want\n{want}--- got\n{got}", case.display()));
        }
    }
    assert!(different.is_empty(), "{}\n(KILN_BLESS=1 writes them anew)", different.join("\n"));
    assert!(cases.len() >= 60, "only {} cases were found", cases.len());
}

/// What is refused, as a machine without any release but 3.5.16 says it.
fn refusal(path: &Path) -> String {
    let mut source = Source::file("profile.toml".as_ref(), fs::read(path).unwrap());
    source.base = profile::extends(&source.bytes)
        .map(|base| Ok(Box::new(Source::file(base.as_ref(), fs::read(path.with_file_name(&base)).unwrap()))));
    match profile::read(&source, &[(Release::new(3, 5, 16), Arch::Amd64)], &kiln::carrier::all()) {
        Ok((_, warnings)) => format!("exit 0\n{warnings:#?}\n"),
        Err(mistakes) => {
            let failure = mistakes.into_failure(false);
            assert!(failure.is_report());
            format!("exit {}\n{failure}", failure.exit() as u8)
        }
    }
}

/// The texts are for an operator at night: none of the words that Kiln's messages avoid, a place or a way out in
/// each mistake, and nothing that a terminal would obey.
fn check_fitness(case: &Path, text: &str) {
    let case = case.display();
    assert!(text.starts_with("exit 3\n") || text.starts_with("exit 6\n"), "{case}:\n{text}");
    for word in ["failed to", "unable to", "could not", "Could not", "None", "Some("] {
        assert!(!text.contains(word), "{case}: {word}");
    }
    assert!(!text.contains("c2VjcmV0"), "{case}: a part of a private key");
    for mistake in text.split("\nerror: ").skip(1) {
        assert!(mistake.contains(".toml:") || mistake.contains("help: "), "{case}: {mistake}");
    }
    let obeyed = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(obeyed), "{case}: a control character");
}
