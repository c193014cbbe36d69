//! The recipe: what `build` writes and `check` makes only to see that it can be made.

use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};

use super::describe;
use super::parts::Parts;
use super::prepare::Prepared;
use super::session::{LayerDigest, ProgramsLayer, Session};
use super::sink::Sink;
use crate::bundle;
use crate::bundle::manifest::{self, Manifest};
use crate::carrier::{cloud_init, ignition, ipxe, libvirt};
use crate::failure::{Doing, Result};
use crate::format::{self, Piece, Stream, cpio, iso, tar, zstd};
use crate::interrupt;
use crate::pki::Issued;
use crate::plan::{CertificateSpec, Node, Origin, Plan, Setting};
use crate::profile::{Binaries as Placement, Carrier, Compression};
use crate::render::{self, NodeKeys, Renderer, SeedArchive};
use crate::threads;
use crate::tree::Tree;
use crate::values::{Digest, Mode};

/// The label of the disc that holds the layer which all hosts share.
const LAYER_LABEL: &str = "KILNLAYER";
const INITRD: &str = "initrd.img";
const SEED_ARCHIVE: &str = "overlay.tar.gz";
const LAYER_ARCHIVE: &str = "etcd.tar.gz";

/// The kernel looks for an archive in an initramfs only at a multiple of it (init/initramfs.c, unpack_to_rootfs).
const INITRD_UNIT: u64 = 4;

struct Recipe<'a> {
    prepared: &'a Prepared,
    session: &'a Session<'a>,
    plan: &'a Plan,
    renderer: Renderer<'a>,
    parts: Parts<'a>,
    /// Of what nodes and clients follow from besides what is their own.
    common: Digest,
    sink: Sink<'a>,
    /// The certificate of the CA that issues, in PEM.
    trust: OnceLock<String>,
}

/// A host that is done.
#[derive(Serialize, Deserialize)]
struct BuiltNode {
    node: manifest::Node,
    certificates: Vec<manifest::Certificate>,
}

/// Makes the whole bundle but its manifest, which it returns. Its nodes are made by so many `jobs` at once.
///
/// # Errors
/// The first thing that is in the way; the sink's owner drops what was written so far.
pub fn build(
    prepared: &Prepared,
    session: &Session<'_>,
    sink: Sink<'_>,
    jobs: NonZeroUsize,
) -> Result<Manifest> {
    let plan = &prepared.plan;
    let recipe = Recipe {
        prepared,
        session,
        plan,
        renderer: Renderer {
            plan,
            overlays: &prepared.overlays.list,
            templates: &session.templates,
            programs: prepared.release.record.binaries.keys().map(ToString::to_string).collect(),
            epoch: prepared.epoch,
        },
        parts: Parts { cache: session.cache.as_ref(), sink },
        common: common(prepared, session)?,
        sink,
        trust: OnceLock::new(),
    };
    let layer = recipe.layer()?;
    recipe.sink.text("network.xml", libvirt::network(plan)?)?;
    recipe.sink.directory("nodes", Mode::DIRECTORY)?;
    let (nodes, clients) = thread::scope(|scope| {
        let clients = threads::beside(scope, || recipe.clients());
        let nodes = threads::each(&plan.nodes, jobs.get(), |node| {
            let baked = recipe.node(node, layer.as_ref()).doing(|| format!("baking {}", node.name));
            sink.node();
            baked
        });
        (nodes, clients.join().and_then(|clients| clients))
    });
    let nodes = nodes?;
    recipe.boot()?;
    let mut certificates = Vec::new();
    let mut baked = Vec::new();
    for mut done in nodes {
        baked.push(done.node);
        certificates.append(&mut done.certificates);
    }
    // The CA first, and the clients last.
    let mut client = clients?;
    certificates.splice(0..0, client.drain(..client.len().min(1)));
    certificates.append(&mut client);
    Ok(Manifest { nodes: baked, certificates, ..describe::bundle(prepared)? })
}

