//! `[backup]`: what nodes and the desk get for snapshots, and what is said of files that the profile names.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Workshop, ha3_with, output, refused, run, snapshot, store};

const RECIPIENT: &str = "age1ykdregx80u7llcmfxzsv8xttws0g69wxadd7axn0fw4wfwnqjpgstnusn7";
const SECRETS: &str = "{\"schema\": 1, \"access-key-id\": \"AKIA\", \"secret-access-key\": \"hush-hush\"}";
const BUCKET: &str =
    "[backup.s3]\nendpoint = \"https://s3.kloud.lan\"\nbucket = \"etcd\"\nca-file = \"ca.pem\"\n";

/// ha3 with this in `[backup]`, and what it names.
fn workshop(more: &str) -> Workshop {
    let work = Workshop::new();
    let backup = format!("[backup]\nrecipients = [\"{RECIPIENT}\"]\nsecrets = \"secrets.json\"\n{more}\n");
    work.file(
        "p/ha3.toml",
        ha3_with(&[("[[node]]\nname = \"cp-a\"", &format!("{backup}[[node]]\nname = \"cp-a\""))]),
    );
    closed(&work.file("p/secrets.json", SECRETS));
    let subject = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=s3 -days 9 -keyout key.pem -out p/ca.pem";
    run(Command::new("openssl")
        .args(subject.split(' '))
        .current_dir(work.path())
        .stderr(std::process::Stdio::null()));
    work.keystore("ha3");
    work
}

fn closed(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn build(work: &Workshop) -> Command {
    let mut command = work.kiln(["build", "--profile", "p/ha3.toml", "--artifacts"]);
    command.arg(store());
    command
}

fn unpacked(work: &Workshop, node: &str) -> PathBuf {
    let to = work.path().join(node);
    fs::create_dir_all(&to).unwrap();
    let archive = work.path().join(format!("out/ha3/nodes/{node}/overlay.tar.gz"));
    run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&to));
    to
}

