//! What the nodes use: moto, an S3 service that checks signatures, and one that hears pings.

use std::path::PathBuf;
use std::process::Command;

use kiln_wire::SnapshotName;

use super::machine::Lab;
use crate::support::{root, wait_for};

pub const BUCKET: &str = "backups";
/// What the services of the tests are asked with.
pub const SECRET: &str = "hush/SECRET+4711";
pub const S3_PORT: u16 = 9000;
/// moto lets nobody else read, and takes any signature.
pub const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/eu-1/s3/aws4_request, \
                          SignedHeaders=host, Signature=00";
pub const PING_PORT: u16 = 9001;

/// A Python that has moto and botocore: `ci/setup --tests` makes one.
pub fn python() -> PathBuf {
    let lab = std::env::var_os("KILN_LAB").map_or_else(|| root().join("target/lab"), PathBuf::from);
    let mut all = [lab.join("python/bin/python3"), "python3".into()].into_iter();
    let has = |python: &PathBuf| {
        let asked = Command::new(python).args(["-c", "import moto.server, botocore"]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    all.find(has).expect("moto and botocore are missing; ci/setup --tests installs them")
}

/// Where a file of this snapshot is in the bucket.
pub fn key(name: &SnapshotName, ending: &str) -> String {
    format!("etcd backups/+x/{}", name.path(ending))
}

impl Lab {
    /// moto, with the bucket.
    pub fn moto(&self, is_locking: bool) {
        let script = format!("{} -m moto.server -H 127.0.0.1 -p {S3_PORT}", python().display());
        self.background("moto", &script);
        let lock = if is_locking { "-H 'x-amz-bucket-object-lock-enabled: true'" } else { "" };
        wait_for("moto", || {
            let url = format!("http://127.0.0.1:{S3_PORT}/{BUCKET}");
            self.command("sh")
                .args(["-ec", &format!("curl -sf -X PUT {lock} {url} >/dev/null")])
                .status()
                .unwrap()
                .success()
                .then_some(())
        });
    }

    /// The service that checks signatures, with a lie or none.
    pub fn strict(&self, secret: &str, lie: &str) {
        let script = root().join("tests/it/lab/snapshots/s3.py");
        self.background(
            "strict",
            &format!("{} {} {S3_PORT} '{secret}' {lie}", python().display(), script.display()),
        );
        self.waits_for_port(S3_PORT);
    }

    pub fn listener(&self) {
        let script = root().join("tests/it/lab/snapshots/listener.py");
        self.background("listener", &format!("{} {} {PING_PORT}", python().display(), script.display()));
        self.waits_for_port(PING_PORT);
    }

    fn waits_for_port(&self, port: u16) {
        wait_for("a service", || {
            let ask = format!(
                "curl -sk -o /dev/null http://127.0.0.1:{port}/ || curl -sk -o /dev/null https://127.0.0.1:{port}/"
            );
            self.command("sh").args(["-ec", &ask]).status().unwrap().success().then_some(())
        });
    }

    /// All keys of the bucket, as curl gets them from moto.
    pub fn remote(&self) -> Vec<String> {
        let url = format!("http://127.0.0.1:{S3_PORT}/{BUCKET}?list-type=2");
        let text = self.shell(&format!("curl -sf '{url}'"));
        let keys = text.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap().to_owned());
        keys.collect()
    }

    /// An object of moto's.
    pub fn remote_bytes(&self, key: &str) -> Vec<u8> {
        let key = key.replace(' ', "%20").replace('+', "%2B");
        let url = format!("http://127.0.0.1:{S3_PORT}/{BUCKET}/{key}");
        self.command("curl").args(["-sf", "-H", SIGNED, &url]).output().unwrap().stdout
    }
}