/// Of all that every part of the bundle follows from, besides what is its own.
fn common(prepared: &Prepared, session: &Session<'_>) -> Result<Digest> {
    // What a node is told of the others, and the rest of the plan without them.
    let plan = &prepared.plan;
    let told =
        |node: &Node| (node.name.clone(), node.fqdn.clone(), node.address, node.mac, node.peer_url.clone());
    let nodes: Vec<_> = plan.nodes.iter().map(told).collect();
    let rest = Plan { nodes: Vec::new(), clients: Vec::new(), ..plan.clone() };
    let binaries = binaries(prepared);
    let boot = prepared.boot.as_ref().as_ref();
    let boot = boot.map(|boot| (boot.kernel.sha256, boot.initrd.sha256, &boot.cmdline));
    let text = format!(
        "{}\n{}\n{}\n{}\n{binaries:?}\n{boot:?}\n{rest:?}\n{nodes:?}",
        session.program()?,
        prepared.keystore.fingerprint()?,
        prepared.epoch.seconds(),
        prepared.overlays.digest,
    );
    Ok(Digest::of(text.as_bytes()))
}

impl Recipe<'_> {
    fn has(&self, carrier: Carrier) -> bool {
        self.plan.bundle.carriers.contains(&carrier)
    }

    fn has_seed(&self) -> bool {
        self.has(Carrier::CloudInit) || self.has(Carrier::Ignition)
    }

    fn tar_gz(&self, tree: &Tree) -> Result<Stream> {
        self.session.compressor.compress(&tar::tar(tree, self.prepared.epoch)?)
    }

    /// A segment of an initramfs.
    fn cpio(&self, tree: &Tree) -> Result<Stream> {
        let archive = cpio::cpio(tree, self.prepared.epoch)?;
        match self.plan.bundle.initramfs_compression {
            Compression::Gzip => self.session.compressor.compress(&archive),
            Compression::Zstd => zstd::zstd(&archive),
        }
    }

    fn cpio_name(&self, stem: &str) -> String {
        format!("{stem}.cpio.{}", self.plan.bundle.initramfs_compression.ending())
    }

    /// The part that is the same for every host, where the profile wants it apart.
    fn layer(&self) -> Result<Option<LayerDigest>> {
        if self.plan.bundle.binaries == Placement::Embedded {
            return Ok(None);
        }
        // Whatever else the profile says, the programs are the same.
        let binaries = binaries(self.prepared);
        let bundle = &self.plan.bundle;
        let inputs = format!(
            "{}\n{}\n{binaries:?}\n{}\n{:?}\n{}",
            self.session.program()?,
            self.prepared.epoch.seconds(),
            self.plan.bin_dir,
            bundle.carriers,
            bundle.initramfs_compression,
        );
        // Many clusters have the same one: the first makes it or takes it over, and the others get another name for it.
        let laid = self.session.shared_layer(Digest::of(inputs.as_bytes()))?;
        let mut laid = laid.lock().unwrap_or_else(PoisonError::into_inner);
        self.sink.directory("layers", Mode::DIRECTORY)?;
        if let Some((laid, layer)) = &*laid
            && self.sink.share(laid)?
        {
            return Ok(Some(layer.clone()));
        }
        let layer = self.parts.part("layers", &inputs, || self.make_layer())?;
        // Also where the first can have no more names: then this one can.
        *laid = self.sink.laid("layers").map(|laid| (laid, layer.clone()));
        Ok(Some(layer))
    }

    fn make_layer(&self) -> Result<LayerDigest> {
        let layers = self.layers()?;
        let put =
            |name: &str, at: usize| self.sink.put(&format!("layers/{name}"), Mode::FILE, &layers.files[at]);
        put(LAYER_ARCHIVE, 0)?;
        if self.has(Carrier::Initramfs) {
            put(&self.cpio_name("etcd"), 1)?;
        }
        if self.has_seed() {
            put("layer.iso", 2)?;
        }
        Ok(LayerDigest { sha256: layers.sha256.to_string() })
    }

    /// The layer in all packings, which clusters with the same programs and the same epoch share.
    fn layers(&self) -> Result<Arc<ProgramsLayer>> {
        let (release, epoch) = (&self.prepared.release, self.prepared.epoch);
        let compression = self.plan.bundle.initramfs_compression;
        let bin_dir = &self.plan.bin_dir;
        self.session.layers(release, epoch, compression, bin_dir, || {
            let tree = render::programs_tree(self.session.programs(release)?, bin_dir)?;
            let archive = self.tar_gz(&tree)?;
            let segment = self.cpio(&tree)?;
            let sha256 = bundle::digest_of_stream(&archive)?;
            let image = iso::iso(&[(LAYER_ARCHIVE.to_owned(), archive.clone())], LAYER_LABEL, epoch)?;
            Ok(ProgramsLayer { sha256, files: [archive, segment, image] })
        })
    }

    /// What the machines of all hosts boot from: the kernel, what it is told, and which of them gets which initrd.
    fn boot(&self) -> Result<()> {
        let Some(boot) = self.prepared.boot.as_ref() else { return Ok(()) };
        self.sink.directory("boot", Mode::DIRECTORY)?;
        let inputs = self.common.to_string();
        self.parts.part("boot", &inputs, || {
            let kernel = [Piece::File(Arc::clone(&boot.kernel))];
            self.sink.put("boot/vmlinuz", Mode::FILE, &kernel)?;
            self.sink.text("boot/cmdline", format!("{}\n", boot.cmdline))?;
            self.sink.text("boot/boot.ipxe", ipxe::script(self.plan, boot.cmdline.as_str()))
        })
    }

    /// One host, new or as it was.
    fn node(&self, node: &Node, layer: Option<&LayerDigest>) -> Result<BuiltNode> {
        interrupt::check()?;
        let directory = format!("nodes/{}", node.name);
        let inputs = format!("{}\n{:?}", self.common, without_lines(node));
        self.sink.directory(&directory, Mode::SECRET_DIRECTORY)?;
        self.parts.part(&directory, &inputs, || self.make_node(node, &directory, layer))
    }

    /// Its certificates, its tree, its tree in every packing.
    fn make_node(&self, node: &Node, directory: &str, layer: Option<&LayerDigest>) -> Result<BuiltNode> {
        let leaves = self.issue(&node.certificates)?;
        let keys = NodeKeys { trust_pem: self.trust()?, leaves: &leaves };
        let mut tree = self.renderer.node_tree(node, &keys)?;
        let without = tree.clone();
        if layer.is_none() {
            let programs = self.session.programs(&self.prepared.release)?;
            render::insert_programs(&mut tree, programs, &self.plan.bin_dir)?;
        }
        let mut files = vec![SEED_ARCHIVE.to_owned()];
        let mut put = |name: &str, mode: Mode, stream: &[Piece]| {
            files.push(name.to_owned());
            self.sink.put(&format!("{directory}/{name}"), mode, stream)
        };
        let archive = self.tar_gz(&tree)?;
        let digest = self.sink.put_hashed(&format!("{directory}/{SEED_ARCHIVE}"), Mode::SECRET, &archive)?;
        let mut segment = Stream::new();
        if self.has(Carrier::Initramfs) {
            segment = self.segment(&tree, &without, layer)?;
            put(&self.cpio_name("overlay"), Mode::SECRET, &segment)?;
        }
        self.seed(node, archive, digest, layer, &mut put)?;
        put("domain.xml", Mode::FILE, &own(libvirt::domain(self.plan, node)?))?;
        put("listing.txt", Mode::FILE, &own(tree.listing()))?;
        let certificates = node.certificates.iter().zip(&leaves).map(|(spec, leaf)| {
            let file = format!("{}/{}.pem", self.plan.pki.directory, spec.file);
            describe::certificate(&file, Some(&node.name), leaf)
        });
        let certificates = certificates.collect::<Result<_>>()?;
        if let Some(boot) = self.prepared.boot.as_ref() {
            let mut initrd = vec![Piece::File(Arc::clone(&boot.initrd))];
            initrd.extend(format::padding(boot.initrd.size, INITRD_UNIT));
            if layer.is_some() {
                initrd.extend(self.layers()?.files[1].iter().cloned());
            }
            initrd.extend(segment);
            put(INITRD, Mode::SECRET, &initrd)?;
        }
        Ok(BuiltNode { node: describe::node(node, files)?, certificates })
    }

    /// A node's files as Linux unpacks them. A gzip member can be put together from parts and a zstd frame cannot, so that
    /// there the programs, which are compressed once, are a segment of their own.
    fn segment(&self, whole: &Tree, own: &Tree, layer: Option<&LayerDigest>) -> Result<Stream> {
        if self.plan.bundle.initramfs_compression == Compression::Gzip || layer.is_some() {
            return self.cpio(whole);
        }
        let mut segments = self.layers()?.files[1].clone();
        segments.extend(self.cpio(own)?);
        Ok(segments)
    }

    /// cloud-init's files, the Ignition config and the disc that both read.
    fn seed(
        &self,
        node: &Node,
        archive: Stream,
        digest: Digest,
        layer: Option<&LayerDigest>,
        put: &mut impl FnMut(&str, Mode, &[Piece]) -> Result<()>,
    ) -> Result<()> {
        if !self.has_seed() {
            return Ok(());
        }
        let plan = self.plan;
        let own_archive =
            SeedArchive { label: cloud_init::SEED_LABEL, file: SEED_ARCHIVE, sha256: digest.to_string() };
        let layer = layer.map(|layer| SeedArchive {
            label: LAYER_LABEL,
            file: LAYER_ARCHIVE,
            sha256: layer.sha256.clone(),
        });
        let archives: Vec<_> = layer.into_iter().chain([own_archive]).collect();
        let seed = render::seed(plan, node, &archives, self.renderer.templates)?;
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
        put("seed.iso", Mode::SECRET, &iso::iso(&on_disc, cloud_init::SEED_LABEL, self.prepared.epoch)?)?;
        if self.has(Carrier::Ignition) {
            put("config.ign", Mode::FILE, &own(ignition::config(plan, node, &seed.script, &seed.unit)?))?;
        }
        Ok(())
    }

    fn issue(&self, specs: &[CertificateSpec]) -> Result<Vec<Issued>> {
        let pki = &self.plan.pki;
        specs
            .iter()
            .map(|spec| self.prepared.authority()?.issue(spec, pki.leaf_algorithm, pki.leaf_lifetime))
            .collect()
    }

    fn trust(&self) -> Result<&str> {
        if let Some(trust) = self.trust.get() {
            return Ok(trust);
        }
        let trust = self.prepared.authority()?.trust_pem()?;
        Ok(self.trust.get_or_init(|| trust))
    }

    /// What an operator's own machine needs: the trust anchor, client certificates, etcdctl's variables. The CA's
    /// certificate is the first of those that are said of it.
    fn clients(&self) -> Result<Vec<manifest::Certificate>> {
        let inputs = format!("{}\n{:?}", self.common, self.plan.clients);
        self.sink.directory("client", Mode::SECRET_DIRECTORY)?;
        self.parts.part("client", &inputs, || self.make_clients())
    }

    fn make_clients(&self) -> Result<Vec<manifest::Certificate>> {
        let plan = self.plan;
        self.sink.text("client/ca.pem", self.prepared.authority()?.root_pem()?)?;
        let endpoints: Vec<_> = plan.nodes.iter().map(|node| node.client_url.as_str()).collect();
        let environment = format!(
            "# Made by Kiln for {}. In this directory: . ./etcdctl.sh\nETCDCTL_API=3\nETCDCTL_ENDPOINTS={}\n\
             ETCDCTL_CACERT=ca.pem\nETCDCTL_CERT=etcdctl.pem\nETCDCTL_KEY=etcdctl-key.pem\n",
            plan.cluster.name,
            endpoints.join(",")
        );
        self.sink.text("client/etcdctl.env", environment)?;
        self.sink.text("client/etcdctl.sh", render::CLIENT_SCRIPT)?;
        let issued = self.issue(&plan.clients)?;
        let mut listed = vec![describe::authority(self.prepared.authority()?)?];
        for (spec, leaf) in plan.clients.iter().zip(&issued) {
            let file = format!("client/{}.pem", spec.file);
            self.sink.text(&file, leaf.cert_pem.clone())?;
            let key = leaf.key_pem.as_bytes().to_vec();
            self.sink.put(&format!("client/{}-key.pem", spec.file), Mode::SECRET, &[Piece::Own(key)])?;
            listed.push(describe::certificate(&file, None, leaf)?);
        }
        Ok(listed)
    }
}

/// A node without the lines of the profile that its settings are from: they say nothing of its files.
fn without_lines(node: &Node) -> Node {
    let settings = node.settings.iter().cloned();
    let settings = settings.map(|setting| match setting.origin {
        Origin::Profile { .. } => Setting { origin: Origin::Profile { line: 0 }, ..setting },
        Origin::Kiln(_) => setting,
    });
    Node { settings: settings.collect(), ..node.clone() }
}

fn binaries(prepared: &Prepared) -> Vec<Digest> {
    prepared.release.record.binaries.values().map(|binary| binary.sha256).collect()
}

fn own(bytes: impl Into<Vec<u8>>) -> [Piece; 1] {
    [Piece::Own(bytes.into())]
}
