//! `seed.iso`: a disk with a node's archive, and the scripts that find, check and unpack it. Carriers whose machines
//! start from a disk have it.

use serde_json::json;

use super::row::{Files, Layer, NodeParts, Seed};
use super::scripts::Scripts;
use crate::failure::Result;
use crate::format::{Piece, Stream, iso};
use crate::render::context;
use crate::values::{At, CarrierFile, Mode};

/// The label by which cloud-init finds its seed (cloud-init, DataSourceNoCloud).
const LABEL: &str = "CIDATA";
const ARCHIVE: &str = "overlay.tar.gz";
const IMAGE: &str = "seed.iso";

const LAYER_LABEL: &str = "KILNLAYER";
const LAYER_ARCHIVE: &str = "etcd.tar.gz";
const LAYER_IMAGE: &str = "layer.iso";

/// The disk with a node's archive, and the one with the programs that all hosts share.
pub const SEED: CarrierFile = CarrierFile::new(At::Node, &[IMAGE], Mode::SECRET);
pub const LAYER: CarrierFile = CarrierFile::new(At::Layers, &[LAYER_IMAGE], Mode::FILE);

pub static PROGRAMS: Layer = Layer {
    name: |_| LAYER_IMAGE.to_owned(),
    make: |packer, _, archive| {
        iso::iso(&[(LAYER_ARCHIVE.to_owned(), archive.clone())], LAYER_LABEL, packer.epoch)
    },
};

/// Makes the files of all carriers that have a seed, and the disk, once for all of them.
pub fn files(parts: &NodeParts<'_>, seeds: &[Seed], files: &Files<'_>) -> Result<()> {
    if seeds.is_empty() {
        return Ok(());
    }
    let scripts = scripts(parts)?;
    let mut on_disk: Vec<(String, Stream)> = Vec::new();
    for seed in seeds {
        let texts = seed(parts, &scripts)?;
        for (name, text) in texts.named {
            files.text(name, text.clone())?;
            if texts.on_disk {
                on_disk.push((name.to_owned(), vec![Piece::Own(text)]));
            }
        }
    }
    on_disk.push((ARCHIVE.to_owned(), parts.archive.clone()));
    files.put(IMAGE, Mode::SECRET, &iso::iso(&on_disk, LABEL, parts.packer.epoch)?)
}

/// # Errors
/// None with the built-in templates; the error names a faulty template and its line.
fn scripts(parts: &NodeParts<'_>) -> Result<Scripts> {
    let archive = |label, file, sha256: crate::values::Digest| json!({ "label": label, "file": file, "sha256": sha256.to_string() });
    let layer = parts.shared.map(|sha256| archive(LAYER_LABEL, LAYER_ARCHIVE, sha256));
    let own = archive(LABEL, ARCHIVE, parts.archive_sha256);
    let values = context(json!({
        "cluster": parts.plan.cluster.name,
        "node": parts.node.name,
        "unit": parts.node.unit,
        "archives": layer.into_iter().chain([own]).collect::<Vec<_>>(),
    }))?;
    parts.templates.fill(&values)
}
