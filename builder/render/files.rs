//! A `[[file]]` of a profile as an overlay of one entry: the same rules, and a place of its own in messages.

use std::path::Path;
use std::sync::Arc;

use super::budget::{Budget, SourceFile};
use super::overlay::{Body, Overlay, OverlayFile, body, of_kiln};
use super::unfit::{self, Why};
use crate::disk;
use crate::failure::{Exit, Result};
use crate::profile::{FileBody, FileSpec};
use crate::tree::{Blob, Origin, is_of_all, known_mode};
use crate::values::Mode;

/// Of a link, in bytes (PATH_MAX less the NUL, symlink(7)).
const MAX_TARGET: usize = 4095;

/// The files of a profile, in its order, each with findings about what cannot be added.
///
/// # Errors
/// `Exit::Io` when a source cannot be read.
pub fn of_profile(files: &[FileSpec], room: &Budget) -> Result<Vec<Arc<Overlay>>> {
    files.iter().map(|file| of_file(file, room).map(Arc::new)).collect()
}

fn of_file(spec: &FileSpec, room: &Budget) -> Result<Overlay> {
    let mut overlay = Overlay {
        origin: Origin::File(spec.path.absolute()),
        directory: None,
        file: Some(spec.clone()),
        files: Vec::new(),
        findings: Vec::new(),
        warnings: Vec::new(),
    };
    let of_name = spec.path.as_str().split('/').find_map(unfit::by_name);
    match of_name.or_else(|| unfit::by_place(&spec.path)).or_else(|| in_place_of_a_directory(spec)) {
        Some(why) => overlay.refuse(why, false),
        None => {
            if let Some((mode, body)) = entry(spec, &mut overlay, room)? {
                overlay.files.push(OverlayFile { path: spec.path.clone(), at: None, mode, body });
            }
        }
    }
    Ok(overlay)
}

/// tar does not replace a directory by anything else, and an initramfs would lose what is in it.
fn in_place_of_a_directory(spec: &FileSpec) -> Option<Why> {
    let is_directory = spec.body != FileBody::Directory && is_of_all(&spec.path);
    is_directory.then(|| Why {
        reason: "base systems have a directory there".into(),
        help: "use a path in it, or another one".into(),
    })
}

