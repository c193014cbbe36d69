//! What `kiln profile import` makes of the files of the systems that ready profiles replace builds to the same files,
//! modes, owners, links and certificates as the ready profile.
//!
//! tests/import/CASE/want.more.toml has what those files cannot say.

use std::fs;

use crate::support::{Workshop, output, root, run, with_store};

/// What both profiles have: one keystore, and one release.
const SAME: &str = "[cluster]\nname = \"golden\"\ntoken = \"t\"\nformed = false\n[etcd]\nversion = \"3.5.16\"\n[bundle]\n\
                    binaries = \"shared\"\ncarriers = [\"tar\"]\n";

/// Each node's listing without sizes, and every certificate: its file, subject, names, end, ports and CA.
fn built(work: &Workshop, base: &str, tables: &str) -> (Vec<String>, Vec<String>) {
    let name = format!("of-{base}");
    work.file(&format!("{name}.toml"), format!("schema = 1\nextends = \"{base}.toml\"\n{tables}"));
    run(with_store(&mut work.kiln(["build", "--profile", &format!("./{name}.toml")])));
    let bundle = work.path().join("out").join(&name);
    let mut nodes: Vec<_> =
        fs::read_dir(bundle.join("nodes")).unwrap().map(|entry| entry.unwrap().path()).collect();
    nodes.sort();
    let mut listing = Vec::new();
    for node in nodes {
        for line in fs::read_to_string(node.join("listing.txt")).unwrap().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (before, after) = (&words[..3], &words[4..]);
            let name = node.file_name().unwrap().to_string_lossy().into_owned();
            listing.push(format!("{name} {} {}", before.join(" "), after.join(" ")));
        }
    }
    let manifest = fs::read(bundle.join("bundle.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let mut certificates = Vec::new();
    for one in manifest["certificates"].as_array().unwrap() {
        let keys = ["file", "node", "subject", "sans", "not_before", "not_after", "ports", "trusts"];
        certificates.push(keys.map(|key| one[key].to_string()).join(" "));
    }
    (listing, certificates)
}

/// `said` are words of things that the import lists as left out.
fn same(case: &str, ready: &str, said: &[&str]) {
    let work = Workshop::new();
    work.keystore("golden");
    let inputs = root().join("tests/import").join(case);
    let mut files = Vec::new();
    for entry in fs::read_dir(&inputs).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with("want.") {
            work.file(&name, fs::read(entry.path()).unwrap());
            files.push(name);
        }
    }
    files.sort();
    let (code, text, left) = output(work.kiln(["profile", "import"]).args(&files));
    assert_eq!(code, 0, "{left}");
    for what in said {
        assert!(left.contains(what), "{what}: {left}");
    }
    work.file("imported.toml", text);
    let path = root().join("profiles").join(format!("{ready}.toml"));
    work.file("ready.toml", fs::read(path).unwrap());
    let more = fs::read_to_string(inputs.join("want.more.toml")).unwrap();
    // A table is written once: what is the same goes before what the case adds to `[etcd]`.
    let instance = "[etcd]\ninstance = \"events\"\n";
    let both = match more.contains(instance) {
        true => SAME.replace("[etcd]\n", instance),
        false => SAME.to_owned(),
    };
    let derived = if more.contains("[pki.ca]\nsource") { "" } else { "[pki.ca]\nsource = \"derived\"\n" };
    let ours = format!("{both}{}", more.replace(instance, ""))
        .replace("[pki.ca]\nintermediate", &format!("{derived}intermediate"));
    let theirs = format!("{both}[pki.ca]\nsource = \"derived\"\n");
    let (made, certificates) = built(&work, "imported", &ours);
    let (wanted, their_certificates) = built(&work, "ready", &theirs);
    assert_eq!(made, wanted, "{case}");
    assert_eq!(certificates, their_certificates, "{case}");
}

#[test]
fn chapter4_from_inventory_manifest_unit_and_environment() {
    same("chapter4", "chapter4", &["manifest.yaml:26: config/limits.conf", "inventory.yaml:16: zone"]);
}

#[test]
fn single_from_its_unit() {
    same("single", "single", &[]);
}

#[test]
fn six_from_configuration_unit_and_hosts() {
    same("ready-six", "six", &[]);
}

#[test]
fn both_clusters_of_ansible_from_inventory_and_variables() {
    same("ready-ansible-k8s", "ansible-k8s", &["k8s.yml:24: the variable etcd_backup_interval"]);
    same("ready-ansible-events", "ansible-events", &["events.yml:25: the variable etcd_backup_s3_bucket"]);
}

#[test]
fn a_file_that_does_not_suit_is_wrong_usage() {
    let work = Workshop::new();
    work.file("large.yaml", vec![b'a'; (1 << 20) + 1]);
    work.file("bad.yaml", "a: [");
    work.file("empty.yaml", "");
    for (file, why) in [
        ("large.yaml", "larger than"),
        ("bad.yaml", "not YAML"),
        ("empty.yaml", "empty"),
        ("/dev/zero", "not a regular file"),
        ("/", "not the directory"),
        ("none.yaml", "no file"),
    ] {
        let (code, stdout, stderr) = output(&mut work.kiln(["profile", "import", file]));
        assert_eq!((code, stdout.as_str()), (2, ""), "{file}: {stderr}");
        assert!(stderr.contains(why), "{file}: {stderr}");
    }
}
