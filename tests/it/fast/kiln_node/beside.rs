//! The program in the directory of Kiln itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use kiln::values::Digest;
use serde_json::Value;

use super::{OWN, add, own, work};
use crate::support::made::{AMD64, ARM64, dynamic_node_program, node_program};
use crate::support::{Workshop, output, refused, run, snapshot};

/// A second name of Kiln's program, in a directory of its own.
fn installed(work: &Workshop) -> PathBuf {
    let bin = work.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::hard_link(env!("CARGO_BIN_EXE_kiln"), bin.join("kiln")).unwrap();
    bin
}

fn put(bin: &std::path::Path, bytes: &[u8], mode: u32) {
    let path = bin.join("kiln-node-amd64");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn kiln(work: &Workshop, arguments: &[&str]) -> Command {
    let mut command = Command::new(work.path().join("bin/kiln"));
    command.env_remove("SOURCE_DATE_EPOCH").env("NO_COLOR", "1").env("KILN_NO_CACHE", "1");
    command.current_dir(work.path()).args(arguments).env("XDG_STATE_HOME", work.path().join(".state"));
    command
}

fn used(work: &Workshop) -> Value {
    let text = fs::read(work.path().join("out/renewing/bundle.json")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()["kiln_node"].clone()
}

#[test]
fn it_is_used_before_the_stores() {
    let work = work();
    let bin = installed(&work);
    // The store's releases came with another one, which is packed there.
    let beside = node_program(AMD64, OWN, 2);
    put(&bin, &beside, 0o755);
    add(&work, &node_program(AMD64, OWN, 1));
    run(&mut kiln(&work, &["build", "./renewing.toml"]));
    assert_eq!(used(&work)["sha256"], Digest::of(&beside).to_string());
    run(&mut kiln(&work, &["check", "out/renewing"]));
    let planned = run(&mut kiln(&work, &["plan", "./renewing.toml"]));
    assert!(planned.contains("bin/kiln-node-amd64 (beside kiln), sha256 "), "{planned}");
    // What the store does not have, it keeps nothing of.
    let packed = walkdir::WalkDir::new(work.path().join("artifacts/packed")).into_iter();
    let digest = Digest::of(&beside).to_string();
    assert!(packed.flatten().all(|entry| entry.file_name().to_str() != Some(&digest)));
}

#[test]
fn it_is_found_beside_the_program_that_a_link_names() {
    let work = work();
    let bin = installed(&work);
    put(&bin, &own(), 0o644);
    std::os::unix::fs::symlink("bin/kiln", work.path().join("k")).unwrap();
    let mut command = Command::new(work.path().join("k"));
    command.env("NO_COLOR", "1").env("KILN_NO_CACHE", "1").current_dir(work.path());
    run(command.args(["build", "./renewing.toml"]));
    assert_eq!(used(&work)["sha256"], Digest::of(&own()).to_string());
}

/// `bundle.json` said where the program came from, so that the same inputs gave two bundles.
#[test]
fn a_copy_beside_kiln_and_one_in_the_store_give_the_same_bundle() {
    let work = work();
    let bin = installed(&work);
    put(&bin, &own(), 0o755);
    let built = || {
        run(&mut kiln(&work, &["build", "./renewing.toml"]));
        let planned = run(&mut kiln(&work, &["plan", "./renewing.toml"]));
        (snapshot(&work.path().join("out/renewing")), planned)
    };
    let (beside, planned) = built();
    assert!(planned.contains(" (beside kiln), sha256 "), "{planned}");
    fs::remove_file(bin.join("kiln-node-amd64")).unwrap();
    fs::remove_dir_all(work.path().join("out")).unwrap();
    add(&work, &own());
    let (stored, planned) = built();
    assert!(planned.contains(" (trusted by hand), sha256 "), "{planned}");
    assert!(beside == stored);
}

#[test]
fn one_that_does_not_fit_is_named_and_the_stores_is_used() {
    let work = work();
    let bin = installed(&work);
    let cases: [(&str, Vec<u8>, u32, &str); 6] = [
        (
            "another version",
            node_program(AMD64, "0.0.9", 0),
            0o755,
            "it is kiln-node 0.0.9, and this is Kiln",
        ),
        ("dynamic", dynamic_node_program(AMD64, OWN), 0o755, "dynamically linked"),
        ("another architecture", node_program(ARM64, OWN, 0), 0o755, "for arm64, not for amd64"),
        ("another program", crate::support::made::program("3.5.16"), 0o755, "not kiln-node"),
        ("empty", Vec::new(), 0o755, "not a 64-bit ELF program"),
        ("open to others", own(), 0o757, "others may write to it"),
    ];
    for (what, bytes, mode, why) in &cases {
        put(&bin, bytes, *mode);
        let said = refused(&mut kiln(&work, &["build", "./renewing.toml"]), 4);
        for part in ["bin/kiln-node-amd64 is not used: ", why, "Build it with ci/node"] {
            assert!(said.contains(part), "{what}: {part}: {said}");
        }
    }
    add(&work, &node_program(AMD64, OWN, 1));
    for (what, bytes, mode, why) in &cases {
        put(&bin, bytes, *mode);
        let (code, _, said) = output(&mut kiln(&work, &["build", "./renewing.toml"]));
        assert!(code == 0 && said.contains("is not used: ") && said.contains(why), "{what}: {said}");
        assert_eq!(used(&work)["sha256"], Digest::of(&node_program(AMD64, OWN, 1)).to_string(), "{what}");
    }
}

#[test]
fn a_fleet_looks_it_up_once() {
    let work = work();
    let bin = installed(&work);
    put(&bin, &node_program(AMD64, "0.0.9", 0), 0o755);
    add(&work, &own());
    for name in ["one", "two"] {
        let text = super::RENEWING.replace("\"renewing\"", &format!("{name:?}"));
        work.file(&format!("fleet/{name}.toml"), text);
        work.keystore(name);
    }
    let (code, _, said) = output(&mut kiln(&work, &["build", "--fleet", "fleet"]));
    assert_eq!((code, said.matches("is not used").count()), (0, 1), "{said}");
    run(&mut kiln(&work, &["check", "out/fleet"]));
}
