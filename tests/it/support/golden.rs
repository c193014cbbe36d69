//! tests/golden/CASE/profile.toml -> every readable file that a node gets, in CASE/want/. Keys are left out; digests
//! that depend on etcd's programs are masked, so that stand-ins and real releases give the same. `KILN_BLESS=1`
//! rewrites the files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{Workshop, root, run};

/// Digests of binaries and of archives with binaries in them change with Debian's packages.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_hexdigit() && !c.is_ascii_uppercase() {
            run.push(c);
            continue;
        }
        // In a percent-encoded text the two digits of an escape may be directly before a digest.
        match run.len().checked_sub(64).filter(|before| *before <= 2) {
            Some(before) => out.push_str(&format!("{}<sha256>", &run[..before])),
            None => out.push_str(&run),
        }
        run.clear();
        out.push(c);
    }
    out.pop();
    let mut lines: Vec<_> = out.split('\n').map(str::to_owned).collect();
    for line in lines.iter_mut().filter(|line| line.starts_with("instance-id:")) {
        line.truncate(line.rfind('-').unwrap());
        line.push_str("-<payload>\"");
    }
    lines.join("\n")
}

/// A list of files without the sizes of the release's programs, which differ between stand-ins and real ones.
fn without_sizes(list: &str) -> String {
    let line = |line: &str| match line
        .split_once("\"size\":")
        .filter(|_| line.contains("\"from\":\"release\""))
    {
        Some((head, tail)) => {
            format!("{head}\"size\":\"<size>\"{}\n", tail.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => format!("{line}\n"),
    };
    list.lines().map(line).collect()
}

fn is_pem(name: &str) -> bool {
    [".pem", ".crt", ".key"].iter().any(|ending| name.ends_with(ending))
}

/// The files of a node in the bundle that are text; for a ready profile also the list of its files with their sources.
fn readable(directory: &Path, node: &str, is_ready: bool, files: &mut BTreeMap<String, String>) {
    for name in ["user-data", "meta-data", "network-config", "config.ign", "domain.xml", "listing.txt"] {
        if let Ok(text) = fs::read_to_string(directory.join(name)) {
            files.insert(format!("{node}/{name}"), masked(&text));
        }
    }
    if is_ready {
        let list = fs::read_to_string(directory.join("files.json")).unwrap();
        files.insert(format!("{node}/files.json"), masked(&without_sizes(&list)));
    }
}

/// Where a profile does not say that nodes renew, one from before they could: what it gave stays the same.
fn keystore(work: &Workshop, case: &Path) {
    let profile = fs::read_to_string(case.join("profile.toml")).unwrap();
    match profile.contains("renewal = \"node\"") {
        true => work.keystore_of_renewal("golden"),
        false => work.keystore("golden"),
    }
}

fn made(case: &Path) -> BTreeMap<String, String> {
    let work = Workshop::new();
    for entry in
        walkdir::WalkDir::new(case).into_iter().map(|e| e.unwrap()).filter(|e| e.file_type().is_file())
    {
        let name = entry.path().strip_prefix(case).unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("want/") {
            let path = work.file(&name, fs::read(entry.path()).unwrap());
            // git keeps no closed modes.
            if name == "bucket.json" {
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    }
    for entry in fs::read_dir(root().join("profiles")).unwrap() {
        let path = entry.unwrap().path();
        work.file(path.file_name().unwrap().to_str().unwrap(), fs::read(&path).unwrap());
    }
    keystore(&work, case);
    if case.join("ca.pem").exists() {
        let import = ["keystore", "import-ca", "golden", "--cert", "ca.pem", "--key", "ca-key.pem"];
        // 2026-01-01, as for the keystore: the import is another issue.
        run(work.kiln(import).env("SOURCE_DATE_EPOCH", "1767225600"));
    }
    let bundle = work.build("./profile.toml");
    let mut files = BTreeMap::new();
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    let certificates = serde_json::to_string_pretty(&manifest["certificates"]).unwrap();
    files.insert("certificates.json".to_owned(), certificates + "\n");
    // Only a cluster that sets up its machines has it.
    if let Ok(text) = fs::read_to_string(bundle.join("network.xml")) {
        files.insert("network.xml".to_owned(), text);
    }
    for entry in fs::read_dir(bundle.join("client")).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name().into_string().unwrap())).unwrap();
        if !is_pem(&name) && name != "etcdctl.sh" {
            files.insert(format!("client/{name}"), fs::read_to_string(path).unwrap());
        }
    }
    // Nodes of a ready profile differ in names and addresses only.
    let text = fs::read_to_string(case.join("profile.toml")).unwrap();
    let most = if text.contains("\nextends = ") { 1 } else { usize::MAX };
    for node in manifest["nodes"].as_array().unwrap().iter().take(most) {
        let node = node["name"].as_str().unwrap();
        let directory = bundle.join("nodes").join(node);
        readable(&directory, node, most == 1, &mut files);
        let unpacked = work.path().join("unpacked").join(node);
        fs::create_dir_all(&unpacked).unwrap();
        let archive = directory.join("overlay.tar.gz");
        run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&unpacked));
        for entry in walkdir::WalkDir::new(&unpacked).into_iter().map(|e| e.unwrap()) {
            let name = entry.path().strip_prefix(&unpacked).unwrap().to_str().unwrap().to_owned();
            if entry.file_type().is_file() && !is_pem(&name) {
                files.insert(format!("{node}/{name}"), fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    files
}

fn wanted(directory: &Path) -> BTreeMap<String, String> {
    walkdir::WalkDir::new(directory)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

/// The directories of tests/golden, by name.
pub fn cases() -> Vec<String> {
    let entries = fs::read_dir(root().join("tests/golden")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Builds the case of this name with the tier's releases.
pub fn check(name: &str) {
    let case = root().join("tests/golden").join(name);
    let made = made(&case);
    let want = case.join("want");
    if std::env::var_os("KILN_BLESS").is_some() {
        let _ = fs::remove_dir_all(&want);
        for (name, text) in &made {
            fs::create_dir_all(want.join(name).parent().unwrap()).unwrap();
            fs::write(want.join(name), text).unwrap();
        }
    }
    let wanted = wanted(&want);
    assert_eq!(made.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{}", case.display());
    for (name, text) in &made {
        assert_eq!(text, &wanted[name], "{}/want/{name}", case.display());
    }
}
