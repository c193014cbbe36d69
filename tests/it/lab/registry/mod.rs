//! `kiln push` and `kiln pull`, through the program, against Debian's docker-registry and read by skopeo.

mod daemon;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{self, Workshop, ha3_with, peak, refused, reseal, run, snapshot};
use daemon::{Registry, Setup, answering, broken_way, dripping, htpasswd};

/// Three nodes whose binaries lie apart, and the same with another token.
fn workshop() -> Workshop {
    let work = Workshop::new();
    let shared = "[bundle]\nbinaries = \"shared\"\n\n# Client certificates";
    for token in ["one", "two"] {
        let name = format!("name = \"ha3\"\ntoken = \"{token}\"");
        let text = ha3_with(&[("name = \"ha3\"", &name), ("# Client certificates", shared)]);
        work.file(&format!("{token}.toml"), text);
    }
    work.keystore("ha3");
    work
}

/// A verb of this kiln with no login of whoever runs the test.
fn kiln(work: &Workshop, arguments: &[&str]) -> Command {
    let mut command = work.kiln(arguments);
    command.env("HOME", work.path()).env_remove("REGISTRY_AUTH_FILE").env_remove("DOCKER_CONFIG");
    for proxy in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "https_proxy", "http_proxy"] {
        // Nobody listens there: a connection to this machine goes through no proxy.
        command.env(proxy, "http://127.0.0.1:1");
    }
    command
}

#[track_caller]
fn json(command: &mut Command) -> Value {
    serde_json::from_str(&run(command.arg("--json"))).unwrap()
}

/// Not `assert_eq!`, which would print private keys by the megabyte.
#[track_caller]
fn assert_same(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(snapshot);
    assert!(one.len() > 21 && other.len() > 21);
    let names = |all: &[(String, u32, Vec<u8>)]| -> Vec<_> {
        all.iter().map(|(name, mode, content)| format!("{mode:o} {:>9} {name}", content.len())).collect()
    };
    assert_eq!(names(&one), names(&other));
    assert!(one == other, "the same names with other bytes");
}

/// The names in a directory, hidden ones too.
fn list(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn manifest(bundle: &Path) -> Value {
    serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap()
}

#[test]
fn what_is_pulled_is_what_was_pushed() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let one = work.build("one.toml");
    let address = registry.address("clusters/ha3:one");

    let output = kiln(&work, &["push", "out/one", &address]).output().unwrap();
    let [printed, said] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{said}");
    assert!(said.contains("has the private keys of these nodes"), "{said}");
    assert!(
        printed.contains(": sent ") && printed.contains(", 0 blobs (0.0 MB) were there already\n"),
        "{printed}"
    );
    let pinned = printed.lines().last().unwrap().to_owned();
    assert!(pinned.contains("/clusters/ha3@sha256:"), "{printed}");

    // By tag, by digest, and over an older bundle.
    let output = kiln(&work, &["pull", &address]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains(&format!(
            "the tag one can be moved to another bundle; pull {pinned} to get this one again"
        )),
        "{said}"
    );
    assert_same(&one, &work.path().join("out/ha3"));
    let output = kiln(&work, &["pull", &pinned, "--out", "elsewhere/deep"]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    assert_same(&one, &work.path().join("elsewhere/deep"));
    work.build("two.toml");
    let pulled = json(&mut kiln(&work, &["pull", &address, "--out", "out/two"]));
    assert_same(&one, &work.path().join("out/two"));
    assert_eq!(list(&work.path().join("elsewhere")), ["deep"]);
    assert_eq!(pulled["pinned"], pinned.as_str());
    assert_eq!(pulled["cluster"]["token"], "one");
    assert_eq!(pulled["files"], manifest(&one)["files"].as_object().unwrap().len() + 2);
    run(&mut kiln(&work, &["check", "out/two"]));
}

#[test]
fn nothing_is_sent_twice() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let (one, two) = (work.build("one.toml"), work.build("two.toml"));
    let layers = ["layers/etcd.tar.gz", "layers/etcd.cpio.gz", "layers/layer.iso"];
    let size = |path: &str| fs::metadata(one.join(path)).unwrap().len();
    let shared: u64 = layers.iter().map(|path| size(path)).sum();
    assert!(shared > 50_000_000, "{shared}");

    let push = |bundle: &str, tag: &str| {
        json(&mut kiln(&work, &["push", bundle, &registry.address(&format!("ha3:{tag}"))]))
    };
    let first = push("out/one", "one");
    assert!(first["sent"]["bytes"].as_u64().unwrap() > shared, "{first}");
    assert_eq!(first["there"]["blobs"], 0);
    assert_eq!(first["unchanged"], false);

    let again = push("out/one", "one");
    assert_eq!((&again["sent"]["blobs"], &again["sent"]["bytes"]), (&0.into(), &0.into()), "{again}");
    assert_eq!(again["unchanged"], true);
    assert_eq!(again["pinned"], first["pinned"], "the same bundle is the same manifest");
    assert_eq!(again["there"], first["sent"]);
    // Another tag for the same bundle is one manifest more, of the same digest.
    let renamed = push("out/one", "latest");
    assert_eq!(renamed["sent"]["blobs"], 0);
    assert_eq!(renamed["unchanged"], false);
    assert_eq!(renamed["pinned"], first["pinned"]);

    let other = push("out/two", "two");
    assert!(other["there"]["bytes"].as_u64().unwrap() >= shared, "{other}");
    assert!(other["sent"]["bytes"].as_u64().unwrap() < 5_000_000, "{other}");
    for path in layers {
        let sha256 = &manifest(&one)["files"][path]["sha256"];
        assert_eq!(sha256, &manifest(&two)["files"][path]["sha256"]);
        assert_eq!(fs::metadata(registry.blob(sha256.as_str().unwrap())).unwrap().len(), size(path));
    }
    let stored: u64 = registry.blobs().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(stored < shared + 10_000_000, "{stored} bytes are stored for two bundles");
}

