//! Where the machine of each node runs: on this machine, or at the libvirt of its host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::record::{MachinesRecord, Place};
use crate::bundle::Manifest;
use crate::failure::{Exit, Failure, Result};
use crate::values::{Connect, ConnectTo, HostName, NodeName};

/// The libvirt of nodes without a place, and the places of the others. `told` is the command line, which goes before
/// the bundle; what an earlier run has recorded comes last.
///
/// # Errors
/// `Exit::Usage` when the command line names a host that the bundle does not have, says something twice or has no
/// effect; when machines on several libvirts would have no network in common.
pub fn places(
    manifest: &Manifest,
    told: &[ConnectTo],
    there: Option<&MachinesRecord>,
) -> Result<(Connect, BTreeMap<NodeName, Place>)> {
    let usage = |reason: String| Err(Failure::new(Exit::Usage, reason));
    let mut given: BTreeMap<Option<&HostName>, &Connect> = BTreeMap::new();
    for ConnectTo { host, connect } in told {
        if let Some(host) = host
            && !manifest.hosts.iter().any(|there| there.name == *host)
        {
            let hosts: Vec<_> = manifest.hosts.iter().map(|host| host.name.as_str()).collect();
            let has = if hosts.is_empty() { "none".to_owned() } else { hosts.join(", ") };
            return usage(format!("--connect {host}=…: the bundle has no host {host}; it has {has}"));
        }
        if given.insert(host.as_ref(), connect).is_some() {
            let whose =
                host.as_ref().map_or("nodes without a host".to_owned(), |host| format!("the host {host}"));
            return usage(format!("--connect is given twice for {whose}; give it once"));
        }
    }
    let recorded = |host: &HostName| {
        let places = there.into_iter().flat_map(|there| there.places.values());
        places.filter(|place| place.host == *host).map(|place| &place.connect).next()
    };
    let mut places = BTreeMap::new();
    for host in &manifest.hosts {
        let own = given.get(&Some(&host.name)).copied().or(host.connect.as_ref());
        let Some(connect) = own.or_else(|| recorded(&host.name)) else { continue };
        let place = Place { host: host.name.clone(), connect: connect.clone() };
        places.extend(host.nodes.iter().map(|node| (node.clone(), place.clone())));
    }
    let is_placed = |node: &NodeName| places.contains_key(node);
    if let (Some(connect), true) = (given.get(&None), manifest.nodes.iter().all(|node| is_placed(&node.name)))
    {
        return usage(format!(
            "--connect {connect} has no effect: every node is on a host with a libvirt of its own; write --connect \
             HOST=URI for another one"
        ));
    }
    let default = given.get(&None).map(|connect| (*connect).clone());
    let default = default.or_else(|| there.map(|there| there.connect.clone())).unwrap_or_default();
    let of = |node: &NodeName| places.get(node).map_or(&default, |place: &Place| &place.connect);
    let all: BTreeSet<_> = manifest.nodes.iter().map(|node| of(&node.name)).collect();
    if all.len() > 1 && manifest.machine().link.is_own() {
        let all: Vec<_> = all.into_iter().map(Connect::as_str).collect();
        return usage(format!(
            "the VMs are to run at {}, and a network of Kiln's own ends at its host; name what connects them in the \
             profile ([machine] bridge or network), and build again",
            all.join(" and ")
        ));
    }
    Ok((default, places))
}

