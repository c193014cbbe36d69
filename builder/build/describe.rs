//! The manifest of a bundle that has been built.

use std::str::FromStr;

use super::prepare::Prepared;
use crate::bundle;
use crate::bundle::MANIFEST_SCHEMA;
use crate::bundle::manifest::{self, Manifest, OwnRoots};
use crate::failure::{Failure, Result};
use crate::format::DiskFile;
use crate::pki::SnapshotKey;
use crate::pki::{Authority, Issued};
use crate::plan::{self, AuthoritySpec, CertificateSpec, Node, Plan, Role};
use crate::render;
use crate::values::{Invalid, Line, NODE_PROGRAM, NodeName, PemFile};

/// # Errors
/// Of all functions here: `Exit::Io`, when a value cannot be represented in a manifest.
pub fn authority(file: &str, authority: &Authority) -> Result<manifest::Certificate> {
    let root = authority.root();
    Ok(manifest::Certificate {
        file: parse(&bundle::client_file(file))?,
        node: None,
        subject: Line::of(&root.subject),
        sans: Vec::new(),
        serial: parse(&root.serial)?,
        not_before: root.not_before,
        not_after: root.not_after,
        ports: Vec::new(),
        trusts: None,
        renewed: None,
    })
}

pub fn certificate(file: &str, node: Option<&NodeName>, leaf: &Issued) -> Result<manifest::Certificate> {
    Ok(manifest::Certificate {
        file: parse(file)?,
        node: node.cloned(),
        subject: Line::of(&leaf.subject),
        sans: leaf.sans.iter().map(|san| parse(san)).collect::<Result<_>>()?,
        serial: parse(&leaf.serial)?,
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        ports: Vec::new(),
        trusts: None,
        renewed: None,
    })
}

fn ports_of(spec: &CertificateSpec) -> Vec<manifest::Port> {
    let all = [(Role::Server, manifest::Port::Client), (Role::Peer, manifest::Port::Peer)];
    all.into_iter().filter(|(role, _)| spec.roles.contains(role)).map(|(_, port)| port).collect()
}

/// The first certificate of those that a node makes later, and the CA with which it makes them; `None` for one that
/// the desk renews.
pub fn renewed(
    plan: &Plan,
    node: &Node,
    spec: &CertificateSpec,
    leaf: &Issued,
) -> Result<Option<[manifest::Certificate; 2]>> {
    let (Some(places), Some(issuer), Some(ca)) = (plan.renewal_places(), &spec.issuer, &leaf.issuer) else {
        return Ok(None);
    };
    let (file, authority) = (places.issuer(issuer).cert, plan.authority(spec.authority));
    let trusted = authority.map(|authority| authority.file.as_str()).unwrap_or_default();
    let lifetime = plan.pki.renewal.as_ref().map_or(spec.lifetime, |renewal| renewal.leaf_lifetime);
    let first = manifest::Certificate {
        ports: ports_of(spec),
        trusts: Some(parse(&format!("{}/{trusted}", plan.pki.directory))?),
        renewed: Some(manifest::Renewed { issuer: parse(&file)?, lifetime }),
        ..certificate(&places.leaf(issuer).cert, Some(&node.name), leaf)?
    };
    let own = manifest::Certificate {
        file: parse(&file)?,
        node: Some(node.name.clone()),
        subject: Line::of(&ca.subject),
        sans: Vec::new(),
        serial: parse(&ca.serial)?,
        not_before: ca.not_before,
        not_after: ca.not_after,
        ports: Vec::new(),
        trusts: None,
        renewed: None,
    };
    Ok(Some([first, own]))
}

/// Adds which ports of etcd send a certificate, where that does not follow from the names of the files.
pub fn with_ports(
    certificate: manifest::Certificate,
    plan: &Plan,
    spec: &CertificateSpec,
) -> Result<manifest::Certificate> {
    let ports = ports_of(spec);
    let Some(authority) = plan.authority(spec.authority).filter(|_| !ports.is_empty()) else {
        return Ok(certificate);
    };
    if spec.cert_path == PemFile::Certificate.usual(&spec.file)
        && authority.file == plan::authority_file(plan::CA)
    {
        return Ok(certificate);
    }
    let trusts = parse(&format!("{}/{}", plan.pki.directory, authority.file))?;
    Ok(manifest::Certificate { ports, trusts: Some(trusts), ..certificate })
}

pub fn node(plan: &Plan, node: &Node, mut files: Vec<String>) -> Result<manifest::Node> {
    files.sort_unstable();
    let plain = manifest::Node {
        name: node.name.clone(),
        address: node.address,
        public_address: node.public_address,
        mac: node.mac,
        cards: Vec::new(),
        member_id: node.member_id,
        peer_urls: vec![node.peer_url.clone()],
        client_urls: vec![node.client_url.clone()],
        files: files.iter().map(|file| parse(file)).collect::<Result<_>>()?,
    };
    // An MTU alone is no reason to list the cards.
    let mut usual = plain.cards(&network(plan));
    usual.iter_mut().zip(&node.cards).for_each(|(usual, card)| usual.mtu = card.mtu);
    let cards = if usual == node.cards { Vec::new() } else { node.cards.clone() };
    Ok(manifest::Node { cards, ..plain })
}

