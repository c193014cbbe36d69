//! The inputs of rendering, and the parts of a node's files that do not depend on overlays.

use std::sync::Arc;

use super::overlay::Overlay;
use super::programs::path;
use super::template::Templates;
use crate::failure::Result;
use crate::pki::{Issued, SnapshotKey};
use crate::plan::{Node, Plan};
use crate::tree::{Entry, Origin, Tree};
use crate::values::{Epoch, Mode};

/// The origin of the files that come from the keystore.
pub(crate) const CERTIFICATES: &str = "the certificates";

/// The keys and certificates in a node's files: the trusted CAs, and the leaves in the order of the node's
/// certificates.
pub struct NodeKeys<'a> {
    /// Of each authority of the plan, in its order, in PEM.
    pub trust: &'a [String],
    /// Of each authority, the certificate that clients trust, in PEM.
    pub roots: &'a [String],
    /// Issued by `pki`; as many as the node has certificates.
    pub leaves: &'a [Issued],
    /// With which the node signs its snapshots; absent where it takes none.
    pub signer: Option<&'a SnapshotKey>,
    /// The public halves of these, of all nodes.
    pub signers: &'a [kiln_wire::Signer],
}

/// The inputs of rendering besides the node itself.
pub struct Renderer<'a> {
    /// The cluster's decisions.
    pub plan: &'a Plan,
    /// Kiln's own and then the user's, in the order of the profile.
    pub overlays: &'a [Arc<Overlay>],
    /// Fills in overlay files that end in `.hbs`.
    pub templates: &'a Templates,
    /// The names of the nodes' programs, whose paths no overlay may use.
    pub programs: Vec<String>,
    /// The time of the build: etcd waits for a clock that is past it.
    pub epoch: Epoch,
}

impl Renderer<'_> {
    pub(super) fn program(&self) -> String {
        format!("{}/etcd", self.plan.bin_dir.absolute())
    }

    /// The links of `[etcd.service.install]`, which systemctl(1) enable would make.
    pub(super) fn insert_install_links(&self, tree: &mut Tree, node: &Node) -> Result<()> {
        let unit = &node.unit;
        for link in self.plan.instance.install_lines.iter().flat_map(|line| line.links(unit)) {
            let link = path(&format!("etc/systemd/system/{link}"))?;
            tree.insert(
                link,
                Entry::link(format!("/etc/systemd/system/{unit}"), Origin::Table("[etcd.service.install]")),
            )?;
        }
        Ok(())
    }

    /// Without keys, puts empty files at their paths.
    pub(super) fn insert_keys<'a>(
        &self,
        tree: &mut Tree,
        node: &Node,
        keys: Option<&NodeKeys<'a>>,
    ) -> Result<()> {
        let origin = CERTIFICATES;
        let directory = &self.plan.pki.directory;
        let file = |name: &str| path(&format!("{directory}/{name}"));
        tree.insert(directory.clone(), Entry::directory(Mode::DIRECTORY, origin))?;
        for (at, authority) in self.plan.authorities.iter().enumerate() {
            let text = |all: fn(&NodeKeys<'a>) -> &'a [String]| {
                keys.and_then(|keys| all(keys).get(at)).cloned().unwrap_or_default().into_bytes()
            };
            tree.insert(file(&authority.file)?, Entry::file(text(|keys| keys.trust), Mode::FILE, origin))?;
            if let Some(name) = &authority.root_file {
                tree.insert(file(name)?, Entry::file(text(|keys| keys.roots), Mode::FILE, origin))?;
            }
        }
        for (at, spec) in node.certificates.iter().enumerate() {
            let leaf = keys.and_then(|keys| keys.leaves.get(at));
            if let (Some(places), Some(issuer)) = (self.plan.renewal_places(), &spec.issuer) {
                let live = places.live(issuer);
                for (cert, key) in spec.pairs() {
                    tree.insert(file(cert)?, Entry::link(live.cert.as_str(), origin))?;
                    tree.insert(file(key)?, Entry::link(live.key.as_str(), origin))?;
                }
                continue;
            }
            for (cert, key) in spec.pairs() {
                let bytes = leaf.map(|leaf| leaf.cert_pem.clone().into_bytes()).unwrap_or_default();
                tree.insert(file(cert)?, Entry::file(bytes, spec.cert_mode, origin))?;
                let bytes = leaf.map(|leaf| leaf.key_pem.as_bytes().to_vec()).unwrap_or_default();
                tree.insert(file(key)?, Entry::file(bytes, spec.key_mode, origin))?;
            }
        }
        for (name, target) in &node.links {
            tree.insert(file(name)?, Entry::link(target.as_str(), origin))?;
        }
        Ok(())
    }
}
