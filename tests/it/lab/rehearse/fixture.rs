//! Bundles that `kiln build` has made from real etcd releases under a CA whose key the test has, and that can then be
//! made wrong in every way.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::support::{Workshop, ha3_with, reseal, run, store};

/// A node's files: path in the guest, content, mode.
pub type Files = BTreeMap<String, (Vec<u8>, u32)>;

/// A certificate and its key in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

pub struct Authority {
    pem: String,
    key: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = Default::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, key: key.serialize_pem(), issuer: Issuer::new(params, key) }
    }

    /// Valid from 2020 to 2049, or to a month after its beginning.
    pub fn leaf(&self, name: &str, sans: &[&str], expired: bool) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(sans.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = Default::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after =
            if expired { rcgen::date_time_ymd(2020, 2, 1) } else { rcgen::date_time_ymd(2049, 1, 1) };
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

/// A bundle, and the nodes' files, which can be changed before it is written.
pub struct Recipe {
    pub authority: Authority,
    work: Workshop,
    nodes: BTreeMap<String, Files>,
}

impl Recipe {
    /// ha3 with etcd 3.5.16 and certificates that are valid today.
    pub fn new() -> Self {
        Self::with("", None)
    }

    pub fn shared() -> Self {
        Self::with("[bundle]\nbinaries = \"shared\"\n\n", None)
    }

    /// Everything was issued in 2020, for a year.
    pub fn expired() -> Self {
        Self::with("", Some("1577836800"))
    }

    fn with(more: &str, issued: Option<&str>) -> Self {
        let authority = Authority::new("a lab CA");
        let work = Workshop::new();
        let etcd = format!("{more}[etcd]\nversion = \"3.5.16\"\n\n# Client certificates");
        work.file("ha3.toml", ha3_with(&[("# Client certificates", &etcd)]));
        work.file("ca.pem", &authority.pem);
        work.file("ca-key.pem", &authority.key);
        let import = ["keystore", "import-ca", "ha3", "--cert", "ca.pem", "--key", "ca-key.pem"];
        for arguments in [&["keystore", "init", "ha3"][..], &import] {
            let mut command = work.kiln(arguments);
            run(command.envs(issued.map(|seconds| ("SOURCE_DATE_EPOCH", seconds))));
        }
        let bundle = work.build("./ha3.toml");
        let nodes = fs::read_dir(bundle.join("nodes")).unwrap().map(|entry| entry.unwrap());
        let nodes = nodes
            .map(|node| (node.file_name().into_string().unwrap(), files(&node.path().join("overlay.tar.gz"))))
            .collect();
        Self { authority, work, nodes }
    }

    /// The content of a node's file.
    pub fn file(&mut self, node: &str, path: &str) -> &mut Vec<u8> {
        let files = self.nodes.get_mut(node).unwrap();
        &mut files.get_mut(path).unwrap_or_else(|| panic!("{node} has no {path}")).0
    }

    /// Writes the bundle with the nodes' files as they are now.
    pub fn write(&self, to: &Path) {
        run(Command::new("cp").arg("-a").arg(self.work.path().join("out/ha3")).arg(to));
        for (node, files) in &self.nodes {
            let archive = to.join("nodes").join(node).join("overlay.tar.gz");
            let packed = flate2::write::GzEncoder::new(
                fs::File::create(archive).unwrap(),
                flate2::Compression::fast(),
            );
            let mut tar = tar::Builder::new(packed);
            for (path, (content, mode)) in files {
                let mut header = tar::Header::new_gnu();
                header.set_mode(*mode);
                header.set_uid(0);
                header.set_gid(0);
                header.set_mtime(0);
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, path, content.as_slice()).unwrap();
            }
            tar.into_inner().unwrap().finish().unwrap();
        }
        reseal(to, |_| {});
    }
}

/// The regular files of an archive.
fn files(archive: &Path) -> Files {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(archive).unwrap()));
    let entries = tar.entries().unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.header().entry_type().is_file()).map(|mut entry| {
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (path, (content, entry.header().mode().unwrap()))
    });
    files.collect()
}

/// The etcd program of a release in the store.
pub fn etcd(version: &str) -> Vec<u8> {
    program(version, "etcd")
}

/// The bytes of all programs of a release in the store.
pub fn size_of_programs(version: &str) -> u64 {
    let all = ["etcd", "etcdctl", "etcdutl"];
    all.into_iter().map(|name| program(version, name).len() as u64).sum()
}

fn program(version: &str, name: &str) -> Vec<u8> {
    let record = fs::read(store().join(format!("releases/{version}-amd64.json"))).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let digest = record["binaries"][name]["sha256"].as_str().unwrap();
    fs::read(store().join("blobs/sha256").join(digest)).unwrap()
}
