//! What the cloud-init and Ignition carriers run on the node to unpack the seed.

use serde_json::json;

use super::template::Templates;
use crate::failure::Result;
use crate::plan::{Node, Plan};
use crate::values::Digest;

const SCRIPT: (&str, &str) =
    ("overlays/carrier/unpack-seed.sh.hbs", include_str!("../../overlays/carrier/unpack-seed.sh.hbs"));
const UNIT: (&str, &str) =
    ("overlays/carrier/kiln-seed.service.hbs", include_str!("../../overlays/carrier/kiln-seed.service.hbs"));

/// An archive on a disk with a label, and what its bytes must be.
pub struct SeedArchive {
    pub label: &'static str,
    pub file: &'static str,
    pub sha256: Digest,
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
    let values = json!({
        "cluster": plan.cluster.name,
        "node": node.name,
        "archives": archives.iter().map(|archive| json!({
            "label": archive.label, "file": archive.file, "sha256": archive.sha256,
        })).collect::<Vec<_>>(),
    });
    Ok(Seed {
        script: templates.fill(SCRIPT.0, SCRIPT.1, &values)?,
        unit: templates.fill(UNIT.0, UNIT.1, &values)?,
    })
}
