//! Overlays: files at their paths in the guest. A file name ending in `.hbs` is a template: it is filled in per node,
//! and loses the ending.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::budget::{Budget, MAX_OVERLAYS_BYTES};
use super::template::{self, Template};
use super::unfit::{self, Why};
use crate::disk;
use crate::failure::{Exit, Failure, Result};
use crate::interrupt;
use crate::profile::{About, FileSpec, Finding};
use crate::tree::{Blob, Origin, known_mode};
use crate::values::{Digest, GuestPath, Mode, NodeName, printable, steers};

/// One overlay, read once and rendered for every node.
pub struct Overlay {
    /// As its entries have it.
    pub origin: Origin,
    /// The directory of a user's own; Kiln's are built into the program.
    pub directory: Option<PathBuf>,
    /// The `[[file]]` that it is made of.
    pub file: Option<FileSpec>,
    pub(super) files: Vec<OverlayFile>,
    /// Faults of the overlay itself, independent of a profile.
    pub findings: Vec<Finding>,
    /// Sentences to show once for the overlay, not once for each node.
    pub warnings: Vec<String>,
}

pub(super) struct OverlayFile {
    pub path: GuestPath,
    /// Its absolute path on a node, where that follows from the plan.
    pub at: Option<Template>,
    pub mode: Mode,
    pub body: Body,
}

pub(super) enum Body {
    Template(Template),
    Bytes(Arc<Blob>),
    Link(String),
    /// A link whose target follows from the plan.
    LinkTo(Template),
    Directory,
}

/// The limit on files, directories and links of one overlay, and of all overlays of a node together.
pub(super) const MAX_ENTRIES: usize = 200_000;

/// A directory of the user's own, with findings about everything in it that cannot be added. `unfit::mode` determines
/// the modes. A directory is an entry of its own when it is empty, or when it is restricted and no base system has it.
///
/// # Errors
/// `Exit::Io` when it cannot be read; `Exit::Interrupted` once a signal has come.
pub fn load(directory: &Path, room: &Budget) -> Result<Overlay> {
    let mut overlay = Overlay {
        origin: Origin::Overlay(directory.display().to_string()),
        directory: Some(directory.to_owned()),
        file: None,
        files: Vec::new(),
        findings: Vec::new(),
        warnings: Vec::new(),
    };
    let real = disk::resolved(directory);
    let Some(top) = disk::look(&real)?.filter(|found| found.kind == disk::Kind::Directory) else {
        let reason = format!("the overlay {} is not a directory", directory.display());
        overlay.findings.push(overlay.finding(reason));
        return Ok(overlay);
    };
    if let Some(why) = of_kiln(directory)? {
        let reason = format!("{}: {}", directory.display(), why.reason);
        overlay.findings.push(Finding { is_unsafe: true, ..overlay.finding(reason).help(why.help) });
        return Ok(overlay);
    }
    let walked = disk::walk(directory)?;
    if let Some(reason) = too_much(directory, &walked, room) {
        let help = "copy large files to the nodes in another way, such as from a disk or a server";
        overlay.findings.push(overlay.finding(reason).help(help));
        return Ok(overlay);
    }
    let mut reading = Reading { real, overlay, top: top.mode };
    let mut refused: Option<&Path> = None;
    for (at, found) in walked.iter().enumerate() {
        interrupt::check()?;
        if refused.is_some_and(|refused| found.path.starts_with(refused)) {
            continue;
        }
        let next = walked.get(at + 1).filter(|next| next.path.starts_with(&found.path));
        match reading.take(directory, found, next.is_none())? {
            Some(file) => reading.overlay.files.extend(file),
            None => refused = Some(&found.path),
        }
    }
    Ok(reading.finish(&walked))
}

/// Checks sizes only, before anything is read.
fn too_much(directory: &Path, walked: &[disk::Walked], room: &Budget) -> Option<String> {
    let shown = directory.display();
    if walked.len() > MAX_ENTRIES {
        return Some(format!(
            "the overlay {shown} has {} entries; at most {MAX_ENTRIES} are allowed",
            walked.len()
        ));
    }
    let files = walked.iter().filter(|found| found.kind == disk::Kind::File);
    let size: u64 = files.map(|found| found.size).fold(0, u64::saturating_add);
    let left = room.take(size).err()?;
    let [limit, has, others] =
        [MAX_OVERLAYS_BYTES, size, MAX_OVERLAYS_BYTES - left].map(|bytes| bytes.div_ceil(1 << 20));
    let others =
        if left == MAX_OVERLAYS_BYTES { String::new() } else { format!(", and the others {others} MiB") };
    Some(format!("overlays may have {limit} MiB of files together; {shown} has {has} MiB{others}"))
}

/// An overlay that is being read.
struct Reading {
    overlay: Overlay,
    /// Its actual path on this machine.
    real: PathBuf,
    /// The mode of its own directory.
    top: Mode,
}