#[test]
fn skopeo_reads_what_kiln_wrote() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let bundle = work.build("one.toml");
    let pushed = json(&mut kiln(&work, &["push", "out/one", &registry.address("ha3:one")]));
    let docker = format!("docker://{}/ha3:one", registry.host());
    let skopeo = |arguments: &[&str]| run(Command::new("skopeo").arg("--insecure-policy").args(arguments));

    let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &docker]);
    let image: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(image["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(image["artifactType"], "application/vnd.kiln.bundle.v1");
    assert_eq!(image["config"]["mediaType"], "application/vnd.kiln.bundle.manifest.v1+json");

    // skopeo computes every digest on its way; what it wrote is the bundle, file by file.
    let copy = work.path().join("copy");
    skopeo(&["copy", "--src-tls-verify=false", &docker, &format!("oci:{}:one", copy.display())]);
    let blob =
        |digest: &Value| fs::read(copy.join("blobs/sha256").join(&digest.as_str().unwrap()[7..])).unwrap();
    let index: Value = serde_json::from_slice(&fs::read(copy.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    assert!(pushed["pinned"].as_str().unwrap().ends_with(digest), "{pushed} {digest}");
    assert!(blob(&image["config"]["digest"]) == fs::read(bundle.join("bundle.json")).unwrap());
    let mut titles = Vec::new();
    for layer in image["layers"].as_array().unwrap() {
        let title = layer["annotations"]["org.opencontainers.image.title"].as_str().unwrap();
        assert_eq!(layer["mediaType"], "application/vnd.kiln.bundle.file.v1");
        assert!(blob(&layer["digest"]) == fs::read(bundle.join(title)).unwrap(), "{title}");
        titles.push(title.to_owned());
    }
    let mut files: Vec<_> = manifest(&bundle)["files"].as_object().unwrap().keys().cloned().collect();
    files.extend(["SHA256SUMS".to_owned(), "bundle.json".to_owned()]);
    files.sort();
    assert_eq!(titles, files);

    // And what skopeo copies to another registry is a bundle there.
    let second = Registry::start(Setup::default());
    let to = format!("docker://{}/moved:x", second.host());
    skopeo(&["copy", "--src-tls-verify=false", "--dest-tls-verify=false", &docker, &to]);
    run(&mut kiln(&work, &["pull", &second.address("moved:x")]));
    assert_same(&bundle, &work.path().join("out/moved"));
}

#[test]
fn a_damaged_blob_is_refused_and_nothing_is_left() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let bundle = work.build("one.toml");
    let address = registry.address("ha3:one");
    run(&mut kiln(&work, &["push", "out/one", &address]));
    let blob = |path: &str| registry.blob(manifest(&bundle)["files"][path]["sha256"].as_str().unwrap());
    let seed = blob("nodes/cp-a/seed.iso");
    let config = registry
        .blob(run(Command::new("sha256sum").arg(bundle.join("bundle.json"))).split(' ').next().unwrap());
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, &Path, Damage, &str); 5] = [
        ("turned", &seed, |bytes| bytes[40_000] ^= 1, "nodes/cp-a/seed.iso: it came with the SHA-256"),
        ("shorter", &seed, |bytes| bytes.truncate(9_000), "the registry has 9000 bytes of it, not"),
        ("longer", &seed, |bytes| bytes.extend([0; 4096]), "the registry sends more than its"),
        ("empty", &seed, |bytes| bytes.clear(), "the registry has 0 bytes of it, not"),
        ("manifest", &config, |bytes| bytes[9] ^= 1, "bundle.json: it came with the SHA-256"),
    ];
    for (name, path, damage, want) in damages {
        let good = fs::read(path).unwrap();
        let mut bad = good.clone();
        damage(&mut bad);
        fs::write(path, &bad).unwrap();
        let said = refused(&mut kiln(&work, &["pull", &address, "--out", &format!("{name}/ha3")]), 4);
        assert!(said.contains(want), "{name}: {said}");
        let left = list(&work.path().join(name));
        assert!(left.is_empty(), "{name}: {left:?}");
        // What was there before stays.
        refused(&mut kiln(&work, &["pull", &address, "--out", "out/one"]), 4);
        fs::write(path, &good).unwrap();
    }
    assert_same(&bundle, &{
        run(&mut kiln(&work, &["pull", &address]));
        work.path().join("out/ha3")
    });
}

