//! Keystores whose secrets are encrypted in their directory, or are not there at all.

use std::fs;
use std::process::Command;

use super::{build, closed, importing, public, read, renewing, workshop};
use crate::support::{SMALL, Workshop, output, refused, run, snapshot};

fn encrypt(work: &Workshop, cluster: &str) -> Command {
    let mut command = work.kiln(["keystore", "encrypt", cluster, "--yes", "--recipient"]);
    command.arg(public(work, "key"));
    command
}

/// The parts of a keystore, and whether the text is in any of them.
fn holds(work: &Workshop, cluster: &str, text: &str) -> (Vec<String>, bool) {
    let files = snapshot(&work.path().join("keystore").join(cluster));
    let is_in =
        files.iter().any(|(_, _, bytes)| bytes.windows(text.len()).any(|part| part == text.as_bytes()));
    (files.into_iter().map(|(name, _, _)| name).filter(|name| !name.is_empty()).collect(), is_in)
}

#[test]
fn no_secret_lies_in_plain_and_every_verb_works_with_the_identity() {
    let Some(work) = workshop() else { return };
    renewing(&work);
    let (secret, successor) =
        ["secret", "successor"].map(|file| read(&work.path().join("keystore/ha3").join(file))).into();
    let before = snapshot(&work.path().join("keystore/ha3"));
    run(&mut build(&work, "./ha3.toml", "plain"));
    run(&mut encrypt(&work, "ha3"));
    for text in [&secret, &successor] {
        let (parts, is_in) = holds(&work, "ha3", text.trim());
        assert!(!is_in);
        assert_eq!(
            parts,
            ["ca-next.pem", "keystore.toml", "peer-ca-next.pem", "secret.age", "successor.age"]
        );
    }
    for (file, text) in [("secret.age", &secret), ("successor.age", &successor)] {
        let path = work.path().join("keystore/ha3").join(file);
        assert_eq!(
            run(Command::new("age").args(["-d", "-i", "key"]).arg(path).current_dir(work.path())),
            *text
        );
    }
    let commands: [&[&str]; 4] = [
        &["keystore", "show", "ha3"],
        &["keystore", "renew", "ha3", "--issue-date", "2026-02-01"],
        &["seal", "out/ha3"],
        &["keystore", "export", "ha3", "--paper", "--yes"],
    ];
    for command in commands {
        let (code, page, said) = output(&mut work.kiln(command));
        assert!(code == 2 && page.is_empty(), "{command:?}: {code} {said}");
        assert!(said.contains("name the file of an identity with --identity"), "{said}");
    }
    refused(&mut build(&work, "./ha3.toml", "hidden"), 2);
    run(build(&work, "./ha3.toml", "hidden").env("KILN_IDENTITY", "key"));
    assert_eq!(snapshot(&work.path().join("out/hidden")), snapshot(&work.path().join("out/plain")));
    run(work.kiln(["keystore", "decrypt", "ha3", "--yes"]).env("KILN_IDENTITY", "key"));
    assert_eq!(snapshot(&work.path().join("keystore/ha3")), before, "as if nothing had been");
    run(&mut encrypt(&work, "ha3"));
    for command in commands {
        run(work.kiln(command).env("KILN_IDENTITY", "key"));
    }
    assert!(!holds(&work, "ha3", secret.trim()).1);
}

#[test]
fn the_key_of_an_imported_ca_is_encrypted_and_what_comes_later_is_too() {
    let Some(work) = workshop() else { return };
    importing(&work);
    let key = read(&work.path().join("keystore/small/ca-key.pem"));
    run(&mut encrypt(&work, "small"));
    let (parts, is_in) = holds(&work, "small", key.lines().nth(1).unwrap());
    assert!(!is_in);
    assert_eq!(parts, ["ca-key.pem.age", "ca.pem", "keystore.toml", "secret.age"]);
    run(build(&work, "./small.toml", "again").args(["--identity", "key"]));
    // A CA that is imported into an encrypted keystore, and the successors that its first build makes.
    work.keystore("later");
    run(&mut encrypt(&work, "later"));
    let import =
        ["keystore", "import-ca", "later", "--cert", "ca.pem", "--key", "ca.key", "--identity", "key"];
    run(&mut work.kiln(import));
    assert_eq!(holds(&work, "later", key.lines().nth(1).unwrap()), (parts, false));
}

