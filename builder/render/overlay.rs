//! Overlays: files in the place they have in the guest. A name ending in `.hbs` is filled in per node and
//! loses the ending.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::template::{self, Context, Template, Templates};
use super::unfit::{self, Why};
use crate::disk;
use crate::failure::{Exit, Failure, Result};
use crate::interrupt;
use crate::profile::{About, Finding};
use crate::tree::{Blob, Entry, known_mode};
use crate::values::{Digest, GuestPath, Mode, printable, steers};

/// One overlay, read once and filled in for every node.
pub struct Overlay {
    /// As messages name it: `overlay "etcd"`.
    pub origin: String,
    /// A user's own; Kiln's are in the program.
    pub directory: Option<PathBuf>,
    pub(super) files: Vec<OverlayFile>,
    /// What is wrong with it, whatever else a profile says.
    pub findings: Vec<Finding>,
    pub warnings: Vec<String>,
}

pub(super) struct OverlayFile {
    pub path: GuestPath,
    pub mode: Mode,
    pub body: Body,
}

pub(super) enum Body {
    Template(Template),
    Bytes(Arc<Blob>),
    Link(String),
    Directory,
}

/// What the files of all overlays of a run may have together, in bytes: they are in memory while bundles are built.
const BYTES: u64 = 1 << 30;

/// What is left of it.
pub struct Room(AtomicU64);

impl Default for Room {
    fn default() -> Self {
        Self(BYTES.into())
    }
}

impl Room {
    /// Takes so many bytes of it, or says how many are left.
    fn take(&self, bytes: u64) -> std::result::Result<(), u64> {
        let less = |left: u64| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).map(|_| ())
    }
}

/// How many files, directories and links an overlay may have, and a node from all of them.
pub(super) const ENTRIES: usize = 200_000;

/// A directory of the user's own, with everything in it that cannot be baked. `unfit::mode` says which modes it gets. A
/// directory is an entry when it is empty, or when it is closed and no base system has it.
///
/// # Errors
/// `Exit::Io` when it cannot be read; `Exit::Interrupted` once a signal has come.
pub fn load(directory: &Path, room: &Room) -> Result<Overlay> {
    let mut overlay = Overlay {
        origin: format!("overlay {:?}", directory.display().to_string()),
        directory: Some(directory.to_owned()),
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
        let help =
            "bring large files to the nodes in another way, such as from a disk or a server of their own";
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

/// Of sizes alone, before anything is read.
fn too_much(directory: &Path, walked: &[disk::Walked], room: &Room) -> Option<String> {
    let shown = directory.display();
    if walked.len() > ENTRIES {
        return Some(format!("the overlay {shown} has {} entries; {ENTRIES} is the most", walked.len()));
    }
    let files = walked.iter().filter(|found| found.kind == disk::Kind::File);
    let size: u64 = files.map(|found| found.size).fold(0, u64::saturating_add);
    let left = room.take(size).err()?;
    let [limit, has, others] = [BYTES, size, BYTES - left].map(|bytes| bytes.div_ceil(1 << 20));
    let others = if left == BYTES { String::new() } else { format!(", and the others {others} MiB") };
    Some(format!("overlays may have {limit} MiB of files together; {shown} has {has} MiB{others}"))
}

/// An overlay that is being read.
struct Reading {
    overlay: Overlay,
    /// Where it really lies on this machine.
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

    /// `None` when it is refused, with everything below it; a file that is not wanted is an inner `None`.
    fn take(
        &mut self,
        directory: &Path,
        found: &disk::Walked,
        is_last: bool,
    ) -> Result<Option<Option<OverlayFile>>> {
        let shown = directory.join(&found.path);
        let plain = |reason: &str, help: &str| Why { reason: reason.into(), help: help.into() };
        let named = found.path.to_str().filter(|path| !path.contains(steers));
        let Some(path) = named else {
            let reason =
                "its name is not UTF-8, or has characters that act on a terminal instead of being seen";
            self.refuse(&shown, plain(reason, "rename it"), false);
            return Ok(None);
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        let guest = path.strip_suffix(".hbs").filter(|_| found.kind == disk::Kind::File).unwrap_or(path);
        let guest: GuestPath = match guest.parse() {
            Ok(guest) => guest,
            Err(error) => {
                self.refuse(&shown, plain(&format!("as a path in the guest, {error}"), "rename it"), false);
                return Ok(None);
            }
        };
        if let Some(why) = unfit::by_name(name).or_else(|| unfit::by_place(&guest)) {
            self.refuse(&shown, why, false);
            return Ok(None);
        }
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
                let file = OverlayFile { path: guest, mode: known.unwrap_or(mode), body: Body::Directory };
                Ok(Some(is_entry.then_some(file)))
            }
            disk::Kind::File => {
                let input = disk::Input::open_found(directory, found)?;
                self.file(&shown, guest, mode, input).map(Some)
            }
            disk::Kind::Link | disk::Kind::Other => {
                let reason = "this is a device, a socket or a pipe";
                self.refuse(&shown, plain(reason, "bring files, directories and symbolic links only"), false);
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
        if is_template && size > template::LIMIT as u64 {
            let reason =
                format!("a template has at most {} KiB; this one has {}", template::LIMIT >> 10, size >> 10);
            let help = "bring what has no variables as files of their own".into();
            self.refuse(shown, Why { reason, help }, false);
            return Ok(None);
        }
        let bytes = input.whole(size)?;
        if let Some(why) = unfit::by_content(&bytes, name, mode) {
            self.refuse(shown, why, true);
            return Ok(None);
        }
        let source = Source::of(bytes, is_template);
        match body(&shown.display().to_string(), source) {
            Ok(body) => Ok(Some(OverlayFile { path, mode, body })),
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
                return Some(OverlayFile { path, mode: Mode::FILE, body: Body::Link(target.to_owned()) });
            }
        };
        let help = "let it point at the file's place on the node".into();
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
                "no file in the overlay {directory} may be read by others, so that none may be on the nodes; if a umask has made it so, chmod -R go=u-w {directory}"
            ));
        }
        self.overlay
    }
}

