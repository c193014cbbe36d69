//! Certificates: openssl.

use std::path::Path;
use std::process::Command;

use super::{silent, unpack};
use crate::support::{Workshop, ha3_with, run};

#[test]
fn openssl_accepts_every_certificate_for_its_use() {
    for (ca, leaf) in [("p256", "p256"), ("p384", "p256"), ("p521", "p521"), ("ed25519", "ed25519")] {
        let work = Workshop::new();
        let pki =
            format!("[pki]\nca-algorithm = \"{ca}\"\nleaf-algorithm = \"{leaf}\"\n\n# Client certificates");
        let shared = format!("[bundle]\nbinaries = \"shared\"\ncarriers = [\"tar\"]\n\n{pki}");
        work.file("ha3.toml", ha3_with(&[("# Client certificates", &shared)]));
        // Today's dates, because openssl uses the clock.
        let bundle = work.build("./ha3.toml");
        let root = work.path().join("root");
        unpack(&bundle.join("nodes/cp-a/overlay.tar.gz"), &root);
        let pki = root.join("etc/etcd/pki");
        let verify = |purpose: &str, file: &Path| {
            let mut command = Command::new("openssl");
            command
                .args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"])
                .arg(pki.join("ca.pem"))
                .arg(file);
            silent(&mut command);
        };
        for name in ["server.pem", "peer.pem"] {
            verify("sslserver", &pki.join(name));
            verify("sslclient", &pki.join(name));
        }
        verify("sslclient", &pki.join("etcdctl.pem"));
        for name in ["etcdctl.pem", "kube-apiserver.pem"] {
            verify("sslclient", &bundle.join("client").join(name));
        }
        let text =
            run(Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(pki.join("server.pem")));
        let want =
            "DNS:cp-a, DNS:cp-a.kloud.lan, DNS:localhost, IP Address:10.240.16.10, IP Address:127.0.0.1";
        assert!(text.contains(want), "{text}");
        let hosts = ["cp-a", "cp-a.kloud.lan", "localhost"].map(|host| ["-verify_hostname", host]);
        for name in hosts.iter().chain(&[["-verify_ip", "10.240.16.10"], ["-verify_ip", "127.0.0.1"]]) {
            let mut command = Command::new("openssl");
            silent(
                command
                    .arg("verify")
                    .args(name)
                    .arg("-CAfile")
                    .arg(pki.join("ca.pem"))
                    .arg(pki.join("server.pem")),
            );
        }
    }
}
