//! Bundles made without Kiln's own pipeline, of real etcd releases, so that they can be wrong in every way.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kiln::bundle::Manifest;
use kiln::bundle::manifest::{Binary, Certificate, Cluster, Etcd, Network, Node};
use kiln::values::{Arch, Digest, Mac};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use sha1::Digest as _;

pub const NODES: [(&str, &str); 3] =
    [("cp-a", "10.240.16.10"), ("cp-b", "10.240.48.10"), ("cp-c", "10.240.80.10")];

const TOKEN: &str = "ha3-0badcafe";

const UNIT: &str = "[Unit]\nDescription=etcd\n\n[Service]\nType=notify\nUser=etcd\nGroup=etcd\n\
    Environment=CONFIG=/etc/etcd/etcd.conf\n\
    ExecStart=/usr/local/bin/etcd \\\n    --config-file ${CONFIG}\nRestart=always\n\n\
    [Install]\nWantedBy=multi-user.target\n";

/// A node's files: path in the guest, content, mode.
pub type Files = BTreeMap<String, (Vec<u8>, u32)>;

/// The programs of one release, out of the Debian packages.
pub fn release(version: &str) -> BTreeMap<String, Vec<u8>> {
    let lab = std::env::var_os("KILN_LAB").map(PathBuf::from);
    let lab = lab.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lab"));
    let debs = lab.join("debs");
    let names =
        fs::read_dir(&debs).into_iter().flatten().flatten().map(|e| e.file_name().into_string().unwrap());
    let begins = [format!("etcd-server_{version}-"), format!("etcd-client_{version}-")];
    let packages: Vec<_> = names.filter(|name| begins.iter().any(|begin| name.starts_with(begin))).collect();
    assert!(packages.len() == 2, "run ci/setup first: no etcd {version} in {}", debs.display());
    packages.iter().flat_map(|name| programs(&debs.join(name))).collect()
}

fn programs(deb: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = ar::Archive::new(fs::File::open(deb).unwrap());
    let mut found = BTreeMap::new();
    while let Some(entry) = archive.next_entry() {
        let entry = entry.unwrap();
        if entry.header().identifier() != b"data.tar.xz" {
            continue;
        }
        let mut tar = tar::Archive::new(lzma_rust2::XzReader::new(entry, false));
        for file in tar.entries().unwrap() {
            let mut file = file.unwrap();
            let path = file.path().unwrap().into_owned();
            if path.starts_with("./usr/bin") && file.header().entry_type().is_file() {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).unwrap();
                found.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), bytes);
            }
        }
    }
    found
}

/// A certificate and its key in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Valid from a year ago to next year, or to a week ago.
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

/// What a bundle is made of, to be altered before it is written.
pub struct Recipe {
    pub authority: Authority,
    pub binaries: BTreeMap<String, Vec<u8>>,
    pub version: String,
    pub shared: bool,
    pub expired: bool,
    pub nodes: BTreeMap<String, Files>,
}

impl Recipe {
    pub fn new(version: &str) -> Self {
        Self::with(version, false)
    }

    pub fn with(version: &str, expired: bool) -> Self {
        let authority = Authority::new("a lab CA");
        let nodes =
            NODES.iter().map(|(n, a)| ((*n).to_owned(), node_files(&authority, n, a, expired))).collect();
        let binaries = release(version);
        Self { authority, binaries, version: version.to_owned(), shared: false, expired, nodes }
    }

    pub fn file(&mut self, node: &str, path: &str) -> &mut Vec<u8> {
        &mut self.nodes.get_mut(node).unwrap().get_mut(path).unwrap().0
    }

    /// Writes the bundle into `directory`.
    pub fn write(&self, directory: &Path) {
        let manifest = self.manifest();
        fs::create_dir_all(directory.join("client")).unwrap();
        let client = self.authority.leaf("etcdctl", &[], self.expired);
        fs::write(directory.join("client/ca.pem"), &self.authority.pem).unwrap();
        fs::write(directory.join("client/etcdctl.pem"), client.certificate).unwrap();
        fs::write(directory.join("client/etcdctl-key.pem"), client.key).unwrap();
        let programs = |name: &String| format!("usr/local/bin/{name}");
        let layer: Files = self.binaries.iter().map(|(n, b)| (programs(n), (b.clone(), 0o755))).collect();
        if self.shared {
            fs::create_dir(directory.join("layers")).unwrap();
            pack(&directory.join("layers/etcd.tar.gz"), &layer);
        }
        for (name, files) in &self.nodes {
            let place = directory.join("nodes").join(name);
            fs::create_dir_all(&place).unwrap();
            // A node's own files win over the release's: an altered recipe may bring another etcd.
            let mut all = if self.shared { Files::new() } else { layer.clone() };
            all.extend(files.clone());
            pack(&place.join("overlay.tar.gz"), &all);
        }
        fs::write(directory.join("bundle.json"), manifest.to_json()).unwrap();
    }

