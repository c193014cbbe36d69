//! Nodes that renew their certificates have the program, and others do not.

use std::fs;
use std::process::Command;

use kiln::values::Digest;
use serde_json::{Value, json};

use super::{OWN, RENEWING, add, own, work, work_with_program};
use crate::support::made::{AMD64, dynamic_node_program, node_program};
use crate::support::{Workshop, refused, reseal, run, snapshot};

const AT: &str = "usr/local/bin/kiln-node";

fn manifest(work: &Workshop) -> Value {
    serde_json::from_slice(&fs::read(work.path().join("out/renewing/bundle.json")).unwrap()).unwrap()
}

fn build(work: &Workshop) {
    run(&mut work.kiln(["build", "./renewing.toml"]));
}

#[test]
fn every_archive_with_etcd_has_it() {
    let work = work_with_program();
    for (binaries, archives) in [
        ("embedded", &["nodes/a/overlay.tar.gz", "nodes/b/overlay.tar.gz"][..]),
        ("shared", &["layers/etcd.tar.gz"]),
    ] {
        let text = RENEWING.replace("bundle = {", &format!("bundle = {{ binaries = {binaries:?},"));
        work.file("renewing.toml", text);
        build(&work);
        assert!(run(&mut work.kiln(["check", "out/renewing"])).contains("match the manifest"));
        for archive in archives {
            let mut tar = Command::new("tar");
            tar.args(["-tvzf"]).arg(work.path().join("out/renewing").join(archive));
            let listed = run(&mut tar);
            let line = listed.lines().find(|line| line.ends_with(AT)).unwrap_or_else(|| panic!("{listed}"));
            assert!(line.starts_with("-rwxr-xr-x") && line.contains(&format!(" {} ", own().len())), "{line}");
        }
        // Wherever a carrier has etcd, it has the program.
        let json: Value =
            serde_json::from_str(&run(&mut work.kiln(["show", "out/renewing", "b", "--json"]))).unwrap();
        let mut with_etcd = 0;
        for archive in json.as_array().unwrap() {
            let members = archive["members"].as_array().unwrap();
            let has = |path: &str| members.iter().any(|member| member["path"] == path);
            assert_eq!(has("usr/local/bin/etcd"), has(AT), "{}", archive["archive"]);
            with_etcd += usize::from(has(AT));
        }
        assert!(with_etcd > 0);
        let files = run(&mut work.kiln(["show", "out/renewing", "a", "--files", "--json"]));
        let files: Value = serde_json::from_str(&files).unwrap();
        let file = files.as_array().unwrap().iter().find(|file| file["destination"] == AT).unwrap();
        assert_eq!(file["source"], json!({ "from": "kiln", "part": format!("kiln-node {OWN}") }));
        assert_eq!((&file["mode"], &file["owner"]), (&"0755".into(), &"root".into()));
        assert_eq!(file["sha256"], Digest::of(&own()).to_string());
    }
    let said = manifest(&work)["kiln_node"].clone();
    let sha256 = Digest::of(&own()).to_string();
    let want = json!({
        "version": OWN, "path": AT, "size": own().len(), "sha256": sha256,
    });
    assert_eq!(said, want);
    let shown = run(&mut work.kiln(["show", "out/renewing"]));
    assert!(shown.contains(&format!("kiln-node {OWN}, sha256 {sha256}")), "{shown}");
}

#[test]
fn nodes_that_do_not_renew_have_none_and_need_none() {
    let work = work();
    work.file("renewing.toml", RENEWING.replace("renewal = \"node\"", "renewal = \"desk\""));
    build(&work);
    let before = snapshot(&work.path().join("out"));
    assert!(manifest(&work).get("kiln_node").is_none());
    let listed = fs::read_to_string(work.path().join("out/renewing/nodes/a/listing.txt")).unwrap();
    assert!(listed.contains("usr/local/bin/etcdctl") && !listed.contains("kiln-node"), "{listed}");
    let planned = run(&mut work.kiln(["plan", "./renewing.toml"]));
    assert!(!planned.contains("kiln-node"), "{planned}");
    add(&work, &own());
    build(&work);
    assert!(snapshot(&work.path().join("out")) == before, "the store's program changes nothing");
}

