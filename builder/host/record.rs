//! `machines.json`: what this host remembers of a bundle's machines. Whoever writes into the directory beside a bundle
//! can write this file, so that every field is parsed before anything of it becomes a name, a path or an option.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::accel::Accel;
use crate::bundle::Manifest;
use crate::etcd::ids::ClusterId;
use crate::failure::{Failure, Result};
use crate::values::{
    Carrier, ClusterName, Digest, Invalid, NodeName, Volume, deserialize_parsed, libvirt_name, printable,
    short_id,
};

/// What this Kiln writes. It reads schema 1 as well, of Kiln 0.1, which named what it made by the cluster's name alone.
const SCHEMA: u32 = 2;

/// What a driver is called; whether there is such a one, `drivers::named` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DriverName(String);

impl DriverName {
    /// Of a driver that there is.
    pub fn of(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DriverName {
    type Err = Invalid;
    fn from_str(text: &str) -> std::result::Result<Self, Invalid> {
        match (1..=16).contains(&text.len()) && text.chars().all(|c| c.is_ascii_lowercase()) {
            true => Ok(Self(text.to_owned())),
            false => Err(Invalid("it is no driver's name, such as qemu".into())),
        }
    }
}

deserialize_parsed!(DriverName);

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A libvirt on this machine: its disks, consoles and kernels are files of this machine's, so that one elsewhere would
/// not find them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect(String);

impl Default for Connect {
    fn default() -> Self {
        Self("qemu:///system".to_owned())
    }
}

impl Connect {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Connect {
    type Err = Invalid;
    fn from_str(text: &str) -> std::result::Result<Self, Invalid> {
        let invalid = |reason: &str| Err(Invalid(reason.to_owned()));
        let Some((scheme, rest)) = text.split_once("://") else {
            return invalid("it is no address of libvirt; use qemu:///system or qemu:///session");
        };
        if !rest.starts_with('/') || !matches!(scheme, "qemu" | "qemu+unix") {
            return invalid(
                "kiln starts machines on this host only, because libvirt has to find their disks here; use \
                 qemu:///system or qemu:///session, or run kiln on that host",
            );
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, "socket=/"));
        let socket = query.strip_prefix("socket=/").unwrap_or("&");
        let fine = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        if !matches!(path, "/system" | "/session") || !socket.chars().all(fine) {
            return invalid("use qemu:///system or qemu:///session");
        }
        Ok(Self(text.to_owned()))
    }
}

deserialize_parsed!(Connect);

impl Serialize for Connect {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which cluster, and what the host calls its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub cluster: ClusterName,
    pub id: ClusterId,
    /// Made by Kiln 0.1: named by the cluster's name.
    pub by_name: bool,
}

impl Names {
    /// Interfaces have at most 15 characters (IFNAMSIZ).
    pub fn bridge(&self) -> String {
        format!("kiln-{}", self.interface_part())
    }

    /// The interface of a node's machine.
    pub fn tap(&self, node: &NodeName) -> String {
        let digest = Digest::of(format!("{}/{node}", self.id).as_bytes()).to_string();
        format!("kt{}", &digest[..12])
    }

    /// The interface that Kiln 0.1 gave to the node at this place in the manifest.
    pub fn numbered_tap(&self, at: usize) -> String {
        format!("kt{at}-{}", self.interface_part())
    }

    fn interface_part(&self) -> String {
        match self.by_name {
            true => Digest::of(self.cluster.as_str().as_bytes()).to_string()[..8].to_owned(),
            false => short_id(&self.id.to_string()),
        }
    }

    /// libvirt's network and pool.
    pub fn libvirt(&self) -> String {
        match self.by_name {
            true => self.cluster.to_string(),
            false => libvirt_name(self.cluster.as_str(), &self.id.to_string()),
        }
    }

    pub fn domain(&self, node: &NodeName) -> String {
        format!("{}-{node}", self.libvirt())
    }

    pub fn volume(&self, node: &NodeName, volume: Volume) -> String {
        match (self.by_name, volume) {
            (true, Volume::Data) => format!("{node}-data.qcow2"),
            (true, Volume::Initrd) => format!("{node}-initrd.img"),
            (true, Volume::Seed) => format!("{node}-seed.iso"),
            (_, volume) => volume.name(node.as_str()),
        }
    }
}

/// What is remembered of a machine that was started at least once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Started {
    /// Its member has been seen healthy.
    pub formed: bool,
    /// Of the bundle.json that it was last started with; unknown of machines of Kiln 0.1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bundle: Option<Digest>,
    /// What it was last started from (`System::identity`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub system: Option<Digest>,
}

/// How the machines were made: a second `up` must not mix two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub names: Names,
    pub driver: DriverName,
    pub carrier: Carrier,
    /// Never `Auto`.
    pub accel: Accel,
    pub connect: Connect,
    /// The network, with libvirt the pool too, was made by `up`, or is about to be.
    pub laid: bool,
    pub nodes: BTreeMap<NodeName, Started>,
}

