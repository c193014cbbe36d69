//! What is restored, and what is refused.

use std::fs;
use std::process::Command;

use kiln::values::Digest;
use proptest::prelude::*;

use super::{closed, export, public, read, renewing, workshop};
use crate::support::{Workshop, output, refused, run, snapshot};

fn restore(work: &Workshop, file: &str, cluster: &str) -> Command {
    work.kiln(["keystore", "restore", file, cluster, "--keystore", "again", "--identity", "key"])
}

/// Encrypts a text with age, to the key.
fn encrypted(work: &Workshop, file: &str, text: &[u8]) {
    let plain = work.file(&format!("{file}.plain"), text);
    let mut age = Command::new("age");
    run(age.args(["-r", &public(work, "key"), "-o", file]).arg(plain).current_dir(work.path()));
}

fn plain(work: &Workshop) -> String {
    run(&mut export(work, "ha3"));
    run(Command::new("age").args(["-d", "-i", "key", "ha3.keystore.age"]).current_dir(work.path()))
}

/// With the checksum that its text has.
fn sealed(body: &str) -> String {
    format!("kiln keystore export, schema 1\nsha256 {}\n{body}", Digest::of(body.as_bytes()))
}

#[test]
fn what_age_encrypted_is_restored() {
    let Some(work) = workshop() else { return };
    renewing(&work);
    let text = plain(&work);
    encrypted(&work, "by-age", text.as_bytes());
    run(&mut restore(&work, "by-age", "ha3"));
    assert_eq!(snapshot(&work.path().join("again")), snapshot(&work.path().join("keystore/ha3")));
}

/// age asks at its terminal, which `script` is.
fn at_a_terminal(work: &Workshop, command: &str, typed: &str) -> (i32, String) {
    let mut script = Command::new("sh");
    let line = format!("(sleep 0.5; printf '{typed}') | script -qec '{command}' /dev/null");
    let done = script.args(["-c", &line]).current_dir(work.path()).output().unwrap();
    (done.status.code().unwrap(), String::from_utf8_lossy(&done.stdout).into_owned())
}

#[test]
fn an_identity_with_a_passphrase_asks_at_a_terminal_and_shows_nothing_of_it() {
    let Some(work) = workshop() else { return };
    renewing(&work);
    run(&mut export(&work, "ha3"));
    let (code, said) = at_a_terminal(&work, "age -p -o hidden key", "kettle word\\nkettle word\\n");
    assert_eq!(code, 0, "{said}");
    let kiln = format!(
        "{} keystore restore ha3.keystore.age ha3 --keystore again --identity hidden",
        env!("CARGO_BIN_EXE_kiln")
    );
    let (code, said) = at_a_terminal(&work, &kiln, "wrong\\n");
    assert_eq!(code, 4, "{said}");
    let (code, said) = at_a_terminal(&work, &kiln, "kettle word\\n");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("passphrase of the identity hidden: ") && !said.contains("kettle"), "{said}");
    assert_eq!(snapshot(&work.path().join("again")), snapshot(&work.path().join("keystore/ha3")));
    // Without a terminal, from a file.
    closed(&work, "pass", "kettle word\n");
    fs::remove_dir_all(work.path().join("again")).unwrap();
    let mut again = work.kiln(["keystore", "restore", "ha3.keystore.age", "ha3", "--keystore", "again"]);
    let said = refused(again.args(["--identity", "hidden"]), 2);
    assert!(said.contains("there is no terminal to ask at"), "{said}");
    run(again.args(["--keystore-passphrase-file", "pass"]));
}

#[test]
fn nothing_is_replaced_and_a_keystore_keeps_its_name() {
    let Some(work) = workshop() else { return };
    renewing(&work);
    run(&mut export(&work, "ha3"));
    let before = snapshot(&work.path().join("keystore"));
    let mut over = work.kiln(["keystore", "restore", "ha3.keystore.age", "ha3", "--identity", "key"]);
    let said = refused(&mut over, 6);
    assert!(
        said.contains("keystore/ha3 already exists") && said.contains("choose another --keystore"),
        "{said}"
    );
    assert!(!said.contains("remove") && !said.contains("delete"), "{said}");
    assert_eq!(snapshot(&work.path().join("keystore")), before);
    let said = refused(&mut restore(&work, "ha3.keystore.age", "other"), 6);
    assert!(said.contains("it is the keystore of cluster ha3, not of other; restore it as ha3"), "{said}");
    for (file, want, code) in [
        ("none", "there is no file none", 2),
        ("key", "it is not encrypted with age", 4),
        ("keystore", "not the directory", 2),
    ] {
        let said = refused(&mut restore(&work, file, "ha3"), code);
        assert!(said.contains(want), "{said}");
    }
    let mut other = work.kiln(["keystore", "restore", "ha3.keystore.age", "ha3", "--keystore", "again"]);
    let said = refused(other.args(["--identity", "id"]), 4);
    assert!(said.contains("no identity that was given can decrypt it"), "{said}");
    let said = refused(other.args(["--paper"]), 4);
    assert!(said.contains("it is an encrypted export, not a page"), "{said}");
    assert!(!work.path().join("again").exists());
}