/// The public half of a key in PEM: the last 32 bytes of its SubjectPublicKeyInfo (RFC 8410).
fn public(path: &Path) -> String {
    let der = Command::new("openssl")
        .args(["pkey", "-pubout", "-outform", "DER", "-in"])
        .arg(path)
        .output()
        .unwrap();
    der.stdout[der.stdout.len() - 32..].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Each node has the credentials and a key of its own; the build machine's files have neither, and each public half.
#[test]
fn each_node_signs_with_a_key_of_its_own() {
    let work = workshop(BUCKET);
    run(&mut build(&work));
    let bundle = work.path().join("out/ha3");
    let manifest: Value = serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    let signers = manifest["snapshots"]["signers"].as_array().unwrap();
    let mut seen = vec![manifest["snapshots"]["desk"].as_str().unwrap().to_owned()];
    assert_eq!(public(&bundle.join("client/kiln-snapshot-desk-key.pem")), seen[0]);
    assert_eq!(
        fs::read(bundle.join("client/kiln-snapshot-ca.pem")).unwrap(),
        fs::read(work.path().join("p/ca.pem")).unwrap()
    );
    for (node, signer) in ["cp-a", "cp-b", "cp-c"].into_iter().zip(signers) {
        let root = unpacked(&work, node);
        let mode = |file: &str| fs::metadata(root.join(file)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(fs::read_to_string(root.join("etc/kiln/backup-secrets.json")).unwrap(), SECRETS);
        for file in ["backup-secrets.json", "snapshot-key.pem"] {
            assert_eq!(mode(&format!("etc/kiln/{file}")), 0o600, "{file}");
        }
        let policy: Value =
            serde_json::from_slice(&fs::read(root.join("etc/kiln/backup.json")).unwrap()).unwrap();
        assert_eq!((&policy["signers"], &policy["node"]), (&manifest["snapshots"]["signers"], &node.into()));
        let own = public(&root.join("etc/kiln/snapshot-key.pem"));
        assert_eq!((signer["node"].as_str(), signer["key"].as_str()), (Some(node), Some(own.as_str())));
        let certificate = root.join("etc/etcd/pki/kiln-snapshot.pem");
        let shown = run(Command::new("openssl")
            .args(["x509", "-noout", "-subject", "-ext", "extendedKeyUsage", "-in"])
            .arg(certificate));
        assert!(
            shown.contains(&format!("kiln-snapshot@{node}")) && shown.contains("TLS Web Client"),
            "{shown}"
        );
        assert!(!shown.contains("Server"), "{shown}");
        seen.push(own);
    }
    let known = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((known, seen.len()), (4, 4));
    run(&mut work.kiln(["check", "out/ha3"]));
}

/// Neither a list nor a plan has a secret, and only the carriers of nodes do.
#[test]
fn secrets_are_in_payloads_only() {
    let work = workshop(BUCKET);
    run(&mut build(&work));
    let bundle = work.path().join("out/ha3");
    // Secrets are in archives for nodes only, in which they are compressed.
    let plain = |(path, _, bytes): &(String, u32, Vec<u8>)| {
        bytes.windows(9).any(|part| part == b"hush-hush").then(|| path.clone())
    };
    let found: Vec<_> = snapshot(&bundle).iter().filter_map(plain).collect();
    assert!(found.iter().all(|path| path.ends_with("user-data")), "{found:?}");
    for verb in [&["plan", "--profile", "p/ha3.toml"][..], &["show", "out/ha3", "--files", "--json"]] {
        let mut command = work.kiln(verb);
        if verb[0] == "plan" {
            command.arg("--artifacts").arg(store());
        }
        let (_, stdout, stderr) = output(&mut command);
        assert!(!stdout.contains("hush") && !stderr.contains("hush"), "{stdout}{stderr}");
    }
}

/// The same inputs give the same bytes, and other secrets other nodes; the desk's files stay.
#[test]
fn secrets_are_an_input_of_nodes_only() {
    let work = workshop(BUCKET);
    let bundle = work.path().join("out/ha3");
    run(&mut build(&work));
    let first = snapshot(&bundle);
    run(&mut build(&work));
    assert!(snapshot(&bundle) == first);
    closed(&work.file("p/secrets.json", SECRETS.replace("hush-hush", "hush-again")));
    run(&mut build(&work));
    let changed: Vec<_> = snapshot(&bundle)
        .into_iter()
        .zip(first)
        .filter(|(now, before)| now != before)
        .map(|(now, _)| now.0)
        .collect();
    let is_nodes =
        |path: &String| path.starts_with("nodes/") || ["bundle.json", "SHA256SUMS"].contains(&path.as_str());
    assert!(
        changed.iter().all(is_nodes) && changed.iter().any(|path| path.ends_with("overlay.tar.gz")),
        "{changed:?}"
    );
}

/// A message names the file and the place in the profile, and quotes nothing of what is in it.
#[test]
fn files_that_cannot_be_used_are_named_and_not_quoted() {
    let work = workshop(BUCKET);
    let secrets = work.path().join("p/secrets.json");
    let cases: [(&str, &[u8], u32, i32, &str); 7] = [
        ("secrets.json", SECRETS.as_bytes(), 0o644, 6, "chmod 600"),
        ("secrets.json", b"{\"schema\": 1, \"hush-hush\": 1}", 0o600, 3, "line 1"),
        ("secrets.json", b"AKIA hush-hush", 0o600, 3, "it is JSON"),
        (
            "secrets.json",
            b"{\"schema\": 1, \"secret-access-key\": \"hush-hush\"}",
            0o600,
            3,
            "belong together",
        ),
        ("secrets.json", b"{\"schema\": 2, \"ping\": \"https://a/hush\"}", 0o600, 3, "line 1"),
        ("ca.pem", b"hush-hush", 0o644, 3, "certificates in PEM"),
        ("ca.pem", b"", 0o644, 3, "certificates in PEM"),
    ];
    for (name, bytes, mode, code, wanted) in cases {
        let path = work.path().join("p").join(name);
        let before = fs::read(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let said = refused(&mut build(&work), code);
        assert!(said.contains(wanted) && said.contains("ha3.toml:") && said.contains(name), "{said}");
        assert!(!said.contains("hush"), "{said}");
        fs::write(&path, before).unwrap();
        closed(&path);
    }
    let key = fs::read(work.path().join("key.pem")).unwrap();
    work.file("p/ca.pem", [fs::read(work.path().join("p/ca.pem")).unwrap(), key].concat());
    assert!(refused(&mut build(&work), 6).contains("has a private key"));
    fs::remove_file(&secrets).unwrap();
    assert!(refused(&mut build(&work), 3).contains("does not exist"));
    assert!(!work.path().join("out").exists());
}

/// A bundle without `[backup]` says so, and no verb looks for a bucket.
#[test]
fn a_bundle_without_snapshots_says_so() {
    let work = Workshop::new();
    work.keystore("ha3");
    work.build("ha3");
    for verb in ["list", "fetch", "test"] {
        let said = refused(&mut work.kiln(["snapshots", verb, "out/ha3", "--from", "."]), 2);
        assert!(said.contains("[backup]"), "{verb}: {said}");
    }
    let work = workshop("");
    run(&mut build(&work));
    let said = refused(&mut work.kiln(["snapshots", "list", "out/ha3"]), 2);
    assert!(said.contains("names no bucket") && said.contains("--from"), "{said}");
    let said = refused(&mut work.kiln(["snapshots", "prune", "out/ha3"]), 2);
    assert!(said.contains("retention"), "{said}");
}