/// `None` when it is refused.
fn entry(spec: &FileSpec, overlay: &mut Overlay, room: &Budget) -> Result<Option<(Mode, Body)>> {
    let (blob, usual, name) = match &spec.body {
        FileBody::Directory => {
            let known = known_mode(&spec.path);
            if let (Some(known), Some(mode)) = (known, spec.mode)
                && known != mode
            {
                let reason = format!(
                    "base systems may have this directory, with mode {known}; {mode} would replace it"
                );
                overlay.refuse(Why { reason, help: "omit mode, or use a directory in it".into() }, false);
                return Ok(None);
            }
            return Ok(Some((spec.mode.or(known).unwrap_or(Mode::DIRECTORY), Body::Directory)));
        }
        FileBody::Link(target) if unfit::leads_to(&spec.path, target).is_none() => {
            let reason = format!("it points at {target}, outside of the node's root");
            overlay
                .refuse(Why { reason, help: "use the path that the target has on the node".into() }, false);
            return Ok(None);
        }
        FileBody::Link(target) if target.len() > MAX_TARGET => {
            let reason = format!("its target has {} bytes; Linux allows {MAX_TARGET}", target.len());
            overlay.refuse(Why { reason, help: "use a shorter path".into() }, false);
            return Ok(None);
        }
        FileBody::Link(target) => return Ok(Some((Mode::FILE, Body::Link(target.clone())))),
        FileBody::Text(text) => (Arc::new(Blob::new(text.clone().into_bytes())), Mode::FILE, String::new()),
        FileBody::Source(path) => match source(path, spec.mode, overlay, room)? {
            Some((blob, mode)) => {
                (blob, mode, path.file_name().unwrap_or_default().to_string_lossy().into_owned())
            }
            None => return Ok(None),
        },
    };
    let mode = spec.mode.unwrap_or(usual);
    if let Some(why) = unfit::by_content(blob.bytes()?, &name, mode) {
        let help = why.help.replace("close it with chmod go=", "write mode = \"0600\"");
        overlay.refuse(Why { help, ..why }, true);
        return Ok(None);
    }
    match body(&overlay.origin.to_string(), blob, spec.is_template) {
        Ok(body) => Ok(Some((mode, body))),
        Err(failure) if failure.exit() == Exit::Profile => {
            overlay.findings.push(overlay.finding(failure.reason()));
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// The bytes of a file on this machine, and the mode that it would have in an overlay.
fn source(
    path: &Path,
    given: Option<Mode>,
    overlay: &mut Overlay,
    room: &Budget,
) -> Result<Option<(Arc<Blob>, Mode)>> {
    let shown = path.display();
    let refuse = |overlay: &mut Overlay, reason: String, help: &str| {
        overlay.refuse(Why { reason, help: help.to_owned() }, false);
        Ok(None)
    };
    let real = disk::resolved(path);
    for directory in real.ancestors().skip(1) {
        if let Some(why) = of_kiln(directory)? {
            let reason = format!("{shown} is in {}, and {}", directory.display(), why.reason);
            overlay.refuse(Why { reason, ..why }, true);
            return Ok(None);
        }
    }
    match disk::look(&real)? {
        None => return refuse(overlay, format!("{shown} does not exist"), "name a file beside the profile"),
        Some(found) if found.kind != disk::Kind::File => {
            let help = "name a file; a directory of files goes into [bundle] overlays";
            return refuse(overlay, format!("{shown} is not a file"), help);
        }
        Some(_) => {}
    }
    let read = match room.source(&real) {
        // As a file in /proc, which says that it is empty.
        Err(failure) if failure.exit() == Exit::Wrong => {
            return refuse(overlay, format!("{shown} cannot be read: {failure}"), "name an ordinary file");
        }
        read => read?,
    };
    let Some(SourceFile { blob, mode: here }) = read else {
        let help = "copy large files to the nodes in another way, such as from a disk or a server";
        return refuse(overlay, format!("{shown} is too large beside the overlays: 1 GiB together"), help);
    };
    let mode = match (given, unfit::mode(disk::Kind::File, here, Mode::DIRECTORY)) {
        (Some(mode), _) | (None, Ok(mode)) => mode,
        (None, Err(why)) => {
            overlay.refuse(why, false);
            return Ok(None);
        }
    };
    Ok(Some((blob, mode)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Source, read};
    use crate::values::example_carriers;

    /// The `[[file]]` tables of a profile.
    fn files(more: &str) -> Vec<FileSpec> {
        let text = format!(
            "schema = 1\n[cluster]\nname = \"a\"\n[network]\ncidr = \"10.0.0.0/24\"\n[[node]]\nname = \"b\"\naddress = \"10.0.0.10\"\n\
             [etcd]\nversion = \"3.5.33\"\n{more}"
        );
        let read = read(&Source::file("a.toml".as_ref(), text.into()), &[], &example_carriers());
        read.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false))).0.files
    }

    #[test]
    fn a_source_of_many_profiles_is_read_and_counted_once() {
        let scratch = disk::Scratch::new("test").unwrap();
        let path = scratch.path().join("source");
        disk::write_whole(&path, b"12345678", Mode::FILE).unwrap();
        let room = Budget::of(12);
        let of = |at: &str, more: &str| {
            let table = format!("[[file]]\npath = \"/etc/{at}\"\nsource = \"{}\"\n{more}", path.display());
            of_profile(&files(&table), &room).unwrap().remove(0)
        };
        let blob = |overlay: &Overlay| match &overlay.files[0].body {
            Body::Bytes(blob) => Arc::clone(blob),
            _ => panic!("{}", overlay.origin),
        };
        let (first, second) = (of("x", ""), of("y", "mode = \"0600\"\n"));
        assert!(Arc::ptr_eq(&blob(&first), &blob(&second)));
        let filled = of("z", "template = true\n");
        assert!(matches!(filled.files[0].body, Body::Template(_)), "{:?}", filled.findings);
        disk::write_whole(&scratch.path().join("other"), b"12345", Mode::FILE).unwrap();
        let table = format!("[[file]]\npath = \"/etc/o\"\nsource = \"{}/other\"\n", scratch.path().display());
        let other = of_profile(&files(&table), &room).unwrap().remove(0);
        assert!(other.findings[0].reason.contains("too large beside the overlays"), "{:?}", other.findings);
    }
}
