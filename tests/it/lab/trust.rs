//! The clients that the ports of real members accept, by certificate, by kind of key and by cipher suite.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use crate::support::{Workshop, ha3_with, run, store, turn};

const NODE: &str = "10.240.16.10";

/// A rehearsal with --keep, and the command that enters its network.
pub struct Kept {
    child: Child,
    enter: Vec<String>,
    _turn: MutexGuard<'static, ()>,
}

impl Kept {
    pub fn new(work: &Workshop, bundle: &Path) -> Self {
        let turn = turn::cluster();
        let log = work.path().join("stderr");
        let mut command = work.kiln(["rehearse", "--keep"]);
        command.arg(bundle).stdout(fs::File::create(work.path().join("stdout")).unwrap());
        let mut child = command.stderr(fs::File::create(&log).unwrap()).stdin(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let text = fs::read_to_string(&log).unwrap();
            if let Some(line) = text.lines().find(|line| line.contains("nsenter --target")) {
                let enter = line[line.find("nsenter").unwrap()..].split(' ').map(str::to_owned).collect();
                return Self { child, enter, _turn: turn };
            }
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{ended:?}: {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn inside<S: AsRef<std::ffi::OsStr>>(&self, program: &str, arguments: &[S]) -> Command {
        let mut command = Command::new(&self.enter[0]);
        command.args(&self.enter[1..]).arg("--").arg(program).args(arguments);
        command
    }

    /// The answer of a port to `GET path`, and the output of openssl.
    pub fn ask(&self, port: u16, path: &str, options: &[&str]) -> Output {
        let address = format!("{NODE}:{port}");
        let mut command = self.inside("openssl", &["s_client", "-quiet", "-connect", &address]);
        let mut child = command
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The connection may be refused before the request is written.
        let mut stdin = child.stdin.take().unwrap();
        let _ = std::io::Write::write_all(&mut stdin, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
        // With -quiet the end of its input does not end openssl.
        child.wait_with_output().unwrap()
    }
}

/// A test that fails must not leave its cluster running.
impl Drop for Kept {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.child.wait();
    }
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn openssl(work: &Workshop, line: &str) {
    let mut command = Command::new("openssl");
    run(command.args(line.split_whitespace()).current_dir(work.path()));
}

/// `NAME.pem` and `NAME.key`, issued by `BY`, with these lines as extensions.
fn issue(work: &Workshop, name: &str, subject: &str, by: &str, extensions: &str) {
    openssl(work, &format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
    openssl(work, &format!("req -new -key {name}.key -subj {subject} -out {name}.csr"));
    work.file("ext", extensions);
    let signed = format!("x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days 30");
    openssl(work, &format!("{signed} -sha256 -extfile ext -out {name}.pem"));
}

const INTERMEDIATE: &str = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
                            subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";

/// A bundle under the CA `etcd`, which has the sibling `staff` below the same root.
fn below_an_intermediate(work: &Workshop) -> PathBuf {
    openssl(work, "ecparam -name prime256v1 -genkey -noout -out root.key");
    let usage = "-addext keyUsage=critical,keyCertSign,cRLSign";
    openssl(work, &format!("req -x509 -new -key root.key -subj /CN=Corp -days 3650 {usage} -out root.pem"));
    issue(work, "etcd", "/CN=etcd-CA", "root", INTERMEDIATE);
    issue(work, "staff", "/CN=staff-CA", "root", INTERMEDIATE);
    let chain = ["etcd.pem", "root.pem"].map(|name| fs::read(work.path().join(name)).unwrap()).concat();
    work.file("ca.pem", chain);
    run(&mut work.kiln(["keystore", "init", "ha3"]));
    run(&mut work.kiln(["keystore", "import-ca", "ha3", "--cert", "ca.pem", "--key", "etcd.key"]));
    work.file(
        "ha3.toml",
        ha3_with(&[("# Client certificates", "[etcd]\nversion = \"3.5.16\"\n\n# Client certificates")]),
    );
    work.build("./ha3.toml")
}

#[test]
fn intermediate_trust() {
    let work = Workshop::new();
    let bundle = below_an_intermediate(&work);
    let client = |name: &str| bundle.join("client").join(name).display().to_string();
    let read = |path: &str| fs::read(path).unwrap();
    assert_eq!(read(&client("ca.pem")), read(&work.path().join("root.pem").display().to_string()));
    let (root, own) = (client("ca.pem"), client("etcdctl.pem"));
    run(Command::new("openssl").args(["verify", "-CAfile", &root, "-untrusted", &own, &own]));

    // Certificates that the sibling has issued, with the names that this cluster uses.
    for name in ["etcdctl", "etcd-peer"] {
        let names =
            format!("extendedKeyUsage=clientAuth,serverAuth\nsubjectAltName=IP:{NODE},IP:10.240.0.1\n");
        issue(&work, name, &format!("/CN={name}"), "staff", &names);
        let both =
            [format!("{name}.pem"), "staff.pem".into()].map(|file| fs::read(work.path().join(file)).unwrap());
        work.file(&format!("sibling-{name}.pem"), both.concat());
    }
    let kept = Kept::new(&work, &bundle);
    let key = |name: &str| work.path().join(name).display().to_string();
    let with = |certificate: &str, key: &str| {
        [
            "-cert",
            certificate,
            "-cert_chain",
            certificate,
            "-key",
            key,
            "-CAfile",
            &root,
            "-verify_return_error",
        ]
        .map(str::to_owned)
    };
    let ask = |port, path, who: &[String]| {
        said(&kept.ask(port, path, &who.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    let ours = with(&own, &client("etcdctl-key.pem"));
    let answer = ask(2379, "/version", &ours);
    assert!(answer.contains("200 OK"), "clients reach the members with the root alone: {answer}");
    for (name, port, path) in
        [("etcdctl", 2379, "/version"), ("etcd-peer", 2379, "/version"), ("etcd-peer", 2380, "/members")]
    {
        let sibling = with(&key(&format!("sibling-{name}.pem")), &key(&format!("{name}.key")));
        let answer = ask(port, path, &sibling);
        assert!(!answer.contains("200 OK"), "{name} at {port}: {answer}");
        assert!(answer.contains("alert") && !answer.contains("verify error"), "{name} at {port}: {answer}");
    }
    let output = verify(&kept, &bundle);
    assert!(output.status.success(), "{}", said(&output));
    let names = "trusts the baked CA";
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<_> = text.lines().filter(|line| line.contains(names)).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(
        rows.iter().all(|row| row.starts_with("ok ") && row.ends_with(": it names CN=etcd-CA")),
        "{rows:?}"
    );
}

pub fn verify(kept: &Kept, bundle: &Path) -> Output {
    kept.inside(env!("CARGO_BIN_EXE_kiln"), &["verify"]).arg(bundle).output().unwrap()
}

/// As an earlier version of Kiln built it: members trust the root.
#[test]
fn a_member_that_trusts_the_root_is_named() {
    let work = Workshop::new();
    let bundle = below_an_intermediate(&work);
    let overlay = "overlay/etc/etcd/pki/ca.pem";
    work.file(overlay, fs::read(work.path().join("ca.pem")).unwrap());
    let replaced =
        "[bundle]\noverlays = [\"./overlay\"]\nreplace = [\"/etc/etcd/pki/ca.pem\"]\n\n# Client certificates";
    let profile = fs::read_to_string(work.path().join("ha3.toml")).unwrap();
    work.file("old.toml", profile.replace("# Client certificates", replaced));
    let old = work.build("./old.toml");
    let kept = Kept::new(&work, &old);

    let output = verify(&kept, &old);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("accept certificates of every CA below CN=Corp"), "{}", said(&output));

    let output = verify(&kept, &bundle);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let detail = "it names CN=Corp and CN=etcd-CA; the bundle has CN=etcd-CA";
    assert!(said(&output).contains(detail), "{}", said(&output));

    // And in fact a sibling's certificate is accepted by the port.
    let names = "extendedKeyUsage=clientAuth";
    issue(&work, "etcdctl", "/CN=etcdctl", "staff", names);
    let both = ["etcdctl.pem", "staff.pem"].map(|file| fs::read(work.path().join(file)).unwrap());
    let chain = work.file("sibling.pem", both.concat()).display().to_string();
    let key = work.path().join("etcdctl.key").display().to_string();
    let answer = said(&kept.ask(2379, "/version", &["-cert", &chain, "-cert_chain", &chain, "-key", &key]));
    assert!(answer.contains("200 OK"), "{answer}");
}

/// A bundle with leaves of this algorithm, for this release.
fn keyed(work: &Workshop, algorithm: &str, release: &str) -> PathBuf {
    let tables = format!(
        "[etcd]\nversion = \"{release}\"\n\n[pki]\nalgorithm = \"{algorithm}\"\n\n# Client certificates"
    );
    work.file("ha3.toml", ha3_with(&[("# Client certificates", &tables)]));
    work.build("./ha3.toml")
}

/// TLS 1.2 without CBC, whatever the key; and 1.3, which `verify` has used when the cluster was formed.
#[test]
fn members_of_every_kind_of_key_shake_hands() {
    let cases = [
        ("p256", "3.5.16"),
        ("p384", "3.5.16"),
        ("p521", "3.5.16"),
        ("ed25519", "3.5.16"),
        ("p256", "3.4.23"),
    ];
    for (algorithm, release) in cases {
        let work = Workshop::new();
        let bundle = keyed(&work, algorithm, release);
        let client = |name: &str| bundle.join("client").join(name).display().to_string();
        let kept = Kept::new(&work, &bundle);
        let report = fs::read_to_string(work.path().join("stdout")).unwrap();
        assert!(!report.contains("FAILED"), "{algorithm}: {report}");
        let who = ["-cert", &client("etcdctl.pem"), "-key", &client("etcdctl-key.pem")];
        for (suite, is_let_in) in [
            ("ECDHE-ECDSA-AES128-GCM-SHA256", true),
            ("ECDHE-ECDSA-AES256-GCM-SHA384", true),
            ("ECDHE-ECDSA-CHACHA20-POLY1305", true),
            ("ECDHE-ECDSA-AES128-SHA", false),
            ("ECDHE-ECDSA-AES256-SHA", false),
        ] {
            let options = [&who[..], &["-tls1_2", "-cipher", suite]].concat();
            let answer = said(&kept.ask(2379, "/version", &options));
            assert_eq!(answer.contains("200 OK"), is_let_in, "{algorithm} {release} {suite}: {answer}");
        }
    }
}

#[test]
fn plan_of_an_imported_ca() {
    let work = Workshop::new();
    openssl(
        &work,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj /CN=Corp -days 3000 -addext keyUsage=critical,keyCertSign -out ca.pem",
    );
    let end = Command::new("openssl")
        .args(["x509", "-in", "ca.pem", "-noout", "-enddate", "-dateopt", "iso_8601"])
        .current_dir(work.path())
        .output()
        .unwrap();
    let end = String::from_utf8(end.stdout).unwrap();
    let end = end.trim().trim_start_matches("notAfter=").replace(' ', "T");
    run(&mut work.kiln(["keystore", "init", "ha3"]));
    let said = run(&mut work.kiln(["keystore", "import-ca", "ha3", "--cert", "ca.pem", "--key", "ca.key"]));
    assert!(said.contains(&format!("(CN=Corp, RSA 2048, ends {end})")), "{said}");
    let planned = run(work.kiln(["plan", "--profile", "ha3", "--artifacts"]).arg(store()));
    let want = format!("  CA         imported: CN=Corp, RSA 2048, ends {end}\n");
    assert!(planned.contains(&want), "{want}{planned}");
}
