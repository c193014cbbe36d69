//! tests/import/CASE/: files as their users have them, and what `kiln profile import` makes of them: want.toml and
//! want.stderr. `KILN_BLESS=1` rewrites these two.

use std::fs;

use crate::support::{Workshop, output, root};

/// The directories of tests/import, by name.
pub fn cases() -> Vec<String> {
    let entries = fs::read_dir(root().join("tests/import")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub fn check(name: &str) {
    let case = root().join("tests/import").join(name);
    let work = Workshop::new();
    let mut inputs = Vec::new();
    for entry in fs::read_dir(&case).unwrap().map(|entry| entry.unwrap()) {
        let file = entry.file_name().into_string().unwrap();
        if !file.starts_with("want.") {
            work.file(&file, fs::read(entry.path()).unwrap());
            inputs.push(file);
        }
    }
    inputs.sort();
    let (code, stdout, stderr) = output(work.kiln(["profile", "import"]).args(&inputs));
    assert!(matches!(code, 0 | 1) || stdout.is_empty(), "a refused import writes nothing");
    // What the cases have for a password, wherever it stands.
    assert!(!stderr.contains("hunter2") && !stdout.contains("hunter2"), "{stdout}{stderr}");
    assert!(!stderr.lines().any(|line| line.starts_with("kiln: ")), "a line that a file made up: {stderr}");
    let stderr = format!("exit {code}\n{stderr}");
    for (file, made) in [("want.toml", stdout), ("want.stderr", stderr)] {
        let path = case.join(file);
        if std::env::var_os("KILN_BLESS").is_some() {
            fs::write(&path, &made).unwrap();
        }
        assert_eq!(made, fs::read_to_string(&path).unwrap_or_default(), "{}", path.display());
    }
}
