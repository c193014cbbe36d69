//! `kiln plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::build::default_out;
use super::output::Output;
use super::overlays::Near;
use super::places::Places;
use super::{inputs, named, overlays};
use crate::build::{NodeProgram, Options, Overlays, Session, check_peers, plan_of};
use crate::cli;
use crate::failure::{Exit, Failure, Result};
use crate::pki::Keystore;
use crate::plan::View;
use crate::profile::{FileBody, FileSpec, OnNodes};
use crate::render::{Overlay, Replaced};
use crate::values::NODE_PROGRAM;

pub fn run(args: &cli::Plan, out: &Output) -> Result<()> {
    let options = Options {
        artifacts: args.store.artifacts.clone(),
        overlays: args.overlays.clone(),
        base: None,
        bases: inputs::bases(),
        needs_base: false,
        jobs: None,
        epoch: None,
    };
    let tell = |note| out.tell(note);
    let session = Session::new(options, &tell)?;
    let profile =
        inputs::profile(args.source.name(), &args.source.settings, Near::of(&session, &args.keys), out)?;
    let path = named::keystore_path(args.keys.keystore.as_ref(), &profile.cluster.name);
    let places = Places::new(&args.store.artifacts, None, &default_out(&profile.name))?.and_keystore(&path);
    let replaced = overlays::check(&[&profile], &session, &places)?;
    let overlays = session.overlays(&profile)?;
    let mut keystore = Keystore::find(&path, &profile.cluster.name)?;
    let plan = plan_of(&profile, keystore.as_ref())?;
    // Changed in memory only.
    let admitted = keystore.as_mut().map(|keystore| keystore.admit(&path, &plan).map(drop));
    for failure in [Some(check_peers(&plan)), admitted].into_iter().flatten().filter_map(Result::err) {
        out.warn(format_args!("kiln build refuses this: {failure}"));
    }
    let mut imported = BTreeMap::new();
    for authority in &plan.authorities {
        let ca = keystore.as_ref().map(|keystore| keystore.imported_authority(authority.name)).transpose()?;
        imported.extend(ca.flatten().map(|ca| (authority.name, ca)));
    }
    let node = plan.pki.renewal.as_ref().map(|_| session.node_program(plan.arch)).map(known).transpose()?;
    let identity_known = keystore.is_some() || profile.cluster.token.is_some();
    let view = View { plan: &plan, identity_known, tag_known: keystore.is_some(), imported };
    if args.json {
        let mut view = view.json();
        view["overlays"] = own(&overlays)
            .map(|overlay| {
                json!({ "directory": overlay.directory, "files": overlay.count(), "replaces": of(overlay, &replaced)
                    .map(|replaced| replaced.path.absolute()).collect::<Vec<_>>() })
            })
            .collect();
        if let Some(node) = &node {
            view["kiln_node"] = program_json(node);
        }
        let files: Vec<_> = profile.files.iter().map(file_json).collect();
        if !files.is_empty() {
            view["files"] = files.into();
        }
        return out.json(&view);
    }
    let node = node.as_ref().map(program).unwrap_or_default();
    out.print(view.to_string() + &node + &shown(&overlays, &replaced) + &files(&overlays, &replaced))
}

/// Kiln's own program for nodes, or why a build would refuse for want of it.
type OwnProgram = std::result::Result<Arc<NodeProgram>, Failure>;

/// A plan does not need the program.
///
/// # Errors
/// Those that are not about the program: `Exit::Interrupted`, `Exit::Io`.
fn known(looked: Result<Arc<NodeProgram>>) -> Result<OwnProgram> {
    match looked {
        Err(failure) if failure.exit() != Exit::Untrusted => Err(failure),
        looked => Ok(looked),
    }
}

