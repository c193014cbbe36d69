//! What a bundle's manifest says of what was baked.

use super::prepare::Prepared;
use crate::bundle::manifest::{self, Manifest};
use crate::pki::{Authority, Issued};
use crate::plan::Node;
use crate::render;

pub fn authority(authority: &Authority) -> manifest::Certificate {
    let root = authority.root();
    manifest::Certificate {
        file: "client/ca.pem".to_owned(),
        node: None,
        subject: root.subject,
        sans: Vec::new(),
        serial: root.serial,
        not_before: root.not_before.seconds(),
        not_after: root.not_after.seconds(),
    }
}

pub fn certificate(file: String, node: Option<String>, leaf: &Issued) -> manifest::Certificate {
    manifest::Certificate {
        file,
        node,
        subject: leaf.subject.clone(),
        sans: leaf.sans.clone(),
        serial: leaf.serial.clone(),
        not_before: leaf.not_before.seconds(),
        not_after: leaf.not_after.seconds(),
    }
}

pub fn node(node: &Node, mut files: Vec<String>) -> manifest::Node {
    files.sort_unstable();
    manifest::Node {
        name: node.name.to_string(),
        address: node.address,
        mac: node.mac.to_string(),
        member_id: node.member_id.to_string(),
        peer_urls: vec![node.peer_url.clone()],
        client_urls: vec![node.client_url.clone()],
        files,
    }
}

/// All but its base system, its nodes, certificates and files.
pub fn bundle(prepared: &Prepared) -> Manifest {
    let plan = &prepared.plan;
    let record = &prepared.stock.record;
    let binaries = record.binaries.iter().map(|(program, binary)| {
        let path = format!("{}/{program}", render::PROGRAMS);
        let binary = manifest::Binary { path, size: binary.size, sha256: binary.sha256.to_string() };
        (program.to_string(), binary)
    });
    let sources = record.sources.iter().map(|source| manifest::Source {
        file: source.file.clone(),
        sha256: source.sha256.to_string(),
        trust: source.trust.to_string(),
    });
    Manifest {
        schema: manifest::SCHEMA,
        builder: concat!("kiln ", env!("CARGO_PKG_VERSION")).to_owned(),
        epoch: prepared.epoch.seconds(),
        cluster: manifest::Cluster {
            name: plan.cluster.name.to_string(),
            token: plan.cluster.token.to_string(),
            id: plan.cluster.id.to_string(),
            formed: plan.cluster.formed,
        },
        etcd: manifest::Etcd {
            version: plan.release.to_string(),
            arch: plan.arch.to_string(),
            binaries: binaries.collect(),
            peers_by_name: plan.peers_by_name,
            sources: sources.collect(),
        },
        network: manifest::Network { cidr: plan.network.cidr.to_string(), gateway: plan.network.gateway },
        machine: Some(manifest::Machine {
            memory_mib: plan.machine.memory_mib,
            vcpus: plan.machine.vcpus,
            data_disk_mib: plan.machine.data_disk_mib,
            base: plan.machine.base.clone(),
        }),
        base: None,
        nodes: Vec::new(),
        carriers: plan.bundle.carriers.iter().map(ToString::to_string).collect(),
        binaries: plan.bundle.binaries.to_string(),
        certificates: Vec::new(),
        files: Default::default(),
    }
}