#[test]
fn a_missing_program_is_refused_with_the_command_and_a_plan_is_not() {
    let work = work();
    for verb in [&["build", "./renewing.toml"][..], &["check", "--profile", "./renewing.toml"]] {
        let said = refused(&mut work.kiln(verb), 4);
        for part in [
            &*format!("kiln-node {OWN} for amd64"),
            "beside kiln there is no /",
            "the artifact store artifacts has none",
            "ci/node",
            "kiln artifacts add --artifacts artifacts kiln-node-amd64 --allow-unverified",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    assert!(!work.path().join("out").exists());
    let planned = run(&mut work.kiln(["plan", "./renewing.toml"]));
    assert!(planned.contains("\nkiln-node\n  kiln build refuses this:"), "{planned}");
    let json: Value =
        serde_json::from_str(&run(&mut work.kiln(["plan", "./renewing.toml", "--json"]))).unwrap();
    assert!(json["kiln_node"]["refused"].as_str().unwrap().contains("ci/node"), "{json}");
    // One for another architecture does not help.
    let arm = work.file("arm", node_program(crate::support::made::ARM64, OWN, 0));
    run(work.kiln(["artifacts", "add", "--allow-unverified"]).arg(arm));
    let said = refused(&mut work.kiln(["build", "./renewing.toml"]), 4);
    assert!(said.contains(&format!("has {OWN} (arm64)")), "{said}");
    add(&work, &own());
    let planned = run(&mut work.kiln(["plan", "./renewing.toml"]));
    let sha256 = Digest::of(&own());
    let want = format!("\nkiln-node\n  {OWN}  from kiln-node-amd64 (trusted by hand), sha256 {sha256}\n");
    assert!(planned.contains(&want), "{planned}");
}

#[test]
fn check_finds_another_program_than_the_manifests() {
    let work = work_with_program();
    build(&work);
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 5] = [
        (
            |m| m["kiln_node"]["sha256"] = json!("7f".repeat(32)),
            "has a /usr/local/bin/kiln-node that does not",
        ),
        (|m| m["kiln_node"]["size"] = json!(7), "has a /usr/local/bin/kiln-node that does not match"),
        (|m| m["kiln_node"]["path"] = json!("opt/kiln-node"), "has no /opt/kiln-node"),
        (
            |m| m["kiln_node"]["version"] = json!("0.0.9"),
            "kiln-node does not match the manifest: it is kiln-node",
        ),
        (|m| m["etcd"]["arch"] = json!("arm64"), "it is kiln-node for amd64, not for arm64"),
    ];
    for (change, want) in changes {
        let to = work.path().join("b");
        let _ = fs::remove_dir_all(&to);
        run(Command::new("cp").arg("-a").arg(work.path().join("out/renewing")).arg(&to));
        reseal(&to, change);
        let said = refused(&mut work.kiln(["check", "b"]), 1);
        assert!(said.contains(want), "{want}: {said}");
    }
}

/// One that was put there by another Kiln, or by hand, is dynamic.
#[test]
fn check_judges_the_program_itself() {
    let work = work_with_program();
    build(&work);
    // What a build refuses is made from a store whose record says another digest.
    let bad = dynamic_node_program(AMD64, OWN);
    let digest = Digest::of(&bad).to_string();
    let record = work.path().join(format!("artifacts/node/{OWN}-amd64.json"));
    let mut text: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    text["source"]["sha256"] = json!(digest);
    text["source"]["size"] = json!(bad.len());
    fs::write(&record, text.to_string()).unwrap();
    fs::write(work.path().join("artifacts/blobs/sha256").join(&digest), bad).unwrap();
    build(&work);
    let said = refused(&mut work.kiln(["check", "out/renewing"]), 1);
    assert!(said.contains("kiln-node does not match the manifest") && said.contains("dynamically"), "{said}");
}

#[test]
fn another_program_changes_every_node_that_has_it() {
    let work = work_with_program();
    let build = |out: &str, cache: &str| {
        let mut command = work.kiln(["build", "./renewing.toml", "--out", out, "--cache", cache]);
        run(command.env_remove("KILN_NO_CACHE"));
        snapshot(&work.path().join(out))
    };
    let first = build("cached", "cache");
    assert!(build("cached", "cache") == first);
    add(&work, &node_program(AMD64, OWN, 1));
    let second = build("cached", "cache");
    assert!(second != first);
    assert!(build("fresh", "other-cache") == second);
}

#[test]
fn no_overlay_may_use_its_path() {
    let work = work_with_program();
    work.file("mine/usr/local/bin/kiln-node", "x");
    let said = refused(&mut work.kiln(["check", "--profile", "./renewing.toml", "--overlays", "mine"]), 6);
    assert!(said.contains("would replace Kiln's /usr/local/bin/kiln-node"), "{said}");
    assert!(said.contains("to use another kiln-node, import it"), "{said}");
    work.file("renewing.toml", RENEWING.replace("renewal = \"node\"", "renewal = \"desk\""));
    run(&mut work.kiln(["check", "--profile", "./renewing.toml", "--overlays", "mine"]));
}
