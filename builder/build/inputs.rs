//! The inputs of the parts of a bundle, as types of their own: the digest of their canonical JSON identifies a part.

use std::net::IpAddr;

use serde::Serialize;

use super::prepare::Prepared;
use super::session::Session;
use crate::etcd::ids::MemberId;
use crate::failure::{Failure, Result};
use crate::plan::{Node, Plan};
use crate::profile::Compression;
use crate::values::{Carrier, Digest, Epoch, GuestPath, Mac, NodeName, Url};

/// The digest of inputs, from their JSON: fields in the order of their types, no spaces.
///
/// # Errors
/// `Exit::Io`, when they cannot be written as JSON.
pub fn digest_of(inputs: &impl Serialize) -> Result<Digest> {
    let json = serde_json::to_vec(inputs);
    let json = json.map_err(|error| Failure::io(format!("writing the inputs of a part as JSON: {error}")))?;
    Ok(Digest::of(&json))
}

/// The inputs that all parts of the bundle have in common.
#[derive(Serialize)]
struct Common<'a> {
    /// This program.
    program: Digest,
    keystore: String,
    epoch: Epoch,
    overlays: Digest,
    binaries: Vec<Digest>,
    boot: Option<Boot<'a>>,
    /// Without nodes and clients.
    plan: &'a Plan,
    nodes: Vec<Told<'a>>,
}

#[derive(Serialize)]
struct Boot<'a> {
    kernel: Digest,
    initrd: Digest,
    cmdline: &'a str,
}

/// What a node's files say about the other nodes.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a NodeName,
    fqdn: &'a str,
    address: IpAddr,
    mac: Mac,
    peer_url: &'a Url,
    client_url: &'a Url,
    member_id: MemberId,
}

impl<'a> Told<'a> {
    fn of(node: &'a Node) -> Self {
        Self {
            name: &node.name,
            fqdn: &node.fqdn,
            address: node.address,
            mac: node.mac,
            peer_url: &node.peer_url,
            client_url: &node.client_url,
            member_id: node.member_id,
        }
    }
}

/// The inputs of a node, the clients' files or the boot files.
#[derive(Serialize)]
pub struct Inputs<T> {
    pub common: Digest,
    pub own: T,
}

/// # Errors
/// `Exit::Io` when this program or the keystore cannot be read.
pub fn common(prepared: &Prepared, session: &Session<'_>) -> Result<Digest> {
    let plan = &prepared.plan;
    let boot = prepared.boot.as_ref().as_ref().map(|boot| Boot {
        kernel: boot.kernel.sha256,
        initrd: boot.initrd.sha256,
        cmdline: boot.cmdline.as_str(),
    });
    digest_of(&Common {
        program: session.program()?,
        // An export of the keystore changes no bundle.
        keystore: prepared.keystore.state()?.to_string(),
        epoch: prepared.epoch,
        overlays: prepared.overlays.digest,
        binaries: binaries(prepared),
        boot,
        plan: &Plan { nodes: Vec::new(), clients: Vec::new(), ..plan.clone() },
        nodes: plan.nodes.iter().map(Told::of).collect(),
    })
}

/// The inputs of the layer of the programs: nothing else in the profile changes the programs.
#[derive(Serialize)]
struct LayerInputs<'a> {
    program: Digest,
    epoch: Epoch,
    binaries: Vec<Digest>,
    bin_dir: &'a GuestPath,
    carriers: &'a [Carrier],
    compression: Compression,
}

/// # Errors
/// `Exit::Io` when this program cannot be read.
pub fn layer(prepared: &Prepared, session: &Session<'_>) -> Result<Digest> {
    let plan = &prepared.plan;
    digest_of(&LayerInputs {
        program: session.program()?,
        epoch: prepared.epoch,
        binaries: binaries(prepared),
        bin_dir: &plan.bin_dir,
        carriers: &plan.bundle.carriers,
        compression: plan.bundle.initramfs_compression,
    })
}

fn binaries(prepared: &Prepared) -> Vec<Digest> {
    prepared.release.digests()
}
