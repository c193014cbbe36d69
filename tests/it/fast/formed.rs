//! A cluster that has formed, or that certificates were issued to, is never rebuilt as another one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use kiln::failure::Exit;
use kiln::pki::{Keystore, Remark, Sealed, Witness};
use kiln::plan::{self, Plan};
use kiln::profile::{self, Source};
use serde_json::Value;

use crate::support::{Workshop, refused, run, snapshot, store};

const SMALL: &str = r#"
schema = 1
cluster = { name = "small" }
etcd = { version = "3.5.16" }
network = { cidr = "10.0.0.0/24" }
bundle = { carriers = ["tar"], binaries = "shared" }
pki = { leaf-algorithm = "p256" }
[[node]]
name = "a"
address = "10.0.0.4"
[[node]]
name = "b"
address = "10.0.0.5"
[[node]]
name = "c"
address = "10.0.0.6"
"#;

const FOURTH: &str = "[[node]]\nname = \"d\"\naddress = \"10.0.0.7\"\n";

fn workshop() -> Workshop {
    let work = Workshop::new();
    work.file("small.toml", SMALL);
    work.keystore("small");
    work
}

fn build(work: &Workshop, arguments: &[&str]) -> Command {
    let mut command = work.kiln(["build", "--profile", "small.toml", "--artifacts"]);
    command.arg(store()).args(arguments);
    command
}

fn changed(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    SMALL.replacen(from, to, 1)
}

fn list(work: &Workshop) -> String {
    fs::read_to_string(work.path().join("keystore/small/keystore.toml")).unwrap()
}

