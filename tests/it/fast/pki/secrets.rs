//! Files with secrets that the command line names: their forms, and who else may read them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::tools::Lab;
use crate::support::{Workshop, output, refused, run};

const EC: &str = "EC -pkeyopt ec_paramgen_curve:P-256";

#[test]
fn every_secret_that_others_may_read_is_warned_of() {
    let (lab, work) = (Lab::new(), Workshop::new());
    lab.ca("ca", EC, "/CN=ca", None, &[]);
    lab.openssl("pkcs8 -topk8 -in ca.key -passout pass:word -out hidden.key");
    work.file("ca.pem", lab.read("ca.pem"));
    work.file("ca.key", lab.read("hidden.key"));
    work.file("pass", "word\n");
    work.file("seed", "0102".repeat(16));
    let mode = |file: &str, mode: u32| {
        fs::set_permissions(work.path().join(file), Permissions::from_mode(mode)).unwrap();
    };
    for open in ["", "ca.key", "pass", "seed"] {
        ["ca.key", "pass", "seed"]
            .iter()
            .for_each(|file| mode(file, if *file == open { 0o644 } else { 0o600 }));
        let _ = fs::remove_dir_all(work.path().join("keystore"));
        let (code, _, first) = output(&mut work.kiln(["keystore", "init", "ha3", "--seed-file", "seed"]));
        assert_eq!(code, 0, "{first}");
        let import = [
            "keystore",
            "import-ca",
            "ha3",
            "--cert",
            "ca.pem",
            "--key",
            "ca.key",
            "--passphrase-file",
            "pass",
        ];
        let (code, _, second) = output(&mut work.kiln(import));
        assert_eq!(code, 0, "{second}");
        let said = format!("{first}{second}");
        let warned: Vec<_> = said.lines().filter(|line| line.contains("may have read")).collect();
        let want = format!("close it with chmod go= {open}");
        match open {
            "" => assert!(warned.is_empty(), "{said}"),
            _ => assert!(warned.len() == 1 && warned[0].ends_with(&want), "{open}: {said}"),
        }
    }
}

/// A pipe with the mode of a file that is open to others is refused at once, and nothing is said of who may have read
/// it.
#[test]
fn a_secret_in_a_pipe_is_refused_without_a_warning() {
    let (lab, work) = (Lab::new(), Workshop::new());
    lab.ca("ca", EC, "/CN=ca", None, &[]);
    work.file("ca.pem", lab.read("ca.pem"));
    work.file("ca.key", lab.read("ca.key"));
    run(Command::new("mkfifo").args(["-m", "644", "pipe"]).current_dir(work.path()));
    work.file("open", "0102".repeat(16));
    for (file, mode) in [("open", 0o644), ("ca.key", 0o600)] {
        fs::set_permissions(work.path().join(file), Permissions::from_mode(mode)).unwrap();
    }
    let (code, _, said) = output(&mut work.kiln(["keystore", "init", "ha3", "--seed-file", "open"]));
    assert!(code == 0 && said.contains("may have read"), "{said}");
    let import = ["keystore", "import-ca", "ha3", "--cert", "ca.pem", "--key"];
    for arguments in [
        &["keystore", "init", "ha4", "--seed-file", "pipe"][..],
        &[&import[..], &["pipe"]].concat()[..],
        &[&import[..], &["ca.key", "--passphrase-file", "pipe"]].concat()[..],
    ] {
        let (code, _, said) = output(&mut work.kiln(arguments));
        assert!(code != 0 && said.contains("reading pipe: it is not a regular file"), "{said}");
        assert!(!said.contains("may have read the"), "{said}");
    }
}

#[test]
fn advice_about_pkcs12_can_be_followed() {
    let (lab, work) = (Lab::new(), Workshop::new());
    lab.ca("ca", EC, "/CN=ca", None, &[]);
    lab.openssl("pkcs12 -export -in ca.pem -inkey ca.key -passout pass:word -out ca.p12");
    work.file("ca.p12", lab.read("ca.p12"));
    run(&mut work.kiln(["keystore", "init", "ha3"]));
    let import = ["keystore", "import-ca", "ha3", "--cert", "ca.p12", "--key", "ca.p12"];
    let message = refused(&mut work.kiln(import), 4);
    for part in [
        "PKCS#12",
        "`openssl pkcs12 -in FILE -nokeys -out ca.pem`",
        "`openssl pkcs12 -in FILE -nocerts -out ca-key.pem`",
    ] {
        assert!(message.contains(part), "{message}");
    }
    lab.openssl("pkcs12 -in ca.p12 -nokeys -passin pass:word -out ca.pem");
    lab.openssl("pkcs12 -in ca.p12 -nocerts -passin pass:word -passout pass:word -out ca-key.pem");
    for file in ["ca.pem", "ca-key.pem"] {
        work.file(file, lab.read(file));
    }
    work.file("pass", "word\n");
    let import = [
        "keystore",
        "import-ca",
        "ha3",
        "--cert",
        "ca.pem",
        "--key",
        "ca-key.pem",
        "--passphrase-file",
        "pass",
    ];
    run(&mut work.kiln(import));
}
