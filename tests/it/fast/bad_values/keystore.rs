//! The keystore: its list, which is TOML, and its secret.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::texts::{bad_texts, odd_texts};
use super::{VALUES, assert_clean, assert_refused};
use crate::support::{Workshop, ha3_with, run};
use kiln::failure::Exit;
use kiln::pki::Keystore;
use kiln::values::steers;

/// A text with TOML's own quoting.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if steers(c) => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Its lines are `key = value`, and the checksum covers all of them.
#[test]
fn no_bad_value_of_a_keystore_is_taken() {
    let work = Workshop::new();
    let cluster = "ha3".parse().unwrap();
    work.keystore("ha3");
    let keystore = work.path().join("keystore/ha3");
    // With everything that a keystore records.
    work.file("ha3.toml", ha3_with(&[]));
    work.build("./ha3.toml");
    run(&mut work.kiln(["seal", "out/ha3"]));
    let good = fs::read_to_string(keystore.join("keystore.toml")).unwrap();
    assert_eq!(kiln::pki::resealed(&keystore, &good).unwrap(), good);
    let mut seen = BTreeMap::new();
    for (number, line) in good.lines().enumerate() {
        if let Some((key, value)) = line.split_once(" = ").filter(|(key, _)| *key != "check") {
            // Only in one table of many that are alike.
            seen.entry(key.to_owned()).or_insert((number, value.to_owned()));
        }
    }
    assert!(seen.len() >= 8, "{seen:?}");
    let open = |dir: &Path| Keystore::open(dir, &cluster);
    for (key, (number, value)) in seen {
        let text = value.trim_matches('"');
        let mut bad: Vec<String> =
            bad_texts(text).iter().chain(&odd_texts(text)).map(|text| quoted(text)).collect();
        bad.extend(
            ["-1", "1.5", "1e300", "true", "[]", "[[]]", "{}", "[\"\"]", "{ a = 1 }", "1979-05-27"]
                .map(str::to_owned),
        );
        bad.retain(|bad| *bad != value);
        assert!(bad.len() >= VALUES, "{key}");
        let with = |bad: &str| {
            let mut lines: Vec<&str> = good.lines().collect();
            let line = format!("{key} = {bad}");
            lines[number] = &line;
            kiln::pki::resealed(&keystore, &(lines.join("\n") + "\n")).unwrap()
        };
        for bad in &bad {
            fs::write(keystore.join("keystore.toml"), with(bad)).unwrap();
            assert_refused(open(&keystore), Exit::Untrusted, &key, bad);
        }
        fs::write(keystore.join("keystore.toml"), with(&quoted("\u{1b}[2J"))).unwrap();
        assert_clean(&work.kiln(["keystore", "show", "ha3"]).output().unwrap(), 4, &key);
    }
    fs::write(keystore.join("keystore.toml"), &good).unwrap();
    assert!(open(&keystore).is_ok());
    // The secret is 64 hex digits, none of which may be shown.
    let secret = fs::read_to_string(keystore.join("secret")).unwrap();
    for bad in bad_texts(secret.trim()).into_iter().chain(odd_texts(secret.trim())) {
        // A trailing line end does not count.
        if bad.trim_end_matches('\n') == secret.trim() {
            continue;
        }
        fs::write(keystore.join("secret"), &bad).unwrap();
        let result = open(&keystore);
        assert!(!result.as_ref().is_err_and(|failure| failure.to_string().contains(secret.trim())));
        assert_refused(result, Exit::Untrusted, "secret", "");
    }
}
