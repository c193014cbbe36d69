//! Real members under CAs and with files as a profile wants them: two authorities, each a root over an intermediate,
//! and one certificate per node under file names of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Workshop, ha3_with, run};
use crate::trust::{Kept, said, verify};

/// Three members, with these tables.
fn built(work: &Workshop, release: &str, tables: &str) -> PathBuf {
    let tables = format!("[etcd]\nversion = \"{release}\"\n\n{tables}\n# Client certificates");
    work.file("ha3.toml", ha3_with(&[("# Client certificates", &tables)]));
    work.build("./ha3.toml")
}

/// A node's files.
fn unpacked(work: &Workshop, bundle: &Path, node: &str) -> PathBuf {
    let to = work.path().join("files").join(node);
    fs::create_dir_all(&to).unwrap();
    let archive = bundle.join("nodes").join(node).join("overlay.tar.gz");
    run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&to));
    to
}

/// `verify` fails nothing, and nothing that is wrong is only skipped.
fn check(kept: &Kept, bundle: &Path) -> String {
    let output = verify(kept, bundle);
    let report = said(&output);
    assert!(output.status.success(), "{report}");
    for row in ["certificate as baked", "peer certificate as baked", "port trusts the baked CA"] {
        let rows: Vec<_> = report.lines().filter(|line| line.contains(row)).collect();
        assert!(!rows.is_empty() && rows.iter().all(|line| line.starts_with("ok ")), "{row}: {report}");
    }
    report
}

fn who(cert: &Path, key: &Path) -> Vec<String> {
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    ["-cert", &cert, "-cert_chain", &cert, "-key", &key].map(str::to_owned).to_vec()
}

/// The peers' certificates also name the address of the host, from which the test connects: etcd compares them.
const TWO: &str = r#"
[pki]
directory = "/etc/etcd/ssl"
[pki.server]
cert = "{{node}}-server.crt"
key = "{{node}}-server.key"
key-mode = "0400"
[pki.peer]
cert = "{{node}}-peer.crt"
key = "{{node}}-peer.key"
key-mode = "0400"
names = ["10.240.0.1"]
[pki.client]
cert = "{{node}}-client.crt"
key = "{{node}}-client.key"
key-mode = "0400"
[pki.ca]
intermediate = true
name-constraints = true
file = "root_ca.crt"
[pki.peer-ca]
intermediate = true
[pki.links]
"peer-ca.crt" = "peer-ca"
"client-ca.crt" = "ca"
"#;

#[test]
fn two_authorities_keep_each_others_certificates_out() {
    for (release, style) in [("3.5.16", "flags"), ("3.4.23", "env")] {
        let work = Workshop::new();
        let tables = TWO.replace("[pki]\n", &format!("config-style = \"{style}\"\n[pki]\n"));
        let bundle = built(&work, release, &tables);
        let kept = Kept::new(&work, &bundle);
        let report = check(&kept, &bundle);
        assert!(!report.contains("accept certificates of every CA below"), "{report}");
        check_ports(&work, &kept, &bundle, release);
    }
}

/// Each port lets in certificates of its own CA alone.
fn check_ports(work: &Workshop, kept: &Kept, bundle: &Path, case: &str) {
    let pki = unpacked(work, bundle, "cp-a").join("etc/etcd/ssl");
    let pair = |name: &str| who(&pki.join(format!("{name}.crt")), &pki.join(format!("{name}.key")));
    let own = bundle.join("client");
    for (port, path, who, is_let_in) in [
        (2379, "/version", who(&own.join("etcdctl.pem"), &own.join("etcdctl-key.pem")), true),
        (2379, "/version", pair("cp-a-client"), true),
        (2379, "/version", pair("cp-a-server"), true),
        (2379, "/version", pair("cp-a-peer"), false),
        (2380, "/members", pair("cp-a-peer"), true),
        (2380, "/members", pair("cp-a-client"), false),
        (2380, "/members", pair("cp-a-server"), false),
    ] {
        let options: Vec<&str> = who.iter().map(String::as_str).collect();
        let answer = said(&kept.ask(port, path, &options));
        assert_eq!(answer.contains("200 OK"), is_let_in, "{case} {port} {who:?}: {answer}");
        // The reason is the authority, and not the name (`allowed-cn`) or the use of the certificate.
        let is_unknown = answer.contains("unknown ca") || answer.contains("bad certificate");
        assert_eq!(is_unknown, !is_let_in, "{case} {port} {who:?}: {answer}");
    }
}

/// `NAME.pem` and `NAME.key`, a CA made by openssl with this key; signed by another one, or by itself.
fn foreign(work: &Workshop, name: &str, key: &str, by: Option<&str>) {
    let signed = by.map(|by| format!("-CA {by}.pem -CAkey {by}.key")).unwrap_or_default();
    let line = format!(
        "openssl genpkey -algorithm {key} -out {name}.key && openssl req -x509 -new -key {name}.key {signed} -subj \
         /O=Corp/CN={name} -days 3650 -out {name}.pem -addext basicConstraints=critical,CA:TRUE -addext \
         keyUsage=critical,keyCertSign,cRLSign"
    );
    run(Command::new("sh").args(["-c", &line]).current_dir(work.path()));
}