/// A keystore as Kiln wrote it before it recorded anything.
fn forget(work: &Workshop) {
    let dir = work.path().join("keystore/small");
    let text = list(work).replace("schema = 2", "schema = 1");
    let (head, rest) = text.split_once("\n[issued]").unwrap();
    let issues = &rest[rest.find("\n[[issue]]").unwrap()..];
    let old = kiln::pki::resealed(&dir, &format!("{head}{issues}")).unwrap();
    fs::write(dir.join("keystore.toml"), old).unwrap();
    let shown = run(&mut work.kiln(["keystore", "show", "small", "--json"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["authority"], Value::Null);
}

/// What has to be done to a profile, and what is said of it.
type Changes<'c> = &'c [(&'c str, String, &'c [&'c str])];

#[track_caller]
fn all_are_refused(work: &Workshop, changes: Changes<'_>) {
    let before = (snapshot(&work.path().join("out")), list(work));
    for (what, profile, sentences) in changes {
        work.file("small.toml", profile);
        for arguments in [&[][..], &["--out", "elsewhere"]] {
            let message = refused(&mut build(work, arguments), 6);
            for sentence in *sentences {
                assert!(message.contains(sentence), "{what}: {sentence:?} is not in\n{message}");
            }
            for advice in ["remove it", "delete", "overwrite", "empty "] {
                assert!(!message.contains(advice), "{what}: {message}");
            }
        }
        work.file("sites/small.toml", profile);
        for of in [["--profile", "small.toml"], ["--fleet", "sites"]] {
            refused(work.kiln(["check", "--artifacts"]).arg(store()).args(of), 6);
        }
        refused(work.kiln(["build", "--fleet", "sites", "--artifacts"]).arg(store()), 6);
        let planned =
            work.kiln(["plan", "--profile", "small.toml", "--artifacts"]).arg(store()).output().unwrap();
        let said = String::from_utf8_lossy(&planned.stderr);
        assert!(
            planned.status.success() && said.contains("warning: kiln build refuses this: "),
            "{what}: {said}"
        );
        assert!(!work.path().join("elsewhere").exists(), "{what}");
        assert_eq!((snapshot(&work.path().join("out")), list(work)), before, "{what}");
    }
    work.file("small.toml", SMALL);
}

#[test]
fn a_formed_cluster_is_not_rebuilt_as_another_one() {
    let work = workshop();
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    run(&mut build(&work, &[]));
    let id = |of: &Path| {
        let manifest: Value = serde_json::from_slice(&fs::read(of.join("bundle.json")).unwrap()).unwrap();
        manifest["cluster"]["id"].as_str().unwrap().to_owned()
    };
    let has_formed = format!(
        "small has formed (sealed in keystore/small) with the cluster ID {}",
        id(&work.path().join("out/small"))
    );
    let by_hand = "README, \"Changing a formed cluster\"";
    let changes: Changes = &[
        (
            "a fourth node",
            format!("{SMALL}{FOURTH}"),
            &[
                &has_formed,
                "d (https://10.0.0.7:2380) is no member",
                "etcdctl member add d --peer-urls",
                "existing",
                by_hand,
            ],
        ),
        (
            "a missing node",
            changed("name = \"small\"", "name = \"small\", allow-two-members = true")
                .split("[[node]]\nname = \"c\"")
                .next()
                .unwrap()
                .to_owned(),
            &[&has_formed, "its member c is missing: put its [[node]] back", by_hand],
        ),
        (
            "another address",
            changed("10.0.0.5", "10.0.0.50"),
            &[
                &has_formed,
                "b has the peer URL https://10.0.0.5:2380, not https://10.0.0.50:2380",
                "member update",
            ],
        ),
        (
            "another name",
            changed("name = \"b\"", "name = \"x\""),
            &["small has formed", "the member at https://10.0.0.5:2380 is b, not x"],
        ),
        (
            "another token",
            changed("name = \"small\"", "name = \"small\", token = \"other\""),
            &["the token is other", "take [cluster] token out of the profile", "another --keystore"],
        ),
        (
            "another CA key",
            changed("leaf-algorithm", "ca-algorithm = \"p384\", leaf-algorithm"),
            &["the CA's key would be p384", "set [pki] ca-algorithm = \"p256\" (leaf-algorithm may change)"],
        ),
        (
            "all at once",
            changed("10.0.0.5", "10.0.0.50")
                .replace("leaf-algorithm", "ca-lifetime = \"5y\", leaf-algorithm")
                + FOURTH,
            &["made for 5y instead of 10y", "d (https://10.0.0.7:2380)", "b has the peer URL"],
        ),
        (
            "a release that etcd cannot go back to",
            changed("3.5.16", "3.4.23"),
            &["etcd 3.4.23 does not start with the data of 3.5: set [etcd] version to a release of 3.5"],
        ),
    ];
    all_are_refused(&work, changes);

    // Another CA.
    let before = list(&work);
    own_ca(&work);
    let message = refused(&mut import(&work), 6);
    assert!(message.contains("keystore/small is sealed: its cluster has formed under the CA"), "{message}");
    assert!(message.contains("kiln keystore init small --keystore DIR"), "{message}");
    assert_eq!(list(&work), before);

    // What may change.
    work.file(
        "small.toml",
        changed("leaf-algorithm = \"p256\"", "leaf-algorithm = \"ed25519\", leaf-lifetime = \"90d\""),
    );
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["keystore", "renew", "small", "--issued", "2026-02-01"]));
    run(&mut build(&work, &[]));
    work.file("small.toml", changed("3.5.16", "3.5.30"));
    run(&mut build(&work, &[]));
}

fn own_ca(work: &Workshop) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(work.path()).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    run(openssl.args([
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-days",
        "3650",
        "-subj",
        "/CN=outside",
    ]));
}

fn import(work: &Workshop) -> Command {
    work.kiln(["keystore", "import-ca", "small", "--cert", "ca.pem", "--key", "ca.key"])
}

/// Nodes of an unsealed cluster may run all the same: their certificates bind them to one CA.
#[test]
fn certificates_of_one_keystore_come_from_one_ca() {
    let work = workshop();
    own_ca(&work);
    run(&mut build(&work, &[]));
    let changes: Changes = &[
        (
            "another key",
            changed("leaf-algorithm", "ca-algorithm = \"ed25519\", leaf-algorithm"),
            &["this profile does not fit the keystore keystore/small", "the CA's key would be ed25519"],
        ),
        (
            "another life",
            changed("leaf-algorithm", "ca-lifetime = \"20y\", leaf-algorithm"),
            &["set [pki] ca-lifetime = \"10y\" (leaf-lifetime may change)"],
        ),
    ];
    all_are_refused(&work, changes);
    let message = refused(&mut import(&work), 6);
    assert!(message.contains("has issued certificates under its own CA"), "{message}");
    // Nothing has formed yet, as far as the keystore knows.
    work.file("small.toml", format!("{}{FOURTH}", changed("10.0.0.5", "10.0.0.50")));
    run(&mut build(&work, &[]));

    // Before the first build, a CA can be imported: once.
    let work = workshop();
    own_ca(&work);
    run(&mut import(&work));
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    // The imported one has its own key and life.
    work.file("small.toml", changed("leaf-algorithm", "ca-algorithm = \"ed25519\", leaf-algorithm"));
    run(&mut build(&work, &[]));
    refused(&mut import(&work), 6);
    assert!(list(&work).contains("ca-sha256 = "), "{}", list(&work));
}

#[test]
fn a_keystore_from_before_the_record_is_read_as_it_is_and_learns_it() {
    let work = workshop();
    run(&mut build(&work, &[]));
    let bundle = snapshot(&work.path().join("out"));
    forget(&work);
    let old = list(&work);
    run(&mut work.kiln(["check", "out/small"]));
    run(work.kiln(["check", "--profile", "small.toml", "--artifacts"]).arg(store()));
    assert_eq!(list(&work), old, "check writes nothing");
    // A build that fails records nothing.
    work.file("site/etc/broken.hbs", "{{nope}}\n");
    refused(&mut build(&work, &["--overlays", "site"]), 3);
    assert_eq!(list(&work), old);
    run(&mut build(&work, &[]));
    assert!(
        list(&work).contains("\n[issued]\nca-algorithm = \"p256\"\nca-lifetime = \"10y\"\netcd = \"3.5\"\n")
    );
    assert_eq!(snapshot(&work.path().join("out")), bundle, "the bytes are the same");
    let mode = fs::metadata(work.path().join("keystore/small/keystore.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_sealed_keystore_from_before_the_record_learns_it_from_a_bundle_only() {
    let work = workshop();
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    run(&mut build(&work, &[]));
    let whole = list(&work);
    forget(&work);
    let old = list(&work);
    assert!(old.contains("\nsealed = ["), "{old}");

    // Never from the profile that is being built, nor from another cluster's bundle.
    run(&mut work.kiln(["keystore", "init", "small", "--keystore", "another"]));
    run(&mut build(&work, &["--keystore", "another", "--out", "other"]));
    for out in ["elsewhere", "other"] {
        let message = refused(&mut build(&work, &["--out", out]), 6);
        assert!(
            message.contains("was sealed in keystore/small before kiln recorded what formed"),
            "{message}"
        );
        assert!(message.contains("kiln seal --adopt BUNDLE"), "{message}");
        assert_eq!(list(&work), old);
    }
    refused(&mut work.kiln(["seal", "--adopt", "other"]), 6);

    // From the bundle at --out: the profile that would make another cluster of it is refused, and nothing is written down.
    work.file("small.toml", format!("{SMALL}{FOURTH}"));
    let message = refused(&mut build(&work, &[]), 6);
    assert!(message.contains("d (https://10.0.0.7:2380) is no member"), "{message}");
    assert_eq!(list(&work), old);
    work.file("small.toml", SMALL);
    run(&mut build(&work, &[]));
    assert_eq!(list(&work), whole);

    // Or by name.
    forget(&work);
    let said = run(&mut work.kiln(["seal", "out/small"]));
    assert!(said.contains("already, without a record") && said.contains("--adopt"), "{said}");
    assert_eq!(list(&work), old);
    let said = run(&mut work.kiln(["seal", "--adopt", "out/small"]));
    assert!(said.contains("recorded in keystore/small what small"), "{said}");
    assert_eq!(list(&work), whole);
    run(&mut work.kiln(["seal", "--adopt", "out/small"]));
    run(&mut build(&work, &["--out", "elsewhere"]));
}

#[test]
fn what_is_not_sealed_is_not_adopted_and_a_seal_is_not_changed() {
    let work = workshop();
    run(&mut build(&work, &[]));
    let message = refused(&mut work.kiln(["seal", "--adopt", "out/small"]), 6);
    assert!(message.contains("is not sealed in keystore/small"), "{message}");
    // Two bundles of one keystore and one token, of which one has formed.
    work.file("small.toml", format!("{SMALL}{FOURTH}"));
    run(&mut build(&work, &["--out", "four"]));
    run(&mut work.kiln(["seal", "out/small"]));
    let before = list(&work);
    for arguments in [&["seal", "four"][..], &["seal", "--adopt", "four"]] {
        let message = refused(&mut work.kiln(arguments), 6);
        assert!(
            message.contains("is sealed in keystore/small with other members than this bundle has"),
            "{message}"
        );
        assert_eq!(list(&work), before);
    }
    // A bundle whose IDs were changed by hand.
    let path = work.path().join("four/bundle.json");
    let text = fs::read_to_string(&path).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    for id in [&manifest["cluster"]["id"], &manifest["nodes"][1]["member_id"]] {
        fs::write(&path, text.replace(id.as_str().unwrap(), "abcdef")).unwrap();
        refused(&mut work.kiln(["seal", "four"]), 1);
    }
}

/// The bundle's clients trust the root, and members the intermediate: the seal finds the CA that issued.
#[test]
fn a_cluster_under_an_intermediate_ca_is_sealed_by_the_ca_that_issued() {
    let work = workshop();
    let script = "set -e; new() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $1.key; }; new root; new ca; \
                  openssl req -x509 -new -key root.key -subj /CN=root -days 3650 -out root.pem; \
                  openssl req -x509 -new -key ca.key -CA root.pem -CAkey root.key -subj /CN=issuing -days 3650 \
                  -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign -out sub.pem; \
                  cat sub.pem root.pem >ca.pem";
    run(Command::new("sh").args(["-c", script]).current_dir(work.path()));
    run(&mut import(&work));
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    run(&mut build(&work, &[]));
    assert_eq!(list(&work).matches("ca-sha256 = ").count(), 2, "{}", list(&work));
    work.file("small.toml", format!("{SMALL}{FOURTH}"));
    refused(&mut build(&work, &[]), 6);
}

/// As README, "Changing a formed cluster", has the files of a fourth member made.
#[test]
fn a_second_keystore_with_the_same_secret_issues_under_the_same_ca() {
    let work = workshop();
    run(&mut work.kiln(["keystore", "renew", "small", "--issued", "2026-02-01"]));
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    // The test's secret is one that a seed must not be.
    work.keystore_at("aside/small", "small");
    work.file("small.toml", format!("{SMALL}{FOURTH}"));
    run(&mut build(&work, &["--keystore", "aside/small", "--out", "aside/four"]));
    let read = |path: &str| fs::read(work.path().join(path)).unwrap();
    assert_eq!(read("out/small/client/ca.pem"), read("aside/four/client/ca.pem"));
    let token = |path: &str| -> Value {
        let manifest: Value = serde_json::from_slice(&read(path)).unwrap();
        manifest["cluster"]["token"].clone()
    };
    assert_eq!(token("out/small/bundle.json"), token("aside/four/bundle.json"));
}

#[test]
fn show_says_what_is_recorded() {
    let work = workshop();
    let shown = run(&mut work.kiln(["keystore", "show", "small"]));
    assert!(shown.contains("CA     derived; the first build fixes its algorithm and its life\n"), "{shown}");
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    let shown = run(&mut work.kiln(["keystore", "show", "small"]));
    let json: Value =
        serde_json::from_str(&run(&mut work.kiln(["keystore", "show", "small", "--json"]))).unwrap();
    let manifest: Value =
        serde_json::from_slice(&fs::read(work.path().join("out/small/bundle.json")).unwrap()).unwrap();
    let (cluster, nodes) = (&manifest["cluster"], &manifest["nodes"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for want in [
        "CA     derived, CN=small etcd CA, p256, 2025-12-31T00:00:00Z to 2035-12-30T00:00:00Z\n".to_owned(),
        format!("sealed {}, cluster ID {}, etcd 3.5.16\n", text(&cluster["token"]), text(&cluster["id"])),
        format!("b {} https://10.0.0.5:2380\n", text(&nodes[1]["member_id"])),
    ] {
        assert!(shown.contains(&want), "{want}: {shown}");
    }
    assert_eq!(json["authority"]["subject"], "CN=small etcd CA");
    assert_eq!(json["authority"]["algorithm"], "p256");
    assert_eq!(json["authority"]["not_after"], "2035-12-30T00:00:00Z");
    assert_eq!(json["formed"][0]["id"], cluster["id"]);
    assert_eq!(json["formed"][0]["members"][2]["id"], nodes[2]["member_id"]);
    assert_eq!(json["formed"][0]["members"][2]["peer_url"], nodes[2]["peer_urls"][0]);
    assert_eq!(json["sealed"][0], cluster["token"]);
}

/// The plan of the profile with another release.
fn plan(keystore: &Keystore, version: &str) -> Plan {
    let text =
        SMALL.replace("3.5.16", version).replace("name = \"small\" }", "name = \"small\", formed = true }");
    let source = Source::file(Path::new("small.toml"), text.into_bytes());
    let available = [(version.parse().unwrap(), "amd64".parse().unwrap())];
    match profile::read(&source, &available, kiln::carrier::all()) {
        Ok((profile, _)) => plan::resolve(&profile, keystore.token()),
        Err(mistakes) => panic!("{}", mistakes.into_failure(false)),
    }
}

/// What a bundle of this plan says, without a bundle.
fn witness(keystore: &Keystore, plan: &Plan) -> Witness {
    let pki = &plan.pki;
    let authority = kiln::pki::Authority::new(keystore, pki.ca_algorithm, pki.ca_lifetime).unwrap();
    let leaf = authority.issue(&plan.clients[0], pki.leaf_algorithm, pki.leaf_lifetime).unwrap();
    Witness {
        token: plan.cluster.token.clone(),
        release: plan.release,
        members: plan.nodes.iter().map(|node| (node.name.clone(), node.peer_url.parse().unwrap())).collect(),
        certificate: leaf.cert_pem.into_bytes(),
        trust: authority.trust_pem().unwrap().into_bytes(),
    }
}

#[test]
fn etcd_goes_one_minor_release_at_a_time_and_never_back() {
    let work = workshop();
    let dir = work.path().join("keystore/small");
    let name = "small".parse().unwrap();
    let mut keystore = Keystore::open(&dir, &name).unwrap();
    let witnesses: Vec<Witness> = ["3.4.30", "3.5.16", "3.6.4"]
        .iter()
        .map(|version| witness(&keystore, &plan(&keystore, version)))
        .collect();

    // Before the seal nothing says what runs, so that there are warnings only.
    assert!(keystore.admit(&dir, &plan(&keystore, "3.5.16")).unwrap().is_empty());
    keystore.save(&dir).unwrap();
    assert!(keystore.admit(&dir, &plan(&keystore, "3.5.30")).unwrap().is_empty() && !keystore.is_unsaved());
    let remarks = keystore.admit(&dir, &plan(&keystore, "3.4.30")).unwrap();
    assert!(matches!(&remarks[..], [Remark::Warning(text)] if text.contains("etcd does not go back to 3.4")));
    drop(keystore);

    assert_eq!(Keystore::seal(&dir, &name, &witnesses[0], false).unwrap(), Sealed::New);
    for (sealed, version, verdict) in [
        (None, "3.4.23", Ok("")),
        (None, "3.5.16", Ok("small formed with etcd 3.4: bring 3.5 to one member at a time")),
        (None, "3.6.4", Err("and 3.6.4 is more than one from 3.4: build with 3.5 first")),
        (Some((1, Sealed::Newer)), "3.5.30", Ok("")),
        (None, "3.6.4", Ok("bring 3.6 to one member")),
        (None, "3.4.30", Err("etcd 3.4.30 does not start with the data of 3.5")),
        // An older bundle does not turn it back.
        (Some((0, Sealed::Already)), "3.4.30", Err("does not start with the data of 3.5")),
        (Some((2, Sealed::Newer)), "3.5.30", Err("does not start with the data of 3.6")),
    ] {
        if let Some((at, outcome)) = sealed {
            assert_eq!(Keystore::seal(&dir, &name, &witnesses[at], false).unwrap(), outcome);
        }
        let mut keystore = Keystore::open(&dir, &name).unwrap();
        let plan = plan(&keystore, version);
        match (keystore.admit(&dir, &plan), verdict) {
            (Ok(remarks), Ok("")) => assert!(!remarks.iter().any(|remark| matches!(remark, Remark::Note(_)))),
            (Ok(remarks), Ok(want)) => {
                assert!(matches!(&remarks[0], Remark::Note(text) if text.contains(want)), "{version}");
            }
            (Err(failure), Err(want)) => {
                assert_eq!(failure.exit(), Exit::Unsafe);
                assert!(failure.to_string().contains(want), "{failure}");
            }
            (verdict, _) => {
                panic!("{version}: {}", verdict.map_or_else(|why| why.to_string(), |_| "taken".into()))
            }
        }
    }
}

/// Two hundred at a time, one of which another run has changed since it was read.
#[test]
fn many_keystores_are_recorded_at_once_and_none_over_another_runs_work() {
    let work = Workshop::new();
    let name = |number: usize| format!("c{number}").parse().unwrap();
    let path = |number: usize| work.path().join(format!("keystore/c{number}"));
    let issued = "2026-01-01".parse().unwrap();
    let drafts = (0..250).map(|n| (Keystore::draft(&name(n), None, issued).unwrap(), path(n))).collect();
    Keystore::save_all(drafts, || Ok(())).unwrap();
    let text = SMALL.replace("\"small\"", "\"c\"");
    let source = Source::file(Path::new("small.toml"), text.into_bytes());
    let available = [("3.5.16".parse().unwrap(), "amd64".parse().unwrap())];
    let Ok((profile, _)) = profile::read(&source, &available, kiln::carrier::all()) else {
        panic!("the profile is wrong")
    };
    let admitted = || -> Vec<_> {
        let admit = |number: usize| {
            let mut keystore = Keystore::open(&path(number), &name(number)).unwrap();
            keystore.admit(&path(number), &plan::resolve(&profile, keystore.token())).unwrap();
            keystore.release();
            (keystore, path(number))
        };
        (0..250).map(admit).filter(|(keystore, _)| keystore.is_unsaved()).collect()
    };
    let all = admitted();
    assert_eq!(all.len(), 250);
    drop(Keystore::renew(&path(249), &name(249), issued).unwrap());
    let failure = Keystore::save_all(all, || Ok(())).unwrap_err();
    assert_eq!(failure.exit(), Exit::Locked);
    assert!(failure.to_string().contains("another run changed"), "{failure}");
    assert_eq!(Keystore::open(&path(249), &name(249)).unwrap().issue_number(), 2);
    // The first two hundred are done, and the others none.
    let rest = admitted();
    assert_eq!(rest.len(), 50);
    Keystore::save_all(rest, || Ok(())).unwrap();
    assert!(admitted().is_empty());
    let left: Vec<_> = kiln::disk::walk(&work.path().join("keystore"))
        .unwrap()
        .into_iter()
        .filter(|found| found.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
        .collect();
    assert!(left.is_empty());
}

/// Built in another directory, or after its keystore was lost: the bundle may be the only one that says what runs.
#[test]
fn the_bundle_of_a_formed_cluster_is_not_replaced_by_one_from_another_keystore() {
    let work = workshop();
    run(&mut build(&work, &[]));
    // Until it has formed, it is said.
    let output = build(&work, &["--quiet", "--keystore", "second"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("out/small is the bundle of another cluster"), "{said}");
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    run(&mut build(&work, &[]));
    let before = snapshot(&work.path().join("out/small"));
    fs::create_dir(work.path().join("sites")).unwrap();
    fs::copy(work.path().join("small.toml"), work.path().join("sites/small.toml")).unwrap();
    for keystore in ["second", "third"] {
        let message = refused(&mut build(&work, &["--keystore", keystore]), 6);
        assert!(message.contains("out/small is the bundle of a cluster that has formed"), "{message}");
        let mut check =
            work.kiln(["check", "--profile", "small.toml", "--keystore", keystore, "--artifacts"]);
        refused(check.arg(store()), 6);
    }
    assert!(!work.path().join("third").exists());
    assert!(snapshot(&work.path().join("out/small")) == before);
}

/// Leaves end with their CA: a renewal after that would only make a keystore from which nothing can be built.
#[test]
fn a_keystore_whose_ca_has_ended_is_not_renewed() {
    let work = workshop();
    run(&mut work.kiln(["keystore", "init", "old", "--issued", "2010-01-01"]));
    work.file("old.toml", SMALL.replace("\"small\"", "\"old\""));
    run(work.kiln(["build", "--profile", "old.toml", "--artifacts"]).arg(store()));
    let path = work.path().join("keystore/old/keystore.toml");
    let before = fs::read(&path).unwrap();
    let message = refused(&mut work.kiln(["keystore", "renew", "old"]), 4);
    assert!(message.contains("the CA of old ended on 2019-12-30") && message.contains("Nothing was changed"));
    assert_eq!(fs::read(&path).unwrap(), before);
    run(&mut work.kiln(["keystore", "renew", "old", "--issued", "2019-01-01"]));
}
