//! The etcd options of one member, each with its source.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::certificate::{CertificateSpec, PEER_CA, Role, of_role};
use super::cluster::Cluster;
use super::instance::Instance;
use super::url::{self, loopback};
use crate::etcd::Value;
use crate::profile::{ConfigStyle, Node, Profile, UrlHost};
use crate::values::Url;

/// One option by etcd's own name; a nested key of the config file has a dot.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    pub key: String,
    pub value: Value,
    /// Has no effect on etcd.
    #[serde(skip)]
    pub origin: Origin,
}

/// The source of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Kiln's decision, and the reason for it.
    Kiln(&'static str),
    /// `[etcd.config]` or `[node.config]`, with the line.
    Profile { line: usize },
    /// `--set` on the command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Kiln(why) => write!(f, "kiln: {why}"),
            Origin::Profile { line } => write!(f, "profile: line {line}"),
            Origin::CommandLine => f.write_str("--set"),
        }
    }
}

/// The inputs of a member's options besides its own node.
pub struct Around<'a> {
    pub profile: &'a Profile,
    pub instance: &'a Instance,
    pub cluster: &'a Cluster,
    pub initial_cluster: &'a str,
    /// The key and the names by which the peer port recognizes peers, where it can.
    pub peer_names: Option<(&'static str, Value)>,
}

pub fn of_node(node: &Node, certificates: &[CertificateSpec], around: &Around<'_>) -> Vec<Setting> {
    let profile = around.profile;
    let mut settings: Vec<Setting> = own(node, certificates, around)
        .into_iter()
        .map(|(key, value, why)| Setting { key: key.to_owned(), value, origin: Origin::Kiln(why) })
        .collect();
    for option in profile.options(node) {
        let setting = Setting {
            key: option.key.clone(),
            value: option.value.clone(),
            origin: option.line.map_or(Origin::CommandLine, |line| Origin::Profile { line }),
        };
        // The profile may override a default such as a corruption check, but not the identity of the member: those
        // keys were refused when the profile was read.
        match settings.iter_mut().find(|there| there.key == setting.key) {
            Some(there) if there.key == "feature-gates" => add_gates(there, setting),
            Some(there) => *there = setting,
            None => settings.push(setting),
        }
    }
    // The flag's default is periodic, and the config file has none: without it etcd stops at "5m" and ignores "8"
    // (`parseCompactionRetention` in server/embed/etcd.go).
    let has = |key: &str| settings.iter().any(|setting| setting.key == key);
    if profile.etcd.config_style == ConfigStyle::File
        && has("auto-compaction-retention")
        && !has("auto-compaction-mode")
    {
        settings.push(Setting {
            key: "auto-compaction-mode".to_owned(),
            value: Value::Text("periodic".to_owned()),
            origin: Origin::Kiln("what a retention means"),
        });
    }
    settings
}

/// One option contains all gates: those that the profile does not mention stay as Kiln sets them.
fn add_gates(there: &mut Setting, given: Setting) {
    if let (Value::Text(own), Value::Text(theirs)) = (&there.value, &given.value) {
        let name = |gate: &str| gate.split('=').next().unwrap_or(gate).trim().to_owned();
        let named: Vec<_> = theirs.split(',').map(name).collect();
        let kept = own.split(',').filter(|gate| !named.contains(&name(gate)));
        let all: Vec<_> = kept.chain([theirs.as_str()]).collect();
        *there = Setting { value: Value::Text(all.join(",")), ..given };
    }
}

type Own = (&'static str, Value, &'static str);

