//! `machines.json`: the record of a bundle's machines on this host. Any user who may write to the directory beside a
//! bundle can write this file, so every field is parsed before it becomes a name, a path or an option.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::accel::Accel;
use super::host_path::HostPath;
use super::names::Names;
use crate::bundle::Manifest;
use crate::etcd::ids::ClusterId;
use crate::failure::{Failure, Result};
use crate::values::{
    Carrier, ClusterName, Connect, Digest, HostName, Invalid, NodeName, deserialize_parsed, printable,
};

/// The schema that this version of Kiln writes. It also reads schema 1, of Kiln 0.1, which used only the cluster's
/// name in the names of things.
const SCHEMA: u32 = 2;

/// The name of a driver; `drivers::named` says whether it exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DriverName(String);

impl DriverName {
    /// The name of an existing driver.
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
            false => Err(Invalid("it is not the name of a driver, such as qemu".into())),
        }
    }
}

deserialize_parsed!(DriverName);

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The record of a machine that was started at least once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Started {
    /// Its member has been seen healthy.
    pub formed: bool,
    /// The digest of the bundle.json that it was last started with; unknown for machines of Kiln 0.1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bundle: Option<Digest>,
    /// It has, or was to have, a disk with what its member is restored from.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub restores: bool,
    /// The system that it was last started from (`System::identity`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub system: Option<Digest>,
}

/// A host of the profile with a libvirt of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    pub host: HostName,
    pub connect: Connect,
}

/// How the machines were made: a second `up` must not mix two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachinesRecord {
    pub names: Names,
    pub driver: DriverName,
    pub carrier: Carrier,
    /// Never `Auto`.
    pub accel: Accel,
    /// The libvirt of the nodes without a place.
    pub connect: Connect,
    /// The directory or disk image that they were last started from; unknown for machines of earlier versions of Kiln.
    pub base: Option<HostPath>,
    /// The network, with libvirt the pool too, was made by `up`, or is about to be: on this machine, or at `connect`.
    pub laid: bool,
    /// The hosts of nodes whose machines are not at `connect`.
    pub places: BTreeMap<NodeName, Place>,
    /// The libvirts of these hosts that have a pool, and maybe a network, or are about to.
    pub laid_at: BTreeSet<Connect>,
    pub nodes: BTreeMap<NodeName, Started>,
}

impl MachinesRecord {
    /// A record of machines that are about to be made.
    pub fn wanted(
        manifest: &Manifest,
        driver: DriverName,
        carrier: Carrier,
        accel: Accel,
        (connect, places): (Connect, BTreeMap<NodeName, Place>),
    ) -> Self {
        let cluster = &manifest.cluster;
        let names = Names { cluster: cluster.name.clone(), id: cluster.id, by_name: false };
        let (laid_at, nodes) = (BTreeSet::new(), BTreeMap::new());
        Self { names, driver, carrier, accel, connect, base: None, laid: false, places, laid_at, nodes }
    }

    /// Whether anything was made, anywhere.
    pub fn is_laid(&self) -> bool {
        self.laid || !self.laid_at.is_empty()
    }

    /// The libvirt of a node's machine.
    pub fn connect_of(&self, node: &NodeName) -> &Connect {
        self.places.get(node).map_or(&self.connect, |place| &place.connect)
    }

    /// The libvirts with something of the cluster, for messages; none where the driver's usual place is the only one.
    pub fn places_called(&self) -> Vec<String> {
        let usual = self.laid.then_some(&self.connect).filter(|_| !self.laid_at.is_empty());
        usual.into_iter().chain(&self.laid_at).map(|connect| self.called(connect)).collect()
    }

