//! The recipe: what `build` writes and `check` makes only to see that it can be made.

use super::parallel;
use super::sink::Sink;
use crate::artifact::Binaries;
use crate::bundle::manifest::{self, Manifest};
use crate::failure::{Doing, Failure, Result};
use crate::interrupt;
use crate::machine::Base;
use crate::pack::{
    self, Piece, Stream, cloud_init, cpio, gzip::Compressor, ignition, ipxe, iso, libvirt, tar,
};
use crate::pki::{Authority, Issued};
use crate::plan::{CertificateSpec, Node, Plan};
use crate::profile::{Binaries as Placement, Carrier};
use crate::render::{self, Kitchen, NodeKeys, Overlay, Program, SeedArchive, Templates};
use crate::tree::Tree;
use crate::values::{Digest, Epoch, Mode};

/// The label of the disc that holds the layer which all hosts share.
const LAYER_LABEL: &str = "KILNLAYER";
const INITRD: &str = "initrd.img";
const SEED_ARCHIVE: &str = "overlay.tar.gz";
const LAYER_ARCHIVE: &str = "etcd.tar.gz";

/// The kernel looks for an archive in an initramfs only at a multiple of it (init/initramfs.c, unpack_to_rootfs).
const INITRD_UNIT: u64 = 4;

/// Everything that a bundle follows from.
pub struct Inputs<'a> {
    pub plan: &'a Plan,
    pub authority: &'a Authority,
    pub overlays: &'a [Overlay],
    pub binaries: &'a Binaries,
    /// What the boot files are made with, where the bundle has them.
    pub base: Option<&'a Base>,
    pub epoch: Epoch,
}

struct Oven<'a> {
    inputs: &'a Inputs<'a>,
    kitchen: Kitchen<'a>,
    programs: Vec<Program>,
    compressor: Compressor,
    /// The CA and what is above it.
    trust_pem: String,
    /// What is the same for every host, where it is apart.
    layer: Option<Layer>,
    sink: Sink<'a>,
}

struct Layer {
    sha256: Digest,
    /// As a segment of an initramfs; empty without that carrier.
    segment: Stream,
}

/// A host that is done.
struct Baked {
    node: manifest::Node,
    certificates: Vec<manifest::Certificate>,
    /// What the base system's initrd was while it was copied.
    initrd: Option<manifest::Input>,
}

/// Makes the whole bundle but its manifest, which it returns.
///
/// # Errors
/// The first thing that is in the way; the sink's owner drops what was written so far.
pub fn bake(inputs: &Inputs<'_>, sink: Sink<'_>) -> Result<Manifest> {
    let templates = Templates::new();
    let mut oven = Oven {
        inputs,
        kitchen: Kitchen {
            plan: inputs.plan,
            overlays: inputs.overlays,
            templates: &templates,
            epoch: inputs.epoch,
        },
        programs: programs(inputs.binaries),
        compressor: Compressor::new(),
        trust_pem: inputs.authority.trust_pem()?,
        layer: None,
        sink,
    };
    oven.layer = oven.layer()?;
    oven.sink.text("network.xml", libvirt::network(inputs.plan)?)?;
    oven.sink.directory("nodes", Mode::DIRECTORY)?;
    let nodes =
        parallel::each(&inputs.plan.nodes, |node| oven.node(node).doing(|| format!("baking {}", node.name)))?;
    let base = oven.boot(&nodes)?;
    let mut certificates = vec![oven.authority_certificate()];
    let mut baked = Vec::new();
    for mut done in nodes {
        baked.push(done.node);
        certificates.append(&mut done.certificates);
    }
    certificates.append(&mut oven.clients()?);
    Ok(Manifest { base, ..oven.manifest(baked, certificates) })
}