#[test]
fn what_is_not_a_bundle_is_refused() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let bundle = work.build("one.toml");
    let address = registry.address("ha3:one");
    run(&mut kiln(&work, &["push", "out/one", &address]));

    // Unknown names, and a registry that is not there.
    let said = refused(&mut kiln(&work, &["pull", &registry.address("ha3:two")]), 2);
    assert!(said.contains(&format!("tag two not found in {}/ha3", registry.host())), "{said}");
    let none = format!("oci://127.0.0.1:{}/ha3:one", daemon::free_port());
    for arguments in [["pull", &none].as_slice(), &["push", "out/one", &none]] {
        let said = refused(&mut kiln(&work, arguments), 5);
        assert!(said.contains("refused"), "{said}");
    }
    // An image of somebody else's.
    registry.put_manifest("ha3", "image", |image| image["artifactType"] = "application/vnd.other".into());
    let said = refused(&mut kiln(&work, &["pull", &registry.address("ha3:image")]), 4);
    assert!(
        said.contains("it is not a bundle that kiln push wrote, but \"application/vnd.other\""),
        "{said}"
    );
    // More than is held, and nothing of it is asked for.
    registry.put_manifest("ha3", "large", |image| image["config"]["size"] = ((96 << 20) + 1).into());
    let said = refused(&mut kiln(&work, &["pull", &registry.address("ha3:large")]), 4);
    assert!(said.contains("its bundle.json has 100663297 bytes"), "{said}");
    // Layers that differ from what bundle.json says.
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 5] = [
        (
            "missing",
            |image| drop(image["layers"].as_array_mut().unwrap().pop()),
            "is not what bundle.json says",
        ),
        (
            "more",
            |image| {
                let mut layer = image["layers"][0].clone();
                layer["annotations"]["org.opencontainers.image.title"] = "../../etc/passwd".into();
                image["layers"].as_array_mut().unwrap().push(layer);
            },
            "which bundle.json does not list",
        ),
        (
            "twice",
            |image| {
                let layer = image["layers"][0].clone();
                image["layers"].as_array_mut().unwrap().push(layer);
            },
            "twice",
        ),
        ("size", |image| image["layers"][3]["size"] = 7.into(), "is not what bundle.json says"),
        (
            "swapped",
            |image| {
                let other = image["layers"][4]["digest"].clone();
                image["layers"][3]["digest"] = other;
            },
            "is not what bundle.json says",
        ),
    ];
    for (tag, change, want) in changes {
        registry.put_manifest("ha3", tag, change);
        let said = refused(&mut kiln(&work, &["pull", &registry.address(&format!("ha3:{tag}"))]), 4);
        assert!(said.contains(want), "{tag}: {said}");
    }
    // What stands at the target, is held or is not a bundle, stays.
    fs::create_dir(work.path().join("mine")).unwrap();
    work.file("mine/notes", "x");
    let said = refused(&mut kiln(&work, &["pull", &address, "--out", "mine"]), 6);
    assert!(said.contains("mine is a directory that kiln did not make"), "{said}");
    assert_eq!(list(&work.path().join("mine")), ["notes"]);
    assert_eq!(list(&work.path().join("out")), ["one"]);
    assert!(bundle.join("bundle.json").exists());
}

