//! `wipe.json`: what is Kiln's on a node, so that the host can be taken back.

use serde::{Deserialize, Deserializer, Serialize};

use super::hex::Id;
use super::place::MemberUrl;
use super::policy::{bounded, schema};
use super::text::{Account, FilePath, Name, text};

/// More members than a cluster has.
const MAX_MEMBERS: usize = 64;
/// More units than Kiln has.
const MAX_UNITS: usize = 32;
/// More paths than Kiln's own files have.
const MAX_PATHS: usize = 4096;

/// Directories at the top that hold a whole system's files.
const TOPS: [&str; 17] = [
    "bin", "boot", "dev", "etc", "home", "lib", "lib64", "mnt", "opt", "proc", "root", "run", "sbin", "srv",
    "sys", "usr", "var",
];

text!(
    /// A service or a timer of systemd: `kiln-renew.timer`.
    OwnUnit,
    is_unit,
    "a unit's name ends in .service or .timer, and has letters, digits, :, -, _, ., @ and \\ only"
);

fn is_unit(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.@\\".contains(&byte);
    let name = text.strip_suffix(".service").or_else(|| text.strip_suffix(".timer"));
    text.len() <= 255
        && text.bytes().all(inner)
        && name.is_some_and(|name| !name.is_empty() && !name.starts_with('-'))
}

/// The whole file. Unknown keys are refused: a program that is older than its list would leave what it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wipe {
    /// `SCHEMA`.
    #[serde(deserialize_with = "schema")]
    pub schema: u32,
    /// The cluster's name, which has to be typed.
    pub cluster: Name,
    /// The node's name.
    pub node: Name,
    /// Of the cluster that the node was built for.
    pub cluster_id: Id,
    /// The program that asks the cluster.
    pub etcdctl: FilePath,
    /// The CAs that members are held against: a PEM file.
    pub ca: FilePath,
    /// A client certificate of root on this node: a PEM file.
    pub cert: FilePath,
    /// Its key.
    pub key: FilePath,
    /// The node's own member, as its certificate names it.
    pub endpoint: MemberUrl,
    /// Where its peers find it, which is how it is found in a list of members.
    pub peer_url: MemberUrl,
    /// The endpoints of the other members.
    #[serde(deserialize_with = "members")]
    pub others: Vec<MemberUrl>,
    /// That etcd runs as.
    pub account: Account,
    /// All of Kiln's, etcd's own first.
    #[serde(deserialize_with = "units")]
    pub units: Vec<OwnUnit>,
    /// etcd's `data-dir`.
    pub data: FilePath,
    /// Directories whose content is all Kiln's and etcd's, the data among them.
    #[serde(deserialize_with = "paths")]
    pub trees: Vec<FilePath>,
    /// Files and links.
    #[serde(deserialize_with = "paths")]
    pub files: Vec<FilePath>,
    /// Files that other instances on the node use, too; the program that reads this is the last one.
    #[serde(deserialize_with = "paths")]
    pub shared: Vec<FilePath>,
    /// Directories that go once they are empty, those within others first.
    #[serde(deserialize_with = "paths")]
    pub directories: Vec<FilePath>,
    /// Kiln's directory for this instance: `/etc/kiln`, or `/etc/kiln/events`.
    pub own: FilePath,
    /// Where it notes what it has served: `/var/lib/kiln`.
    pub state: FilePath,
    /// Whether the names of the peers are in `/etc/hosts`.
    pub hosts: bool,
}

fn members<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<MemberUrl>, D::Error> {
    bounded(from, 0, MAX_MEMBERS)
}

fn units<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<OwnUnit>, D::Error> {
    bounded(from, 1, MAX_UNITS)
}

fn paths<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<FilePath>, D::Error> {
    bounded(from, 1, MAX_PATHS)
}

impl Wipe {
    /// What a type of one field alone cannot say.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self) -> Result<(), &'static str> {
        let is_of_system = |path: &FilePath| TOPS.contains(&&path.as_str()[1..]);
        match () {
            () if !self.trees.contains(&self.data) => Err("the data is not among the trees"),
            () if self.trees.iter().any(is_of_system) => Err("a directory of the system is among the trees"),
            () if self.others.contains(&self.endpoint) => Err("the node itself is among the others"),
            () => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> &'static str {
        r#"{
        "schema": 1, "cluster": "ha3", "node": "cp-a", "cluster-id": "00aa000000000001",
        "etcdctl": "/usr/local/bin/etcdctl", "ca": "/etc/etcd/pki/ca.pem", "cert": "/etc/etcd/pki/etcdctl.pem",
        "key": "/etc/etcd/pki/etcdctl-key.pem", "endpoint": "https://10.0.0.1:2379",
        "peer-url": "https://10.0.0.1:2380", "others": ["https://10.0.0.2:2379"], "account": "etcd",
        "units": ["etcd.service", "kiln-renew.timer"], "data": "/var/lib/etcd",
        "trees": ["/var/lib/etcd"], "files": ["/etc/etcd/etcd.conf"], "shared": ["/usr/local/bin/kiln-node"],
        "directories": ["/etc/etcd"], "own": "/etc/kiln", "state": "/var/lib/kiln", "hosts": true
    }"#
    }

    #[test]
    fn a_list_comes_back_as_it_was_written() {
        let wipe: Wipe = serde_json::from_str(good()).unwrap();
        assert_eq!(wipe.check(), Ok(()));
        let again = serde_json::to_string(&wipe).unwrap();
        assert_eq!(serde_json::from_str::<Wipe>(&again).unwrap(), wipe);
    }

    #[test]
    fn each_value_has_its_rule() {
        for (from, to, why) in [
            ("kiln-renew.timer", "kiln-renew.mount", ".timer"),
            ("kiln-renew.timer", "-renew.timer", ".timer"),
            ("[\"/etc/etcd/etcd.conf\"]", "[]", "1 to 4096"),
            ("/etc/etcd/etcd.conf", "/etc/../shadow", "absolute"),
            ("\"hosts\"", "\"host\"", "unknown field"),
        ] {
            assert!(good().contains(from), "{from}");
            let said = serde_json::from_str::<Wipe>(&good().replacen(from, to, 1)).unwrap_err().to_string();
            assert!(said.contains(why), "{to}: {said}");
        }
    }

    #[test]
    fn fields_agree_with_each_other() {
        for (from, to) in [
            ("\"trees\": [\"/var/lib/etcd\"]", "\"trees\": [\"/var/lib/etc\"]"),
            ("\"trees\": [\"/var/lib/etcd\"]", "\"trees\": [\"/var/lib/etcd\", \"/var\"]"),
            ("https://10.0.0.2:2379", "https://10.0.0.1:2379"),
        ] {
            let wipe: Wipe = serde_json::from_str(&good().replacen(from, to, 1)).unwrap();
            assert!(wipe.check().is_err(), "{to}");
        }
    }
}