impl Oven<'_> {
    fn has(&self, carrier: Carrier) -> bool {
        self.inputs.plan.bundle.carriers.contains(&carrier)
    }

    fn has_seed(&self) -> bool {
        self.has(Carrier::CloudInit) || self.has(Carrier::Ignition)
    }

    fn tar_gz(&self, tree: &Tree) -> Result<Stream> {
        Ok(self.compressor.compress(&tar::tar(tree, self.inputs.epoch)?))
    }

    fn cpio_gz(&self, tree: &Tree) -> Result<Stream> {
        Ok(self.compressor.compress(&cpio::cpio(tree, self.inputs.epoch)?))
    }

    /// The part that is the same for every host, where the profile wants it apart.
    fn layer(&self) -> Result<Option<Layer>> {
        if self.inputs.plan.bundle.binaries == Placement::Embedded {
            return Ok(None);
        }
        let tree = render::programs_tree(&self.programs)?;
        let archive = self.tar_gz(&tree)?;
        self.sink.directory("layers", Mode::DIRECTORY)?;
        self.sink.put(&format!("layers/{LAYER_ARCHIVE}"), Mode::FILE, &archive)?;
        let mut segment = Stream::new();
        if self.has(Carrier::Initramfs) {
            segment = self.cpio_gz(&tree)?;
            self.sink.put("layers/etcd.cpio.gz", Mode::FILE, &segment)?;
        }
        let sha256 = pack::digest(&archive);
        if self.has_seed() {
            let files = [(LAYER_ARCHIVE.to_owned(), archive)];
            let image = iso::iso(&files, LAYER_LABEL, self.inputs.epoch)?;
            self.sink.put("layers/layer.iso", Mode::FILE, &image)?;
        }
        Ok(Some(Layer { sha256, segment }))
    }

    /// What the machines of all hosts boot from: the kernel, what it is told, and which of them gets which initrd.
    fn boot(&self, nodes: &[Baked]) -> Result<Option<manifest::Base>> {
        let Some(base) = self.inputs.base else { return Ok(None) };
        let plan = self.inputs.plan;
        self.sink.directory("boot", Mode::DIRECTORY)?;
        let kernel = base.check_kernel(plan.arch)?;
        let kernel = self.sink.put_behind("boot/vmlinuz", Mode::FILE, kernel, 1, &[])?;
        self.sink.text("boot/cmdline", format!("{}\n", base.cmdline))?;
        self.sink.text("boot/boot.ipxe", ipxe::script(plan, &base.cmdline))?;
        // Every host's was read by itself, and all must have got the same.
        let initrds: Vec<_> = nodes.iter().filter_map(|done| done.initrd.as_ref()).collect();
        match initrds[..] {
            [first, ref others @ ..] if others.iter().all(|other| *other == first) => {
                Ok(Some(manifest::Base { kernel, initrd: first.clone(), cmdline: base.cmdline.clone() }))
            }
            _ => {
                Err(Failure::io(format!("{} changed while it was read; build again", base.initrd.display())))
            }
        }
    }

    /// One host: its certificates, its tree, its tree in every packing.
    fn node(&self, node: &Node) -> Result<Baked> {
        interrupt::check()?;
        let leaves = self.issue(&node.certificates)?;
        let keys = NodeKeys { trust_pem: &self.trust_pem, leaves: &leaves };
        let mut tree = self.kitchen.node_tree(node, &keys)?;
        if self.layer.is_none() {
            render::insert_programs(&mut tree, &self.programs)?;
        }
        let directory = format!("nodes/{}", node.name);
        self.sink.directory(&directory, Mode::SECRET_DIRECTORY)?;
        let mut files = Vec::new();
        let mut put = |name: &str, mode: Mode, stream: &[Piece]| {
            files.push(name.to_owned());
            self.sink.put(&format!("{directory}/{name}"), mode, stream)
        };
        let archive = self.tar_gz(&tree)?;
        put(SEED_ARCHIVE, Mode::SECRET, &archive)?;
        let mut segments = self.layer.as_ref().map(|layer| layer.segment.clone()).unwrap_or_default();
        if self.has(Carrier::Initramfs) {
            let segment = self.cpio_gz(&tree)?;
            put("overlay.cpio.gz", Mode::SECRET, &segment)?;
            segments.extend(segment);
        }
        self.seed(node, archive, &mut put)?;
        put("domain.xml", Mode::FILE, &own(libvirt::domain(self.inputs.plan, node)?))?;
        put("listing.txt", Mode::FILE, &own(tree.listing()))?;
        let certificates = node.certificates.iter().zip(&leaves).map(|(spec, leaf)| {
            let file = format!("{}/{}.pem", self.inputs.plan.pki.directory, spec.file);
            certificate(file, Some(node.name.to_string()), leaf)
        });
        let certificates = certificates.collect();
        let mut initrd = None;
        if let Some(base) = self.inputs.base {
            let path = format!("{directory}/{INITRD}");
            let was = self.sink.put_behind(&path, Mode::SECRET, &base.initrd, INITRD_UNIT, &segments)?;
            files.push(INITRD.to_owned());
            initrd = Some(was);
        }
        Ok(Baked { node: self.manifest_node(node, files), certificates, initrd })
    }

    /// cloud-init's files, the Ignition config and the disc that both read.
    fn seed(
        &self,
        node: &Node,
        archive: Stream,
        put: &mut impl FnMut(&str, Mode, &[Piece]) -> Result<()>,
    ) -> Result<()> {
        if !self.has_seed() {
            return Ok(());
        }
        let plan = self.inputs.plan;
        let own_archive =
            SeedArchive { label: cloud_init::SEED_LABEL, file: SEED_ARCHIVE, sha256: pack::digest(&archive) };
        let layer = self.layer.as_ref().map(|layer| SeedArchive {
            label: LAYER_LABEL,
            file: LAYER_ARCHIVE,
            sha256: layer.sha256,
        });
        let archives: Vec<_> = layer.into_iter().chain([own_archive]).collect();
        let seed = render::seed(plan, node, &archives, self.kitchen.templates)?;
        let mut on_disc = Vec::new();
        if self.has(Carrier::CloudInit) {
            let files = cloud_init::no_cloud(plan, node, &seed.script);
            let named = [
                ("user-data", files.user_data),
                ("meta-data", files.meta_data),
                ("network-config", files.network_config),
            ];
            for (name, text) in named {
                put(name, Mode::FILE, &own(text.clone()))?;
                on_disc.push((name.to_owned(), own(text).to_vec()));
            }
        }
        on_disc.push((SEED_ARCHIVE.to_owned(), archive));
        put("seed.iso", Mode::SECRET, &iso::iso(&on_disc, cloud_init::SEED_LABEL, self.inputs.epoch)?)?;
        if self.has(Carrier::Ignition) {
            put("config.ign", Mode::FILE, &own(ignition::config(plan, node, &seed.script, &seed.unit)?))?;
        }
        Ok(())
    }

    fn issue(&self, specs: &[CertificateSpec]) -> Result<Vec<Issued>> {
        let pki = &self.inputs.plan.pki;
        specs
            .iter()
            .map(|spec| self.inputs.authority.issue(spec, pki.leaf_algorithm, pki.leaf_lifetime))
            .collect()
    }

    /// What an operator's own machine needs: the trust anchor, client certificates, etcdctl's variables.
    fn clients(&self) -> Result<Vec<manifest::Certificate>> {
        let plan = self.inputs.plan;
        self.sink.directory("client", Mode::SECRET_DIRECTORY)?;
        self.sink.text("client/ca.pem", self.trust_pem.clone())?;
        let endpoints: Vec<_> = plan.nodes.iter().map(|node| node.client_url.as_str()).collect();
        let environment = format!(
            "# Made by Kiln for {}. In this directory: set -a; . ./etcdctl.env\nETCDCTL_API=3\nETCDCTL_ENDPOINTS={}\n\
             ETCDCTL_CACERT=ca.pem\nETCDCTL_CERT=etcdctl.pem\nETCDCTL_KEY=etcdctl-key.pem\n",
            plan.cluster.name,
            endpoints.join(",")
        );
        self.sink.text("client/etcdctl.env", environment)?;
        let issued = self.issue(&plan.clients)?;
        let mut listed = Vec::new();
        for (spec, leaf) in plan.clients.iter().zip(&issued) {
            let file = format!("client/{}.pem", spec.file);
            self.sink.text(&file, leaf.cert_pem.clone())?;
            let key = leaf.key_pem.as_bytes().to_vec();
            self.sink.put(&format!("client/{}-key.pem", spec.file), Mode::SECRET, &[Piece::Own(key)])?;
            listed.push(certificate(file, None, leaf));
        }
        Ok(listed)
    }

    fn authority_certificate(&self) -> manifest::Certificate {
        let authority = self.inputs.authority;
        let (not_before, not_after) = authority.validity();
        manifest::Certificate {
            file: "client/ca.pem".to_owned(),
            node: None,
            subject: authority.subject(),
            sans: Vec::new(),
            serial: authority.serial(),
            not_before: not_before.seconds(),
            not_after: not_after.seconds(),
        }
    }

    fn manifest_node(&self, node: &Node, mut files: Vec<String>) -> manifest::Node {
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

    fn manifest(&self, nodes: Vec<manifest::Node>, certificates: Vec<manifest::Certificate>) -> Manifest {
        let plan = self.inputs.plan;
        let record = &self.inputs.binaries.record;
        let binaries = self.programs.iter().map(|(name, blob)| {
            let path = format!("{}/{name}", render::PROGRAMS);
            let binary =
                manifest::Binary { path, size: blob.bytes().len() as u64, sha256: blob.digest().to_string() };
            (name.clone(), binary)
        });
        let sources = record.sources.iter().map(|source| manifest::Source {
            file: source.file.clone(),
            sha256: source.sha256.to_string(),
            trust: source.trust.to_string(),
        });
        Manifest {
            schema: manifest::SCHEMA,
            builder: concat!("kiln ", env!("CARGO_PKG_VERSION")).to_owned(),
            epoch: self.inputs.epoch.seconds(),
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
            nodes,
            carriers: plan.bundle.carriers.iter().map(ToString::to_string).collect(),
            binaries: plan.bundle.binaries.to_string(),
            certificates,
            files: Default::default(),
        }
    }
}

fn programs(binaries: &Binaries) -> Vec<Program> {
    binaries.blobs.iter().map(|(program, blob)| (program.to_string(), blob.clone())).collect()
}

fn own(bytes: impl Into<Vec<u8>>) -> [Piece; 1] {
    [Piece::Own(bytes.into())]
}

fn certificate(file: String, node: Option<String>, leaf: &Issued) -> manifest::Certificate {
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