fn own(node: &Node, certificates: &[CertificateSpec], around: &Around<'_>) -> Vec<Own> {
    let Around { profile, instance, cluster, initial_cluster, peer_names } = around;
    let (client_port, peer_port) = (instance.client_port, instance.peer_port);
    let text = |text: String| Value::Text(text);
    let address = "the node's address";
    let service = &profile.etcd.service;
    let advertised =
        |address, host, port| text(url::of_node(node, address, &profile.cluster, host, port).to_string());
    let own_addresses = || std::iter::once(node.address).chain(node.ipv6).chain([loopback(node.address)]);
    let listened = |at: &dyn Fn(IpAddr) -> String| own_addresses().map(at).collect::<Vec<_>>().join(",");
    let peer_address = node.peer_address();
    let why_peer = if node.peer.is_some() { "the node's address for peers" } else { address };
    let mut own = vec![
        ("name", text(node.name.to_string()), "the node's name"),
        ("data-dir", text(profile.etcd.data_dir.absolute()), "etcd.data-dir"),
        ("listen-peer-urls", text(Url::of_address(peer_address, peer_port).to_string()), why_peer),
        (
            "listen-client-urls",
            text(listened(&|address| Url::of_address(address, client_port).to_string())),
            if node.ipv6.is_some() {
                "the node's addresses and loopback"
            } else {
                "the node's address and loopback"
            },
        ),
        (
            "initial-advertise-peer-urls",
            advertised(peer_address, service.peer_url, peer_port),
            if service.peer_url == UrlHost::Fqdn { "etcd.peer-url" } else { why_peer },
        ),
        (
            "advertise-client-urls",
            advertised(node.address, service.client_url, client_port),
            if service.client_url == UrlHost::Address { address } else { "etcd.client-url" },
        ),
        ("initial-cluster", text((*initial_cluster).to_owned()), "all nodes"),
        ("initial-cluster-token", text(cluster.token.to_string()), "cluster.token or the keystore"),
        ("initial-cluster-state", text("new".into()), "initial members"),
    ];
    if let Some(wal) = &instance.wal_directory {
        own.push(("wal-dir", text(wal.absolute()), "etcd.wal-dir"));
    }
    if let Some(port) = instance.metrics_port {
        let urls = listened(&|address| url::plain(address, port));
        own.push(("listen-metrics-urls", text(urls), "etcd.metrics-port"));
    }
    own.extend(transport_security(profile, node, certificates, peer_names.clone()));
    own.extend(
        profile
            .etcd
            .release
            .corruption_checks()
            .into_iter()
            .map(|(key, value)| (key, value, "a member that has diverged must not serve")),
    );
    own
}

/// The suites of TLS 1.2 with authenticated encryption, by names that every release has; TLS 1.3 has no others, and
/// etcd's own list (Go's) also offers suites with CBC. For ECDSA and Ed25519, the only algorithms of members' keys.
/// HTTP/2 requires the first (RFC 9113 section 9.2.2).
const CIPHER_SUITES: [&str; 3] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
];

/// etcd refuses to start with both (server/etcdmain/config.go: "cipher suites cannot be configured when only TLS1.3 is
/// enabled").
fn allows_tls_1_2(profile: &Profile, node: &Node) -> bool {
    !profile.options(node).iter().any(|option| {
        option.key == "tls-min-version"
            && matches!(&option.value, Value::Text(version) if version == "TLS1.3")
    })
}

const CLIENT_PORT_KEYS: [&str; 4] = [
    "client-transport-security.cert-file",
    "client-transport-security.key-file",
    "client-transport-security.trusted-ca-file",
    "client-transport-security.client-cert-auth",
];

const PEER_PORT_KEYS: [&str; 4] = [
    "peer-transport-security.cert-file",
    "peer-transport-security.key-file",
    "peer-transport-security.trusted-ca-file",
    "peer-transport-security.client-cert-auth",
];

fn transport_security(
    profile: &Profile,
    node: &Node,
    specs: &[CertificateSpec],
    peer_names: Option<(&'static str, Value)>,
) -> Vec<Own> {
    let in_pki = |file: &str| Value::Text(format!("{}/{file}", profile.pki.directory.absolute()));
    let trusted = |authority: &str| match profile.pki.peer_ca.as_ref().filter(|_| authority == PEER_CA) {
        Some(ca) => ca.file.as_str(),
        None => profile.pki.ca.file.as_str(),
    };
    let certificates = "the certificates";
    let mutual = "only holders of this CA's certificates get in";
    let mut own = Vec::new();
    // A port accepts clients with certificates of the authority that issues its own kind of certificate.
    for (keys, role) in [(CLIENT_PORT_KEYS, Role::Server), (PEER_PORT_KEYS, Role::Peer)] {
        let Some(spec) = of_role(specs, role) else { continue };
        let [cert_file, key_file, trusted_ca_file, client_cert_auth] = keys;
        own.extend([
            (cert_file, in_pki(&spec.cert_path), certificates),
            (key_file, in_pki(&spec.key_path), certificates),
            (trusted_ca_file, in_pki(trusted(spec.authority)), certificates),
            (client_cert_auth, Value::Bool(true), mutual),
        ]);
    }
    if allows_tls_1_2(profile, node) {
        let suites = CIPHER_SUITES.map(str::to_owned).to_vec();
        own.push(("cipher-suites", Value::List(suites), "TLS 1.2 without CBC"));
    }
    if let Some((key, names)) = peer_names {
        own.push((key, names, "client certificates stay off the peer port"));
    }
    if profile.pki.renewal.is_some() {
        own.push(("enable-grpc-gateway", Value::Bool(false), "the server's certificate is not a client's"));
    }
    own
}