fn network(plan: &Plan) -> manifest::Network {
    manifest::Network { cidr: plan.network.cidr, gateway: plan.network.gateway }
}

fn host(host: &plan::Host) -> manifest::Host {
    manifest::Host { name: host.name.clone(), connect: host.connect.clone(), nodes: host.nodes.clone() }
}

/// Without a CA below it the root issues itself, and a keystore's imported CA is as it is, whatever the profile says.
/// The CAs of nodes are below a root that Kiln made, too: it has no others.
fn own_roots(prepared: &Prepared) -> OwnRoots {
    let plan = &prepared.plan;
    let is_own = |name: &str| !prepared.keystore.has_imported(name);
    let has_root = |one: &AuthoritySpec| {
        is_own(one.name) && (one.made.intermediate.is_some() || one.made.is_above_nodes)
    };
    if !plan.authorities.iter().any(has_root) {
        return OwnRoots::default();
    }
    let of_peers = plan.authority(plan::PEER_CA).map_or(plan::CA, |one| one.name);
    OwnRoots { ca: is_own(plan::CA), peer_ca: is_own(of_peers) }
}

fn parse<T: FromStr<Err = Invalid>>(text: &str) -> Result<T> {
    text.parse().map_err(|why| Failure::io(format!("{text:?} cannot be written into the manifest: {why}")))
}

fn input(file: &DiskFile) -> manifest::Input {
    manifest::Input { size: file.size, sha256: file.sha256 }
}

fn kiln_node(prepared: &Prepared) -> Result<Option<manifest::KilnNode>> {
    let Some(node) = &prepared.release.node else { return Ok(None) };
    Ok(Some(manifest::KilnNode {
        version: node.version.clone(),
        path: parse(&format!("{}/{NODE_PROGRAM}", prepared.plan.bin_dir))?,
        size: node.blob.size(),
        sha256: node.blob.digest(),
    }))
}

fn snapshots(prepared: &Prepared) -> Result<Option<manifest::Snapshots>> {
    let Some((backup, places)) = prepared.plan.backup() else { return Ok(None) };
    let signers = prepared.plan.nodes.iter().map(|node| {
        let key = SnapshotKey::of_node(&prepared.keystore, node.name.as_str())?;
        render::signer(&node.name, &key)
    });
    Ok(Some(manifest::Snapshots {
        interval: backup.interval,
        recipients: backup.recipients.clone(),
        s3: backup.bucket.as_ref().map(|bucket| render::bucket(bucket, &places)).transpose()?,
        retention: backup.retention,
        signers: signers.collect::<Result<_>>()?,
        desk: kiln_wire::PublicKey(SnapshotKey::of_desk(&prepared.keystore)?.public),
    }))
}

/// Everything except its nodes, certificates and files.
pub fn bundle(prepared: &Prepared) -> Result<Manifest> {
    let plan = &prepared.plan;
    let record = &prepared.release.record;
    let binaries = record.binaries.iter().map(|(program, binary)| {
        let path = parse(&format!("{}/{program}", plan.bin_dir))?;
        Ok((*program, manifest::Binary { path, size: binary.size, sha256: binary.sha256 }))
    });
    let sources = record.sources.iter().map(|source| manifest::Source {
        file: Line::of(&source.file),
        sha256: source.sha256,
        trust: source.trust,
    });
    Ok(Manifest {
        schema: MANIFEST_SCHEMA,
        builder: manifest::builder(),
        epoch: prepared.epoch,
        cluster: manifest::Cluster {
            name: plan.cluster.name.clone(),
            token: plan.cluster.token.clone(),
            id: plan.cluster.id,
            formed: plan.cluster.formed,
            restored: plan.cluster.restored.as_ref().map(|restored| manifest::Restored {
                generation: restored.generation,
                id: restored.id,
                earlier: restored.earlier.iter().map(|one| one.id).collect(),
            }),
            instance: plan.instance.name.clone(),
        },
        etcd: manifest::Etcd {
            version: plan.release,
            arch: plan.arch,
            binaries: binaries.collect::<Result<_>>()?,
            peers_by_name: plan.peers_by_name,
            trusts_own_roots: own_roots(prepared),
            sources: sources.collect(),
        },
        kiln_node: kiln_node(prepared)?,
        snapshots: snapshots(prepared)?,
        network: network(plan),
        machine: Some(manifest::Machine {
            memory_mib: plan.machine.memory_mib,
            vcpus: plan.machine.vcpus,
            data_disk_mib: plan.machine.data_disk_mib,
            base: plan.machine.base.clone(),
            link: plan.machine.link.clone(),
        }),
        base: prepared.boot.as_ref().as_ref().map(|boot| manifest::Base {
            kernel: input(&boot.kernel),
            initrd: input(&boot.initrd),
            cmdline: boot.cmdline.clone(),
        }),
        nodes: Vec::new(),
        hosts: plan.hosts.iter().map(host).collect(),
        carriers: plan.bundle.carriers.clone(),
        binaries: plan.bundle.binaries,
        certificates: Vec::new(),
        files: Default::default(),
    })
}
