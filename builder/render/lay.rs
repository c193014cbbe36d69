//! One node's tree: Kiln's own files, then overlay after overlay, each with findings about entries that cannot be
//! added.

use std::collections::BTreeSet;

use super::overlay::{Body, MAX_ENTRIES, Overlay, OverlayFile};
use super::programs::path;
use super::renderer::{CERTIFICATES, NodeKeys, Renderer};
use super::template::{self, Context, Templates};
use super::{backup, config, depends, owners, renewal, unfit, values, wipe};
use crate::failure::{Exit, Failure, Result};
use crate::plan::Node;
use crate::profile::{About, Finding};
use crate::tree::{Content, Entry, Kind, Origin, Tree};
use crate::values::{GuestPath, Mode, NODE_PROGRAM};

/// The limit on the paths of a node, in bytes in total.
const MAX_PATHS_BYTES: usize = 30 << 20;

/// A node's tree, and the messages about how it was made.
pub struct Laid {
    pub tree: Tree,
    pub findings: Vec<Finding>,
    pub warnings: BTreeSet<String>,
    pub replaced: BTreeSet<Replaced>,
}

/// A file of an earlier overlay, or of Kiln's own, that another one has replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replaced {
    pub by: Origin,
    pub path: GuestPath,
    pub of: Origin,
}

impl Renderer<'_> {
    /// A node's files, without the programs.
    ///
    /// # Errors
    /// The findings of `trial`.
    pub fn node_tree(&self, node: &Node, keys: &NodeKeys<'_>) -> Result<Tree> {
        let laid = lay(self, node, Some(keys))?;
        match laid.findings.into_iter().next() {
            None => Ok(laid.tree),
            Some(finding) => {
                let exit = if finding.is_unsafe { Exit::Unsafe } else { Exit::Profile };
                let help = finding.help.map(|help| format!("; {help}")).unwrap_or_default();
                Err(Failure::new(exit, finding.reason + &help))
            }
        }
    }

    /// The result of applying the overlays, without any key.
    ///
    /// # Errors
    /// `Exit::Interrupted` once a signal has come.
    pub fn trial(&self, node: &Node) -> Result<Laid> {
        lay(self, node, None)
    }
}

/// # Errors
/// `Exit::Interrupted` once a signal has come.
fn lay(renderer: &Renderer<'_>, node: &Node, keys: Option<&NodeKeys<'_>>) -> Result<Laid> {
    let config = config::of_node(renderer.plan, node, &renderer.program())?;
    let mut tree = Tree::default();
    let origin = "etcd's configuration";
    tree.insert(renderer.plan.instance.config_directory.clone(), Entry::directory(Mode::DIRECTORY, origin))?;
    if let Some((file, text)) = &config.file {
        tree.insert(path(file)?, Entry::file(text.clone().into_bytes(), Mode::FILE, origin))?;
    }
    renderer.insert_keys(&mut tree, node, keys)?;
    renewal::insert(renderer, &mut tree, node, keys)?;
    backup::insert(renderer, &mut tree, node, keys)?;
    wipe::reserve(renderer, &mut tree)?;
    renderer.insert_install_links(&mut tree, node)?;
    let values = template::context(values::of_node(renderer, node, &config))?;
    let programs = renderer.programs.iter().map(|name| path(&format!("{}/{name}", renderer.plan.bin_dir)));
    let mut laying = Laying {
        renderer,
        programs: programs.collect::<Result<_>>()?,
        laid: Laid { tree, findings: Vec::new(), warnings: BTreeSet::new(), replaced: BTreeSet::new() },
    };
    for overlay in renderer.overlays.iter().filter(|overlay| overlay.is_for(&node.name)) {
        laying.lay(overlay, &values)?;
    }
    let Laid { tree, replaced, .. } = &laying.laid;
    let replaced = replaced.iter().map(|replaced| (replaced.path.clone(), replaced.of.clone())).collect();
    if let Some((place, entry)) = wipe::entry(renderer, &wipe::Laid { tree, replaced }, node)? {
        laying.laid.tree.replace(place, entry)?;
    }
    laying.check_links();
    laying.check_data_directory();
    laying.check_replace();
    laying.check_size();
    let missing = depends::warnings(&renderer.plan.instance.unit_lines, &laying.laid.tree);
    laying.laid.warnings.extend(missing);
    let owners = owners::findings(renderer, node, &laying.laid.tree);
    laying.laid.findings.extend(owners);
    Ok(laying.laid)
}

impl OverlayFile {
    /// Its path on one node.
    ///
    /// # Errors
    /// Those of filling in the template; `Exit::Io` when its result is not a path.
    pub fn place(&self, templates: &Templates, values: &Context) -> Result<GuestPath> {
        let Some(at) = &self.at else { return Ok(self.path.clone()) };
        let filled = templates.fill(at, values)?;
        path(filled.trim_start_matches('/'))
    }