/// A shell command that writes `key.pem`, the CA's key in another encoding.
fn import(work: &Workshop, chain: &[&str], convert: &str, of: &str) {
    let line = format!("cat {} > chain.pem && openssl {convert} -out key.pem", chain.join(" "));
    run(Command::new("sh").args(["-c", &line]).current_dir(work.path()));
    let mut command = work.kiln(["keystore", "import-ca", "ha3", "--cert", "chain.pem", "--key", "key.pem"]);
    work.file("pass", "secret\n");
    if convert.contains("-topk8") {
        command.args(["--passphrase-file", "pass"]);
    }
    run(command.args(["--as", of]));
}

/// Both CAs are foreign: encrypted below a root, RSA, SEC1, Ed25519; with leaves of Ed25519, too.
#[test]
fn two_foreign_authorities_keep_each_others_certificates_out() {
    for (release, style, leaves) in [("3.5.16", "file", "ed25519"), ("3.4.23", "flags", "p256")] {
        let work = Workshop::new();
        run(&mut work.kiln(["keystore", "init", "ha3"]));
        if leaves == "ed25519" {
            foreign(&work, "root", "EC -pkeyopt ec_paramgen_curve:P-521", None);
            foreign(&work, "clients", "EC -pkeyopt ec_paramgen_curve:P-384", Some("root"));
            foreign(&work, "peers", "ED25519", None);
            let hidden = "pkcs8 -topk8 -passout pass:secret -in clients.key";
            import(&work, &["clients.pem", "root.pem"], hidden, "ca");
            import(&work, &["peers.pem"], "pkcs8 -topk8 -passout pass:secret -in peers.key", "peer-ca");
        } else {
            foreign(&work, "root", "RSA -pkeyopt rsa_keygen_bits:4096", None);
            foreign(&work, "peers", "EC -pkeyopt ec_paramgen_curve:P-256", None);
            import(&work, &["root.pem"], "rsa -traditional -in root.key", "ca");
            import(&work, &["peers.pem"], "ec -in peers.key", "peer-ca");
        }
        let made = "intermediate = true\nname-constraints = true\n";
        let tables = TWO
            .replace(made, "source = \"imported\"\n")
            .replace("[pki.peer-ca]\nintermediate = true", "[pki.peer-ca]\nsource = \"imported\"")
            .replace(
                "[pki]\n",
                &format!("config-style = \"{style}\"\n[pki]\nleaf-algorithm = \"{leaves}\"\n"),
            );
        let bundle = built(&work, release, &tables);
        let client = bundle.join("client");
        let pki = unpacked(&work, &bundle, "cp-a").join("etc/etcd/ssl");
        for (root, leaf, purpose) in [
            ("ca.pem", client.join("etcdctl.pem"), "sslclient"),
            ("ca.pem", pki.join("cp-a-server.crt"), "sslserver"),
            ("peer-ca.pem", pki.join("cp-a-peer.crt"), "sslserver"),
            ("peer-ca.pem", pki.join("cp-a-peer.crt"), "sslclient"),
        ] {
            let mut verify = Command::new("openssl");
            verify.args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"]).arg(client.join(root));
            run(verify.arg("-untrusted").arg(&leaf).arg(&leaf));
        }
        let kept = Kept::new(&work, &bundle);
        check(&kept, &bundle);
        check_ports(&work, &kept, &bundle, release);
    }
}

const ONE: &str = r#"
config-style = "flags"
[pki]
directory = "/etc/etcd"
certificates = "one-per-node"
[pki.subject]
country = "CA"
organization = "ETCD"
[pki.ca]
algorithm = "p521"
lifetime = "20y"
common-name = "etcd.kloud.lan"
file = "etcd-ca.crt"
[pki.ca.subject]
country = "CA"
organization = "ETCDRootCA"
[pki.node]
cert = "{{node}}.crt"
key = "{{node}}.key"
key-mode = "0400"
names = ["*.localhost", "etcd.kloud.lan"]
"#;

#[test]
fn one_certificate_per_node_under_names_of_its_own() {
    let work = Workshop::new();
    let bundle = built(&work, "3.5.16", ONE);
    let kept = Kept::new(&work, &bundle);
    check(&kept, &bundle);
    let pki = unpacked(&work, &bundle, "cp-a").join("etc/etcd");
    let own = who(&pki.join("cp-a.crt"), &pki.join("cp-a.key"));
    let root = pki.join("etcd-ca.crt").display().to_string();
    let strict =
        ["-CAfile", &root, "-verify_return_error", "-x509_strict", "-verify_hostname", "etcd.kloud.lan"];
    let options: Vec<&str> = own.iter().map(String::as_str).chain(strict).collect();
    let answer = said(&kept.ask(2379, "/version", &options));
    assert!(answer.contains("200 OK"), "{answer}");
}
