//! `kiln show --files`: what each node gets, from where, as the bundle's own lists have it.

use std::fmt::Write;

use super::output::Output;
use crate::bundle::delivered::{Delivered, Kind, Source, from_json};
use crate::bundle::{self, Bundle, Problem};
use crate::digest;
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::values::Digest;

/// The largest list that is read, in bytes.
const MAX_BYTES: u64 = 256 << 20;

/// All nodes, or one.
///
/// # Errors
/// `Exit::Wrong` when a list is missing, or does not match the manifest.
pub fn show(bundle: &Bundle, node: Option<&str>, json: bool, out: &Output) -> Result<()> {
    let nodes = bundle.manifest.nodes.iter().map(|one| one.name.as_str());
    let mut problems = Vec::new();
    let mut lists = nodes.filter(|name| node.is_none_or(|wanted| wanted == *name)).filter_map(|name| {
        let path = format!("nodes/{name}/{}", bundle::FILES);
        one(bundle, name, &path, &mut problems).transpose()
    });
    match json {
        true => {
            let each = lists.flat_map(|list| match list {
                Ok(list) => list.into_iter().map(Ok).collect(),
                Err(failure) => vec![Err(failure)],
            });
            out.json_items(each)?;
        }
        false => lists.try_for_each(|list| out.print(text(&list?, bundle)))?,
    }
    if problems.is_empty() { Ok(()) } else { Err(bundle.differs(&problems)) }
}

/// A node's list; `None` where there is none to show, which is among the problems then. What is shown are the bytes
/// that were compared with the manifest.
fn one(
    bundle: &Bundle,
    name: &str,
    file: &str,
    problems: &mut Vec<Problem>,
) -> Result<Option<Vec<Delivered>>> {
    let Some(want) = bundle.manifest.files.get(file) else {
        return Err(Failure::wrong(format!(
            "{} has no {file}: an earlier version of Kiln built it; kiln show BUNDLE {name} lists its archives",
            bundle.path.display()
        )));
    };
    let mut problem = |text: &str| problems.push(Problem { path: file.to_owned(), problem: text.to_owned() });
    let path = bundle.path.join(file);
    if disk::look(&path)?.is_none() {
        problem(MISSING);
        return Ok(None);
    }
    let bytes = disk::read(&path, MAX_BYTES)?;
    let list = from_json(&bytes, name).doing(|| format!("reading {}", path.display()));
    if Digest::of(&bytes) == want.sha256 {
        return list.map(Some);
    }
    problem(DIFFERENT);
    Ok(list.ok())
}

const MISSING: &str = "is missing";
const DIFFERENT: &str = "does not match the manifest";

/// How a file differs from the manifest, if it does.
pub fn problem_with(bundle: &Bundle, file: &str) -> Result<Option<Problem>> {
    let path = bundle.path.join(file);
    let Some(want) = bundle.manifest.files.get(file) else { return Ok(None) };
    let problem = match disk::look(&path)? {
        None => MISSING,
        // A file of another size differs without being read.
        Some(found) if found.size != want.size || digest::of_file(&path)?.1 != want.sha256 => DIFFERENT,
        Some(_) => return Ok(None),
    };
    Ok(Some(Problem { path: file.to_owned(), problem: problem.to_owned() }))
}

/// A line per entry: mode, owner, destination, source.
fn text(list: &[Delivered], bundle: &Bundle) -> String {
    let name = list.first().map_or("", |one| one.node.as_str());
    let mut text = format!("node {name}\n");
    let shown: Vec<_> = list.iter().map(|one| (owner(one), destination(one))).collect();
    let width = |of: fn(&(String, String)) -> &str| shown.iter().map(|one| of(one).len()).max().unwrap_or(0);
    // A long link does not move the sources of all others away.
    let (owners, paths) = (width(|one| &one.0), width(|one| &one.1).min(64));
    for (one, (owner, destination)) in list.iter().zip(&shown) {
        let source = source(&one.source, bundle);
        let _ = writeln!(text, "  {} {owner:owners$}  {destination:paths$}  {source}", one.mode);
    }
    text
}

fn owner(one: &Delivered) -> String {
    format!("{}:{}", one.owner, one.group)
}

fn destination(one: &Delivered) -> String {
    let tail = match (&one.kind, &one.target) {
        (Kind::Directory, _) => "/".to_owned(),
        (_, Some(target)) => format!(" -> {target}"),
        _ => String::new(),
    };
    format!("/{}{tail}", one.destination)
}

fn source(source: &Source, bundle: &Bundle) -> String {
    match source {
        Source::Release { version } => {
            let files: Vec<_> =
                bundle.manifest.etcd.sources.iter().map(|source| source.file.as_str()).collect();
            format!("etcd {version}: {}", files.join(" "))
        }
        Source::Keystore { label } => format!("keystore: {label}"),
        Source::Overlay { name } => format!("overlay: {name}"),
        Source::Profile { table } => format!("profile: {table}"),
        Source::Kiln { part } => format!("kiln: {part}"),
    }
}