    fn manifest(&self) -> Manifest {
        let id = |bytes: &[u8]| sha1::Sha1::digest(bytes)[..8].to_vec();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let members: Vec<_> =
            NODES.iter().map(|(_, a)| id(format!("https://{a}:2380{TOKEN}").as_bytes())).collect();
        let mut sorted = members.clone();
        sorted.sort();
        let node = |((name, address), member): (&(&str, &str), &Vec<u8>)| Node {
            name: (*name).into(),
            address: address.parse().unwrap(),
            mac: Mac::derived(name).to_string(),
            member_id: hex(member),
            peer_urls: vec![format!("https://{address}:2380")],
            client_urls: vec![format!("https://{address}:2379")],
            files: vec!["overlay.tar.gz".into()],
        };
        let binary = |(name, bytes): (&String, &Vec<u8>)| {
            let path = format!("usr/local/bin/{name}");
            (name.clone(), Binary { path, size: bytes.len() as u64, sha256: Digest::of(bytes).to_string() })
        };
        let certificate = Certificate {
            file: "etc/etcd/pki/server.pem".into(),
            node: Some("cp-a".into()),
            subject: "CN=cp-a".into(),
            sans: Vec::new(),
            serial: "01".into(),
            not_before: 1_577_836_800,
            not_after: if self.expired { 1_580_515_200 } else { 2_493_072_000 },
        };
        Manifest {
            schema: 1,
            builder: "a test".into(),
            epoch: 0,
            cluster: Cluster { name: "ha3".into(), token: TOKEN.into(), id: hex(&id(&sorted.concat())) },
            etcd: Etcd {
                version: self.version.clone(),
                arch: Arch::host().unwrap().to_string(),
                binaries: self.binaries.iter().map(binary).collect(),
                sources: Vec::new(),
            },
            network: Network { cidr: "10.240.0.0/16".into(), gateway: Some("10.240.0.1".parse().unwrap()) },
            nodes: NODES.iter().zip(&members).map(node).collect(),
            carriers: vec!["tar".into()],
            binaries: if self.shared { "shared" } else { "embedded" }.into(),
            certificates: vec![certificate],
            files: BTreeMap::new(),
        }
    }
}

/// What etcd reads; `members` as `name=url`.
pub fn config(name: &str, address: &str, members: &str) -> Vec<u8> {
    let tls = |file: &str, more: &str| {
        format!(
            "  cert-file: /etc/etcd/pki/{file}.pem\n  key-file: /etc/etcd/pki/{file}-key.pem\n  \
             trusted-ca-file: /etc/etcd/pki/ca.pem\n  client-cert-auth: true\n{more}"
        )
    };
    format!(
        "name: {name}\ndata-dir: /var/lib/etcd\nlisten-client-urls: https://{address}:2379\n\
         advertise-client-urls: https://{address}:2379\nlisten-peer-urls: https://{address}:2380\n\
         initial-advertise-peer-urls: https://{address}:2380\ninitial-cluster: {members}\n\
         initial-cluster-token: {TOKEN}\ninitial-cluster-state: new\n\
         client-transport-security:\n{}peer-transport-security:\n{}",
        tls("server", ""),
        tls("peer", "  allowed-cn: [etcd-peer]\n"),
    )
    .into_bytes()
}

fn node_files(authority: &Authority, name: &str, address: &str, expired: bool) -> Files {
    let members: Vec<_> = NODES.iter().map(|(n, a)| format!("{n}=https://{a}:2380")).collect();
    let sans = [name, "localhost", address, "127.0.0.1"];
    let server = authority.leaf(name, &sans, expired);
    let peer = authority.leaf("etcd-peer", &sans, expired);
    let text = |text: &str| (text.as_bytes().to_vec(), 0o644);
    let secret = |text: String| (text.into_bytes(), 0o600);
    let files = [
        ("etc/etcd/etcd.conf", (config(name, address, &members.join(",")), 0o644)),
        ("etc/etcd/pki/ca.pem", text(&authority.pem)),
        ("etc/etcd/pki/server.pem", text(&server.certificate)),
        ("etc/etcd/pki/server-key.pem", secret(server.key)),
        ("etc/etcd/pki/peer.pem", text(&peer.certificate)),
        ("etc/etcd/pki/peer-key.pem", secret(peer.key)),
        ("etc/systemd/system/etcd.service", text(UNIT)),
        ("etc/sysusers.d/etcd.conf", text("u etcd - \"etcd\" /var/lib/etcd\n")),
        (
            "etc/tmpfiles.d/etcd.conf",
            text("d /var/lib/etcd 0700 etcd etcd\nz /etc/etcd/pki/*-key.pem 0600 etcd etcd\n"),
        ),
    ];
    files.into_iter().map(|(path, file)| (path.to_owned(), file)).collect()
}

fn pack(path: &Path, files: &Files) {
    let output = fs::File::create(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(output, flate2::Compression::fast()));
    for (name, (bytes, mode)) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}
