//! The list of a node's files with their sources, for people who answer for what is on a machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::beside::NodeProgram;
use super::session::StoredRelease;
use crate::bundle::delivered::{Delivered, Kind, Source};
use crate::failure::{Failure, Result};
use crate::plan::{Node, Plan};
use crate::render::{CERTIFICATES, Overlay};
use crate::tree::{self, Entry, Origin, Tree};
use crate::values::{GuestPath, Invalid, Line, Mode, NODE_PROGRAM};

const ROOT: &str = "root";

/// In the order of the paths. Programs of a shared layer are listed like those in the node's own files.
///
/// # Errors
/// Those of reading the tree; `Exit::Io` when a value cannot be represented in the list.
pub fn list(
    plan: &Plan,
    node: &Node,
    tree: &Tree,
    overlays: &[Arc<Overlay>],
    release: &StoredRelease,
) -> Result<Vec<Delivered>> {
    let own = release.node.as_ref();
    let sources = Sources { overlays, certificates: certificates(plan, node), plan, own };
    let mut list = Vec::new();
    for (path, entry) in tree.iter() {
        list.push(sources.delivered(node, path, entry)?);
    }
    let of_etcd = release.record.binaries.iter();
    let of_etcd = of_etcd.map(|(program, binary)| (program.as_str(), binary.size, binary.sha256));
    let own = own.map(|own| (NODE_PROGRAM, own.blob.size(), own.blob.digest()));
    for (program, size, sha256) in of_etcd.chain(own) {
        let path: GuestPath = parse(&format!("{}/{program}", plan.bin_dir))?;
        if tree.get(path.as_str()).is_none() {
            list.push(Delivered {
                node: node.name.clone(),
                source: sources.program(&path),
                destination: path,
                kind: Kind::File,
                mode: Mode::PROGRAM,
                owner: parse(ROOT)?,
                group: parse(ROOT)?,
                size,
                sha256: Some(sha256),
                target: None,
            });
        }
    }
    list.sort_by(|one, other| one.destination.cmp(&other.destination));
    Ok(list)
}

/// A file of the keystore's: its label, and the account that has it on the node.
struct OfKeystore {
    label: String,
    owner: String,
}

/// The certificates, keys and CAs of a node, by their paths.
fn certificates(plan: &Plan, node: &Node) -> BTreeMap<String, OfKeystore> {
    let at = |file: &str| format!("{}/{file}", plan.pki.directory);
    let mut all = BTreeMap::new();
    if let Some((_, places)) = plan.backup() {
        let label = format!("snapshot/node/{}", node.name);
        all.insert(places.signer(), OfKeystore { label, owner: ROOT.to_owned() });
    }
    for authority in &plan.authorities {
        for file in [Some(&authority.file), authority.root_file.as_ref()].into_iter().flatten() {
            let (label, owner) = (authority.name.to_owned(), ROOT.to_owned());
            all.insert(at(file), OfKeystore { label, owner });
        }
    }
    for spec in &node.certificates {
        let user = plan.account(spec.owner);
        if let (Some(places), Some(issuer)) = (plan.renewal_places(), &spec.issuer) {
            let (first, own) = (places.leaf(issuer), places.issuer(issuer));
            for (file, label, owner) in [
                (first.cert, &spec.label, ROOT),
                (first.key, &spec.label, user),
                (own.cert, &issuer.label, ROOT),
                (own.key, &issuer.label, ROOT),
            ] {
                all.insert(file, OfKeystore { label: label.clone(), owner: owner.to_owned() });
            }
        }
        for (cert, key) in spec.pairs() {
            for (file, owner) in [(cert, ROOT), (key, user)] {
                all.insert(at(file), OfKeystore { label: spec.label.clone(), owner: owner.to_owned() });
            }
        }
    }
    all
}

struct Sources<'a> {
    overlays: &'a [Arc<Overlay>],
    certificates: BTreeMap<String, OfKeystore>,
    plan: &'a Plan,
    own: Option<&'a Arc<NodeProgram>>,
}

impl Sources<'_> {
    fn delivered(&self, node: &Node, path: &GuestPath, entry: &Entry) -> Result<Delivered> {
        let (kind, size, target, content) = match &entry.kind {
            tree::Kind::Directory => (Kind::Directory, 0, None, None),
            tree::Kind::File(content) => (Kind::File, content.len(), None, Some(content)),
            tree::Kind::Link(target) => (Kind::Link, target.len() as u64, Some(Line::of(target)), None),
        };
        // The digest of a short secret would help to guess it.
        let is_open = entry.mode.bits() & 0o077 != 0;
        let of_keystore = self.certificates.get(path.as_str());
        let overlay = self.overlays.iter().find(|overlay| overlay.origin == entry.origin);
        let keystores = of_keystore.map_or(ROOT, |of| of.owner.as_str());
        // A directory may be another overlay's, too, whose entry is the first.
        let here = self.overlays.iter().filter(|overlay| overlay.is_for(&node.name));
        let of_profile = here.filter(|overlay| overlay.file.as_ref().is_some_and(|file| file.path == *path));
        let owner = of_profile.filter_map(|overlay| overlay.owner()).next_back();
        let (owner, group) = owner.unwrap_or((keystores, keystores));
        Ok(Delivered {
            node: node.name.clone(),
            destination: path.clone(),
            kind,
            mode: entry.mode,
            owner: parse(owner)?,
            group: parse(group)?,
            size,
            sha256: content.filter(|_| is_open).map(tree::Content::digest),
            target,
            source: self.source(path, entry, overlay, of_keystore),
        })
    }

    /// Of a program that Kiln puts into the directory of programs.
    fn program(&self, path: &GuestPath) -> Source {
        match self.own.filter(|_| path.file_name() == NODE_PROGRAM) {
            Some(own) => Source::Kiln { part: Line::of(&format!("{NODE_PROGRAM} {}", own.version)) },
            None => Source::Release { version: self.plan.release },
        }
    }

    fn source(
        &self,
        path: &GuestPath,
        entry: &Entry,
        overlay: Option<&Arc<Overlay>>,
        of_keystore: Option<&OfKeystore>,
    ) -> Source {
        if overlay.is_some_and(|overlay| overlay.file.is_some()) {
            return Source::Profile { table: Line::of("[[file]]") };
        }
        if let Origin::Table(table) = &entry.origin {
            return Source::Profile { table: Line::of(table) };
        }
        let is_program = path.parents().last().as_ref() == Some(&self.plan.bin_dir);
        match (overlay.map(|overlay| overlay.name()), of_keystore) {
            (Some(Some(name)), _) => Source::Overlay { name: Line::of(&name) },
            (None, Some(of)) => Source::Keystore { label: Line::of(&of.label) },
            (None, None)
                if matches!(entry.kind, tree::Kind::Link(_)) && entry.origin.name() == CERTIFICATES =>
            {
                Source::Profile { table: Line::of("[pki.links]") }
            }
            (None, None) if is_program => self.program(path),
            _ => Source::Kiln { part: Line::of(entry.origin.name()) },
        }
    }
}

fn parse<T: std::str::FromStr<Err = Invalid>>(text: &str) -> Result<T> {
    text.parse()
        .map_err(|why| Failure::io(format!("{text:?} cannot be written into the list of files: {why}")))
}