/// For people.
fn program(own: &OwnProgram) -> String {
    let said = match own {
        Ok(own) => {
            let (version, file, origin) = (&own.version, &own.file, own.origin.as_str());
            format!("{version}  from {file} ({origin}), sha256 {}", own.blob.digest())
        }
        Err(why) => format!("kiln build refuses this: {why}"),
    };
    format!("\n{NODE_PROGRAM}\n  {said}\n")
}

fn program_json(own: &OwnProgram) -> Value {
    match own {
        Ok(own) => json!({
            "version": own.version, "file": own.file, "origin": own.origin.as_str(), "size": own.blob.size(),
            "sha256": own.blob.digest(),
        }),
        Err(why) => json!({ "refused": why.to_string() }),
    }
}

/// The user's overlays, for people.
fn shown(overlays: &Overlays, replaced: &BTreeSet<Replaced>) -> String {
    let mut text = String::new();
    for (at, overlay) in own(overlays).enumerate() {
        if at == 0 {
            text.push_str("\noverlays\n");
        }
        let directory = overlay.directory.iter().map(|path| path.display().to_string()).collect::<String>();
        let _ = writeln!(text, "  {directory}  {}", overlay.contents());
        for replaced in of(overlay, replaced) {
            let _ = writeln!(text, "    {}  replaces that of {}", replaced.path.absolute(), replaced.of);
        }
    }
    text
}

/// Each `[[file]]`, for people.
fn files(overlays: &Overlays, replaced: &BTreeSet<Replaced>) -> String {
    let mut text = String::new();
    for overlay in &overlays.list {
        let Some(file) = &overlay.file else { continue };
        if text.is_empty() {
            text.push_str("\nfiles of the profile\n");
        }
        let owner = overlay.owner().map(|(owner, group)| format!(", {owner}:{group}")).unwrap_or_default();
        let mode = file.mode.map(|mode| format!(", {mode}")).unwrap_or_default();
        let nodes = match &file.nodes {
            OnNodes::All => String::new(),
            OnNodes::Some(names) => {
                format!(", on {}", names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" "))
            }
        };
        let _ = writeln!(text, "  {}  {}{mode}{owner}{nodes}", file.path.absolute(), from(file));
        for replaced in of(overlay, replaced) {
            let _ = writeln!(text, "    replaces that of {}", replaced.of);
        }
    }
    text
}

fn from(file: &FileSpec) -> String {
    let template = if file.is_template { ", filled in" } else { "" };
    match &file.body {
        FileBody::Text(text) => format!("{} bytes{template}", text.len()),
        FileBody::Source(path) => format!("from {}{template}", path.display()),
        FileBody::Link(target) => format!("-> {target}"),
        FileBody::Directory => "a directory".to_owned(),
    }
}

fn file_json(file: &FileSpec) -> Value {
    let (kind, source, target) = match &file.body {
        FileBody::Text(_) => ("file", None, None),
        FileBody::Source(path) => ("file", Some(path), None),
        FileBody::Link(target) => ("link", None, Some(target)),
        FileBody::Directory => ("directory", None, None),
    };
    let (owner, group) =
        file.owner.as_ref().map_or(("root", "root"), |(owner, group)| (owner.as_str(), group.as_str()));
    let nodes = match &file.nodes {
        OnNodes::All => Value::Bool(true),
        OnNodes::Some(names) => json!(names),
    };
    json!({
        "path": file.path.absolute(), "kind": kind, "source": source, "target": target, "mode": file.mode,
        "owner": owner, "group": group, "template": file.is_template, "nodes": nodes,
    })
}

/// The user's own overlays.
fn own(overlays: &Overlays) -> impl Iterator<Item = &Overlay> {
    overlays.list.iter().map(AsRef::as_ref).filter(|overlay| overlay.directory.is_some())
}

fn of<'r>(overlay: &'r Overlay, replaced: &'r BTreeSet<Replaced>) -> impl Iterator<Item = &'r Replaced> {
    replaced.iter().filter(|replaced| replaced.by == overlay.origin)
}
