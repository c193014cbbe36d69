//! `kiln check`: a profile, by making everything and keeping nothing; or a finished bundle.

use std::path::Path;

use serde_json::json;

use super::bake;
use super::output::Output;
use super::prepare::Prepared;
use super::sink::Sink;
use crate::bundle::Bundle;
use crate::cli;
use crate::failure::{Failure, Result};

pub fn run(args: &cli::Check, out: &Output) -> Result<()> {
    match (&args.bundle, &args.profile) {
        (Some(path), _) => bundle(path, args.ingredients.json, out),
        (None, Some(name)) => profile(name, args, out),
        // clap asks for one of the two.
        (None, None) => Ok(()),
    }
}

fn profile(name: &str, args: &cli::Check, out: &Output) -> Result<()> {
    let prepared = Prepared::new(name, &args.ingredients, out)?;
    let plan = &prepared.plan;
    let manifest = bake::bake(&prepared.inputs(), Sink::Nowhere)?;
    if args.ingredients.json {
        return out.json(&json!({
            "profile": plan.name, "nodes": plan.nodes.len(), "certificates": manifest.certificates.len(),
            "etcd": plan.release, "ok": true,
        }));
    }
    out.print(format_args!(
        "{}: a bundle of {} nodes with etcd {} and {} certificates can be built from it",
        plan.name,
        plan.nodes.len(),
        plan.release,
        manifest.certificates.len()
    ))
}

fn bundle(path: &Path, json: bool, out: &Output) -> Result<()> {
    let bundle = Bundle::open(path)?;
    let problems = bundle.check()?;
    if json {
        out.json(&json!({ "bundle": path, "files": bundle.manifest.files.len(), "problems": problems }))?;
    }
    if problems.is_empty() {
        return if json {
            Ok(())
        } else {
            out.print(format_args!(
                "{}: all {} files are as the manifest says",
                path.display(),
                bundle.manifest.files.len()
            ))
        };
    }
    let lines: Vec<_> =
        problems.iter().map(|problem| format!("{} {}", problem.path, problem.problem)).collect();
    Err(Failure::wrong(format!(
        "{} is not as it was built; build it again or copy it again\n  {}",
        path.display(),
        lines.join("\n  ")
    )))
}
