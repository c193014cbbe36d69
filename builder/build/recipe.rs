//! The recipe: `build` writes its results; `check` only makes them, to see that it can be done.

use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};

use super::delivery;
use super::inputs::{self, Inputs, digest_of};
use super::once::Once;
use super::parts::Parts;
use super::prepare::Prepared;
use super::session::{LayerDigest, Session};
use super::sink::Sink;
use super::{describe, ends};
use crate::bundle::manifest::{self, Manifest};
use crate::bundle::{
    self, DOMAIN, FILES, LAYER_ARCHIVE, LISTING, NETWORK, NODE_ARCHIVE, OPERATOR_CERT, OPERATOR_KEY,
    PEER_NETWORK, client_file,
};
use crate::carrier::{self, Files, Layer, NodeParts, Packer, libvirt};
use crate::failure::{Doing, Result};
use crate::format::{Piece, Stream, tar};
use crate::interrupt;
use crate::parallel;
use crate::pki::{Issued, SnapshotKey};
use crate::plan::{self, CertificateSpec, Node, Plan};
use crate::profile::{BUCKET_CA, Binaries as Placement, DESK_KEY};
use crate::render::{self, NodeKeys, Renderer};
use crate::values::{Digest, Mode, NodeName};

struct Recipe<'a> {
    prepared: &'a Prepared,
    session: &'a Session<'a>,
    plan: &'a Plan,
    renderer: Renderer<'a>,
    parts: Parts<'a>,
    /// The digest of the common inputs of nodes and clients.
    common: Digest,
    sink: Sink<'a>,
    /// The CAs that members trust for each authority, in PEM.
    trust: Once<(), Vec<String>>,
    /// The keys with which nodes sign their snapshots; none where they take none.
    signers: Once<(), Vec<kiln_wire::Signer>>,
}

/// A host that has been built.
#[derive(Serialize, Deserialize)]
struct BuiltNode {
    node: manifest::Node,
    certificates: Vec<manifest::Certificate>,
}

/// The clients' files, once they are built.
#[derive(Serialize, Deserialize)]
struct BuiltClients {
    authorities: Vec<manifest::Certificate>,
    leaves: Vec<manifest::Certificate>,
}