#[test]
fn an_export_that_was_changed_inside_is_refused() {
    let Some(work) = workshop() else { return };
    renewing(&work);
    let text = plain(&work);
    let body = text.splitn(3, '\n').nth(2).unwrap();
    let secret = read(&work.path().join("keystore/ha3/secret"));
    let with = |from: &str, to: &str| {
        assert!(body.contains(from), "{from}");
        sealed(&body.replacen(from, to, 1))
    };
    let strange = |name: &str| format!("{}file {name} 2\nx\n", sealed(body).splitn(3, '\n').nth(2).unwrap());
    let other_secret = format!("{}\n", "9".repeat(64));
    let cases = [
        (
            "schema",
            text.replacen("schema 1", "schema 2", 1),
            "export schema 2 is not supported; this version of Kiln reads",
        ),
        ("foreign", "hello\n".to_owned(), "not an export of a keystore"),
        ("empty", String::new(), "not an export of a keystore"),
        ("sum", text.replacen("sha256 ", "sha256 0", 1), "its checksum does not match"),
        ("changed", text.replacen("ha3", "ha4", 1), "its checksum does not match"),
        ("cut", sealed(&body[..body.len() - 1]), "a file is cut off"),
        ("more", format!("{text}x"), "its checksum does not match"),
        ("no cluster", with("cluster ha3\n", ""), "it names no cluster"),
        ("another name", with("cluster ha3\n", "cluster other\n"), "more than its keystore"),
        ("above", sealed(&strange("../../escape")), "a file that no keystore has"),
        ("absolute", sealed(&strange("/etc/escape")), "a file that no keystore has"),
        ("twice", sealed(&strange("secret")), "a file that no keystore has, or one twice"),
        ("encrypted part", sealed(&strange("successor.age")), "a file that no keystore has"),
        ("a number", with("file secret 65", "file secret +65"), "more than its keystore"),
        ("huge", with("file secret 65", "file secret 99999999999999999999"), "a file is cut off"),
        ("too long", with("file secret 65", "file secret 66000000"), "a file is cut off"),
        (
            "no secret",
            with(&format!("file secret 65\n{secret}"), ""),
            "the file secret of the keystore is not in it",
        ),
        ("other secret", with(&secret, &other_secret), "it was changed since Kiln wrote it"),
    ];
    for (name, text, want) in cases {
        encrypted(&work, name, text.as_bytes());
        let said = refused(&mut restore(&work, name, "ha3"), 4);
        assert!(said.contains(want), "{name}: {said}");
        assert!(!said.contains(secret.trim()), "{name}: {said}");
        assert!(!work.path().join("again").exists(), "{name}");
    }
    assert!(!work.path().join("escape").exists());
}

/// Sparse, so that it costs nothing here.
#[test]
fn a_file_that_is_too_large_is_refused_at_once() {
    let Some(work) = workshop() else { return };
    let large = work.file("large", "age-encryption.org/v1\n");
    fs::File::options().write(true).open(large).unwrap().set_len(1 << 40).unwrap();
    let (code, _, said) = output(&mut restore(&work, "large", "ha3"));
    assert!(code == 4 && said.contains("large"), "{code} {said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Wherever a byte is changed, and wherever the file is cut.
    #[test]
    fn a_damaged_export_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        let Some(work) = workshop() else { return Ok(()) };
        work.keystore("ha3");
        run(&mut export(&work, "ha3"));
        let mut bytes = fs::read(work.path().join("ha3.keystore.age")).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        work.file("damaged", bytes);
        let (code, _, said) = output(&mut restore(&work, "damaged", "ha3"));
        prop_assert_eq!(code, 4, "{}", said);
        prop_assert!(!said.contains("internal error"), "{}", said);
        prop_assert!(!work.path().join("again").exists());
    }
}
