//! After a change, one line says that the last export is older.

use std::process::Command;

use super::{build, export, workshop};
use crate::support::{SMALL, Workshop, output, run};

const OLDER: &str = "is older than this change; export it again with kiln keystore export small";

fn reminds(command: &mut Command) -> usize {
    let (code, _, said) = output(command);
    assert_eq!(code, 0, "{said}");
    said.matches(OLDER).count()
}

#[test]
fn every_change_reminds_once_until_the_next_export() {
    let Some(work) = workshop() else { return };
    work.keystore("small");
    work.file("small.toml", SMALL);
    run(Command::new("openssl").args("req -x509 -newkey ed25519 -nodes -keyout ca.key -out ca.pem -days 3650 -subj /CN=outside -addext keyUsage=critical,keyCertSign".split(' ')).current_dir(work.path()));
    let first_build = || build(&work, "./small.toml", "small");
    let renew = || work.kiln(["keystore", "renew", "small", "--issue-date", "2026-02-01"]);
    // A keystore that was never exported has its own words when it is made.
    assert_eq!(reminds(&mut renew()), 0);
    let mut number = 0;
    let mut exported = |work: &Workshop| {
        number += 1;
        run(export(work, "small").args(["--out", &format!("export-{number}")]));
    };
    exported(&work);
    assert_eq!(reminds(&mut renew()), 1);
    assert_eq!(reminds(renew().arg("--quiet")), 1);
    exported(&work);
    assert_eq!(reminds(&mut first_build()), 1, "the first build fixes the CA");
    assert_eq!(reminds(&mut first_build()), 0, "the second changes nothing");
    exported(&work);
    assert_eq!(reminds(&mut work.kiln(["seal", "out/small"])), 1);
    assert_eq!(reminds(&mut work.kiln(["seal", "out/small"])), 0);
    exported(&work);
    // How the secret lies in its directory is no change of what it is.
    let key = super::public(&work, "key");
    assert_eq!(reminds(&mut work.kiln(["keystore", "encrypt", "small", "--yes", "--recipient", &key])), 0);
    let (_, shown, _) = output(&mut work.kiln(["keystore", "show", "small", "--identity", "key"]));
    assert!(shown.contains(", up to date"), "{shown}");
    work.keystore_at("keystore/later", "later");
    run(export(&work, "later").args(["--out", "later.age"]));
    let (_, _, said) =
        output(&mut work.kiln(["keystore", "import-ca", "later", "--cert", "ca.pem", "--key", "ca.key"]));
    assert!(said.contains("older than this change"), "{said}");
}

#[test]
fn an_export_changes_no_bundle() {
    let Some(work) = workshop() else { return };
    work.keystore("small");
    work.file("small.toml", SMALL);
    run(&mut build(&work, "./small.toml", "small"));
    let before = crate::support::snapshot(&work.path().join("out/small"));
    run(&mut export(&work, "small"));
    run(&mut build(&work, "./small.toml", "small"));
    assert_eq!(crate::support::snapshot(&work.path().join("out/small")), before);
}
