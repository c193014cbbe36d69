//! The CAs of a node and their certificates, by openssl alone.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::run;

/// What every peer certificate has, and no other.
pub const TAG: &str = "peer-0011223344556677.kiln.invalid";

/// Days from now on, which may be negative.
pub type Days = std::ops::Range<i64>;

fn openssl(directory: &Path, arguments: &[&str]) {
    run(Command::new("openssl").args(arguments).current_dir(directory).stdin(Stdio::null()));
}

/// A date as `openssl ca` reads it.
fn date(days: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let at = format!("@{}", i64::try_from(now).unwrap() + days * 86_400);
    run(Command::new("date").args(["--utc", "--date", &at, "+%Y%m%d%H%M%SZ"])).trim().to_owned()
}

/// A key on P-256 in PKCS#8: `NAME-key.pem`.
fn key(directory: &Path, name: &str) {
    let file = format!("{name}-key.pem");
    let curve = "ec_paramgen_curve:P-256";
    openssl(directory, &["genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", &file]);
}

/// A CA that signs itself.
fn root(directory: &Path, name: &str) {
    key(directory, name);
    let (file, subject) = (format!("{name}-key.pem"), format!("/CN={name}"));
    let extensions = ["basicConstraints=critical,CA:TRUE,pathlen:1", "keyUsage=critical,keyCertSign,cRLSign"];
    let mut arguments = vec!["req", "-x509", "-new", "-key", &file, "-days", "3650", "-subj", &subject];
    arguments.extend(extensions.iter().flat_map(|extension| ["-addext", extension]));
    let cert = format!("{name}.pem");
    arguments.extend(["-out", &cert]);
    openssl(directory, &arguments);
}

/// `NAME.pem` and `NAME-key.pem`, signed by `by`.
pub fn issue(directory: &Path, name: &str, by: &str, subject: &str, extensions: &str, days: Days) {
    key(directory, name);
    let file = |ending: &str| format!("{name}{ending}");
    let write = |file: &str, text: &str| std::fs::write(directory.join(file), text).unwrap();
    write("any.cnf", "[req]\ndistinguished_name = dn\n[dn]\n");
    let (key, request, out) = (file("-key.pem"), file(".csr"), file(".pem"));
    openssl(
        directory,
        &["req", "-new", "-config", "any.cnf", "-utf8", "-key", &key, "-subj", subject, "-out", &request],
    );
    write(&file(".ext"), extensions);
    write("index.txt", "");
    write(
        "ca.cnf",
        "[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\nnew_certs_dir = .\nrand_serial = yes\ndefault_md = sha256\n\
         policy = p\npreserve = yes\nunique_subject = no\nemail_in_dn = no\n[p]\n\
         organizationName = optional\ncommonName = supplied\n",
    );
    let (start, end) = (date(days.start), date(days.end));
    let (by_cert, by_key, ext) = (format!("{by}.pem"), format!("{by}-key.pem"), file(".ext"));
    let given = ["-cert", &by_cert, "-keyfile", &by_key, "-in", &request, "-extfile", &ext, "-out", &out];
    let dates = ["-startdate", &start, "-enddate", &end];
    let arguments = [&["ca", "-batch", "-notext", "-config", "ca.cnf"][..], &given, &dates].concat();
    openssl(directory, &arguments);
}

/// A CA for one node, below `by`.
pub fn below(directory: &Path, name: &str, by: &str, usages: &str, constraints: &str, days: Days) {
    let extensions = format!(
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nextendedKeyUsage={usages}\n\
         nameConstraints=critical,{constraints}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    );
    issue(directory, name, by, &format!("/CN={name}"), &extensions, days);
}

/// Names that a node of the tests may have: those of `localhost`, and the tag for peers.
pub fn permitted(kind: &str) -> String {
    let dns = if kind == "peer" {
        format!("permitted;DNS:{TAG}")
    } else {
        "permitted;DNS:n1,permitted;DNS:localhost".into()
    };
    let one = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    format!("{dns},permitted;IP:127.0.0.0/255.0.0.0,permitted;IP:::1/{one}")
}

/// The usages of a kind of certificate, as openssl names them.
pub fn usages(kind: &str) -> &'static str {
    if kind == "peer" { "serverAuth,clientAuth" } else { "serverAuth" }
}

/// `ca`, `peer-ca`, below them the node's `server` and `peer`, and the client `client`.
pub fn all(directory: &Path, days: Days) {
    for (kind, by) in [("server", "ca"), ("peer", "peer-ca")] {
        root(directory, by);
        below(directory, kind, by, usages(kind), &permitted(kind), days.clone());
    }
    issue(directory, "client", "ca", "/CN=root", "extendedKeyUsage=clientAuth\n", 0..30);
}

/// A leaf as a node's policy in the tests wants it, with its issuer's certificate: `leaf.pem` and `leaf-key.pem`.
pub fn leaf(directory: &Path, kind: &str, days: Days) {
    let (subject, names) = match kind {
        "peer" => ("/CN=n1", format!("DNS:{TAG},IP:127.0.0.1")),
        _ => ("/O=a/O=b/CN=n1", "DNS:n1,DNS:localhost,IP:127.0.0.1".to_owned()),
    };
    let extensions = format!(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage={}\n\
         subjectAltName={names}\n",
        usages(kind)
    );
    issue(directory, "leaf", kind, subject, &extensions, days);
    let read = |name: &str| std::fs::read(directory.join(name)).unwrap();
    let both = [read("leaf.pem"), read(&format!("{kind}.pem"))].concat();
    std::fs::write(directory.join("leaf.pem"), both).unwrap();
}
