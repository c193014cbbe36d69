//! A directory is a test: `tests/reject/CASE/profile.toml` is refused with exactly the text of `error.txt`, whose
//! first line is the exit code. `KILN_BLESS=1` writes the texts anew; read the difference before committing it.

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
    let source = Source::file("profile.toml".as_ref(), fs::read(path).unwrap());
    match profile::read(&source, &[(Release::new(3, 5, 16), Arch::Amd64)]) {
        Ok((_, warnings)) => format!("exit 0\n{warnings:#?}\n"),
        Err(mistakes) => {
            let failure = mistakes.into_failure(false);
            assert!(failure.is_report());
            format!("exit {}\n{failure}", failure.exit() as u8)
        }
    }
}

/// The texts are for an operator at night: no word that Kiln's messages avoid, and a place or a way out in each.
#[test]
fn every_refusal_is_fit_for_an_operator() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reject");
    let mut seen = 0;
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path().join("error.txt");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("exit 3\n") || text.starts_with("exit 6\n"), "{}", path.display());
        for word in ["failed to", "unable to", "could not", "Could not", "None", "Some("] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
        for mistake in text.split("\nerror: ").skip(1) {
            let place = mistake.contains("profile.toml:") || mistake.contains("help: ");
            assert!(place, "{}: {mistake}", path.display());
        }
        assert!(!text.contains('\u{1b}'), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 60, "only {seen} texts were found");
}