    /// Its entry for one node.
    ///
    /// # Errors
    /// `Exit::Profile` with file and line when a template names an unknown variable.
    pub fn entry(&self, overlay: &Overlay, templates: &Templates, values: &Context) -> Result<Entry> {
        Ok(match &self.body {
            Body::Template(template) => {
                Entry::file(templates.fill(template, values)?.into_bytes(), self.mode, &overlay.origin)
            }
            Body::Bytes(blob) => Entry::shared(blob.clone(), self.mode, &overlay.origin),
            Body::Link(target) => Entry::link(target, &overlay.origin),
            Body::LinkTo(target) => Entry::link(&templates.fill(target, values)?, &overlay.origin),
            Body::Directory => Entry::directory(self.mode, &overlay.origin),
        })
    }
}

/// A private key that a template has put together; files without variables are judged when they are read.
fn secret(overlay: &Overlay, path: &GuestPath, entry: &Entry) -> Option<Finding> {
    let Kind::File(Content::Own(bytes)) = &entry.kind else { return None };
    let name = path.as_str().rsplit('/').next().unwrap_or_default();
    let why = unfit::by_content(bytes, name, entry.mode)?;
    let reason = format!("/{path} in {}, as filled in: {}", overlay.origin, why.reason);
    Some(Finding { is_unsafe: true, ..overlay.finding(reason).help(why.help) })
}

struct Laying<'a> {
    renderer: &'a Renderer<'a>,
    programs: Vec<GuestPath>,
    laid: Laid,
}

