//! Configuration files and the schema of profiles: cloud-init, Ignition, libvirt, readers of YAML, a validator of JSON
//! schemas.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{ha3, silent, unpack};
use crate::support::{self, Workshop, run};

#[test]
fn cloud_init_ignition_and_libvirt_accept_their_files() {
    let (_work, bundle) = ha3();
    for node in ["cp-a", "cp-b", "cp-c"] {
        let node = bundle.join("nodes").join(node);
        let schema =
            run(Command::new("cloud-init").args(["schema", "--config-file"]).arg(node.join("user-data")));
        assert!(schema.contains("Valid"), "{schema}");
        silent(Command::new("ignition-validate").arg(node.join("config.ign")));
        run(Command::new("virt-xml-validate").arg(node.join("domain.xml")).arg("domain"));
        for file in ["user-data", "meta-data", "network-config"] {
            // "line-length" is a matter of taste, and so is the start of a document.
            let rules = "{extends: relaxed, rules: {line-length: disable, document-start: disable}}";
            silent(Command::new("yamllint").args(["--strict", "-d", rules]).arg(node.join(file)));
        }
    }
    run(Command::new("virt-xml-validate").arg(bundle.join("network.xml")).arg("network"));
}

#[test]
fn the_script_on_the_seed_is_a_shell_script() {
    let (_work, bundle) = ha3();
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(bundle.join("nodes/cp-a/config.ign")).unwrap()).unwrap();
    let files = config["storage"]["files"].as_array().unwrap();
    let script = files.iter().find(|file| file["path"] == "/etc/kiln/unpack-seed.sh").unwrap();
    let url = script["contents"]["source"].as_str().unwrap();
    let python =
        "import sys,urllib.parse; sys.stdout.write(urllib.parse.unquote(sys.argv[1].split(',',1)[1]))";
    let text = run(Command::new("python3").args(["-c", python, url]));
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &text).unwrap();
    silent(Command::new("shellcheck").args(["--shell=sh", "--exclude=SC2148"]).arg(file.path()));
    // cloud-init runs the same text.
    let python = "import sys,yaml; sys.stdout.write(yaml.safe_load(open(sys.argv[1]))['runcmd'][0][2])";
    let user_data = bundle.join("nodes/cp-a/user-data");
    assert_eq!(run(Command::new("python3").args(["-c", python]).arg(user_data)), text);
}

#[test]
fn yaml_readers_get_back_what_was_meant() {
    let (work, bundle) = ha3();
    let tree = work.path().join("tree");
    unpack(&bundle.join("nodes/cp-a/overlay.tar.gz"), &tree);
    let python = "import sys,yaml,json; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let json = run(Command::new("python3").args(["-c", python]).arg(tree.join("etc/etcd/etcd.conf")));
    let config: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(config["name"], "cp-a");
    assert_eq!(config["peer-transport-security"]["client-cert-auth"], true);
    assert_eq!(config["initial-cluster"].as_str().unwrap().split(',').count(), 3);
}

/// promtool, kubernetes-validate and Python's YAML. kubeadm is not in Debian or on PyPI: nothing here reads its files.
#[test]
fn programs_accept_the_files_for_those_who_use_the_cluster() {
    let (_work, bundle) = ha3();
    let client = bundle.join("client");
    let promtool = |words: &[&str], file: &str| {
        let said = run(Command::new("promtool").arg("check").args(words).arg(client.join(file)));
        assert!(said.contains("SUCCESS"), "{said}");
    };
    promtool(&["config", "--syntax-only"], "prometheus-scrape.yaml");
    promtool(&["rules"], "prometheus-alerts.yaml");
    let validate = support::lab().join("python/bin/kubernetes-validate");
    run(Command::new(&validate).arg("--strict").arg(client.join("kube-apiserver.yaml")));
    let pod = fs::read_to_string(client.join("kube-apiserver.yaml")).unwrap();
    let wrong = bundle.join("wrong.yaml");
    fs::write(&wrong, pod.replace("volumeMounts", "volumeMount")).unwrap();
    support::refused(Command::new(&validate).arg("--strict").arg(&wrong), 1);
    fs::remove_file(wrong).unwrap();
    let python = "import sys,yaml; c=yaml.safe_load(open(sys.argv[1])); print(c['apiVersion'], *sorted(c['etcd']['external']))";
    for (file, version) in [("kubeadm.yaml", "v1beta4"), ("kubeadm-v1beta3.yaml", "v1beta3")] {
        let said = run(Command::new("python3").args(["-c", python]).arg(client.join(file)));
        assert_eq!(said, format!("kubeadm.k8s.io/{version} caFile certFile endpoints keyFile\n"));
    }
    let rules = "{extends: relaxed, rules: {line-length: disable, document-start: disable, commas: disable}}";
    for entry in fs::read_dir(&client).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|ending| ending == "yaml") {
            silent(Command::new("yamllint").args(["--strict", "-d", rules]).arg(entry));
        }
    }
}

/// jsonschema with the schema for editors: it accepts every valid profile, and refuses mistakes that the schema
/// covers.
#[test]
fn a_validator_of_json_schemas_agrees_about_profiles() {
    const SCRIPT: &str = "\
import json, sys, tomllib
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
for path in sys.argv[2:]:
    good = Draft202012Validator(schema).is_valid(tomllib.load(open(path, 'rb')))
    print('good' if good else 'bad', path)
";
    let work = Workshop::new();
    let schema = work.file("schema.json", run(&mut work.kiln(["profile", "schema"])));
    let judged = |paths: &[PathBuf]| -> Vec<bool> {
        let said = silent(Command::new("python3").args(["-c", SCRIPT]).arg(&schema).args(paths));
        assert_eq!(said.lines().count(), paths.len(), "{said}");
        said.lines().map(|line| line.starts_with("good ")).collect()
    };
    let below = |directory: &str| -> Vec<PathBuf> {
        let top = support::root().join(directory);
        fs::read_dir(top).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let mut good = below("profiles");
    good.extend(below("tests/golden").into_iter().map(|case| case.join("profile.toml")));
    assert!(good.len() >= 7, "{good:?}");
    for (path, is_good) in good.iter().zip(judged(&good)) {
        assert!(is_good, "{}", path.display());
    }
    let bad = [
        "carriers-unknown",
        "choice-misspelt",
        "key-misspelt",
        "key-unknown",
        "key-unknown-table",
        "machine-disk-too-small",
        "missing-name-and-address",
        "missing-network",
        "schema-other",
        "schema-text",
        "type-list-item",
        "type-node-single-brackets",
        "type-number-for-text",
        "type-text-for-number",
    ];
    let bad = bad.map(|case| support::root().join("tests/reject").join(case).join("profile.toml"));
    for (path, is_good) in bad.iter().zip(judged(&bad)) {
        assert!(!is_good, "{}", path.display());
    }
}
