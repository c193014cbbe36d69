//! `kiln join`: combines the shards of a fleet.

use serde_json::json;

use super::output::Output;
use super::places::refuse_inside;
use crate::bundle::{Bundle, Fleet, Holds, INDEX, Index, MANIFEST, Place, SUMS, join};
use crate::cli;
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::interrupt;
use crate::values::{ClusterName, Mode, counted};

pub fn run(args: &cli::Join, out: &Output) -> Result<()> {
    refuse_inside(&args.out)?;
    for part in &args.parts {
        if disk::is_same(part, &args.out)? {
            return Err(Failure::unsafe_to(format!(
                "{} is one of the shards and would be replaced; choose another --out",
                args.out.display()
            )));
        }
    }
    let parts: Vec<_> = args.parts.iter().map(|path| Fleet::open(path)).collect::<Result<_>>()?;
    let index = join(&parts)?;
    let place = Place::begin(&args.out, Holds::Fleet)?;
    for part in &parts {
        let problems = part.check()?;
        if let Some(first) = problems.first() {
            return Err(Failure::wrong(format!(
                "{} does not match its manifest: {} {}; copy it again or build it again",
                part.path.display(),
                first.path,
                first.problem
            )));
        }
        for entry in &part.index.bundles {
            interrupt::check()?;
            bring(part, &entry.name, &place).doing(|| format!("taking {}", entry.name))?;
        }
    }
    place.index(&index)?;
    let Index { bundles, .. } = &index;
    let nodes: usize = bundles.iter().map(|bundle| bundle.nodes).sum();
    let count = bundles.len();
    place.publish(|| Ok(()))?;
    if args.json {
        return out.json(
            &json!({ "fleet": args.out, "index": args.out.join(INDEX), "bundles": count, "nodes": nodes }),
        );
    }
    out.print(format_args!(
        "{}: {} with {}, of {}",
        args.out.display(),
        counted(count, "bundle"),
        counted(nodes, "node"),
        counted(parts.len(), "shard")
    ))
}

/// Takes one bundle over, file by file: as hard links where both are on one file system.
fn bring(part: &Fleet, name: &ClusterName, place: &Place) -> Result<()> {
    let from = part.bundle(name);
    let bundle = Bundle::open(&from)?;
    place.bundle_of_fleet(name)?;
    for found in disk::walk(&from)? {
        let Some(path) = found.path.to_str() else { continue };
        let mode = match bundle.manifest.files.get(path) {
            _ if found.kind == disk::Kind::Directory => {
                place.directory(&format!("{name}/{path}"), found.mode)?;
                continue;
            }
            Some(_) => found.mode,
            None if path == MANIFEST || path == SUMS => Mode::FILE,
            None => continue,
        };
        place.take(&from.join(path), &format!("{name}/{path}"), mode)?;
    }
    Ok(())
}