/// A manifest that a stranger has written; the image manifest and SHA256SUMS go with it.
#[test]
fn pull_modes_and_escapes_are_not_the_manifests_to_say() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let bundle = work.build("one.toml");
    run(&mut kiln(&work, &["push", "out/one", &registry.address("ha3:one")]));
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 5] = [
        (
            "open",
            |m| {
                m["files"].as_object_mut().unwrap().values_mut().for_each(|file| file["mode"] = "0666".into())
            },
            "client/etcdctl-key.pem has the mode 0666 in the manifest; it is 0600 in every bundle",
        ),
        ("setuid", |m| m["files"]["network.xml"]["mode"] = "4755".into(), "it is 0644 in every bundle"),
        ("token", |m| m["cluster"]["token"] = "\u{1b}]0;x\u{7}".into(), "use A-Z"),
        ("version", |m| m["etcd"]["version"] = "3.5.16\u{9b}31m".into(), "three numbers"),
        ("ids", |m| m["nodes"][0]["member_id"] = "1".into(), "has the member ID 1"),
    ];
    for (tag, change, want) in changes {
        let copy = work.path().join(tag);
        run(Command::new("cp").arg("-al").arg(&bundle).arg(&copy));
        reseal(&copy, change);
        let files = ["bundle.json", "SHA256SUMS"].map(|name| {
            let bytes = fs::read(copy.join(name)).unwrap();
            (name, registry.put_blob("ha3", &bytes), bytes.len())
        });
        registry.put_manifest("ha3", tag, |image| {
            for (name, digest, size) in files {
                let layers = image["layers"].as_array_mut().unwrap();
                let is = |layer: &&mut Value| layer["annotations"]["org.opencontainers.image.title"] == name;
                let layer = layers.iter_mut().find(is).unwrap();
                layer["digest"] = digest.clone().into();
                layer["size"] = size.into();
                if name == "bundle.json" {
                    image["config"]["digest"] = digest.into();
                    image["config"]["size"] = size.into();
                }
            }
        });
        let out = format!("pulled/{tag}");
        let said =
            refused(&mut kiln(&work, &["pull", &registry.address(&format!("ha3:{tag}")), "--out", &out]), 4);
        assert!(said.contains(want), "{tag}: {said}");
        assert!(!said.contains(|c| c != '\n' && kiln::values::steers(c)), "{tag}: {said:?}");
        assert!(!work.path().join(&out).exists());
    }
}

