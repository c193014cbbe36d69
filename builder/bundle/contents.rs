//! The contents of a bundle that follow from its manifest: the files that it needs, and its archives.

use super::layout::{CLIENT_CA, LAYER_ARCHIVE, NODE_ARCHIVE, OPERATOR_CERT, OPERATOR_KEY, client_file};
use super::manifest::Manifest;
use crate::carrier;
use crate::values::{At, Carrier, CarrierFile};

/// The archives of a node whose members can be listed, the shared ones first, as paths in the bundle.
pub fn archives(manifest: &Manifest, node: &str) -> Vec<String> {
    let files = distinct(carrier::all());
    let of = |at: &[At]| -> Vec<&str> {
        let files = files.iter().filter(|file| file.is_archive && at.contains(&file.at));
        files.flat_map(|file| file.names.iter().copied()).collect()
    };
    let shared = of(&[At::Layers]);
    let is_shared = |path: &str| {
        path == LAYER_ARCHIVE || path.strip_prefix("layers/").is_some_and(|name| shared.contains(&name))
    };
    let shared = manifest.files.keys().map(ToString::to_string).filter(|path| is_shared(path));
    let own = std::iter::once(NODE_ARCHIVE).chain(of(&[At::Node, At::BootNode]));
    let own = own.map(|name| format!("nodes/{node}/{name}"));
    shared.chain(own.filter(|path| manifest.files.contains_key(path.as_str()))).collect()
}

/// The files of these carriers, without duplicates: two carriers may share one.
fn distinct(carriers: &[Carrier]) -> Vec<&'static CarrierFile> {
    let mut all: Vec<&CarrierFile> = Vec::new();
    for file in carriers.iter().flat_map(|carrier| carrier.files) {
        if !all.iter().any(|there| (there.at, there.names) == (file.at, file.names)) {
            all.push(file);
        }
    }
    all
}

/// The files that a bundle needs, each as a list of names of which one must exist.
pub fn needed(manifest: &Manifest) -> Vec<Vec<String>> {
    let one = |path: &str| vec![path.to_owned()];
    let (is_shared, boots) = (manifest.shares_binaries(), manifest.base.is_some());
    let files = distinct(&manifest.carriers);
    let below = |directory: &str, at: At| -> Vec<Vec<String>> {
        let files = files.iter().filter(|file| file.is_needed && file.at == at);
        files.map(|file| file.names.iter().map(|name| format!("{directory}/{name}")).collect()).collect()
    };
    let mut all: Vec<_> =
        [CLIENT_CA, OPERATOR_CERT, OPERATOR_KEY].iter().map(|file| one(&client_file(file))).collect();
    if is_shared {
        all.push(one(LAYER_ARCHIVE));
        all.extend(below("layers", At::Layers));
    }
    if boots {
        all.extend(below("boot", At::Boot));
    }
    for node in &manifest.nodes {
        let directory = format!("nodes/{}", node.name);
        all.push(one(&format!("{directory}/{NODE_ARCHIVE}")));
        all.extend(below(&directory, At::Node));
        if boots {
            all.extend(below(&directory, At::BootNode));
        }
    }
    all
}
