//! `[[file]]`: files of the nodes that the profile itself has, or names.

use std::path::PathBuf;

use toml::Spanned;

use super::Span;
use super::diagnostics::Diagnostics;
use super::directories::guest_path;
use super::file_spec::{FileBody, FileSpec};
use super::mistake::Mistake;
use super::nodes::Nodes;
use super::pki::{OnNodes, on_nodes};
use super::reader::{Section, quoted};
use crate::values::{Account, Invalid, Mode};

/// The keys of which each file has one.
const BODIES: [&str; 4] = ["text", "source", "link", "directory"];

pub(super) fn read(diagnostics: &mut Diagnostics, tables: Vec<Section>, nodes: &Nodes) -> Vec<FileSpec> {
    let mut list: Vec<(FileSpec, Span)> = Vec::new();
    for table in tables {
        table.require(diagnostics, "path");
        if let Some((file, place)) = file(diagnostics, &table, nodes) {
            let both = |other: &FileSpec| {
                nodes.list.iter().find(|node| other.nodes.has(&node.name) && file.nodes.has(&node.name))
            };
            let there = list.iter().find(|(other, _)| other.path == file.path && both(other).is_some());
            if let Some((other, first)) = there {
                let node = both(other).map_or("a node", |node| node.name.as_str());
                let reason = format!("{node} has two files {}", file.path.absolute());
                let mistake = Mistake::new(place.clone(), reason).other(first.clone(), "first here");
                diagnostics.mistake(mistake.help("change one of the two paths, or their nodes"));
            }
            diagnostics.marks.files.push(place.clone());
            diagnostics.marks.specs.push(file.clone());
            list.push((file, place));
        }
        table.finish(diagnostics);
    }
    list.into_iter().map(|(file, _)| file).collect()
}

/// With the place of its path.
fn file(diagnostics: &mut Diagnostics, table: &Section, nodes: &Nodes) -> Option<(FileSpec, Span)> {
    let path = table.value_with(diagnostics, "path", guest_path);
    let mode = table.value_with(diagnostics, "mode", mode);
    let owner = table.value::<Account>(diagnostics, "owner").map(Spanned::into_inner);
    let group = table.value::<Account>(diagnostics, "group").map(Spanned::into_inner);
    let template = table.bool(diagnostics, "template").map(Spanned::into_inner);
    let on_nodes = on_nodes(diagnostics, table).unwrap_or(OnNodes::All);
    check_nodes(diagnostics, table, &on_nodes, nodes);
    let body = body(diagnostics, table);
    let (path, body) = (path?, body?);
    let place = path.span();
    let path = path.into_inner();
    let is_file = matches!(body, FileBody::Text(_) | FileBody::Source(_));
    let is_directory = matches!(body, FileBody::Directory);
    for key in ["mode", "owner", "group", "template"] {
        let why = match &body {
            FileBody::Link(_) => "a link has none of its own",
            FileBody::Directory if key == "template" => "a directory has no text",
            _ => continue,
        };
        if table.has(key) {
            let reason = format!("[[file]] {key} does not fit {}: {why}", path.absolute());
            diagnostics.mistake(Mistake::new(table.place(key), reason).help(format!("omit {key}")));
        }
    }
    if let Some(mode) = mode.as_ref().filter(|mode| mode.get_ref().bits() & 0o100 == 0 && is_directory) {
        let reason = format!("[[file]] mode {} would close the directory to its owner", mode.get_ref());
        diagnostics.mistake(Mistake::new(mode.span(), reason).help("write it as in mode = \"0750\""));
    }
    let root = || "root".parse::<Account>().ok();
    let owner = match (owner, group) {
        (None, None) => None,
        (owner, group) => {
            let owner = owner.or_else(root)?;
            let group = group.unwrap_or_else(|| owner.clone());
            Some((owner, group)).filter(|(owner, group)| owner.as_str() != "root" || group.as_str() != "root")
        }
    };
    // systemd-tmpfiles expands patterns and specifiers in a path.
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+:@,=".contains(c);
    if let (Some(bad), Some(_)) = (path.as_str().chars().find(|c| !plain(*c)), &owner) {
        let reason = format!(
            "{} cannot have an owner: {bad:?} in a path has a meaning there",
            quoted(&path.absolute())
        );
        let help = "use letters, digits and . _ - + : @ , = in it, or omit owner and group";
        diagnostics.mistake(Mistake::new(place.clone(), reason).help(help));
    }
    let is_hbs = matches!(&body, FileBody::Source(path) if path.extension().is_some_and(|end| end == "hbs"));
    let file = FileSpec {
        path,
        is_template: is_file && template.unwrap_or(is_hbs),
        body,
        mode: mode.map(Spanned::into_inner),
        owner,
        nodes: on_nodes,
        at: place.start,
    };
    Some((file, place))
}

