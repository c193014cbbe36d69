//! Private keys are in their own files only.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Workshop, ha3_with, run, store};

/// Forms in which private parts may appear: PEM body lines, and DER as raw bytes, hex and base64 without its header.
fn traces(pem: &str) -> Vec<Vec<u8>> {
    let body: Vec<_> = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut decode = Command::new("openssl");
    let der = decode
        .args(["pkey", "-outform", "DER"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            use std::io::Write;
            child.stdin.take().unwrap().write_all(pem.as_bytes())?;
            child.wait_with_output()
        });
    let der = der.unwrap().stdout;
    // The scalar of a P-256 key in PKCS#8 is at byte 36 of DER (RFC 5958, RFC 5915).
    let scalar = der[36..68].to_vec();
    let hex: String = scalar.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut traces: Vec<Vec<u8>> =
        body.iter().filter(|line| line.len() > 40).map(|l| l.as_bytes().to_vec()).collect();
    traces.extend([scalar, hex.to_uppercase().into_bytes(), hex.into_bytes()]);
    traces
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Every file of a bundle, unpacked as far as possible.
fn unpacked(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_some_and(|ending| ending == "gz") {
        return Command::new("gzip").arg("-dc").arg(path).output().unwrap().stdout;
    }
    if path.extension().is_some_and(|ending| ending == "iso") {
        let mut all = bytes;
        let listed = run(Command::new("isoinfo").args(["-R", "-f", "-i"]).arg(path));
        for name in listed.lines().filter(|name| name.ends_with(".gz")) {
            let packed =
                Command::new("isoinfo").args(["-R", "-x", name, "-i"]).arg(path).output().unwrap().stdout;
            let place = tempfile::NamedTempFile::new().unwrap();
            fs::write(place.path(), packed).unwrap();
            all.extend(
                Command::new("gzip")
                    .arg("-dc")
                    .stdin(fs::File::open(place.path()).unwrap())
                    .output()
                    .unwrap()
                    .stdout,
            );
        }
        return all;
    }
    bytes
}

/// Makes a CA with openssl, and returns its key.
fn outside_ca(dir: &Path) -> String {
    run(Command::new("openssl").current_dir(dir).args([
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "ca.key",
    ]));
    run(Command::new("openssl").current_dir(dir).args([
        "req",
        "-x509",
        "-new",
        "-key",
        "ca.key",
        "-days",
        "3650",
        "-subj",
        "/CN=outside",
        "-addext",
        "keyUsage=critical,keyCertSign",
        "-out",
        "ca.pem",
    ]));
    run(Command::new("openssl").current_dir(dir).args(["pkey", "-in", "ca.key"]))
}

/// Each private key, with the path in the bundle where it belongs; the CA's key belongs nowhere.
fn keys_with_owners(dir: &Path, ca_key: String) -> Vec<(String, String)> {
    let mut owners = vec![("nobody".to_owned(), ca_key)];
    for node in ["cp-a", "cp-b", "cp-c"] {
        let archive = dir.join(format!("out/ha3/nodes/{node}/overlay.tar.gz"));
        for name in ["server", "peer", "etcdctl"] {
            let key = run(Command::new("tar")
                .arg("-xzOf")
                .arg(&archive)
                .arg(format!("etc/etcd/pki/{name}-key.pem")));
            owners.push((format!("nodes/{node}/"), key));
        }
    }
    for name in ["etcdctl", "kube-apiserver"] {
        let file = format!("client/{name}-key.pem");
        owners.push((file.clone(), fs::read_to_string(dir.join("out/ha3").join(file)).unwrap()));
    }
    owners
}

#[test]
fn no_key_shows_up_anywhere_but_in_its_own_file() {
    let work = Workshop::new();
    let shared = [("# Client certificates", "[bundle]\nbinaries = \"shared\"\n\n# Client certificates")];
    work.file("ha3.toml", ha3_with(&shared));
    // An imported CA, whose key the test knows.
    let dir = work.path();
    let ca_key = outside_ca(dir);
    let mut printed = Vec::new();
    let mut keep = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?} {}", String::from_utf8_lossy(&output.stderr));
        printed.extend(output.stdout);
        printed.extend(output.stderr);
    };
    keep(&mut work.kiln(["keystore", "init", "ha3"]));
    keep(&mut work.kiln(["keystore", "import-ca", "ha3", "--cert", "ca.pem", "--key", "ca.key"]));
    keep(&mut work.kiln(["keystore", "show", "ha3"]));
    keep(&mut work.kiln(["keystore", "show", "ha3", "--json"]));
    keep(work.kiln(["build", "--profile", "./ha3.toml", "--json", "--artifacts"]).arg(store()));
    keep(work.kiln(["plan", "--profile", "./ha3.toml", "--artifacts"]).arg(store()));
    keep(&mut work.kiln(["show", "out/ha3", "cp-a"]));
    keep(&mut work.kiln(["show", "out/ha3", "cp-b", "--json"]));

    let secret = fs::read_to_string(dir.join("keystore/ha3/secret")).unwrap();
    let secret = secret.trim().as_bytes();
    let owners = keys_with_owners(dir, ca_key);
    let out = dir.join("out/ha3");
    let files =
        walkdir::WalkDir::new(&out).into_iter().map(|e| e.unwrap()).filter(|e| e.file_type().is_file());
    let mut holders = 0;
    let mut seen = vec![("what was printed".to_owned(), printed)];
    seen.extend(files.map(|entry| {
        (entry.path().strip_prefix(&out).unwrap().display().to_string(), unpacked(entry.path()))
    }));
    for (place, bytes) in &seen {
        // The binaries are two thirds of all bytes, and were imported before any key was made.
        if place.starts_with("layers/") {
            continue;
        }
        assert!(!contains(bytes, secret), "the secret is in {place}");
        for (owner, key) in &owners {
            let found = traces(key).iter().any(|trace| contains(bytes, trace));
            assert!(!found || place.starts_with(owner.as_str()), "a key of {owner} is in {place}");
            holders += usize::from(found);
            let mode = fs::metadata(out.join(place)).map(|meta| meta.mode() & 0o777);
            assert!(!found || mode.unwrap() == 0o600, "{place} holds a key and others may read it");
        }
    }
    // tar, cpio and ISO of each node contain its three keys, and each client key is in its file.
    assert_eq!(holders, 3 * 3 * 3 + 2);
}
