//! The verdicts of `kiln verify` on running clusters: real members, compared with bundles that they were not made
//! from, and servers that are not members at all.

mod differences;
mod membership;
pub mod node_renewal;
mod programs;
pub mod running;
mod service;
mod strangers;
mod writes;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::support::Workshop;
use serde_json::Value;

/// A profile of members a, b and so on at 10.77.0.11 and up.
pub fn profile(members: usize, version: &str, more: &str) -> String {
    let mut text = format!(
        "schema = 1\n[cluster]\nname = \"t\"\n[etcd]\nversion = \"{version}\"\n{more}\n[network]\ncidr = \"10.77.0.0/24\"\n"
    );
    for (at, name) in ["a", "b", "c", "d", "e"].into_iter().take(members).enumerate() {
        text += &format!("[[node]]\nname = \"{name}\"\naddress = \"10.77.0.1{}\"\n", at + 1);
    }
    text
}

/// Builds a profile's text as the bundle `out/NAME`.
pub fn build(work: &Workshop, name: &str, text: &str) -> PathBuf {
    work.file(&format!("{name}.toml"), text);
    work.build(&format!("./{name}.toml"))
}

/// A file from a node's archive.
fn baked(bundle: &Path, node: &str, path: &str) -> Vec<u8> {
    let archive = fs::File::open(bundle.join("nodes").join(node).join("overlay.tar.gz")).unwrap();
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().to_str() == Some(path) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            return bytes;
        }
    }
    panic!("{node} has no {path}");
}

fn notes(report: &Value) -> String {
    report["notes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|note| note.as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}