#[test]
fn only_what_is_as_it_was_built_is_pushed() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let bundle = work.build("one.toml");
    let address = registry.address("ha3:one");
    let listing = bundle.join("nodes/cp-a/listing.txt");
    fs::write(&listing, fs::read_to_string(&listing).unwrap() + "x").unwrap();
    let said = refused(&mut kiln(&work, &["push", "out/one", &address]), 1);
    assert!(said.contains("nothing was pushed") && said.contains("nodes/cp-a/listing.txt has"), "{said}");
    work.build("one.toml");
    fs::set_permissions(bundle.join("nodes/cp-a/seed.iso"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = refused(&mut kiln(&work, &["push", "out/one", &address]), 1);
    assert!(said.contains("has mode 0644, not 0600"), "{said}");
    assert!(registry.blobs().is_empty());

    fs::create_dir(work.path().join("fleet")).unwrap();
    work.file("fleet/fleet.json", "{}");
    let said = refused(&mut kiln(&work, &["push", "fleet", &address]), 2);
    assert!(said.contains("fleet is a fleet"), "{said}");
    refused(&mut kiln(&work, &["push", "nowhere", &address]), 2);
    for (address, want) in [
        (registry.address("ha3"), "it names no tag; append :TAG"),
        (registry.address(&format!("ha3@sha256:{}", "0".repeat(64))), "name a tag to push to"),
        ("oci://ann:sesame@registry.lan/ha3:one".to_owned(), "user name before the host"),
    ] {
        let said = refused(&mut kiln(&work, &["push", "out/one", &address]), 2);
        assert!(said.contains(want) && !said.contains("sesame"), "{said}");
    }
}

#[test]
fn a_password_opens_and_a_wrong_one_does_not() {
    let work = workshop();
    let registry =
        Registry::start(Setup { htpasswd: Some(htpasswd("ann", "open sesame")), ..Setup::default() });
    let bundle = work.build("one.toml");
    let address = registry.address("ha3:one");
    work.file("right", "open sesame\n");
    work.file("wrong", "open barley\n");
    let login = |verb: &[&str], file: &str| {
        kiln(&work, &[verb, &["--username", "ann", "--password-file", file]].concat())
    };

    for verb in [&["push", "out/one", &address][..], &["pull", &address]] {
        let said = refused(&mut kiln(&work, verb), 5);
        assert!(said.contains("asks for a user name and a password"), "{said}");
        let said = refused(&mut login(verb, "wrong"), 5);
        assert!(said.contains("does not take this user name and password"), "{said}");
        assert!(!said.contains("barley") && !said.contains("sesame"), "{said}");
    }
    assert!(registry.blobs().is_empty());
    run(&mut login(&["push", "out/one", &address], "right"));
    run(&mut login(&["pull", &address], "right"));
    assert_same(&bundle, &work.path().join("out/ha3"));

    // What `docker login` and `podman login` write.
    let pair = "YW5uOm9wZW4gc2VzYW1l"; // ann:open sesame
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"{pair}"}}}}}}"#, registry.host());
    work.file(".docker/config.json", &config);
    work.file("docker/config.json", &config);
    work.file("auth.json", &config);
    run(&mut kiln(&work, &["pull", &address]));
    fs::remove_dir_all(work.path().join(".docker")).unwrap();
    run(kiln(&work, &["pull", &address]).env("DOCKER_CONFIG", "docker"));
    run(kiln(&work, &["pull", &address]).env("REGISTRY_AUTH_FILE", "auth.json"));
    let said = refused(kiln(&work, &["pull", &address]).env("REGISTRY_AUTH_FILE", "not-there.json"), 5);
    assert!(said.contains("reading not-there.json"), "{said}");
    work.file("docker/config.json", r#"{"credsStore":"secretservice"}"#);
    let said = refused(kiln(&work, &["pull", &address]).env("DOCKER_CONFIG", "docker"), 5);
    assert!(said.contains("the credential store \"secretservice\", which kiln does not ask"), "{said}");
}

#[test]
fn a_token_is_had_from_where_the_registry_says() {
    let work = workshop();
    let bundle = work.build("one.toml");
    let (tokens, setup) = daemon::token_server("ann", "open sesame");
    let registry = Registry::start(setup);
    let address = registry.address("clusters/ha3:one");
    work.file("right", "open sesame");
    work.file("wrong", "open barley");
    let login = |verb: &[&str], file: &str| {
        kiln(&work, &[verb, &["--username", "ann", "--password-file", file]].concat())
    };
    let said = refused(&mut login(&["push", "out/one", &address], "wrong"), 5);
    assert!(said.contains("does not take this user name and password"), "{said}");
    run(&mut login(&["push", "out/one", &address], "right"));
    run(&mut login(&["pull", &address], "right"));
    assert_same(&bundle, &work.path().join("out/ha3"));
    let asked = tokens.asked();
    assert!(
        asked.iter().any(|line| line.contains("service=kiln-lab") && line.contains("clusters/ha3:pull,push")),
        "{asked:?}"
    );
    assert!(asked.iter().any(|line| line.ends_with("clusters/ha3:pull")), "{asked:?}");
}

