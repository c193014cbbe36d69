//! What the cloud-init and Ignition carriers run on the node to unpack the seed.

use serde_json::json;

use super::template::{Template, Templates, context};
use crate::failure::Result;
use crate::plan::{Node, Plan};

const SCRIPT: (&str, &str) =
    ("overlays/carrier/unpack-seed.sh.hbs", include_str!("../../overlays/carrier/unpack-seed.sh.hbs"));
const UNIT: (&str, &str) =
    ("overlays/carrier/kiln-seed.service.hbs", include_str!("../../overlays/carrier/kiln-seed.service.hbs"));

/// An archive on a disk with a label, and what its bytes must be.
pub struct SeedArchive {
    pub label: &'static str,
    pub file: &'static str,
    /// In hex.
    pub sha256: String,
}

/// The templates of what the carriers run, parsed once.
pub struct SeedTemplates {
    script: Template,
    unit: Template,
}

impl SeedTemplates {
    pub(super) fn new() -> Result<Self> {
        let parse = |(name, text): (&str, &str)| Template::new(name, text.to_owned());
        Ok(Self { script: parse(SCRIPT)?, unit: parse(UNIT)? })
    }
}

/// A shell script that mounts, checks and unpacks the archives in this order and starts etcd, and a unit
/// that runs it where no cloud-init does.
pub struct Seed {
    pub script: String,
    pub unit: String,
}

/// # Errors
/// None with the templates that Kiln carries; a template with a mistake is named with its line.
pub fn seed(plan: &Plan, node: &Node, archives: &[SeedArchive], templates: &Templates) -> Result<Seed> {
    let values = context(json!({
        "cluster": plan.cluster.name,
        "node": node.name,
        "archives": archives.iter().map(|archive| json!({
            "label": archive.label, "file": archive.file, "sha256": archive.sha256,
        })).collect::<Vec<_>>(),
    }))?;
    Ok(Seed {
        script: templates.fill(&templates.seed.script, &values)?,
        unit: templates.fill(&templates.seed.unit, &values)?,
    })
}