#[test]
fn the_first_build_adds_the_successors_secret_encrypted() {
    let Some(work) = workshop() else { return };
    work.keystore("ha3");
    run(&mut encrypt(&work, "ha3"));
    let pki = "[pki]\nrenewal = \"node\"\nca-lifetime = \"30y\"\nleaf-lifetime = \"9y\"\nnode-ca-lifetime = \"20y\"\n";
    let node = "[[node]]\nname = \"cp-a\"";
    work.file("ha3.toml", crate::support::ha3_with(&[(node, &format!("{pki}{node}"))]));
    run(build(&work, "./ha3.toml", "ha3").args(["--identity", "key"]));
    let (parts, _) = holds(&work, "ha3", "-");
    assert_eq!(parts, ["ca-next.pem", "keystore.toml", "peer-ca-next.pem", "secret.age", "successor.age"]);
    run(&mut work.kiln(["keystore", "show", "ha3", "--identity", "key"]));
}

#[test]
fn a_passphrase_is_read_from_a_file_and_a_wrong_one_is_refused() {
    let Some(work) = workshop() else { return };
    work.keystore("ha3");
    closed(&work, "pass", "kettle word\nsecond line\n");
    closed(&work, "empty", "\n");
    closed(&work, "wrong", "other\n");
    let encrypt = |file: &str| {
        work.kiln(["keystore", "encrypt", "ha3", "--passphrase", "--keystore-passphrase-file", file])
    };
    assert!(refused(&mut encrypt("empty"), 2).contains("the passphrase is empty"));
    assert!(refused(&mut encrypt("none"), 2).contains("there is no file none"));
    let said = refused(&mut work.kiln(["keystore", "encrypt", "ha3", "--passphrase"]), 2);
    assert!(said.contains("there is no terminal to ask at"), "{said}");
    assert_eq!(holds(&work, "ha3", "kettle").0, ["keystore.toml", "secret"]);
    run(&mut encrypt("pass"));
    assert_eq!(holds(&work, "ha3", "kettle"), (vec!["keystore.toml".into(), "secret.age".into()], false));
    let show = |file: &str| work.kiln(["keystore", "show", "ha3", "--keystore-passphrase-file", file]);
    assert!(refused(&mut show("wrong"), 4).contains("the passphrase is wrong"));
    assert!(run(&mut show("pass")).contains("secret encrypted with a passphrase"));
    // The export is to recipients; what is restored from it is encrypted again, with a passphrase of its machine.
    let mut export =
        work.kiln(["keystore", "export", "ha3", "--keystore-passphrase-file", "pass", "--recipient"]);
    run(export.arg(public(&work, "key")));
    let restore =
        ["keystore", "restore", "ha3.keystore.age", "ha3", "--keystore", "again", "--identity", "key"];
    refused(&mut work.kiln(restore), 2);
    assert!(!work.path().join("again").exists());
    run(work.kiln(restore).args(["--keystore-passphrase-file", "wrong"]));
    let list = |place: &str| read(&work.path().join(place).join("keystore.toml"));
    assert_eq!(list("again"), list("keystore/ha3"));
    run(show("wrong").args(["--keystore", "again"]));
}

#[test]
fn the_record_of_recipients_cannot_be_changed() {
    let Some(work) = workshop() else { return };
    work.keystore("ha3");
    run(&mut encrypt(&work, "ha3"));
    let list = work.path().join("keystore/ha3/keystore.toml");
    let good = read(&list);
    run(Command::new("age-keygen").args(["-o", "thief"]).current_dir(work.path()));
    let thief = run(Command::new("age-keygen").args(["-y", "thief"]).current_dir(work.path()));
    let show = || work.kiln(["keystore", "show", "ha3", "--identity", "key"]);
    let own = public(&work, "key");
    for bad in [
        good.replace(&own, thief.trim()),
        good.replace(&format!("\"{own}\""), &format!("\"{own}\", \"{}\"", thief.trim())),
        good.replace(&format!("recipients = [\"{own}\"]"), "passphrase = true"),
        good.replace(&format!("recipients = [\"{own}\"]"), "recipients = []"),
        good.replace(&format!("\n[encrypted]\nrecipients = [\"{own}\"]\n"), ""),
    ] {
        assert_ne!(bad, good);
        fs::write(&list, &bad).unwrap();
        refused(&mut show(), 4);
    }
    fs::write(&list, &good).unwrap();
    run(&mut show());
    // A plain secret beside the encrypted one is not taken.
    fs::write(work.path().join("keystore/ha3/secret"), "07".repeat(32) + "\n").unwrap();
    kiln_only(&work);
    assert!(refused(&mut show(), 6).contains("its file secret is there in plain"));
}