/// Makes the whole bundle except its manifest, which it returns. At most `jobs` nodes are made at once.
///
/// # Errors
/// The first error; the owner of the sink drops what was written so far.
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
            programs: prepared.release.names(),
            epoch: prepared.epoch,
        },
        parts: Parts { cache: session.cache.as_ref(), sink },
        common: inputs::common(prepared, session)?,
        sink,
        trust: Once::default(),
        signers: Once::default(),
    };
    let layer = recipe.layer()?;
    if plan.instance.name.owns_host() && plan.machine.link.is_own() {
        recipe.sink.text(NETWORK, libvirt::network(plan)?)?;
        if plan.network.peer.as_ref().is_some_and(|peer| !peer.same_card) {
            recipe.sink.text(PEER_NETWORK, libvirt::peer_network(plan)?)?;
        }
    }
    recipe.sink.directory("nodes", Mode::DIRECTORY)?;
    let (nodes, clients) = thread::scope(|scope| {
        let clients = parallel::beside(scope, || recipe.clients());
        let nodes = parallel::each(&plan.nodes, jobs.get(), |node| {
            let baked = recipe.node(node, layer.as_ref()).doing(|| format!("building {}", node.name));
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
    // The authorities first, and the clients last.
    let clients = clients?;
    let certificates = [clients.authorities, certificates, clients.leaves].concat();
    let manifest = Manifest { nodes: baked, certificates, ..describe::bundle(prepared)? };
    ends::check(prepared, &manifest, session)?;
    Ok(manifest)
}

impl Recipe<'_> {
    fn packer(&self) -> Packer<'_> {
        Packer {
            compressor: &self.session.compressor,
            epoch: self.prepared.epoch,
            compression: self.plan.bundle.initramfs_compression,
        }
    }

    /// The programs in the form that a carrier needs.
    fn layer_file(&self, layer: &Layer) -> Result<Arc<Stream>> {
        self.session.layer_file(&self.prepared.release, &self.plan.bin_dir, &self.packer(), layer)
    }

    /// The part that is the same for every host, where the profile wants it separate.
    fn layer(&self) -> Result<Option<LayerDigest>> {
        if self.plan.bundle.binaries == Placement::Embedded {
            return Ok(None);
        }
        let inputs = inputs::layer(self.prepared, self.session)?;
        // Many clusters share the same layer: the first makes it or takes it over, and the others link to it.
        let laid = self.session.shared_layer(inputs)?;
        let mut laid = laid.lock().unwrap_or_else(PoisonError::into_inner);
        self.sink.directory("layers", Mode::DIRECTORY)?;
        if let Some((laid, layer)) = &*laid
            && self.sink.share(laid)?
        {
            return Ok(Some(layer.clone()));
        }
        let layer = self.parts.part("layers", inputs, || self.make_layer())?;
        // Also where the first has reached the file system's limit of links: later clusters then link to this one.
        *laid = self.sink.laid("layers").map(|laid| (laid, layer.clone()));
        Ok(Some(layer))
    }

    fn make_layer(&self) -> Result<LayerDigest> {
        let (release, bin_dir) = (&self.prepared.release, &self.plan.bin_dir);
        let programs = self.session.programs_layer(release, self.prepared.epoch, bin_dir)?;
        self.sink.put(LAYER_ARCHIVE, Mode::FILE, &programs.archive)?;
        for layer in carrier::layers(&self.plan.bundle.carriers) {
            let name = (layer.name)(&self.packer());
            self.sink.put(&format!("layers/{name}"), Mode::FILE, &self.layer_file(layer)?)?;
        }
        Ok(LayerDigest { sha256: programs.sha256 })
    }

    /// The boot files of all hosts: the kernel, its command line, and which machine gets which initrd.
    fn boot(&self) -> Result<()> {
        let Some(boot) = self.prepared.boot.as_ref() else { return Ok(()) };
        self.sink.directory("boot", Mode::DIRECTORY)?;
        self.parts.part("boot", digest_of(&Inputs { common: self.common, own: () })?, || {
            let put = |name: &str, mode: Mode, stream: &[Piece]| {
                self.sink.put(&format!("boot/{name}"), mode, stream)
            };
            carrier::boot_files(self.plan, boot, &Files::new(&put))
        })
    }

    /// One host, rebuilt or taken over.
    fn node(&self, node: &Node, layer: Option<&LayerDigest>) -> Result<BuiltNode> {
        interrupt::check()?;
        let directory = format!("nodes/{}", node.name);
        let inputs = digest_of(&Inputs { common: self.common, own: node })?;
        self.sink.directory(&directory, Mode::SECRET_DIRECTORY)?;
        self.parts.part(&directory, inputs, || self.make_node(node, &directory, layer))
    }

    /// Its certificates, its tree, and the tree in every format.
    fn make_node(&self, node: &Node, directory: &str, layer: Option<&LayerDigest>) -> Result<BuiltNode> {
        let leaves = self.issue(&node.certificates)?;
        let trust = self.trust.get((), || self.prepared.authorities()?.trust())?;
        let roots = self.prepared.authorities()?.roots()?;
        let signers = self.signers.get((), || self.signers())?;
        let signer = self.plan.backup.as_ref().map(|_| self.signer(&node.name)).transpose()?;
        let (signer, signers) = (signer.as_ref(), &signers[..]);
        let keys = NodeKeys { trust: &trust, roots: &roots, leaves: &leaves, signer, signers };
        let mut tree = self.renderer.node_tree(node, &keys)?;
        let without_programs = tree.clone();
        if layer.is_none() {
            let programs = self.session.programs(&self.prepared.release)?;
            render::insert_programs(&mut tree, programs, &self.plan.bin_dir)?;
        }
        let put = |name: &str, mode: Mode, stream: &[Piece]| {
            self.sink.put(&format!("{directory}/{name}"), mode, stream)
        };
        let archive = self.session.compressor.compress(&tar::tar(&tree, self.prepared.epoch)?)?;
        let archive_sha256 =
            self.sink.put_hashed(&format!("{directory}/{NODE_ARCHIVE}"), Mode::SECRET, &archive)?;
        let files = Files::new(&put);
        let parts = NodeParts {
            plan: self.plan,
            node,
            packer: self.packer(),
            templates: &self.session.seeds,
            tree: &tree,
            without_programs: &without_programs,
            archive,
            archive_sha256,
            shared: layer.map(|layer| layer.sha256),
            layer: &|layer| self.layer_file(layer),
            boot: self.prepared.boot.as_ref().as_ref(),
        };
        carrier::node_files(&parts, &files)?;
        let mut others = vec![NODE_ARCHIVE, LISTING, FILES];
        if self.plan.instance.name.owns_host() {
            put(DOMAIN, Mode::FILE, &own(libvirt::domain(self.plan, node)?))?;
            others.push(DOMAIN);
        }
        put(LISTING, Mode::FILE, &own(tree.listing()))?;
        let programs = &self.prepared.release;
        let delivered = delivery::list(self.plan, node, &tree, self.renderer.overlays, programs)?;
        put(FILES, Mode::FILE, &own(bundle::delivered::to_json(&delivered)?))?;
        let mut certificates = Vec::new();
        for (spec, leaf) in node.certificates.iter().zip(&leaves) {
            if let Some(renewed) = describe::renewed(self.plan, node, spec, leaf)? {
                certificates.extend(renewed);
                continue;
            }
            for (cert, _) in spec.pairs() {
                let file = format!("{}/{cert}", self.plan.pki.directory);
                let described = describe::certificate(&file, Some(&node.name), leaf)?;
                certificates.push(describe::with_ports(described, self.plan, spec)?);
            }
        }
        let mut names = files.names();
        names.extend(others.into_iter().map(str::to_owned));
        Ok(BuiltNode { node: describe::node(self.plan, node, names)?, certificates })
    }

    fn issue(&self, specs: &[CertificateSpec]) -> Result<Vec<Issued>> {
        let (algorithm, authorities) = (self.plan.pki.leaf_algorithm, self.prepared.authorities()?);
        specs.iter().map(|spec| authorities.issue(spec, algorithm, spec.lifetime)).collect()
    }

    fn signer(&self, node: &NodeName) -> Result<SnapshotKey> {
        SnapshotKey::of_node(&self.prepared.keystore, node.as_str())
    }

    /// Of all nodes.
    fn signers(&self) -> Result<Vec<kiln_wire::Signer>> {
        let nodes = self.plan.nodes.iter().filter(|_| self.plan.backup.is_some());
        nodes.map(|node| render::signer(&node.name, &self.signer(&node.name)?)).collect()
    }

    /// The files for an operator's own machine: the trust anchor, client certificates, etcdctl's variables.
    fn clients(&self) -> Result<BuiltClients> {
        let inputs = digest_of(&Inputs { common: self.common, own: &self.plan.clients })?;
        self.sink.directory("client", Mode::SECRET_DIRECTORY)?;
        self.parts.part("client", inputs, || self.make_clients())
    }

    fn make_clients(&self) -> Result<BuiltClients> {
        let plan = self.plan;
        let mut authorities = Vec::new();
        let all = self.prepared.authorities()?;
        for (name, authority) in all.all() {
            let file = plan::authority_file(name);
            self.sink.text(&client_file(&file), all.root(name)?)?;
            authorities.push(describe::authority(&file, authority)?);
        }
        let trusted = plan.authorities.first().map(|first| first.client_file()).unwrap_or_default();
        let endpoints: Vec<_> = plan.nodes.iter().map(|node| node.endpoint.to_string()).collect();
        let environment = format!(
            "# Made by Kiln for {}. In this directory: . ./etcdctl.sh\nETCDCTL_API=3\nETCDCTL_ENDPOINTS={}\n\
             ETCDCTL_CACERT={trusted}\nETCDCTL_CERT={OPERATOR_CERT}\nETCDCTL_KEY={OPERATOR_KEY}\n",
            plan.cluster.name,
            endpoints.join(",")
        );
        self.sink.text(&client_file("etcdctl.env"), environment)?;
        self.sink.text(&client_file("etcdctl.sh"), render::CLIENT_SCRIPT)?;
        for (name, make) in render::CLIENT_FILES {
            self.sink.text(&client_file(name), make(plan)?)?;
        }
        let issued = self.issue(&plan.clients)?;
        let mut leaves = Vec::new();
        for (spec, leaf) in plan.clients.iter().zip(&issued) {
            for (cert, key) in spec.pairs() {
                let file = client_file(cert);
                self.sink.text(&file, leaf.cert_pem.clone())?;
                self.sink.put(&client_file(key), Mode::SECRET, &own(leaf.key_pem.as_bytes()))?;
                leaves.push(describe::certificate(&file, None, leaf)?);
            }
        }
        if let Some((_, places)) = plan.backup() {
            let desk = SnapshotKey::of_desk(&self.prepared.keystore)?;
            self.sink.put(&client_file(DESK_KEY), Mode::SECRET, &own(desk.pem.as_bytes()))?;
            let overlays = self.prepared.overlays.list.iter();
            if let Some(ca) = overlays.filter_map(|overlay| overlay.blob(&places.ca())).next() {
                self.sink.put(&client_file(BUCKET_CA), Mode::FILE, &own(ca.bytes()?))?;
            }
        }
        Ok(BuiltClients { authorities, leaves })
    }
}

fn own(bytes: impl Into<Vec<u8>>) -> [Piece; 1] {
    [Piece::Own(bytes.into())]
}