#[test]
fn a_private_ca_is_named() {
    let work = workshop();
    let registry = Registry::start(Setup::tls(&work));
    let bundle = work.build("one.toml");
    let address = registry.address("ha3:one");
    let system: &[&str] = &["pull", &address];
    // Without --ca-file a loopback address is asked in plain HTTP, which a registry with TLS refuses.
    let said = refused(&mut kiln(&work, system), 5);
    assert!(said.contains("400"), "{said}");
    work.file("other.pem", daemon::authority("another CA").1.pem());
    let said = refused(&mut kiln(&work, &["push", "out/one", &address, "--ca-file", "other.pem"]), 4);
    assert!(said.contains("name that CA with --ca-file"), "{said}");
    assert!(registry.blobs().is_empty());
    run(&mut kiln(&work, &["push", "out/one", &address, "--ca-file", "ca.pem"]));
    run(&mut kiln(&work, &["pull", &address, "--ca-file", "ca.pem"]));
    assert_same(&bundle, &work.path().join("out/ha3"));
    let said = refused(&mut kiln(&work, &["pull", &address, "--ca-file", "one.toml"]), 5);
    assert!(said.contains("one.toml holds no certificate"), "{said}");
    // And TLS is not taken for granted elsewhere either.
    let plain = Registry::start(Setup::default());
    let said = refused(&mut kiln(&work, &["pull", &plain.address("ha3:one"), "--ca-file", "ca.pem"]), 5);
    assert!(said.contains("does not speak TLS"), "{said}");
}

#[test]
fn a_registry_does_not_send_keys_into_the_open() {
    let work = workshop();
    work.build("one.toml");
    // The upload's place, and the realm of the tokens, are on a host that is not this machine.
    for answer in [
        "HTTP/1.1 202 Accepted\r\nLocation: http://registry.lan/upload/1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"http://registry.lan/token\"\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://registry.lan/blob\r\nContent-Length: 0\r\n\r\n",
    ] {
        let host = answering(move |request| match request.split(' ').next() {
            Some("HEAD") if answer.contains("202") => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            _ => answer,
        });
        let said = refused(&mut kiln(&work, &["push", "out/one", &format!("oci://{host}/ha3:one")]), 6);
        assert!(said.contains("where others could read along"), "{said}");
    }
    // A password in an address is not shown.
    let answer = "HTTP/1.1 307 Temporary Redirect\r\nLocation: https://user:hunter2@registry.lan/blob\r\nContent-Length: 0\r\n\r\n";
    let host = answering(move |_| answer);
    let said = refused(&mut kiln(&work, &["push", "out/one", &format!("oci://{host}/ha3:one")]), 6);
    assert!(said.contains("an address with a user name in it") && !said.contains("hunter2"), "{said}");
}

#[test]
fn a_registry_that_misbehaves_is_told_from_one_that_is_down() {
    let work = workshop();
    // It promises more than it sends, does not say what it is, is down behind its proxy, and talks of what it was sent.
    for (answer, code, want) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"schemaVersion\":2", 5, "reading its manifest"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull", 4, "it is not an image manifest"),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", 5, "answered 502 Bad Gateway"),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 75\r\n\r\n{\"errors\":[{\"code\":\"DENIED\",\"message\":\"open sesame\"},{\"code\":\"open sesame\"}]}",
            5,
            "does not allow it",
        ),
    ] {
        let host = answering(move |_| answer);
        let said = refused(&mut kiln(&work, &["pull", &format!("oci://{host}/ha3:one")]), code);
        assert!(said.contains(want) && !said.contains("sesame"), "{said}");
        assert!(list(&work.path().join("out")).is_empty());
    }
    // A manifest without an end is not read to its end.
    let host = answering(|_| {
        let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n".to_vec();
        answer.resize(8 << 20, b' ');
        answer
    });
    let said = refused(&mut kiln(&work, &["pull", &format!("oci://{host}/ha3:one")]), 4);
    assert!(said.contains("its manifest is larger than 4194304 bytes"), "{said}");
}

