//! Shared by the tests: a scratch directory with programs run in it, and ready values.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kiln::disk::Scratch;
use kiln::failure::Result;
use kiln::pki::{Authority, Keystore, Sealed, Witness};
use kiln::plan::{CertificateSpec, Owner, Role, Usage};
use kiln::profile::{Algorithm, Subject};
use kiln::values::{ClusterName, Epoch, Lifetime, Mode};

pub const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::P256, Algorithm::P384, Algorithm::P521, Algorithm::Ed25519];

/// Far in the future, so that a CA which a test makes today is valid at the dates of issue in the tests.
pub const ISSUED: &str = "2030-01-02T03:04:05Z";

pub fn epoch(text: &str) -> Epoch {
    text.parse().unwrap()
}

pub fn cluster() -> ClusterName {
    "ha3".parse().unwrap()
}

pub fn server() -> CertificateSpec {
    CertificateSpec {
        file: "server".into(),
        label: "node/cp-a/server".into(),
        common_name: "cp-a".into(),
        dns: vec!["cp-a".into(), "cp-a.kloud.lan".into(), "localhost".into()],
        ips: ["10.240.16.10", "fd00::10", "127.0.0.1", "::1"].map(|ip| ip.parse().unwrap()).to_vec(),
        usages: vec![Usage::ClientAuth, Usage::ServerAuth],
        roles: vec![Role::Server],
        authority: kiln::plan::CA,
        owner: Owner::Etcd,
        subject: Subject::default(),
        lifetime: Lifetime::years(1),
        cert_path: "server.pem".into(),
        key_path: "server-key.pem".into(),
        cert_mode: Mode::FILE,
        key_mode: Mode::SECRET,
        copies: Vec::new(),
        purpose: None,
        issuer: None,
    }
}

pub fn client() -> CertificateSpec {
    CertificateSpec {
        file: "etcdctl".into(),
        label: "client/etcdctl".into(),
        common_name: "etcdctl".into(),
        dns: Vec::new(),
        ips: Vec::new(),
        usages: vec![Usage::ClientAuth],
        roles: vec![Role::Server],
        authority: kiln::plan::CA,
        owner: Owner::Etcd,
        subject: Subject::default(),
        lifetime: Lifetime::years(1),
        cert_path: "etcdctl.pem".into(),
        key_path: "etcdctl-key.pem".into(),
        cert_mode: Mode::FILE,
        key_mode: Mode::SECRET,
        copies: Vec::new(),
        purpose: None,
        issuer: None,
    }
}

/// A directory of one test, with the programs that it runs there.
pub struct Lab {
    scratch: Scratch,
}

impl Lab {
    pub fn new() -> Self {
        Self { scratch: Scratch::new("pki-test").unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.path(name), bytes).unwrap();
        self
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .current_dir(self.scratch.path())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; run ci/setup first"))
    }

    /// Runs `openssl` with a line of arguments; a part in single quotes is one argument.
    pub fn openssl(&self, line: &str) -> String {
        let output = self.run("openssl", &words(line).iter().map(String::as_str).collect::<Vec<_>>());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {line}: {text}{errors}");
        text
    }

    /// As they were made before nodes could renew.
    pub fn keystore(&self, name: &str) -> Keystore {
        made(&self.path(name), epoch(ISSUED))
    }

    /// The certificate for etcdctl in a bundle of this keystore.
    pub fn witness(&self, name: &str, algorithm: Algorithm) -> Vec<u8> {
        let keystore = Keystore::open(&self.path(name), &cluster()).unwrap();
        let authority = Authority::new(&keystore, Algorithm::P256, Lifetime::years(10)).unwrap();
        // For `seal`.
        self.write(&format!("{name}.trust"), authority.trust_pem().unwrap());
        authority.issue(&client(), algorithm, Lifetime::years(1)).unwrap().cert_pem.into_bytes()
    }

    /// Seals a token in this keystore, with the certificate of a bundle and the CA of the latest witness.
    pub fn seal(&self, name: &str, token: &str, certificate: &[u8]) -> Result<Sealed> {
        let witness = Witness {
            token: token.parse().unwrap(),
            release: "3.5.16".parse().unwrap(),
            members: vec![("cp-a".parse().unwrap(), "https://10.240.16.10:2380".parse().unwrap())],
            certificate: certificate.to_vec(),
            trust: self.read(&format!("{name}.trust")),
            peer_trust: None,
        };
        Keystore::seal(&self.path(name), &cluster(), &witness, false)
    }