impl Laying<'_> {
    fn lay(&mut self, overlay: &Overlay, values: &Context) -> Result<()> {
        for file in overlay.files() {
            let placed = file.place(self.renderer.templates, values);
            let entry = file.entry(overlay, self.renderer.templates, values);
            let (path, entry) = match placed.and_then(|path| Ok((path, entry?))) {
                Ok(placed) => placed,
                Err(failure) if failure.exit() == Exit::Profile => {
                    self.laid.findings.push(overlay.finding(failure.reason()));
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            // A file of Kiln's own for something that the profile does not have.
            if !overlay.is_own() && matches!(&entry.kind, Kind::File(content) if content.is_empty()) {
                continue;
            }
            let finding = match overlay.is_own() {
                true => secret(overlay, &path, &entry).or_else(|| self.check_place(overlay, &path, &entry)),
                false => None,
            };
            if let Some(finding) = finding.or_else(|| self.insert(overlay, &path, entry)) {
                self.laid.findings.push(finding);
            }
        }
        Ok(())
    }

    /// Places that belong to other owners, whether or not there is something.
    fn check_place(&mut self, overlay: &Overlay, path: &GuestPath, entry: &Entry) -> Option<Finding> {
        let is_directory = matches!(entry.kind, Kind::Directory);
        let takes = |place: &GuestPath| {
            path.is_within(place.as_str()) || !is_directory && place.is_within(path.as_str())
        };
        if let Some(program) = self.programs.iter().find(|program| takes(program)) {
            let (whose, name) = match program.file_name() {
                NODE_PROGRAM => ("Kiln's", NODE_PROGRAM),
                _ => ("the release's", "etcd"),
            };
            let reason = format!("/{path} in {} would replace {whose} /{program}", overlay.origin);
            let help = format!("rename it; to use another {name}, import it with kiln artifacts add");
            let finding = overlay.finding(reason).help(help);
            return Some(Finding { is_unsafe: true, ..finding });
        }
        let is_keystores = |there: &Entry| there.origin == Origin::Part(CERTIFICATES);
        if overlay.owner().is_some() && self.laid.tree.get(path.as_str()).is_some_and(is_keystores) {
            let reason =
                format!("/{path} in {} has an owner, and Kiln sets that of its keys itself", overlay.origin);
            return Some(overlay.finding(reason).help("omit owner and group"));
        }
        let wal = self.renderer.plan.instance.wal_parent();
        if takes(&self.renderer.plan.data_dir) || wal.as_ref().is_some_and(takes) {
            let reason =
                format!("/{path} in {} is etcd's data directory, or in it or above it", overlay.origin);
            let help = "use another path: etcd does not start if it finds foreign files there";
            return Some(overlay.finding(reason).help(help));
        }
        let places = self.renderer.plan.renewal_places();
        if let Some(places) =
            places.filter(|places| path.is_within(places.generations().trim_start_matches('/')))
        {
            let reason =
                format!("/{path} in {} is in {}, which is kiln-node's", overlay.origin, places.generations());
            return Some(
                overlay.finding(reason).help("use another path: the certificates that etcd reads are there"),
            );
        }
        // A directory that is listed in an initramfs replaces a link.
        let linked = ["usr/sbin", "usr/lib64"].into_iter().find(|place| path.is_within(place));
        if let Some(place) = linked
            .filter(|_| self.renderer.plan.bundle.carriers.iter().any(|carrier| carrier.runs_from_ram()))
        {
            let instead = if place == "usr/sbin" { "usr/bin" } else { "usr/lib" };
            self.laid.warnings.insert(format!(
                "{} has files in /{place}, which is a link in some distributions (Fedora 42, Arch) and would be replaced \
                 with a directory by an initramfs; {instead} is a directory in all of them",
                overlay.origin
            ));
        }
        None
    }

    fn insert(&mut self, overlay: &Overlay, path: &GuestPath, mut entry: Entry) -> Option<Finding> {
        let there = self.laid.tree.get(path.as_str());
        let done = match there {
            Some(there) if there.origin == entry.origin && !both_directories(there, &entry) => {
                let reason = format!("/{path} is in {} twice, as it is and as {path}.hbs", entry.origin);
                return Some(overlay.finding(reason).help("keep one of the two"));
            }
            Some(there) if self.renderer.plan.bundle.replace.contains(path) => {
                // A replaced key keeps its secret mode.
                if there.mode.bits() & 0o007 == 0 {
                    entry.mode = there.mode;
                }
                let (by, of) = (overlay.origin.clone(), there.origin.clone());
                self.laid.replaced.insert(Replaced { by, path: path.clone(), of });
                self.laid.tree.replace(path.clone(), entry)
            }
            Some(there) if !both_directories(there, &entry) => {
                let reason = format!("/{path} comes from {} and again from {}", there.origin, entry.origin);
                let help = format!("to use the latter, add \"/{path}\" to [bundle] replace");
                return Some(overlay.finding(reason).help(help));
            }
            _ => self.laid.tree.insert(path.clone(), entry),
        };
        done.err().map(|failure| overlay.finding(failure.reason()))
    }

    /// Warns about the user's own links whose target is neither in an overlay nor, as far as is known, in a base
    /// system.
    fn check_links(&mut self) {
        let own: BTreeSet<&Origin> = self
            .renderer
            .overlays
            .iter()
            .filter(|overlay| overlay.is_own())
            .map(|overlay| &overlay.origin)
            .collect();
        let tree = &self.laid.tree;
        let mut warnings = Vec::new();
        for (path, entry) in tree.iter().filter(|(_, entry)| own.contains(&entry.origin)) {
            let Kind::Link(target) = &entry.kind else { continue };
            let Some(to) = unfit::leads_to(path, target) else { continue };
            let is_there = || {
                let is_program = self.programs.iter().any(|program| program.as_str() == to);
                is_program || to.parse().is_ok_and(|to| tree.has(&to))
            };
            if !unfit::is_base_systems(&to) && !is_there() {
                warnings.push(format!(
                    "/{path} in {} points at /{to}, which no overlay contains; the base system must have it",
                    entry.origin
                ));
            }
        }
        self.laid.warnings.extend(warnings);
    }

    /// An overlay's files there have been refused already; this is about Kiln's own files.
    fn check_data_directory(&mut self) {
        let plan = self.renderer.plan;
        for data in [plan.data_dir.clone()].into_iter().chain(plan.instance.wal_parent()) {
            self.check_own(&data);
        }
    }

    fn check_own(&mut self, data: &GuestPath) {
        let program = self.programs.iter().find(|program| program.is_within(data.as_str()));
        let tree = &self.laid.tree;
        let own =
            tree.get(data.as_str()).map(|_| data).or_else(|| tree.below(data).next().map(|(path, _)| path));
        if let Some(path) = program.or(own) {
            let reason =
                format!("the data directory /{data} would belong to etcd's account, but /{path} is in it");
            let help = "use a directory for etcd's data alone, such as /var/lib/etcd";
            self.laid.findings.push(Finding::new(About::DataDirectory, reason).help(help));
        }
    }

    /// A bundle is read back with limits on archives (`format::read`), so a larger one must not be built.
    fn check_size(&mut self) {
        let tree = &self.laid.tree;
        let names: usize = tree.iter().map(|(path, _)| path.as_str().len()).sum();
        let last = self.renderer.overlays.iter().rev().find(|overlay| overlay.is_own());
        if let Some(overlay) = last
            && (tree.len() > MAX_ENTRIES || names > MAX_PATHS_BYTES)
        {
            let reason = format!(
                "the overlays give a node {} files and directories, with {names} bytes of paths; it may have {MAX_ENTRIES} and \
                 {MAX_PATHS_BYTES}",
                tree.len()
            );
            let help = "pack large sets of files into one archive, and unpack it on the node";
            self.laid.findings.push(overlay.finding(reason).help(help));
        }
    }

    fn check_replace(&mut self) {
        let replaced = |path: &GuestPath| self.laid.replaced.iter().any(|replaced| replaced.path == *path);
        let is_program = |path: &GuestPath| self.programs.contains(path);
        let unused: Vec<_> =
            self.renderer.plan.bundle.replace.iter().filter(|path| !replaced(path)).collect();
        for path in unused.into_iter().filter(|path| !is_program(path)) {
            let reason = format!("[bundle] replace names /{path}, but no overlay replaces a file there");
            let help = "remove it from the list, or add the file to an overlay";
            self.laid.findings.push(Finding::new(About::Replace(path.clone()), reason).help(help));
        }
    }
}

fn both_directories(one: &Entry, other: &Entry) -> bool {
    matches!((&one.kind, &other.kind), (Kind::Directory, Kind::Directory))
}
