//! Overlays: files in the place they have in the guest. A name ending in `.hbs` is filled in per node and
//! loses the ending.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::template::{Context, Template, Templates};
use crate::disk;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::tree::{Blob, Entry};
use crate::values::{Digest, GuestPath, Mode};

/// One overlay, read once and filled in for every node.
pub struct Overlay {
    /// As messages name it: `overlay "etcd"`.
    pub origin: String,
    files: Vec<OverlayFile>,
}

struct OverlayFile {
    path: GuestPath,
    mode: Mode,
    body: Body,
}

enum Body {
    Template(Template),
    Bytes(Arc<Blob>),
    Link(String),
    Directory,
}

/// The largest file that an overlay may hold, in bytes.
const LIMIT: u64 = 1 << 30;

macro_rules! embedded {
    ($($overlay:literal: [$($path:literal),+ $(,)?]),+ $(,)?) => {
        /// Overlay, path in it, text. `tests/tidy.rs` compares this with the directory.
        pub const EMBEDDED: &[(&str, &[(&str, &str)])] = &[
            $(($overlay, &[$(($path, include_str!(concat!("../../overlays/", $overlay, "/", $path)))),+])),+
        ];
    };
}

embedded! {
    "etcd": [
        "etc/etcd/etcdctl.env.hbs",
        "etc/kiln/data-disk.sh.hbs",
        "etc/kiln/formed.sh.hbs",
        "etc/kiln/guard.sh.hbs",
        "etc/kiln/prepare.sh.hbs",
        "etc/kiln/record.sh.hbs",
        "etc/profile.d/etcdctl.sh.hbs",
        "etc/systemd/system/etcd.service.hbs",
        "etc/systemd/system/kiln-data-disk.service.hbs",
        "etc/systemd/system/kiln-formed.service.hbs",
        "etc/systemd/system/kiln-guard.service.hbs",
        "etc/systemd/system/kiln-prepare.service.hbs",
        "etc/sysusers.d/etcd.conf.hbs",
        "etc/tmpfiles.d/etcd.conf.hbs",
    ],
    "network": ["etc/systemd/network/05-kiln.network.hbs"],
}

/// Kiln's own overlays. They are parsed once in a run: it takes two milliseconds, so that a run which is going to need them
/// may begin with it while it still reads.
///
/// # Errors
/// None with the templates that Kiln carries.
pub fn embedded() -> Result<Vec<Arc<Overlay>>> {
    static PARSED: OnceLock<Result<Vec<Arc<Overlay>>>> = OnceLock::new();
    match PARSED.get_or_init(parse_embedded) {
        Ok(overlays) => Ok(overlays.clone()),
        Err(failure) => Err(Failure::new(failure.exit(), failure.to_string())),
    }
}

fn parse_embedded() -> Result<Vec<Arc<Overlay>>> {
    EMBEDDED
        .iter()
        .map(|(name, files)| {
            let files = files.iter().map(|(path, text)| {
                file(
                    path,
                    format!("overlays/{name}/{path}"),
                    Mode::FILE,
                    Source::Bytes(text.as_bytes().to_vec()),
                )
            });
            let files = files.collect::<Result<_>>()?;
            Ok(Arc::new(Overlay { origin: format!("overlay {name:?}"), files }))
        })
        .collect()
}

/// A directory of the user's own. Modes are 0755 where the owner may execute and 0644 elsewhere: other bits
/// depend on the umask of whoever checked the files out. A directory is an entry only when it is empty.
///
/// # Errors
/// `Exit::Profile` for what a tree cannot hold (devices, names that are not UTF-8), `Exit::Io` for the rest.
pub fn load(directory: &Path) -> Result<Overlay> {
    if disk::look(directory)?
        .is_none_or(|found| !matches!(found.kind, disk::Kind::Directory | disk::Kind::Link))
    {
        let reason = format!("the overlay {} is not a directory; see [bundle] overlays", directory.display());
        return Err(Failure::new(Exit::Profile, reason));
    }
    let mut files = Vec::new();
    let walked = disk::walk(directory)?;
    for (at, found) in walked.iter().enumerate() {
        let shown = directory.join(&found.path);
        let refuse = |reason: &str| Failure::new(Exit::Profile, format!("{}: {reason}", shown.display()));
        let path = found.path.to_str().ok_or_else(|| refuse("its name is not UTF-8"))?;
        let source = match found.kind {
            disk::Kind::Directory => {
                let empty = walked.get(at + 1).is_none_or(|next| !next.path.starts_with(&found.path));
                if !empty {
                    continue;
                }
                Source::Directory
            }
            disk::Kind::File => Source::Bytes(disk::read(&shown, LIMIT)?),
            disk::Kind::Link => {
                let target = found.target.as_ref().and_then(|t| t.to_str());
                Source::Link(
                    target.ok_or_else(|| refuse("it points at a name that is not UTF-8"))?.to_owned(),
                )
            }
            disk::Kind::Other => {
                return Err(refuse("only files, directories and symbolic links can be baked"));
            }
        };
        let executable = matches!(found.kind, disk::Kind::Directory) || found.mode.bits() & 0o100 != 0;
        let mode = if executable { Mode::PROGRAM } else { Mode::FILE };
        files.push(file(path, shown.display().to_string(), mode, source)?);
    }
    Ok(Overlay { origin: format!("overlay {:?}", directory.display().to_string()), files })
}

enum Source {
    Bytes(Vec<u8>),
    Link(String),
    Directory,
}

fn file(path: &str, shown: String, mode: Mode, source: Source) -> Result<OverlayFile> {
    let refuse = |reason: String| Failure::new(Exit::Profile, format!("{shown}: {reason}"));
    let (path, body) = match source {
        Source::Bytes(bytes) => match path.strip_suffix(".hbs") {
            Some(path) => {
                let text = String::from_utf8(bytes).map_err(|_| refuse("a template must be UTF-8".into()))?;
                (path, Body::Template(Template::new(&shown, text)?))
            }
            None => (path, Body::Bytes(Arc::new(Blob::new(bytes)))),
        },
        Source::Link(target) => (path, Body::Link(target)),
        Source::Directory => (path, Body::Directory),
    };
    let path = path.parse().map_err(|error| refuse(format!("as a path in the guest, {error}")))?;
    Ok(OverlayFile { path, mode, body })
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

    /// Its entries for one node.
    ///
    /// # Errors
    /// `Exit::Profile` with file and line when a template names an unknown variable.
    pub fn fill(&self, templates: &Templates, values: &Context) -> Result<Vec<(GuestPath, Entry)>> {
        self.files
            .iter()
            .map(|file| {
                let entry = match &file.body {
                    Body::Template(template) => {
                        let text =
                            templates.fill(template, values).doing(|| "filling in a template".into())?;
                        Entry::file(text.into_bytes(), file.mode, &self.origin)
                    }
                    Body::Bytes(blob) => Entry::shared(blob.clone(), file.mode, &self.origin),
                    Body::Link(target) => Entry::link(target, &self.origin),
                    Body::Directory => Entry::directory(file.mode, &self.origin),
                };
                Ok((file.path.clone(), entry))
            })
            .collect()
    }
}