    /// Makes `NAME.key` and `NAME.pem`, a CA, self-signed or signed by another one made here.
    ///
    /// `key` is the argument of `genpkey -algorithm`; `extensions` replace the usual ones.
    pub fn ca(&self, name: &str, key: &str, subject: &str, by: Option<&str>, extensions: &[&str]) -> &Self {
        if !self.path(&format!("{name}.key")).exists() {
            self.openssl(&format!("genpkey -algorithm {key} -out {name}.key"));
        }
        let usual = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"];
        let extensions = if extensions.is_empty() { &usual[..] } else { extensions };
        let mut config = "[req]\ndistinguished_name=dn\nstring_mask=utf8only\n[dn]\n[ca]\n".to_owned();
        config.push_str("subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n");
        config.push_str(&extensions.join("\n"));
        self.write("ca.conf", config);
        let by = by.map(|by| format!("-CA {by}.pem -CAkey {by}.key ")).unwrap_or_default();
        self.openssl(&format!(
            "req -new -x509 -config ca.conf -extensions ca -key {name}.key {by}-days 20000 -subj '{subject}' \
             -multivalue-rdn -utf8 -out {name}.pem"
        ));
        self
    }

    /// Imports `NAME.key` with these certificate files into a keystore of its own.
    pub fn import(&self, name: &str, certificates: &[&str]) -> Result<Keystore> {
        let key = self.read(&format!("{name}.key"));
        self.import_key(name, certificates, &key, None, ISSUED)
    }

    pub fn import_key(
        &self,
        name: &str,
        certificates: &[&str],
        key: &[u8],
        passphrase: Option<&str>,
        at: &str,
    ) -> Result<Keystore> {
        let all: Vec<u8> = certificates.iter().flat_map(|file| self.read(&format!("{file}.pem"))).collect();
        let dir = self.path(&format!("{name}.keystore"));
        let _ = std::fs::remove_dir_all(&dir);
        let before = epoch("2001-01-01");
        drop(made(&dir, before));
        let imported = Keystore::import_ca(&dir, &cluster(), &all, key, passphrase, epoch(at));
        if imported.is_err() {
            let names = kiln::disk::list(&dir).unwrap();
            assert_eq!(names, ["keystore.toml", "secret"], "a refused CA leaves nothing behind");
            let same = Keystore::open(&dir, &cluster()).unwrap();
            assert_eq!((same.issue_number(), same.issued()), (1, before));
        }
        imported
    }

    /// Issues a server and a client certificate and verifies them with openssl: chain, purposes, names and keys.
    pub fn judge(&self, authority: &Authority, algorithm: Algorithm) {
        self.write("trust.pem", authority.root_pem().unwrap());
        for (spec, purposes) in [(server(), "sslserver sslclient"), (client(), "sslclient")] {
            let issued = authority.issue(&spec, algorithm, Lifetime::years(1)).unwrap();
            self.write("leaf.pem", &issued.cert_pem).write("leaf.key", issued.key_pem.as_bytes());
            for purpose in purposes.split(' ') {
                self.verify("leaf.pem", &format!("-purpose {purpose} -untrusted leaf.pem"));
            }
            // As members verify: only the issuing CA is trusted.
            self.write("members.pem", authority.trust_pem().unwrap());
            self.verify("leaf.pem", "-partial_chain -no-CApath -CAfile members.pem");
            let public = |from: &str| self.openssl(&format!("{from} -pubout"));
            assert_eq!(self.openssl("x509 -in leaf.pem -noout -pubkey"), public("pkey -in leaf.key"));
            for name in &spec.dns {
                self.verify("leaf.pem", &format!("-untrusted leaf.pem -verify_hostname {name}"));
            }
            for ip in &spec.ips {
                self.verify("leaf.pem", &format!("-untrusted leaf.pem -verify_ip {ip}"));
            }
        }
    }

    pub fn verify(&self, leaf: &str, options: &str) {
        let at = epoch(ISSUED).seconds();
        let said = self.openssl(&format!(
            "verify -x509_strict -check_ss_sig -attime {at} -CAfile trust.pem {options} {leaf}"
        ));
        assert_eq!(said, format!("{leaf}: OK\n"));
    }
}

pub fn keystore_files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let names = kiln::disk::list(dir).unwrap();
    names.into_iter().map(|name| (name.clone(), std::fs::read(dir.join(name)).unwrap())).collect()
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// The same at any date.
pub fn made(dir: &Path, issued: Epoch) -> Keystore {
    let mut keystore = Keystore::draft(&cluster(), Some(&[7; 32]), issued).unwrap();
    keystore.save(dir).unwrap();
    keystore
}