    /// A libvirt for messages, with the hosts whose it is: `pve1 (qemu+ssh://root@pve1/system)`.
    pub fn called(&self, connect: &Connect) -> String {
        let of_it = self.places.values().filter(|place| place.connect == *connect);
        let hosts: BTreeSet<_> = of_it.map(|place| place.host.as_str()).collect();
        match hosts.is_empty() {
            true => connect.to_string(),
            false => format!("{} ({connect})", hosts.into_iter().collect::<Vec<_>>().join(", ")),
        }
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
            base: self.base.clone(),
            laid: self.laid,
            places: self.places.clone(),
            laid_at: self.laid_at.clone(),
            nodes: self.nodes.clone(),
        };
        let mut json = serde_json::to_vec_pretty(&written)
            .map_err(|error| Failure::io(format!("writing the record of the VMs: {error}")))?;
        json.push(b'\n');
        Ok(json)
    }

    /// # Errors
    /// `Exit::Wrong` when it is not a record that this or an earlier version of Kiln writes.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let broken = |error: serde_json::Error| {
            // serde_json quotes unknown names.
            let error = error.to_string();
            let why = printable(&error);
            Failure::wrong(format!("it is not a valid record: {why}; restore it from a backup"))
        };
        match serde_json::from_slice(bytes).map_err(broken)? {
            Schema { schema: 1 } => Ok(Self::of_first(serde_json::from_slice(bytes).map_err(broken)?)),
            Schema { schema: SCHEMA } => Ok(Self::of(serde_json::from_slice(bytes).map_err(broken)?)),
            Schema { schema } => Err(Failure::wrong(format!(
                "it has schema {schema}, and this version of Kiln reads 1 and {SCHEMA}; use the version that started these VMs"
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
            base: written.base,
            laid: written.laid,
            places: written.places,
            laid_at: written.laid_at,
            nodes: written.nodes,
        }
    }

    fn of_first(first: First) -> Self {
        let formed = |node| (node, Started { formed: true, ..Started::default() });
        Self {
            names: Names { cluster: first.cluster, id: first.cluster_id, by_name: true },
            // Schema 1 did not record the bridge.
            laid: first.defined || first.driver.as_str() == "qemu",
            driver: first.driver,
            carrier: first.carrier,
            accel: first.accel,
            connect: first.connect,
            base: None,
            places: BTreeMap::new(),
            laid_at: BTreeSet::new(),
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
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none", default)]
    base: Option<HostPath>,
    laid: bool,
    #[serde(deserialize_with = "crate::values::map", skip_serializing_if = "BTreeMap::is_empty", default)]
    places: BTreeMap<NodeName, Place>,
    #[serde(deserialize_with = "crate::values::set", skip_serializing_if = "BTreeSet::is_empty", default)]
    laid_at: BTreeSet<Connect>,
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

/// A value that is there: null is none.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn chosen<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Accel, D::Error> {
    match Accel::deserialize(deserializer)? {
        Accel::Auto => Err(D::Error::custom("accel must be kvm or tcg")),
        accel => Ok(accel),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::values::Volume;

    fn record(by_name: bool) -> MachinesRecord {
        let node = |name: &str| name.parse::<NodeName>().unwrap();
        let digest = Some(Digest::of(b"x"));
        MachinesRecord {
            names: Names {
                cluster: "ha3".parse().unwrap(),
                id: "e33f550df7f5d6bb".parse().unwrap(),
                by_name,
            },
            driver: "libvirt".parse().unwrap(),
            carrier: crate::carrier::named("cloud-init").unwrap(),
            accel: Accel::Tcg,
            connect: "qemu:///system".parse().unwrap(),
            base: HostPath::of(Path::new("/srv/base/live")),
            laid: true,
            places: BTreeMap::from([(
                node("a"),
                Place {
                    host: "pve1".parse().unwrap(),
                    connect: "qemu+ssh://root@pve1/system".parse().unwrap(),
                },
            )]),
            laid_at: BTreeSet::from(["qemu+ssh://root@pve1/system".parse().unwrap()]),
            nodes: BTreeMap::from([
                (node("lock"), Started { formed: true, restores: true, bundle: digest, system: digest }),
                (node("a"), Started::default()),
            ]),
        }
    }

    #[test]
    fn a_record_is_read_back_as_it_was() {
        for by_name in [false, true] {
            let record = record(by_name);
            assert_eq!(MachinesRecord::from_json(&record.to_json().unwrap()).unwrap(), record);
        }
    }

    const FIRST: &str = r#"{"schema": 1, "cluster": "ha3", "cluster_id": "e33f550df7f5d6bb", "driver": "qemu",
        "carrier": "initramfs", "accel": "tcg", "connect": "qemu:///system", "defined": false, "formed": ["cp-a"]}"#;

    #[test]
    fn the_record_of_an_earlier_kiln_keeps_its_names() {
        let record = MachinesRecord::from_json(FIRST.as_bytes()).unwrap();
        let node = "cp-a".parse().unwrap();
        assert!(record.names.by_name && record.laid && record.nodes[&node].formed);
        assert_eq!(record.names.bridge(), format!("kiln-{}", &Digest::of(b"ha3").to_string()[..8]));
        assert_eq!(record.names.libvirt(), "ha3");
        assert_eq!(record.names.volume(&node, Volume::Data), "cp-a-data.qcow2");
        let again = MachinesRecord::from_json(&record.to_json().unwrap()).unwrap();
        assert_eq!(again, record);
    }

    /// Every field, with invalid values of its type.
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
                    let refused = MachinesRecord::from_json(bad.to_string().as_bytes());
                    let text = refused.expect_err(&format!("{bad}")).to_string();
                    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
                    tried += 1;
                }
                let mut bad = good.clone();
                bad.as_object_mut().unwrap().remove(field);
                let is_optional = ["base", "places", "laid_at"].contains(&field.as_str());
                let read = MachinesRecord::from_json(bad.to_string().as_bytes());
                assert_eq!(read.is_ok(), is_optional, "without {field}");
            }
        }
        assert!(tried > 300, "{tried}");
        let newer = MachinesRecord::from_json(b"{\"schema\": 3, \"anything\": 1}").unwrap_err().to_string();
        assert!(newer.contains("schema 3") && newer.contains("the version that started"), "{newer}");
    }
}
