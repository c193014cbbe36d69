//! Copies of keystores: exports, pages, and keystores whose secrets are encrypted or kept elsewhere. Debian's age is
//! the judge of what is encrypted.

mod encrypted;
mod export;
mod page;
mod reminder;
mod restore;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{SMALL, Workshop, ha3_with, have, run, store};

/// A workshop with an identity of age (`key`), one of SSH (`id`), and their public halves beside them.
fn workshop() -> Option<Workshop> {
    if !have("age") || !have("ssh-keygen") {
        return None;
    }
    let work = Workshop::new();
    run(Command::new("age-keygen").args(["-o", "key"]).current_dir(work.path()));
    let public = run(Command::new("age-keygen").args(["-y", "key"]).current_dir(work.path()));
    work.file("key.pub", public);
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", "id"])
        .current_dir(work.path()));
    Some(work)
}

fn public(work: &Workshop, key: &str) -> String {
    fs::read_to_string(work.path().join(format!("{key}.pub"))).unwrap().trim().to_owned()
}

/// Closed to others, as a file with a secret is.
fn closed(work: &Workshop, name: &str, text: impl AsRef<[u8]>) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = work.file(name, text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A keystore of nodes that renew, which has issued: it has everything but an imported CA.
fn renewing(work: &Workshop) {
    work.keystore_of_renewal("ha3");
    let pki = "[pki]\nrenewal = \"node\"\nca-lifetime = \"30y\"\nleaf-lifetime = \"9y\"\nnode-ca-lifetime = \"20y\"\n";
    let subject = "[pki.ca.subject]\norganization = \"Öl \\\\ & Söhne  KG\"\n";
    let node = "[[node]]\nname = \"cp-a\"";
    work.file("ha3.toml", ha3_with(&[(node, &format!("{pki}{subject}{node}"))]));
    run(&mut build(work, "./ha3.toml", "ha3"));
}

/// A keystore with an imported CA, which has issued.
fn importing(work: &Workshop) {
    work.keystore("small");
    let ca = "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj /CN=outside -addext \
              keyUsage=critical,keyCertSign";
    run(Command::new("openssl").args(ca.split(' ')).current_dir(work.path()));
    run(&mut work.kiln(["keystore", "import-ca", "small", "--cert", "ca.pem", "--key", "ca.key"]));
    work.file("small.toml", SMALL.replace("[[node]]", "pki = { ca = { source = \"imported\" } }\n[[node]]"));
    run(&mut build(work, "./small.toml", "small"));
}

/// Builds with the keystore at this path, into `out/NAME`.
fn build(work: &Workshop, profile: &str, name: &str) -> Command {
    let mut command = work.kiln(["build", "--profile", profile, "--artifacts"]);
    command.arg(store()).args(["--out", &format!("out/{name}")]);
    command
}

fn export(work: &Workshop, cluster: &str) -> Command {
    let mut command = work.kiln(["keystore", "export", cluster, "--recipient"]);
    command.arg(public(work, "key"));
    command
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