impl MachinesRecord {
    /// The libvirts of a bundle's nodes, each once.
    pub fn connects(&self, manifest: &Manifest) -> Vec<Connect> {
        let all = manifest.nodes.iter().map(|node| self.connect_of(&node.name).clone());
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// # Errors
    /// `Exit::Unsafe` when the machine of a node, with its disk, is at another libvirt than the wanted one.
    pub fn refuse_move(&self, wanted: &Self, bundle: &Path) -> Result<()> {
        // Of a node that is no longer in the bundle, nothing is wanted.
        let moved = self.nodes.keys().find(|node| {
            wanted.places.get(*node).is_some_and(|place| place.connect != *self.connect_of(node))
        });
        let Some(node) = moved else { return Ok(()) };
        let (is_at, place) = (self.connect_of(node), &wanted.places[node]);
        Err(Failure::unsafe_to(format!(
            "the VM of {node} with its disk is at {is_at}, and not at {}; continue with kiln up {} --connect {}={is_at}",
            wanted.called(&place.connect),
            bundle.display(),
            place.host
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::example;

    fn manifest(hosts: serde_json::Value, link: serde_json::Value) -> Manifest {
        let mut json = example::json();
        json["hosts"] = hosts;
        json["machine"]["link"] = link;
        Manifest::from_json(json.to_string().as_bytes()).unwrap()
    }

    fn two(link: serde_json::Value) -> Manifest {
        let hosts = serde_json::json!([
            { "name": "pve1", "connect": "qemu+ssh://root@pve1/system", "nodes": ["a"] },
            { "name": "pve2", "nodes": ["b"] },
        ]);
        manifest(hosts, link)
    }

    fn told(texts: &[&str]) -> Vec<ConnectTo> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_node_is_at_its_hosts_libvirt_or_at_the_one_that_is_named() {
        let bridge = two(serde_json::json!({ "bridge": "br0" }));
        let at = |told: &[ConnectTo]| {
            let (default, places) = places(&bridge, told, None).unwrap();
            let of =
                |node: &str| places.get(node_name(node)).map_or(&default, |place| &place.connect).to_string();
            [of("a"), of("b")]
        };
        assert_eq!(at(&[]), ["qemu+ssh://root@pve1/system", "qemu:///system"]);
        assert_eq!(at(&told(&["qemu:///session"])), ["qemu+ssh://root@pve1/system", "qemu:///session"]);
        assert_eq!(
            at(&told(&["pve2=qemu+tls://pve2/system", "pve1=qemu:///system"])),
            ["qemu:///system", "qemu+tls://pve2/system"]
        );
    }

    fn node_name(text: &str) -> &'static NodeName {
        Box::leak(Box::new(text.parse().unwrap()))
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let bridge = two(serde_json::json!({ "bridge": "br0" }));
        let refused = |manifest: &Manifest, texts: &[&str]| {
            places(manifest, &told(texts), None).expect_err("refused").to_string()
        };
        for (texts, why) in [
            (&["pve3=qemu:///system"][..], "it has pve1, pve2"),
            (&["pve1=qemu:///system", "pve1=qemu:///session"], "twice for the host pve1"),
            (&["qemu:///system", "qemu:///session"], "twice for nodes without a host"),
            (&["qemu:///system", "pve2=qemu:///system"], "has no effect"),
        ] {
            let said = refused(&bridge, texts);
            assert!(said.contains(why), "{texts:?}: {said}");
        }
        let own = two(serde_json::json!("own"));
        let said = refused(&own, &[]);
        assert!(said.contains("[machine] bridge or network"), "{said}");
        assert!(places(&own, &told(&["pve1=qemu:///system"]), None).is_ok());
        let none = manifest(serde_json::json!([]), serde_json::json!("own"));
        assert!(refused(&none, &["pve1=qemu:///system"]).contains("it has none"));
    }

    #[test]
    fn a_machine_is_not_looked_for_where_it_is_not() {
        let bridge = two(serde_json::json!({ "bridge": "br0" }));
        let record = |texts: &[&str], there: Option<&MachinesRecord>| {
            let placed = places(&bridge, &told(texts), there).unwrap();
            let carrier = crate::carrier::named("initramfs").unwrap();
            MachinesRecord::wanted(
                &bridge,
                "libvirt".parse().unwrap(),
                carrier,
                crate::host::Accel::Tcg,
                placed,
            )
        };
        let mut there = record(&["pve2=qemu+tls://pve2/system"], None);
        there.nodes.insert(node_name("b").clone(), Default::default());
        // The second time it need not be said again.
        let again = record(&[], Some(&there));
        assert_eq!(again.places, there.places);
        assert!(there.refuse_move(&again, Path::new("out/x")).is_ok());
        let moved = record(&["pve2=qemu+tls://pve3/system"], Some(&there));
        let said = there.refuse_move(&moved, Path::new("out/x")).unwrap_err().to_string();
        assert!(
            said.contains("the VM of b") && said.contains("--connect pve2=qemu+tls://pve2/system"),
            "{said}"
        );
        // Only a started machine has a disk.
        there.nodes.clear();
        assert!(there.refuse_move(&moved, Path::new("out/x")).is_ok());
    }
}