impl Record {
    /// Of what is about to be made.
    pub fn wanted(
        manifest: &Manifest,
        driver: DriverName,
        carrier: Carrier,
        accel: Accel,
        connect: Connect,
    ) -> Self {
        let cluster = &manifest.cluster;
        let names = Names { cluster: cluster.name.clone(), id: cluster.id, by_name: false };
        Self { names, driver, carrier, accel, connect, laid: false, nodes: BTreeMap::new() }
    }

    pub fn to_json(&self) -> Result<Vec<u8>> {
        let written = Written {
            schema: SCHEMA,
            cluster: self.names.cluster.clone(),
            cluster_id: self.names.id,
            named_by: if self.names.by_name { NamedBy::Name } else { NamedBy::Id },
            driver: self.driver.clone(),
            carrier: self.carrier,
            accel: self.accel,
            connect: self.connect.clone(),
            laid: self.laid,
            nodes: self.nodes.clone(),
        };
        let mut json = serde_json::to_vec_pretty(&written)
            .map_err(|error| Failure::io(format!("writing the record of the machines: {error}")))?;
        json.push(b'\n');
        Ok(json)
    }

    /// # Errors
    /// `Exit::Wrong` when it is not what some Kiln up to this one writes.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let broken = |error: serde_json::Error| {
            // It quotes names that it does not know.
            let error = error.to_string();
            let why = printable(&error);
            Failure::wrong(format!("it is not what kiln up writes: {why}; restore it from a backup"))
        };
        match serde_json::from_slice(bytes).map_err(broken)? {
            Schema { schema: 1 } => Ok(Self::of_first(serde_json::from_slice(bytes).map_err(broken)?)),
            Schema { schema: SCHEMA } => Ok(Self::of(serde_json::from_slice(bytes).map_err(broken)?)),
            Schema { schema } => Err(Failure::wrong(format!(
                "it has schema {schema}, and this kiln reads 1 and {SCHEMA}; use the kiln that started these machines"
            ))),
        }
    }

    fn of(written: Written) -> Self {
        let by_name = written.named_by == NamedBy::Name;
        Self {
            names: Names { cluster: written.cluster, id: written.cluster_id, by_name },
            driver: written.driver,
            carrier: written.carrier,
            accel: written.accel,
            connect: written.connect,
            laid: written.laid,
            nodes: written.nodes,
        }
    }

    fn of_first(first: First) -> Self {
        let formed = |node| (node, Started { formed: true, ..Started::default() });
        Self {
            names: Names { cluster: first.cluster, id: first.cluster_id, by_name: true },
            // Of the bridge nothing was written down.
            laid: first.defined || first.driver.as_str() == "qemu",
            driver: first.driver,
            carrier: first.carrier,
            accel: first.accel,
            connect: first.connect,
            nodes: first.formed.into_iter().map(formed).collect(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NamedBy {
    Id,
    Name,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    schema: u32,
    cluster: ClusterName,
    cluster_id: ClusterId,
    named_by: NamedBy,
    driver: DriverName,
    #[serde(deserialize_with = "crate::carrier::of_machine")]
    carrier: Carrier,
    #[serde(deserialize_with = "chosen")]
    accel: Accel,
    connect: Connect,
    laid: bool,
    #[serde(deserialize_with = "crate::values::map")]
    nodes: BTreeMap<NodeName, Started>,
}

/// Schema 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    #[serde(rename = "schema")]
    _schema: u32,
    cluster: ClusterName,
    cluster_id: ClusterId,
    driver: DriverName,
    #[serde(deserialize_with = "crate::carrier::of_machine")]
    carrier: Carrier,
    #[serde(deserialize_with = "chosen")]
    accel: Accel,
    connect: Connect,
    defined: bool,
    formed: Vec<NodeName>,
}

fn chosen<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Accel, D::Error> {
    match Accel::deserialize(deserializer)? {
        Accel::Auto => Err(D::Error::custom("accel must be kvm or tcg")),
        accel => Ok(accel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(by_name: bool) -> Record {
        let node = |name: &str| name.parse::<NodeName>().unwrap();
        let digest = Some(Digest::of(b"x"));
        Record {
            names: Names {
                cluster: "ha3".parse().unwrap(),
                id: "e33f550df7f5d6bb".parse().unwrap(),
                by_name,
            },
            driver: "libvirt".parse().unwrap(),
            carrier: crate::carrier::named("cloud-init").unwrap(),
            accel: Accel::Tcg,
            connect: "qemu:///system".parse().unwrap(),
            laid: true,
            nodes: BTreeMap::from([
                (node("lock"), Started { formed: true, bundle: digest, system: digest }),
                (node("a"), Started::default()),
            ]),
        }
    }

    #[test]
    fn a_record_is_read_back_as_it_was() {
        for by_name in [false, true] {
            let record = record(by_name);
            assert_eq!(Record::from_json(&record.to_json().unwrap()).unwrap(), record);
        }
    }

    const FIRST: &str = r#"{"schema": 1, "cluster": "ha3", "cluster_id": "e33f550df7f5d6bb", "driver": "qemu",
        "carrier": "initramfs", "accel": "tcg", "connect": "qemu:///system", "defined": false, "formed": ["cp-a"]}"#;

    #[test]
    fn the_record_of_an_earlier_kiln_keeps_its_names() {
        let record = Record::from_json(FIRST.as_bytes()).unwrap();
        let node = "cp-a".parse().unwrap();
        assert!(record.names.by_name && record.laid && record.nodes[&node].formed);
        assert_eq!(record.names.bridge(), format!("kiln-{}", &Digest::of(b"ha3").to_string()[..8]));
        assert_eq!(record.names.libvirt(), "ha3");
        assert_eq!(record.names.volume(&node, Volume::Data), "cp-a-data.qcow2");
        let again = Record::from_json(&record.to_json().unwrap()).unwrap();
        assert_eq!(again, record);
    }

    #[test]
    fn interfaces_have_names_that_linux_takes() {
        let record = record(false);
        let tap = |node: &str| record.names.tap(&node.parse().unwrap());
        assert_eq!(record.names.bridge(), "kiln-e33f550d");
        assert_eq!(tap("a").len(), 14);
        assert_ne!(tap("a"), tap("a-data"));
    }

    /// Every field, with values that are not of its type.
    #[test]
    fn a_strangers_record_is_refused() {
        let strings =
            ["", " ", "..", "../x", "a b", "a\nb", "\u{1b}[2J", "-rf", "A", "%n", "x,y", "é", "0X1", "a_b"];
        let good: serde_json::Value = serde_json::from_slice(&record(false).to_json().unwrap()).unwrap();
        let first: serde_json::Value = serde_json::from_str(FIRST).unwrap();
        let mut tried = 0;
        for good in [good, first] {
            for field in good.as_object().unwrap().keys() {
                let values = strings.iter().map(|text| serde_json::json!(text));
                let others = [
                    serde_json::json!(null),
                    serde_json::json!(-1),
                    serde_json::json!(99),
                    serde_json::json!([1]),
                    serde_json::json!({"x": 1}),
                    serde_json::json!(["a/b"]),
                    serde_json::json!({"../x": {"formed": true}}),
                    serde_json::json!({"a": {"formed": true, "bundle": "zz"}}),
                    serde_json::json!({"a": {"formed": true, "more": 1}}),
                ];
                for value in values.chain(others) {
                    let mut bad = good.clone();
                    bad[field] = value;
                    let refused = Record::from_json(bad.to_string().as_bytes());
                    let text = refused.expect_err(&format!("{bad}")).to_string();
                    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
                    tried += 1;
                }
                let mut bad = good.clone();
                bad.as_object_mut().unwrap().remove(field);
                assert!(Record::from_json(bad.to_string().as_bytes()).is_err(), "without {field}");
            }
        }
        assert!(tried > 300, "{tried}");
        let newer = Record::from_json(b"{\"schema\": 3, \"anything\": 1}").unwrap_err().to_string();
        assert!(newer.contains("schema 3") && newer.contains("the kiln that started"), "{newer}");
    }

    #[test]
    fn libvirt_on_another_host_is_refused() {
        for good in ["qemu:///system", "qemu:///session", "qemu+unix:///system?socket=/run/x-1/libvirt.sock"]
        {
            assert!(good.parse::<Connect>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "system",
            "qemu+ssh://root@host/system",
            "qemu://host/system",
            "qemu+tls://host/system",
            "xen:///system",
            "qemu:///system\n",
            "qemu:///embed?root=/x",
            "qemu:///system?command=/bin/sh",
            "qemu:///system?socket=/x&command=/bin/sh",
        ] {
            assert!(bad.parse::<Connect>().is_err(), "{bad}");
        }
        let said = "qemu+ssh://host/system".parse::<Connect>().unwrap_err().to_string();
        assert!(said.contains("on this host only"), "{said}");
    }
}