/// The one of the keys that it has.
fn body(diagnostics: &mut Diagnostics, table: &Section) -> Option<FileBody> {
    let directory = table.bool(diagnostics, "directory");
    let is_directory = directory.as_ref().is_some_and(|directory| *directory.get_ref());
    let source = |text: &str| match text.is_empty() || text.contains('\0') {
        true => Err(Invalid("it is not a path".into())),
        false => Ok(PathBuf::from(text)),
    };
    let text = table.text(diagnostics, "text").map(|text| FileBody::Text((*text.get_ref()).to_owned()));
    let source = table.value_with(diagnostics, "source", source).map(|source| {
        let directory = diagnostics.directory(&source.span());
        FileBody::Source(directory.join(source.into_inner()))
    });
    let link = table.value_with(diagnostics, "link", target).map(|link| FileBody::Link(link.into_inner()));
    let has = |key: &&&str| table.has(key) && (**key != "directory" || is_directory || directory.is_none());
    let given: Vec<&str> = BODIES.iter().filter(has).copied().collect();
    match given[..] {
        [_] => text.or(source).or(link).or(is_directory.then_some(FileBody::Directory)),
        [] => {
            let help = "write one of text, source, link and directory, as in text = \"…\"";
            diagnostics
                .mistake(Mistake::missing(table.span.clone(), "this [[file]] has nothing in it").help(help));
            None
        }
        [first, second, ..] => {
            let reason = format!("[[file]] has {first} and {second}");
            let mistake = Mistake::new(table.place(second), reason);
            diagnostics.mistake(match table.place(first) {
                Some(place) => mistake.other(place, "the other one").help("keep one of them"),
                None => mistake,
            });
            None
        }
    }
}

fn target(text: &str) -> Result<String, Invalid> {
    match text.is_empty() || text.contains(crate::values::steers) {
        true => Err(Invalid("it is empty, or has a control or invisible character".into())),
        false => Ok(text.to_owned()),
    }
}

fn mode(text: &str) -> Result<Mode, Invalid> {
    let mode: Mode = text.parse()?;
    match mode.bits() {
        bits if bits & 0o7000 != 0 => Err(Invalid(
            "a setuid, setgid or sticky bit is for the node itself to set, as with a line in usr/lib/tmpfiles.d".into(),
        )),
        bits if bits & 0o002 != 0 => Err(Invalid("every account of the node could change it".into())),
        bits if bits & 0o400 == 0 => Err(Invalid("it would close the file to its owner".into())),
        _ => Ok(mode),
    }
}

fn check_nodes(diagnostics: &mut Diagnostics, table: &Section, on: &OnNodes, nodes: &Nodes) {
    let OnNodes::Some(names) = on else { return };
    nodes.check_named(diagnostics, names, "[[file]] nodes names", table.place("nodes"));
    if names.is_empty() {
        let mistake = Mistake::new(table.place("nodes"), "this [[file]] is for no node");
        diagnostics.mistake(mistake.help("omit nodes for all, or name some"));
    }
}