impl Reading {
    fn refuse(&mut self, shown: &Path, why: Why, is_unsafe: bool) {
        let shown = shown.display().to_string();
        let reason = format!("{}: {}", printable(&shown), why.reason);
        let finding = Finding { is_unsafe, ..self.overlay.finding(reason).help(why.help) };
        self.overlay.findings.push(finding);
    }

    /// `None` when it is refused, with everything below it; a file that is skipped is an inner `None`.
    fn take(
        &mut self,
        directory: &Path,
        found: &disk::Walked,
        is_last: bool,
    ) -> Result<Option<Option<OverlayFile>>> {
        let shown = directory.join(&found.path);
        let guest = match guest_path(found) {
            Ok(guest) => guest,
            Err(why) => {
                self.refuse(&shown, why, false);
                return Ok(None);
            }
        };
        if found.kind == disk::Kind::Directory
            && let Some(why) = of_kiln(&shown)?
        {
            self.refuse(&shown, why, true);
            return Ok(None);
        }
        if found.kind == disk::Kind::Link {
            return Ok(Some(self.link(&shown, guest, found)));
        }
        let mode = match unfit::mode(found.kind, found.mode, self.top) {
            Ok(mode) => mode,
            Err(why) => {
                self.refuse(&shown, why, false);
                return Ok(Some(None));
            }
        };
        match found.kind {
            disk::Kind::Directory => {
                let known = known_mode(&guest);
                let is_entry = is_last || known.is_none() && mode != Mode::DIRECTORY;
                let file =
                    OverlayFile { path: guest, at: None, mode: known.unwrap_or(mode), body: Body::Directory };
                Ok(Some(is_entry.then_some(file)))
            }
            disk::Kind::File => {
                let input = disk::Input::open_found(directory, found)?;
                self.file(&shown, guest, mode, input).map(Some)
            }
            disk::Kind::Link | disk::Kind::Other => {
                let reason = "this is a device, a socket or a pipe".into();
                let help = "use only files, directories and symbolic links".into();
                self.refuse(&shown, Why { reason, help }, false);
                Ok(Some(None))
            }
        }
    }