/// A directory that Kiln itself has made, with keys in it.
fn of_kiln(directory: &Path) -> Result<Option<Why>> {
    let has = |name: &str| disk::look(&directory.join(name)).map(|found| found.is_some());
    let what = if has("keystore.toml")? {
        "a keystore, from which every key of a cluster follows"
    } else if has("bundle.json")? && has("SHA256SUMS")? {
        "a bundle, which holds private keys"
    } else {
        return Ok(None);
    };
    let help = "keep it outside of overlays; nodes get the keys that are their own".into();
    Ok(Some(Why { reason: format!("this is {what}"), help }))
}

pub(super) enum Source {
    Template(Vec<u8>),
    Bytes(Vec<u8>),
}

impl Source {
    pub fn of(bytes: Vec<u8>, is_template: bool) -> Self {
        if is_template { Source::Template(bytes) } else { Source::Bytes(bytes) }
    }
}

pub(super) fn body(shown: &str, source: Source) -> Result<Body> {
    match source {
        Source::Template(bytes) => {
            let refuse = |_| Failure::new(Exit::Profile, format!("{shown}: a template must be UTF-8"));
            let text = String::from_utf8(bytes).map_err(refuse)?;
            Template::new(shown, text).map(Body::Template)
        }
        Source::Bytes(bytes) => Ok(Body::Bytes(Arc::new(Blob::new(bytes)))),
    }
}

impl Overlay {
    /// Whether it has a file, or a link, at this absolute path of the guest.
    pub fn brings(&self, path: &str) -> bool {
        let is_there = |file: &&OverlayFile| !matches!(file.body, Body::Directory);
        self.files.iter().filter(is_there).any(|file| path.strip_prefix('/') == Some(file.path.as_str()))
    }

    /// Of all that goes into a node.
    pub fn digest(&self) -> Digest {
        let mut text = String::new();
        for file in &self.files {
            let body = match &file.body {
                Body::Template(template) => ("template", Digest::of(template.text().as_bytes()).to_string()),
                Body::Bytes(blob) => ("file", blob.digest().to_string()),
                Body::Link(target) => ("link", target.clone()),
                Body::Directory => ("directory", String::new()),
            };
            text.push_str(&format!("{:?} {} {body:?}\n", file.path, file.mode));
        }
        Digest::of(text.as_bytes())
    }

    /// How many files and links it brings.
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

    pub(super) fn files(&self) -> &[OverlayFile] {
        &self.files
    }

    /// Something that is wrong with it.
    pub(super) fn finding(&self, reason: impl Into<String>) -> Finding {
        Finding::new(About::Overlay(self.directory.clone().unwrap_or_default()), reason)
    }
}

impl OverlayFile {
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
            Body::Directory => Entry::directory(self.mode, &overlay.origin),
        })
    }
}