fn kiln_only(work: &Workshop) {
    use std::os::unix::fs::PermissionsExt as _;
    let secret = work.path().join("keystore/ha3/secret");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn decrypting_asks_and_says_what_is_not_encrypted() {
    let Some(work) = workshop() else { return };
    work.keystore("ha3");
    let said = refused(&mut work.kiln(["keystore", "decrypt", "ha3", "--yes"]), 6);
    assert!(said.contains("are not encrypted"), "{said}");
    run(&mut encrypt(&work, "ha3"));
    let mut ask = work.kiln(["keystore", "decrypt", "ha3", "--identity", "key"]);
    let said = refused(ask.stdin(std::process::Stdio::null()), 6);
    assert!(said.contains("not confirmed, so nothing was changed"), "{said}");
    assert_eq!(holds(&work, "ha3", "-").0, ["keystore.toml", "secret.age"]);
    let said = refused(&mut work.kiln(["keystore", "encrypt", "ha3", "--identity", "key"]), 2);
    assert!(said.contains("say who can decrypt it"), "{said}");
}

#[test]
fn an_identity_that_others_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(work) = workshop() else { return };
    work.keystore("ha3");
    run(&mut encrypt(&work, "ha3"));
    let show = || output(&mut work.kiln(["keystore", "show", "ha3", "--identity", "key"]));
    assert_eq!(show().2, "");
    fs::set_permissions(work.path().join("key"), fs::Permissions::from_mode(0o640)).unwrap();
    let (code, _, said) = show();
    assert!(code == 0 && said.contains("key is open to other users"), "{said}");
}

/// The secret is in no directory of Kiln's: a command prints it.
#[test]
fn a_command_gives_the_secret_and_what_it_prints_is_never_shown() {
    let work = Workshop::new();
    work.keystore("small");
    work.file("small.toml", SMALL);
    run(&mut build(&work, "./small.toml", "plain"));
    let secret = read(&work.path().join("keystore/small/secret"));
    closed(&work, "kept/small", &secret);
    fs::remove_file(work.path().join("keystore/small/secret")).unwrap();
    let said = refused(&mut build(&work, "./small.toml", "from"), 4);
    assert!(said.contains("its file secret is missing") && said.contains("--secret-from"), "{said}");
    let from = "cat 'kept/{cluster}'";
    run(build(&work, "./small.toml", "from").args(["--secret-from", from]));
    assert_eq!(snapshot(&work.path().join("out/from")), snapshot(&work.path().join("out/plain")));
    run(work.kiln(["keystore", "renew", "small"]).env("KILN_SECRET_FROM", from));
    run(work.kiln(["seal", "out/from"]).env("KILN_SECRET_FROM", from));
    assert_eq!(holds(&work, "small", secret.trim()), (vec!["keystore.toml".into()], false));
    let shown = run(work.kiln(["keystore", "show", "small", "-v"]).env("KILN_SECRET_FROM", from));
    assert!(shown.contains("secret kept elsewhere") && !shown.contains(secret.trim()), "{shown}");
    let half = &secret[..40];
    for (command, code, want) in [
        (format!("echo {half}"), 4, "printed 41 bytes, which are not the 64 lower-case hex digits"),
        (
            format!("sh -c 'echo {half}; echo no card >&2; exit 3'"),
            4,
            "sh, which prints the secret of small, ended with exit code 3: no card",
        ),
        (format!("echo {}", "ab".repeat(32)), 4, "is another keystore's"),
        ("no-such-command".to_owned(), 2, "was not found"),
        ("cat 'kept".to_owned(), 2, "a quote is not closed"),
        ("cat kept/$(cluster)".to_owned(), 4, "No such file"),
    ] {
        let mut show = work.kiln(["keystore", "show", "small", "--secret-from", &command]);
        let said = refused(&mut show, code);
        // What the command line itself has is the user's own.
        assert!(said.contains(want) && (code == 2 || !said.contains(half)), "{command}: {said}");
    }
    let said = refused(work.kiln(["keystore", "encrypt", "small", "--recipient"]).arg("x"), 2);
    assert!(said.contains("is no recipient"), "{said}");
}

/// The plain files were the only ones that anyone could read, and a wrong key made the cluster's last copy unreadable.
#[test]
fn plain_secrets_go_only_where_someone_can_decrypt() {
    let work = Workshop::new();
    work.keystore("ha3");
    let before = snapshot(&work.path().join("keystore"));
    let [mine, other] = ["mine", "other"].map(|name| {
        run(Command::new("age-keygen").arg("-o").arg(work.path().join(name)));
        run(Command::new("age-keygen").arg("-y").arg(work.path().join(name))).trim().to_owned()
    });
    let encrypt = |to: &str, more: &[&str]| {
        work.kiln([&["keystore", "encrypt", "ha3", "--recipient", to], more].concat())
    };
    let said = refused(encrypt(&other, &[]).stdin(std::process::Stdio::null()), 6);
    assert!(said.contains("nothing was changed"), "{said}");
    let said = refused(&mut encrypt(&other, &["--identity", "mine"]), 4);
    assert!(said.contains("name that of a recipient"), "{said}");
    assert!(snapshot(&work.path().join("keystore")) == before);
    run(&mut encrypt(&mine, &["--identity", "mine"]));
}