/// Each kind of answer, all at once, because a minute has to pass.
#[test]
fn an_answer_that_drips_is_given_up() {
    let work = workshop();
    work.build("one.toml");
    let login = ["--username", "ann", "--password-file", "password"];
    work.file("password", "open sesame");
    let long = "Content-Length: 4000000\r\n\r\n";
    let manifest = dripping(move |_| format!("HTTP/1.1 200 OK\r\n{long}"));
    let refusal = dripping(move |_| format!("HTTP/1.1 403 Forbidden\r\n{long}"));
    let token = dripping(move |head| {
        let host =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("host: ").map(str::to_owned));
        match head.contains(" /token") {
            true => format!("HTTP/1.1 200 OK\r\n{long}"),
            false => format!(
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"x\"\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n",
                host.unwrap()
            ),
        }
    });
    std::thread::scope(|scope| {
        for (host, want) in [(manifest, "too slow"), (refusal, "does not allow it"), (token, "too slow")] {
            let work = &work;
            scope.spawn(move || {
                let address = format!("oci://{host}/ha3:one");
                let begun = Instant::now();
                let said = refused(&mut kiln(work, &[&["pull", &address][..], &login].concat()), 5);
                assert!(said.contains(want), "{said}");
                assert!(begun.elapsed() >= Duration::from_secs(60), "it had less than its minute");
            });
        }
    });
    assert_eq!(list(&work.path().join("out")), ["one"]);
}

#[test]
fn ctrl_c_ends_a_wait_for_a_silent_registry() {
    let work = workshop();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("oci://{}/ha3:one", silent.local_addr().unwrap());
    let pull = kiln(&work, &["pull", &address]).stderr(Stdio::piped()).spawn().unwrap();
    // It has connected and waits for an answer.
    let _held = silent.accept().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    run(Command::new("kill").args(["-INT", &pull.id().to_string()]));
    let output = pull.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(list(&work.path().join("out")).is_empty());
}

#[test]
fn half_a_bundle_never_appears() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    let bundle = work.build("one.toml");
    run(&mut kiln(&work, &["push", "out/one", &registry.address("ha3:one")]));

    // The way breaks in the middle of the large layers.
    let cut = format!("oci://{}/ha3:one", broken_way(&registry, 8_000_000, true));
    let said = refused(&mut kiln(&work, &["pull", &cut]), 5);
    assert!(said.contains("the connection ended") || said.contains("disconnected"), "{said}");
    assert_eq!(list(&work.path().join("out")), ["one"]);

    // It falls silent there, and somebody presses Ctrl-C, once over nothing and once over a bundle.
    for (target, left) in [("new/ha3", &[][..]), ("out/one", &["one"])] {
        let silent = format!("oci://{}/ha3:one", broken_way(&registry, 8_000_000, false));
        let pull = kiln(&work, &["pull", &silent, "--out", target]).stderr(Stdio::piped()).spawn().unwrap();
        let target = work.path().join(target);
        let partial = target.with_file_name(format!(".{}.partial", target.file_name().unwrap().display()));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !partial.join("layers").exists() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(20));
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&partial), 0o700);
        assert_eq!(mode(&partial.join("nodes/cp-a")), 0o700);
        run(Command::new("kill").args(["-INT", &pull.id().to_string()]));
        let output = pull.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("nothing was left behind"), "{said}");
        assert_eq!(list(target.parent().unwrap()), left);
    }
    run(&mut kiln(&work, &["pull", &registry.address("ha3:one")]));
    assert_same(&bundle, &work.path().join("out/ha3"));
}

#[test]
fn large_files_are_not_held() {
    let (work, registry) = (workshop(), Registry::start(Setup::default()));
    work.build("one.toml");
    let address = registry.address("ha3:one");
    let (push, pull) = (peak(&work, &["push", "out/one", &address]), peak(&work, &["pull", &address]));
    let largest = fs::metadata(work.path().join("out/one/layers/layer.iso")).unwrap().len() / 1024;
    println!("push {push} KiB, pull {pull} KiB, largest file {largest} KiB");
    // Besides what the program takes anyway, which depends on how it was compiled.
    let most = peak(&work, &["check", "--help"]) + 8_000;
    assert!(
        most < largest + 8_000 && push < most && pull < most,
        "push {push} KiB, pull {pull} KiB, at most {most} KiB"
    );
}

#[test]
fn the_address_of_a_bundle_is_in_the_help() {
    for verb in ["push", "pull"] {
        let help = run(support::kiln().args([verb, "--help"]));
        assert!(
            help.contains("oci://HOST[:PORT]/REPOSITORY:TAG") && help.contains("--password-file"),
            "{help}"
        );
    }
}
