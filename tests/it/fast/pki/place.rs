//! The location of a keystore: who may access it, other files in it, and the remains of killed runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use kiln::failure::{Exit, Result};
use kiln::pki::Keystore;
use kiln::profile::Algorithm;

use super::tools::{ISSUED, Lab, cluster, epoch, keystore_files};

const EC: &str = "EC -pkeyopt ec_paramgen_curve:P-256";

#[track_caller]
fn refused<T>(result: Result<T>, exit: Exit, sentence: &str) {
    let failure = result.err().expect("it is taken");
    assert_eq!(failure.exit(), exit, "{failure}");
    let said = failure.to_string();
    assert!(said.contains(sentence), "{said}");
    for advice in ["remove", "delete", "empty", "overwrite"] {
        assert!(!said.contains(advice), "{said}");
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn open(path: &Path) -> Result<Keystore> {
    Keystore::open(path, &cluster())
}

/// Every verb that writes.
fn changes(lab: &Lab) -> Vec<Result<()>> {
    let dir = lab.path("keystore");
    let (pem, key) = (lab.read("ca.pem"), lab.read("ca.key"));
    let witness = lab.read("witness");
    vec![
        Keystore::renew(&dir, &cluster(), epoch(ISSUED)).map(drop),
        Keystore::import_ca(&dir, &cluster(), &pem, &key, None, epoch(ISSUED)).map(drop),
        lab.seal("keystore", "token", &witness).map(drop),
    ]
}

#[test]
fn keystore_extra_file() {
    let lab = Lab::new();
    drop(lab.keystore("keystore"));
    lab.ca("ca", EC, "/CN=fine", None, &[]);
    lab.write("witness", lab.witness("keystore", Algorithm::P256));
    let dir = lab.path("keystore");
    fs::create_dir(dir.join(".git")).unwrap();
    lab.write("keystore/NOTES", "where the CA's key is kept");
    let before = fs::read_to_string(dir.join("keystore.toml")).unwrap();
    for change in changes(&lab) {
        refused(change, Exit::Unsafe, "keystore holds .git and 1 more, which is not part of a keystore");
        assert_eq!(fs::read_to_string(dir.join("NOTES")).unwrap(), "where the CA's key is kept");
        assert_eq!(fs::read_to_string(dir.join("keystore.toml")).unwrap(), before);
    }
    // Operations that only read it, or add to its record, replace nothing.
    drop(open(&dir).unwrap());
    fs::remove_dir(dir.join(".git")).unwrap();
    fs::remove_file(dir.join("NOTES")).unwrap();
    changes(&lab).into_iter().for_each(|change| change.unwrap());
}

#[test]
fn keystore_partial_secret() {
    let lab = Lab::new();
    drop(lab.keystore("keystore"));
    let dir = lab.path("keystore");
    let partial = lab.path(".keystore.partial");
    let leave = || {
        fs::create_dir(&partial).unwrap();
        fs::copy(dir.join("secret"), partial.join("secret")).unwrap();
    };
    leave();
    lab.write("keystore/.keystore.toml.partial", "half");
    drop(open(&dir).unwrap());
    assert_eq!(kiln::disk::list(&lab.path("")).unwrap(), ["keystore"]);
    assert_eq!(kiln::disk::list(&dir).unwrap(), ["keystore.toml", "secret"]);
    // A run that holds the lock is still working.
    let held = open(&dir).unwrap();
    leave();
    assert_eq!(open(&dir).err().unwrap().exit(), Exit::Locked);
    assert!(partial.join("secret").exists());
    drop(held);
    // A directory with files that are not Kiln's belongs to a user.
    lab.write(".keystore.partial/thesis.tex", "years of work");
    drop(open(&dir).unwrap());
    assert!(partial.join("thesis.tex").exists());
    fs::remove_file(partial.join("thesis.tex")).unwrap();
    // A run that was making it has left nothing else.
    fs::rename(&dir, lab.path("moved")).unwrap();
    refused(open(&dir), Exit::Usage, "there is no keystore at");
    assert_eq!(kiln::disk::list(&lab.path("")).unwrap(), ["moved"]);
    // A run that was replacing it with two renames.
    fs::rename(lab.path("moved"), lab.path(".keystore.replaced")).unwrap();
    drop(open(&dir).unwrap());
    assert_eq!(kiln::disk::list(&lab.path("")).unwrap(), ["keystore"]);
}

#[test]
fn a_keystore_that_others_can_exchange_is_refused() {
    let lab = Lab::new();
    fs::create_dir(lab.path("shared")).unwrap();
    drop(lab.keystore("shared/keystore"));
    let dir = lab.path("shared/keystore");
    for (mode, is_good) in [(0o777, false), (0o702, false), (0o1777, true), (0o775, true), (0o755, true)] {
        chmod(&lab.path("shared"), mode);
        let made = Keystore::create(&lab.path("shared/new"), &cluster(), None, epoch(ISSUED)).map(drop);
        if is_good {
            drop(open(&dir).unwrap());
            made.unwrap();
            fs::remove_dir_all(lab.path("shared/new")).unwrap();
        } else {
            refused(open(&dir), Exit::Unsafe, "every user can replace");
            refused(made, Exit::Unsafe, "chmod o-w");
        }
    }
    // If it is a link, the directory that it leads to is checked.
    symlink("shared", lab.path("link")).unwrap();
    drop(open(&lab.path("link/keystore")).unwrap());
    chmod(&lab.path("shared"), 0o777);
    refused(open(&lab.path("link/keystore")), Exit::Unsafe, "every user can replace");
}

#[test]
fn a_path_that_is_something_else_is_named_before_its_mode_is_judged() {
    let lab = Lab::new();
    for (name, inside, what) in [
        ("bundle", "bundle.json", "is a bundle, not a keystore"),
        ("fleet", "fleet.json", "is a fleet's directory, not a keystore"),
        ("store", "blobs/sha256/x", "is an artifact store, not a keystore"),
        ("profiles", "ha3.toml", "is a directory of profiles, not a keystore"),
        ("thesis", "thesis.tex", "is a directory not created by Kiln, not a keystore"),
    ] {
        let file = lab.path(name).join(inside);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "{}").unwrap();
        chmod(&lab.path(name), 0o755);
        refused(open(&lab.path(name)), Exit::Usage, what);
        refused(Keystore::renew(&lab.path(name), &cluster(), epoch(ISSUED)), Exit::Usage, what);
        assert_eq!(fs::read_to_string(&file).unwrap(), "{}");
    }
    fs::create_dir(lab.path("parent")).unwrap();
    drop(lab.keystore("parent/ha3"));
    refused(open(&lab.path("parent")), Exit::Usage, "is a directory with the keystore ha3, not a keystore");
    assert_eq!(keystore_files(&lab.path("parent/ha3")).len(), 2);
}

/// As a tester found it: runs that only read a keystore made each other end with 7.
#[test]
fn runs_that_only_read_a_keystore_do_not_keep_each_other_out() {
    let work = crate::support::Workshop::new();
    work.keystore("small");
    let show = || work.kiln(["keystore", "show", "small"]).output().unwrap().status.code();
    let codes: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..16).map(|_| scope.spawn(show)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(codes, [Some(0); 16]);
}
