//! Releases that a store lacks, and stores that everybody can change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{ONE, Workshop, output, refused, store};

#[test]
fn missing_release_is_a_mistake_at_its_place_beside_the_others() {
    let work = Workshop::new();
    let profile = ONE.replace("3.5.16", "3.5.15");
    work.file("one.toml", &profile);
    work.file("fleet/one.toml", &profile);
    for verb in [&["check", "--profile", "one.toml"][..], &["plan", "one.toml"], &["build", "one.toml"]] {
        let message = refused(work.kiln(verb).arg("--artifacts").arg(store()), 3);
        assert!(message.contains("etcd 3.5.15 for amd64 is not in the artifact store"), "{message}");
        assert!(message.contains("--> one.toml:10:11"), "{message}");
    }
    for verb in ["check", "build"] {
        let message = refused(work.kiln([verb, "--fleet", "fleet", "--artifacts"]).arg(store()), 3);
        assert!(message.contains("--> fleet/one.toml:10:11"), "{message}");
    }
    work.file("one.toml", profile + "[etcd.config]\nheartbeat-interval = -1\n");
    let (code, stdout, _) =
        output(work.kiln(["check", "--profile", "one.toml", "--json", "--artifacts"]).arg(store()));
    let value: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let lines: Vec<_> =
        value["error"]["mistakes"].as_array().unwrap().iter().map(|one| &one["line"]).collect();
    assert_eq!((code, lines), (3, vec![&10.into(), &12.into()]), "{stdout}");
    assert_eq!(kiln::disk::list(work.path()).unwrap(), ["fleet", "one.toml"]);
}

#[test]
fn store_that_every_user_can_change_is_refused() {
    let work = Workshop::new();
    work.file("one.toml", ONE);
    let copied = Command::new("cp").arg("-r").arg(store()).arg(work.path().join("mine")).status().unwrap();
    assert!(copied.success());
    for place in ["mine", "mine/releases", "mine/node", "mine/blobs/sha256"] {
        let path = work.path().join(place);
        let mode = |bits| fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
        mode(0o777);
        let message = refused(&mut work.kiln(["build", "one.toml", "--artifacts", "mine"]), 6);
        assert!(message.contains("mine") && message.contains("mode 0777"), "{message}");
        mode(0o755);
    }
    assert!(!work.path().join("out").exists());
}
