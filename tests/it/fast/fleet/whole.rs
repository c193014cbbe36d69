//! A fleet that is built in one run: its bundles and keystores, and the mistakes and warnings of all of its profiles.

use std::fs;
use std::path::Path;

use super::{BASE, build, inode, profile, sites};
use crate::support::{Workshop, refused, run, snapshot, store};

/// The messages of a build that succeeds.
fn warned(work: &Workshop, arguments: &[&str]) -> String {
    let mut command = work.kiln(["build", "--artifacts"]);
    let output = command.arg(store()).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

fn check_sums(directory: &Path) {
    let checked = std::process::Command::new("sha256sum")
        .args(["--quiet", "-c", "SHA256SUMS"])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(checked.status.success() && checked.stdout.is_empty(), "{checked:?}");
}

#[test]
fn a_fleet_is_the_bundles_of_its_profiles() {
    let work = sites(3);
    let printed = run(&mut build(&work, &["--fleet", "sites"]));
    assert_eq!(printed, "out/sites: 3 bundles with 3 nodes\n");
    let fleet = work.path().join("out/sites");
    for number in 0..3 {
        let alone = run(&mut build(&work, &["--profile", &format!("sites/c{number}.toml")]));
        assert!(alone.contains(": 1 member of etcd 3.5.16"), "{alone}");
        let name = format!("c{number}");
        assert_eq!(snapshot(&fleet.join(&name)), snapshot(&work.path().join("out").join(&name)), "{name}");
        let layer = fleet.join(&name).join("layers/etcd.tar.gz");
        assert_eq!(inode(layer), inode(fleet.join("c0/layers/etcd.tar.gz")), "the layer is there once");
        check_sums(&fleet.join(&name));
    }
    check_sums(&fleet);
    // The overlay's path is relative to the base, and omitted keys are the base's.
    let shown = run(&mut work.kiln(["show", "out/sites/c1", "a"]));
    assert!(shown.contains("etc/motd"), "{shown}");
    let plan = run(work.kiln(["plan", "--profile", "sites/c1.toml", "--artifacts"]).arg(store()));
    assert!(plan.contains("heartbeat-interval") && plan.contains("120"), "{plan}");

    assert_eq!(
        run(&mut work.kiln(["check", "out/sites"])),
        "out/sites: 3 bundles: all match the index and their manifests\n"
    );
    let before = snapshot(&fleet);
    run(&mut build(
        &work,
        &[
            "--profile",
            "sites/c2.toml",
            "--profile",
            "sites/c0.toml",
            "--profile",
            "sites/c1.toml",
            "--jobs",
            "1",
            "--out",
            "again",
        ],
    ));
    assert_eq!(snapshot(&work.path().join("again")), before, "however it is named, and on how many cores");
    fs::write(fleet.join("c1/listing"), "x").unwrap();
    let damage = fleet.join("c2/nodes/a/listing.txt");
    fs::write(&damage, fs::read_to_string(&damage).unwrap().replace('r', "R")).unwrap();
    let said = refused(&mut work.kiln(["check", "out/sites"]), 1);
    assert!(
        said.contains("c1/listing is not in the manifest")
            && said.contains("c2/nodes/a/listing.txt has the SHA-256"),
        "{said}"
    );
    // Files that no build has written would be removed with the old fleet.
    let said = refused(&mut build(&work, &["--fleet", "sites"]), 6);
    assert!(said.contains("out/sites contains c1/listing, which is not part of the bundle"), "{said}");
}

#[test]
fn one_bad_profile_keeps_all_from_being_built() {
    let work = sites(3);
    work.file("sites/c1.toml", profile(1).replace("10.0.1.4", "10.0.1.400"));
    work.file("sites/c2.toml", profile(2).replace("[network]", "[netwrok]"));
    work.file("sites/_base.toml", BASE.replace("heartbeat-interval", "heartbeet-interval"));
    let before = snapshot(work.path());
    let said = refused(&mut build(&work, &["--fleet", "sites"]), 3);
    for part in
        ["sites/c1.toml:9:11", "sites/c2.toml:5:2", "sites/_base.toml:6:1", "did you mean heartbeat-interval"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("sites/_base.toml:6:1").count(), 1, "what all take over is wrong once: {said}");
    assert!(said.ends_with("3 profiles have 4 mistakes; nothing was written\n"), "{said}");
    assert_eq!(snapshot(work.path()), before);
}

#[test]
fn two_profiles_are_never_one_bundle_or_one_cluster() {
    let work = sites(2);
    work.file("other/c1.toml", profile(7).replace("_base.toml", "../sites/_base.toml"));
    let said = refused(&mut build(&work, &["--profile", "sites/c1.toml", "--profile", "other/c1.toml"]), 3);
    assert!(said.contains("other/c1.toml and sites/c1.toml have the same name"), "{said}");
    work.file("sites/copy.toml", profile(1));
    let said = refused(&mut build(&work, &["--fleet", "sites"]), 3);
    assert!(said.contains("sites/c1.toml and sites/copy.toml both describe the cluster c1"), "{said}");
    assert!(!work.path().join("out").exists());
    work.file("empty/_base.toml", BASE);
    assert!(refused(&mut build(&work, &["--fleet", "empty"]), 2).contains("there is no profile in empty"));
}

#[test]
fn a_fleet_with_open_peer_ports_says_so_once_as_a_single_build_does() {
    let work = sites(2);
    work.file("sites/_base.toml", BASE.replace("3.5.16", "3.4.23"));
    let warning = "etcd 3.4.23 cannot check the peers' names with this configuration";
    for arguments in [["--fleet", "sites"], ["--profile", "sites/c0.toml"]] {
        assert_eq!(warned(&work, &arguments).matches(warning).count(), 1, "{arguments:?}");
    }
}

#[test]
fn a_fleet_whose_certificates_end_with_the_ca_says_so_once() {
    let work = sites(3);
    work.file("sites/_base.toml", format!("{BASE}[pki]\nca-lifetime = \"300d\"\nleaf-lifetime = \"300d\"\n"));
    assert!(!warned(&work, &["--fleet", "sites"]).contains("with the CA"), "they live as long as was asked");
    for cluster in ["c0", "c1", "c2"] {
        run(&mut work.kiln(["keystore", "renew", cluster, "--issued", "2026-02-01"]));
    }
    let said = warned(&work, &["--fleet", "sites"]);
    let warning = "certificates of c0 (and of 2 more) expire on 2026-10-28T00:00:00Z with the CA, earlier than leaf-lifetime allows";
    assert_eq!(said.matches(warning).count(), 1, "{said}");
}

#[test]
fn keystores_are_made_for_all_clusters_that_have_none() {
    let work = sites(2);
    work.file("sites/c2.toml", profile(2));
    let before = snapshot(&work.path().join("keystore"));
    let init = || {
        let mut command =
            work.kiln(["keystore", "init", "--fleet", "sites", "--issued", "2026-01-01", "--artifacts"]);
        command.arg(store());
        command
    };
    let printed = run(&mut init());
    assert!(printed.starts_with("created 1 keystore in keystore; 2 were already there"), "{printed}");
    let after = snapshot(&work.path().join("keystore"));
    assert!(before.iter().all(|file| after.contains(file)) && after.len() > before.len());
    // The first build records the choices that it fixes, and nothing else is new; later builds do not change the
    // record.
    run(&mut build(&work, &["--fleet", "sites"]));
    let recorded = snapshot(&work.path().join("keystore"));
    let names =
        |all: &[(String, u32, Vec<u8>)]| all.iter().map(|(name, ..)| name.clone()).collect::<Vec<_>>();
    let there = names(&after);
    let (kept, more): (Vec<_>, Vec<_>) =
        recorded.iter().cloned().partition(|(name, ..)| there.contains(name));
    // Nodes renew for the new cluster: the CAs that follow its own are in the trust files.
    assert_eq!(names(&more), ["c2/ca-next.pem", "c2/peer-ca-next.pem"]);
    for (old, new) in after.iter().zip(&kept) {
        let is_list = new.0.ends_with("keystore.toml");
        assert_eq!((&old.0, old.1, old.2 != new.2), (&new.0, new.1, is_list), "{}", new.0);
    }
    run(&mut build(&work, &["--fleet", "sites"]));
    assert_eq!(snapshot(&work.path().join("keystore")), recorded);
    assert!(run(&mut init()).starts_with("created 0 keystores"));
}

#[test]
fn what_is_extended_has_to_be_there_and_to_end() {
    let work = sites(1);
    work.file("sites/c0.toml", profile(0).replace("_base.toml", "gone.toml"));
    let said = refused(&mut build(&work, &["--profile", "sites/c0.toml"]), 3);
    assert!(said.contains("sites/c0.toml:2:11") && said.contains("reading sites/gone.toml"), "{said}");
    work.file("sites/c0.toml", profile(0).replace("_base.toml", "c0.toml"));
    let said = refused(&mut build(&work, &["--profile", "sites/c0.toml"]), 3);
    assert!(said.contains("does the chain loop?"), "{said}");
}
