//! The files of a bundle, for each of its carriers.

use super::row::{Files, Layer, NodeParts, Row};
use super::{TABLE, seed};
use crate::base::BootFiles;
use crate::failure::Result;
use crate::plan::Plan;
use crate::values::Carrier;

/// Makes a node's files for each carrier of its plan.
pub fn node_files(parts: &NodeParts<'_>, files: &Files<'_>) -> Result<()> {
    let mut seeds = Vec::new();
    for row in rows(&parts.plan.bundle.carriers) {
        if let Some(node) = row.node {
            node(parts, files)?;
        }
        seeds.extend(row.seed);
    }
    seed::files(parts, &seeds, files)
}

/// Makes the files that machines of all nodes boot from.
pub fn boot_files(plan: &Plan, boot: &BootFiles, files: &Files<'_>) -> Result<()> {
    let makers = rows(&plan.bundle.carriers).filter_map(|row| row.boot);
    makers.into_iter().try_for_each(|make| make(plan, boot, files))
}

/// The forms of the programs that these carriers need, without duplicates.
pub fn layers(carriers: &[Carrier]) -> Vec<&'static Layer> {
    let mut all: Vec<&'static Layer> = Vec::new();
    for layer in rows(carriers).filter_map(|row| row.layer) {
        if !all.iter().any(|there| std::ptr::eq(*there, layer)) {
            all.push(layer);
        }
    }
    all
}

fn rows(carriers: &[Carrier]) -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(|row| carriers.iter().any(|carrier| carrier.name == row.facts.name))
}