    fn file(
        &mut self,
        shown: &Path,
        path: GuestPath,
        mode: Mode,
        input: disk::Input,
    ) -> Result<Option<OverlayFile>> {
        let name = &*shown.file_name().unwrap_or_default().to_string_lossy();
        let size = input.size();
        let is_template = name.ends_with(".hbs");
        if is_template && size > template::MAX_TEMPLATE_BYTES as u64 {
            let reason = format!(
                "a template has at most {} KiB; this one has {}",
                template::MAX_TEMPLATE_BYTES >> 10,
                size >> 10
            );
            let help = "move text without variables to files of its own".into();
            self.refuse(shown, Why { reason, help }, false);
            return Ok(None);
        }
        let bytes = input.whole(size)?;
        if let Some(why) = unfit::by_content(&bytes, name, mode) {
            self.refuse(shown, why, true);
            return Ok(None);
        }
        match body(&shown.display().to_string(), Arc::new(Blob::new(bytes)), is_template) {
            Ok(body) => Ok(Some(OverlayFile { path, at: None, mode, body })),
            Err(failure) if failure.exit() == Exit::Profile => {
                self.overlay.findings.push(self.overlay.finding(failure.reason()));
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    fn link(&mut self, shown: &Path, path: GuestPath, found: &disk::Walked) -> Option<OverlayFile> {
        let target = found.target.as_ref().and_then(|target| target.to_str());
        let target = target.filter(|target| !target.is_empty() && !target.contains(steers));
        let reason = match target {
            None => "it points at a name that cannot be one on a node".into(),
            Some(target) if unfit::leads_to(&path, target).is_none() => {
                format!("it points at {target}, outside of the node's root")
            }
            Some(target) if Path::new(target).starts_with(&self.real) => {
                format!("it points at {target}, which is on this machine")
            }
            Some(target) => {
                let body = Body::Link(target.to_owned());
                return Some(OverlayFile { path, at: None, mode: Mode::FILE, body });
            }
        };
        let help = "use the path that the target has on the node".into();
        self.refuse(shown, Why { reason, help }, false);
        None
    }

    fn finish(mut self, walked: &[disk::Walked]) -> Overlay {
        let mut files = walked.iter().filter(|found| found.kind == disk::Kind::File).peekable();
        let closed = |mode: Mode| mode.bits() & 0o004 == 0;
        if files.peek().is_some() && closed(self.top) && files.all(|found| closed(found.mode)) {
            let directory =
                self.overlay.directory.iter().map(|path| path.display().to_string()).collect::<String>();
            self.overlay.warnings.push(format!(
                "no file in the overlay {directory} can be read by others, so none can on the nodes; if a umask caused this, run chmod -R go=u-w {directory}"
            ));
        }
        self.overlay
    }
}

/// Its path on a node.
///
/// # Errors
/// The reason why a node cannot have a file there, or of this name.
fn guest_path(found: &disk::Walked) -> std::result::Result<GuestPath, Why> {
    let rename = |reason: String| Why { reason, help: "rename it".into() };
    let path = found.path.to_str().filter(|path| !path.contains(steers)).ok_or_else(|| {
        let reason = "its name is not UTF-8, or has invisible or control characters";
        rename(reason.into())
    })?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let guest = path.strip_suffix(".hbs").filter(|_| found.kind == disk::Kind::File).unwrap_or(path);
    let guest: GuestPath =
        guest.parse().map_err(|error| rename(format!("as a path in the guest, {error}")))?;
    match unfit::by_name(name).or_else(|| unfit::by_place(&guest)) {
        Some(why) => Err(why),
        None => Ok(guest),
    }
}

/// Whether a directory was made by Kiln itself and has keys in it.
pub(super) fn of_kiln(directory: &Path) -> Result<Option<Why>> {
    let has = |name: &str| disk::look(&directory.join(name)).map(|found| found.is_some());
    let what = if has("keystore.toml")? {
        "a keystore, from which every key of a cluster follows"
    } else if has("bundle.json")? && has("SHA256SUMS")? {
        "a bundle, which holds private keys"
    } else {
        return Ok(None);
    };
    let help = "keep it outside of overlays; Kiln gives each node its own keys".into();
    Ok(Some(Why { reason: format!("this is {what}"), help }))
}

/// A file's body.
///
/// # Errors
/// `Exit::Profile` for a template that cannot be one; those of reading the bytes.
pub(super) fn body(shown: &str, blob: Arc<Blob>, is_template: bool) -> Result<Body> {
    if !is_template {
        return Ok(Body::Bytes(blob));
    }
    let refuse = |_| Failure::new(Exit::Profile, format!("{shown}: a template must be UTF-8"));
    let text = std::str::from_utf8(blob.bytes()?).map_err(refuse)?;
    Template::new(shown, text.to_owned()).map(Body::Template)
}

impl Overlay {
    /// The last part of the path of a user's own directory: the same wherever the build runs.
    pub fn name(&self) -> Option<String> {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.directory.as_ref().map(|path| name(path).unwrap_or_else(|| "overlay".to_owned()))
    }

    /// Whether it has a file, or a link, at this absolute path of the guest.
    pub fn brings(&self, path: &str) -> bool {
        let is_there = |file: &&OverlayFile| !matches!(file.body, Body::Directory);
        self.files.iter().filter(is_there).any(|file| path.strip_prefix('/') == Some(file.path.as_str()))
    }

    /// The digest of everything that it adds to a node.
    pub fn digest(&self) -> Digest {
        let mut text = String::new();
        for file in &self.files {
            let body = match &file.body {
                Body::Template(template) => ("template", Digest::of(template.text().as_bytes()).to_string()),
                Body::Bytes(blob) => ("file", blob.digest().to_string()),
                Body::Link(target) => ("link", target.clone()),
                Body::LinkTo(target) => ("link to", target.text().to_owned()),
                Body::Directory => ("directory", String::new()),
            };
            let at = file.at.as_ref().map(Template::text).unwrap_or_default();
            text.push_str(&format!("{:?} {at:?} {} {body:?}\n", file.path, file.mode));
        }
        if let Some(file) = &self.file {
            text.push_str(&format!("{:?} {:?}\n", file.owner, file.nodes));
        }
        Digest::of(text.as_bytes())
    }

    /// The bytes of a file that is the same for every node.
    pub fn blob(&self, path: &str) -> Option<&Arc<Blob>> {
        self.files.iter().find(|file| file.path.as_str() == path).and_then(|file| match &file.body {
            Body::Bytes(blob) => Some(blob),
            _ => None,
        })
    }

    /// The number of its files and links.
    pub fn count(&self) -> usize {
        self.files.iter().filter(|file| !matches!(file.body, Body::Directory)).count()
    }

    /// `3 files`, for people.
    pub fn contents(&self) -> String {
        match self.count() {
            1 => "1 file".into(),
            count => format!("{count} files"),
        }
    }

    /// Whether it is the user's own, and not one of Kiln's.
    pub fn is_own(&self) -> bool {
        self.directory.is_some() || self.file.is_some()
    }

    /// Whether a node has it.
    pub fn is_for(&self, node: &NodeName) -> bool {
        self.file.as_ref().is_none_or(|file| file.nodes.has(node))
    }

    /// The account and the group that its file has on nodes, where that is not root.
    pub fn owner(&self) -> Option<(&str, &str)> {
        let (owner, group) = self.file.as_ref()?.owner.as_ref()?;
        Some((owner.as_str(), group.as_str()))
    }

    /// A finding about it.
    pub(super) fn finding(&self, reason: impl Into<String>) -> Finding {
        let about = match &self.file {
            Some(file) => About::File(file.at),
            None => About::Overlay(self.directory.clone().unwrap_or_default()),
        };
        Finding::new(about, reason)
    }

    pub(super) fn refuse(&mut self, why: Why, is_unsafe: bool) {
        let finding = self.finding(format!("{}: {}", self.origin, why.reason)).help(why.help);
        self.findings.push(Finding { is_unsafe, ..finding });
    }

    pub(super) fn files(&self) -> &[OverlayFile] {
        &self.files
    }
}
